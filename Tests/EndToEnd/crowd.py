"""A crowd of clients, each with a request under way all the time, until standard input ends.

    crowd.py ADDRESS HOST PATH SHA256 CONNECTIONS REQUESTS_PER_CONNECTION

First the connections are made, a few at a time, with one request each; then all of them ask at once, and "busy" is
printed. A connection carries so many requests, then another one takes its place. At the end comes one JSON object: requests, responses that were whole, and each failure. A server may
end a connection only after a response that says so; anything else is a failure.
"""

import hashlib
import json
import selectors
import socket
import sys

#: New connections under way before the crowd is complete.
AT_A_TIME = 8


class Client:
    def __init__(self, crowd):
        self.crowd = crowd
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.connect_ex((self.crowd.address, 80))
        self.left = self.crowd.requests_per_connection
        self.is_connected = False
        self.crowd.selector.register(self.socket, selectors.EVENT_WRITE, self)

    def ask(self):
        self.head, self.digest, self.missing = b"", hashlib.sha256(), None
        self.left -= 1
        self.crowd.asked += 1
        self.crowd.selector.modify(self.socket, selectors.EVENT_READ, self)
        self.socket.send(self.crowd.request)

    def step(self):
        if not self.is_connected:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, "connecting")
            self.is_connected = True
            return self.ask()
        block = self.socket.recv(1 << 18)
        if not block:
            raise OSError(0, f"closed after {len(self.head)} bytes of head, {self.missing} of body missing")
        if self.missing is None:
            self.head += block
            head, end, block = self.head.partition(b"\r\n\r\n")
            if not end:
                return
            self.head = head.lower()
            if not head.startswith(b"HTTP/1.1 200"):
                raise OSError(0, head[:40].decode())
            self.missing = next(
                int(line[15:]) for line in self.head.split(b"\r\n") if line.startswith(b"content-length:"))
        self.digest.update(block)
        self.missing -= len(block)
        if self.missing > 0:
            return
        if self.missing < 0 or self.digest.hexdigest() != self.crowd.expected:
            raise OSError(0, "another body")
        self.crowd.served += 1
        if not self.crowd.is_busy:
            return self.crowd.has_arrived(self)
        if self.left > 0 and not self.crowd.is_ending and b"connection: close" not in self.head:
            self.ask()
        else:
            self.renew()

    def renew(self):
        self.crowd.selector.unregister(self.socket)
        self.socket.close()
        if self.crowd.is_ending:
            self.crowd.clients.discard(self)
        else:
            self.open()


class Crowd:
    def __init__(self, address, host, path, expected, connections, requests_per_connection):
        self.address, self.expected = address, expected
        self.requests_per_connection = int(requests_per_connection)
        self.request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self.selector = selectors.DefaultSelector()
        self.selector.register(sys.stdin, selectors.EVENT_READ, None)
        self.asked = self.served = 0
        self.failures = []
        self.is_ending = self.is_busy = False
        self.coming, self.clients, self.waiting = int(connections), set(), []
        for _ in range(min(AT_A_TIME, self.coming)):
            self.admit()

    def admit(self):
        if self.coming > 0:
            self.coming -= 1
            self.clients.add(Client(self))

    def has_arrived(self, client):
        """Its first response was whole; it waits for the others."""
        self.waiting.append(client)
        self.admit()
        if len(self.waiting) == len(self.clients):
            self.is_busy = True
            for each in self.waiting:
                each.ask()
            print("busy", flush=True)

    def run(self):
        while self.clients:
            ready = self.selector.select(60)
            if not ready:
                self.failures += [f"silent: port {client.socket.getsockname()[1]}" for client in self.clients]
                break
            for key, _ in ready:
                if key.data is None:
                    if not sys.stdin.buffer.raw.read(64):
                        self.is_ending = True
                        self.selector.unregister(sys.stdin)
                    continue
                try:
                    key.data.step()
                except OSError as error:
                    port = key.data.socket.getsockname()[1]
                    self.failures.append(f"port {port}: {error}")
                    key.data.renew()
        print(json.dumps({"asked": self.asked, "served": self.served, "failures": self.failures}))


if __name__ == "__main__":
    Crowd(*sys.argv[1:]).run()
