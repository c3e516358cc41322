"""A steady load: so many requests in flight at any moment, each as long as it is told to be.

Clients read slowly, from small buffers, so that a request that is in flight holds a connection with bytes still to
come. As a program (in a host's namespace) it takes commands by lines of its input and answers each by a line of JSON:

    load.py ADDRESS HOST PATH SHA256 IN-FLIGHT SECONDS
        count   how many are in flight now, and how many have ended
        mark N  the same, as soon as N are in flight or have not been for a minute, and remembers which ones are
        end     begins no more, waits for the rest, and says how all of them ended
"""

import asyncio
import hashlib
import json
import resource
import socket
import subprocess
import sys
import time

#: A window of some segments: what is not read yet waits at the server.
RECEIVE_BUFFER, PORTION = 8192, 8192
PATIENCE = 60


class Load:
    """The program, seen from the laboratory."""

    def __init__(self, laboratory, address, host, file, sha256, in_flight=1100, seconds=6.0, client="client"):
        command = laboratory.topology.inside(
            client, sys.executable, __file__, address, host, f"/{file}", sha256, in_flight, seconds)
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def mark(self, at_least=0):
        """Waits until so many are in flight. How many are at that moment; the summary says what became of them."""
        there = self._ask(f"mark {at_least}")
        if there["inFlight"] < at_least:
            raise RuntimeError(f"not within {PATIENCE} s: {at_least} requests in flight; {there}")
        return there

    def count(self):
        return self._ask("count")

    def until_ended(self, count, seconds=60):
        """Waits until so many have ended since it began."""
        deadline = time.monotonic() + seconds
        while (there := self.count())["ended"] < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not within {seconds} s: {count} requests ended; {there}")
            time.sleep(0.05)
        return there

    def finish(self):
        """`requests`, `failures`, and for each mark how many were in flight and how many of these were then served whole."""
        summary = self._ask("end")
        self._process.communicate(timeout=10)
        return summary

    def kill(self):
        self._process.kill()
        self._process.communicate(timeout=10)

    def _ask(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load has ended by itself, with {self._process.wait(10)}")
        return json.loads(line)


class Clients:
    def __init__(self, address, host, path, sha256, in_flight, seconds):
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address, self.sha256, self.in_flight, self.seconds = address, sha256, in_flight, seconds
        self.head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        self.active, self.marks, self.failures = set(), [], []
        self.began = self.ended = 0
        self.is_over = False

    async def client(self, number):
        # The first ones begin one after another, so that later ones do too.
        await asyncio.sleep(number * self.seconds / self.in_flight)
        while not self.is_over:
            self.began += 1
            request = Request(self)
            try:
                problem = await asyncio.wait_for(request.run(), self.seconds + PATIENCE)
            except (OSError, asyncio.TimeoutError) as error:
                problem = str(error) or type(error).__name__
            self.active.discard(request)
            self.ended += 1
            request.is_whole = problem is None
            if problem:
                self.failures.append({"port": request.port, "began": request.began, "ended": time.time(), "what": problem})
                await asyncio.sleep(0.1)

    async def mark(self, at_least):
        deadline = time.monotonic() + PATIENCE
        while len(self.active) < at_least and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        self.marks.append(list(self.active))
        return self.count()

    def count(self):
        return {"inFlight": len(self.active), "ended": self.ended, "failed": len(self.failures)}

    def summary(self):
        marks = [{"inFlight": len(mark), "served": sum(request.is_whole for request in mark)} for mark in self.marks]
        return {"requests": self.ended, "failures": self.failures[:20], "failed": len(self.failures), "marks": marks}


class Request:
    def __init__(self, clients):
        self.clients = clients
        self.began, self.port, self.is_whole = time.time(), 0, False

    async def run(self):
        """None when the answer was whole, otherwise what happened."""
        loop, clients = asyncio.get_running_loop(), self.clients
        with socket.socket(clients.family, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            await loop.sock_connect(connection, (clients.address, 80))
            self.port = connection.getsockname()[1]
            await loop.sock_sendall(connection, clients.head)
            clients.active.add(self)
            received, started, length = bytearray(), loop.time(), None
            while block := await loop.sock_recv(connection, PORTION):
                received += block
                length = length or whole_length(received)
                if length:
                    due = started + clients.seconds * min(1, len(received) / length)
                    await asyncio.sleep(max(0, due - loop.time()))
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        if hashlib.sha256(body).hexdigest() == clients.sha256:
            return None
        return f"{len(body)} bytes of body after {head[:15]!r}"


def whole_length(received):
    """Head and body together, once the head is there."""
    head, end, _ = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(head) + 4 + int(lengths[0].split(b":")[1]) if end and lengths else None


async def main(address, host, path, sha256, in_flight, seconds):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients = Clients(address, host, path, sha256, int(in_flight), float(seconds))
    tasks = [asyncio.create_task(clients.client(number)) for number in range(clients.in_flight)]
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while words := (await commands.readline()).split():
        if words[0] == b"count":
            print(json.dumps(clients.count()), flush=True)
        elif words[0] == b"mark":
            print(json.dumps(await clients.mark(int(words[1]))), flush=True)
        elif words[0] == b"end":
            clients.is_over = True
            await asyncio.gather(*tasks)
            print(json.dumps(clients.summary()), flush=True)
            return


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
