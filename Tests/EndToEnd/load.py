"""Many clients at once, on one host: each opens a connection, asks for one object, and compares its hash.

    load.py ADDRESS HOST PATH[,PATH…] SHA256[,SHA256…] CLIENTS REQUESTS

Requests are for one path after the other.

Prints one JSON object: how many succeeded, and for each failure its local port, when it began and what happened.
"""

import hashlib
import json
import socket
import sys
import threading
import time


def request(address, host, path, expected):
    """One download; None when it was whole, otherwise what happened."""
    began = time.time()
    port = 0
    try:
        connection = socket.create_connection((address, 80), timeout=30)
        port = connection.getsockname()[1]
        with connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            received = bytearray()
            while block := connection.recv(1 << 18):
                received += block
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        if hashlib.sha256(body).hexdigest() == expected:
            return None
        what = f"{len(body)} bytes of body after {head[:15]!r}"
    except OSError as error:
        what = str(error)
    return {"port": port, "began": began, "ended": time.time(), "what": what}


def main():
    address, host = sys.argv[1:3]
    objects = list(zip(sys.argv[3].split(","), sys.argv[4].split(",")))
    clients, requests = int(sys.argv[5]), int(sys.argv[6])
    numbers, failures, lock = iter(range(requests)), [], threading.Lock()

    def client():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            failure = request(address, host, *objects[number % len(objects)])
            if failure:
                with lock:
                    failures.append(failure)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"requests": requests, "succeeded": requests - len(failures), "failures": failures}))


if __name__ == "__main__":
    main()
