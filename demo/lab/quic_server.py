"""An HTTP/3 server of files, for one address and port, by aioquic: `quic_server.py --help`.

It knows nothing of Baton: it is bound to an address of its own and logs, like any server, one line a request: the
client's address and port, its connection, the request, the status and the bytes of the body.
"""

import argparse
import asyncio
import os

from aioquic.asyncio import QuicConnectionProtocol, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated


class FileServer(QuicConnectionProtocol):
    root = log = name = None

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self._http = H3Connection(self._quic)
        if self._http is None:
            return
        for happened in self._http.handle_event(event):
            if isinstance(happened, HeadersReceived):
                self._answer(happened.stream_id, dict(happened.headers))

    def _answer(self, stream, headers):
        path = headers.get(b":path", b"/").decode()
        file = os.path.join(self.root, os.path.basename(path))
        body = b""
        status = 404
        if headers.get(b":method") == b"GET" and os.path.isfile(file):
            with open(file, "rb") as opened:
                body = opened.read()
            status = 200
        self._http.send_headers(stream, [
            (b":status", str(status).encode()), (b"server", self.name.encode()),
            (b"content-length", str(len(body)).encode())])
        self._http.send_data(stream, body, end_stream=True)
        self.transmit()
        client = self._quic._network_paths[0].addr
        with open(self.log, "a") as log:
            log.write(f'{client[0]} {client[1]} {self._quic.original_destination_connection_id.hex()} '
                      f'"GET {path} {headers.get(b":authority", b"").decode()}" {status} {len(body)}\n')


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("address", "certificate", "key", "root", "log", "name"):
        parser.add_argument("--" + option, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    FileServer.root, FileServer.log, FileServer.name = options.root, options.log, options.name
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(options.certificate, options.key)
    await serve(options.address, options.port, configuration=configuration, create_protocol=FileServer)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
