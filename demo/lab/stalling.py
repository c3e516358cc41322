"""A download whose client reads only when it is told to.

As a program (in a host's namespace) it asks for one object, reads so much of it as fast as it comes, and then takes
commands by lines of its input, each answered by a line of JSON:

    stalling.py ADDRESS HOST PATH BYTES
        read N   takes about N bytes more
        rest     takes what is left and says what became of it: bytes and SHA-256 of the body
"""

import hashlib
import json
import socket
import subprocess
import sys


class StallingDownload:
    """The program, seen from the laboratory."""

    def __init__(self, laboratory, address, host, file, at_once, client="client"):
        command = laboratory.topology.inside(client, sys.executable, __file__, address, host, f"/{file}", at_once)
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def read(self, count):
        return self._ask(f"read {count}")

    def rest(self):
        answer = self._ask("rest")
        self._process.communicate(timeout=10)
        return answer

    def kill(self):
        self._process.kill()
        self._process.communicate(timeout=10)

    def _ask(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the download has ended by itself, with {self._process.wait(10)}")
        return json.loads(line)


class Client:
    def __init__(self, address, host, path):
        self.connection = socket.create_connection((address, 80), 60)
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        self.digest, self.received, self.head = hashlib.sha256(), 0, b""
        while b"\r\n\r\n" not in self.head:
            self.head += self.connection.recv(65536)
        self.head, _, body = self.head.partition(b"\r\n\r\n")
        self.take(body)

    def take(self, block):
        self.digest.update(block)
        self.received += len(block)

    def read(self, count):
        end = self.received + count
        while self.received < end and (block := self.connection.recv(min(1 << 18, end - self.received))):
            self.take(block)

    def state(self):
        return {"bytes": self.received, "sha256": self.digest.hexdigest(), "head": self.head.decode("latin-1")}


def main(address, host, path, at_once):
    client = Client(address, host, path)
    client.read(int(at_once))
    print(json.dumps(client.state()), flush=True)
    for line in sys.stdin:
        command, *count = line.split()
        client.read(int(count[0]) if command == "read" else sys.maxsize)
        print(json.dumps(client.state()), flush=True)
        if command == "rest":
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
