"""One HTTP/3 download by aioquic, told as a line of JSON: `quic_client.py --help`.

With `--rebind-after` the client's socket is exchanged for another one in the middle, on a new port, as an address
translator does it that has forgotten the connection: the client goes on as if nothing had happened.
"""

import argparse
import asyncio
import hashlib
import json
import socket
import ssl
import sys
import time

from aioquic.asyncio import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion


class Download(QuicConnectionProtocol):
    def __init__(self, quic):
        super().__init__(quic)
        self._http = H3Connection(quic)
        self.digest = hashlib.sha256()
        self.size = 0
        self.headers = {}
        self.done = asyncio.get_running_loop().create_future()
        self.ports = []
        self.rebind_after = None

    def connection_made(self, transport):
        super().connection_made(transport)
        self.ports.append(transport.get_extra_info("sockname")[1])

    def connection_lost(self, error):
        """Of a socket that was exchanged: nothing is lost."""

    def get(self, host, path):
        stream = self._quic.get_next_available_stream_id()
        self._http.send_headers(stream, [
            (b":method", b"GET"), (b":scheme", b"https"), (b":authority", host.encode()), (b":path", path.encode())],
            end_stream=True)
        self.transmit()

    def quic_event_received(self, event):
        for happened in self._http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self.headers = {name.decode(): value.decode() for name, value in happened.headers}
            elif isinstance(happened, DataReceived):
                self.digest.update(happened.data)
                self.size += len(happened.data)
            if getattr(happened, "stream_ended", False) and not self.done.done():
                self.done.set_result(None)
        if self.rebind_after is not None and self.size >= self.rebind_after:
            self.rebind_after = None
            asyncio.ensure_future(self.rebind())

    async def rebind(self):
        old = self._transport
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=bound_socket())
        old.close()
        self.transmit()


def bound_socket():
    chosen = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    chosen.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    chosen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    chosen.bind(("::", 0))
    return chosen


async def fetch(options):
    started = time.monotonic()
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=H3_ALPN, server_name=options.host, cafile=options.authority)
    configuration.verify_mode = ssl.CERT_REQUIRED
    if options.version2:
        configuration.original_version = QuicProtocolVersion.VERSION_2
        configuration.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
    address = options.address if ":" in options.address else "::ffff:" + options.address
    quic = QuicConnection(configuration=configuration)
    _, download = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Download(quic), sock=bound_socket())
    download.rebind_after = options.rebind_after
    download.connect((address, options.port, 0, 0))
    async with asyncio.timeout(options.seconds):
        await download.wait_connected()
        connected = time.monotonic() - started
        download.get(options.host, options.path)
        await download.done
    download.close()
    await download.wait_closed()
    return {
        "status": download.headers.get(":status", ""), "server": download.headers.get("server", ""),
        "sha256": download.digest.hexdigest(), "size": download.size, "ports": download.ports,
        "connected": connected, "seconds": time.monotonic() - started}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("address", "host", "path", "authority"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--rebind-after", type=int, metavar="BYTES")
    parser.add_argument("--version2", action="store_true", help="QUIC version 2")
    parser.add_argument("--seconds", type=float, default=30)
    try:
        print(json.dumps(asyncio.run(fetch(parser.parse_args()))))
    except Exception as error:  # noqa: BLE001 (whatever it was, the download failed)
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
