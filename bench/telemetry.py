"""Reads the counters of a running DPDK program through DPDK's telemetry socket."""

import json
import socket
import time


class Telemetry:
    """A connection to the program with the given EAL file prefix."""

    def __init__(self, prefix):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(10)
        self._socket.connect(f"/var/run/dpdk/{prefix}/dpdk_telemetry.v2")
        self._socket.recv(1024)

    def close(self):
        self._socket.close()

    def statistics(self, port):
        """`ipackets`, `opackets` and so on of a port."""
        command = f"/ethdev/stats,{port}"
        self._socket.send(command.encode())
        return json.loads(self._socket.recv(1 << 16))["/ethdev/stats"]

    def received(self):
        """Packets that port 0 has received so far, and when that was so (seconds of the monotonic clock)."""
        before = time.monotonic()
        packets = self.statistics(0)["ipackets"]
        return packets, (before + time.monotonic()) / 2
