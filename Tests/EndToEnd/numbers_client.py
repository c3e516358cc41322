"""A client whose connections have the sequence numbers that a test wants; as JSON, what became of each.

    numbers_client.py kernel|cookie ADDRESS PORT HOST PATH BYTES COUNT

Downloads PATH so often that both sides' numbers wrap in it: the client's within its request, by TCP_REPAIR, which lets a
socket that is still closed choose where it begins (tcp_v4_connect: write_seq stays if it is not 0); the server's within the
first BYTES of its answer. A kernel's initial number grows by one in 64 ns for each pair of endpoints, so that one look tells
when it will wrap; where it is a cookie, another connection is tried until one does.
"""

import hashlib
import json
import random
import socket
import struct
import sys
import time

TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
RECEIVED, SENT = 1, 2
ON, OFF = 1, -1
NANOSECONDS = 64
WRAP = 1 << 32


class Connection:
    def __init__(self, address, port, local_port, first):
        """Dials, with `first` as the number of the SYN."""
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SENT)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, struct.pack("I", first))
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF)
        self.socket.settimeout(3)
        self.socket.bind(("", local_port))
        self.socket.connect((address, port))
        self.socket.settimeout(20)

    def next_from_server(self):
        """The number that the server's next byte will have."""
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, ON)
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, RECEIVED)
        number = struct.unpack("I", self.socket.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))[0]
        self.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, OFF)
        return number

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def get(self, host, path):
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = bytearray()
        while block := self.socket.recv(1 << 18):
            data += block
        self.socket.close()
        return hashlib.sha256(data.partition(b"\r\n\r\n")[2]).hexdigest()


def first_number():
    """The request begins before 2^32 and ends behind it."""
    return WRAP - random.randrange(2, 40)


def connections(address, port):
    """Connections from local ports, each once, with those. A port that a connection has just had may get no answer: to
    whoever remembers that one, these numbers lie behind it, like those of a SYN that comes late."""
    for local_port in random.sample(range(20_000, 32_000), 12_000):
        try:
            yield local_port, Connection(address, port, local_port, first_number())
        except TimeoutError:
            pass


def kernel_about_to_wrap(address, port, size):
    """A connection with a server whose kernel counts as time goes on."""
    due = {}
    for local_port, probe in connections(address, port):
        # From now until the number is half the size before its end.
        left = (WRAP - size // 2 - probe.next_from_server()) % WRAP * NANOSECONDS / 1e9
        due[time.monotonic() + left] = local_port
        probe.reset()
        at = min(due)
        if len(due) >= 32 and at - time.monotonic() < 1.5:
            time.sleep(max(at - time.monotonic(), 0))
            connection = Connection(address, port, due.pop(at), first_number())
            if connection.next_from_server() > WRAP - size:
                return connection
            connection.reset()
    raise SystemExit("no port was due in time")


def cookie_about_to_wrap(address, port, size):
    """A connection whose server draws its numbers. The highest bit says whether the minute is odd: in the others numbers
    go beyond what is positive, not back to 0."""
    for _, connection in connections(address, port):
        if connection.next_from_server() % (WRAP // 2) > WRAP // 2 - size:
            return connection
        connection.reset()
    raise SystemExit("no cookie was near its end")


def main():
    kind, address, port, host, path, size, count = sys.argv[1:]
    find = {"kernel": kernel_about_to_wrap, "cookie": cookie_about_to_wrap}[kind]
    found = []
    for _ in range(int(count)):
        connection = find(address, int(port), int(size))
        number = connection.next_from_server()
        found.append({"server": number, "sha256": connection.get(host, path)})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
