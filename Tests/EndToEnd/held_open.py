"""Connections that are opened one after the other, each served once, and then kept.

    held_open.py ADDRESS HOST PATH COUNT

Prints a line for each when its answer has come whole; keeps all open until its input ends.
"""

import contextlib
import socket
import subprocess
import sys


@contextlib.contextmanager
def held_open(topology, address, host, path, count, client="client"):
    """`count` connections of a client, open inside the block."""
    command = topology.inside(client, sys.executable, __file__, address, host, path, str(count))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            for number in range(count):
                line = process.stdout.readline()
                if not line:
                    raise AssertionError(f"connection {number} failed")
            yield
        finally:
            process.stdin.close()


def serve_once(address, host, path):
    connection = socket.create_connection((address, 80), timeout=30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1 << 16) or sys.exit("closed before the head")
    head, _, body = received.partition(b"\r\n\r\n")
    length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")][0]
    missing = length - len(body)
    while missing > 0:
        missing -= len(connection.recv(missing)) or sys.exit("closed in the body")
    return connection


if __name__ == "__main__":
    connections = []
    for _ in range(int(sys.argv[4])):
        connections.append(serve_once(*sys.argv[1:4]))
        print("served", flush=True)
    sys.stdin.read()
