"""What a client does: real curl downloads, and a client that chooses its segments."""

import hashlib
import os
import subprocess
import sys
import time
from collections import namedtuple

from .shell import Process, run

Download = namedtuple("Download", "ok status sha256 seconds error")


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


class Curl:
    """curl on a host, possibly several requests on one connection. Bodies go to files and are hashed afterwards, so
    that the client is never slower than the wire."""

    def __init__(self, topology, directory, host="client"):
        self.topology = topology
        self.directory = directory
        self.host = host

    def command(self, urls, resolve, options=()):
        """`resolve` maps host names to addresses."""
        command = ["curl", "--silent", "--show-error", "--http1.1", "--max-time", "120"]
        for name, address in resolve.items():
            for port in (80, 443, 8080):
                command += ["--resolve", f"{name}:{port}:{'[' + address + ']' if ':' in address else address}"]
        command += list(options)
        for index, url in enumerate(urls):
            command += ["--output", self._body(index), url]
        command += ["--write-out", "%{http_code} "]
        return self.topology.inside(self.host, *command)

    def _body(self, index):
        return os.path.join(self.directory, f"body-{self.host}-{index}")

    def start(self, urls, resolve, options=()):
        self._urls = urls
        for index in range(len(urls)):
            if os.path.exists(self._body(index)):
                os.remove(self._body(index))
        self._started = time.monotonic()
        self.process = Process("curl", self.command(urls, resolve, options), os.path.join(self.directory, "curl.log"))
        self._log_start = os.path.getsize(self.process.log)
        return self

    def body_size(self, index=0):
        path = self._body(index)
        return os.path.getsize(path) if os.path.exists(path) else 0

    def finish(self, seconds=120):
        """Waits for curl; one Download for all its requests, with the bodies' hashes in order."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = -1
        took = time.monotonic() - self._started
        with open(self.process.log, errors="replace") as file:
            file.seek(self._log_start)
            text = file.read().strip()
        hashes = [sha256_of(self._body(i)) if os.path.exists(self._body(i)) else "" for i in range(len(self._urls))]
        return Download(code == 0, text, hashes, took, "" if code == 0 else f"curl exit {code}: {text}")

    def get(self, urls, resolve, options=(), seconds=120):
        return self.start(urls, resolve, options).finish(seconds)


SEGMENTED = r'''
import hashlib, socket, sys, time
address, port, sizes, pause, request = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]), sys.argv[5]
connection = socket.create_connection((address, port))
connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
data, start = request.encode().decode("unicode_escape").encode("latin-1"), 0
for size in [int(part) for part in sizes.split(",")] + [len(data)]:
    if start < len(data):
        connection.send(data[start:start + size])
        start += size
        time.sleep(pause)
received = b""
while b"\r\n\r\n" not in received:
    block = connection.recv(65536)
    if not block: sys.exit("closed before the head")
    received += block
head, body = received.split(b"\r\n\r\n", 1)
length = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")][0]
digest = hashlib.sha256(body)
have = len(body)
while have < length:
    block = connection.recv(1 << 20)
    if not block: sys.exit("closed at %d of %d" % (have, length))
    digest.update(block); have += len(block)
print(head.split(b" ")[1].decode(), digest.hexdigest())
'''


def segmented_get(topology, address, host, path, sizes, pause=0.0, headers="", port=80, client="client"):
    """A kernel TCP client whose request leaves in segments of `sizes` bytes."""
    request = f"GET {path} HTTP/1.1\\r\\nHost: {host}\\r\\nUser-Agent: segments\\r\\n{headers}\\r\\n"
    started = time.monotonic()
    try:
        output = run(*topology.inside(client, sys.executable, "-c", SEGMENTED, address, port,
                                      ",".join(map(str, sizes)), pause, request), timeout=60)
        status, digest = output.split()
        return Download(True, status, [digest], time.monotonic() - started, "")
    except Exception as error:  # noqa: BLE001 (whatever it was, the download failed)
        return Download(False, "", [""], time.monotonic() - started, str(error))
