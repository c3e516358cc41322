"""Packets of a pcap file, as far as a client's view of TCP needs them."""

import re
import signal
import struct
from collections import namedtuple

from .shell import Process, wait_until

#: Bytes of each frame that a capture keeps: enough for what is read here, or all of them.
HEADERS, WHOLE = 118, 2_048

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

#: Packets that tcpdump has captured, that it was to, and those that the kernel dropped.
COUNTS = re.compile(r"(\d+) packets? captured[,\n] ?(\d+) packets? received by filter[,\n] ?(\d+) packets? dropped")

#: `source` and `destination` are (address, port); addresses are bytes.
Segment = namedtuple(
    "Segment", "time source_mac destination_mac source destination sequence acknowledgement flags length ttl"
)


def read_segments(path):
    """Yields every TCP segment of a classic pcap file of Ethernet frames (802.1Q or not, IPv4 and IPv6)."""
    for time, data, offset, captured in _frames(path):
        segment = _segment(time, data, offset, captured)
        if segment is not None:
            yield segment


def datagram_bytes(paths, server_ports):
    """Bytes of UDP payload from servers, by source MAC; of untagged frames without IP options."""
    amounts = {}
    for path in paths:
        for _, data, start, captured in _frames(path):
            kind = (data[start + 12] << 8) | data[start + 13]
            is_ipv6 = kind == 0x86DD
            protocol, transport = (start + 20, start + 54) if is_ipv6 else (start + 23, start + 34)
            if captured < 62 or kind not in (0x0800, 0x86DD) or data[protocol] != 17:
                continue
            source, _, length = struct.unpack_from(">HHH", data, transport)
            if source in server_ports:
                mac = data[start + 6 : start + 12]
                amounts[mac] = amounts.get(mac, 0) + length - 8
    return amounts


def _frames(path):
    """Yields (time, the file's bytes, where a frame begins in them, how much of it was captured)."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 24:
        return
    order = {0xA1B2C3D4: "<", 0xA1B23C4D: "<"}.get(struct.unpack_from("<I", data)[0], ">")
    nanoseconds = struct.unpack_from(order + "I", data)[0] == 0xA1B23C4D
    link = struct.unpack_from(order + "I", data, 20)[0]
    if link != 1:
        raise ValueError(f"{path}: link type {link}, not Ethernet")
    record = struct.Struct(order + "IIII")
    scale = 1e-9 if nanoseconds else 1e-6
    offset = 24
    while offset + 16 <= len(data):
        seconds, fraction, captured, _ = record.unpack_from(data, offset)
        offset += 16
        yield seconds + fraction * scale, data, offset, captured
        offset += captured


def _segment(time, data, start, captured):
    end = start + captured
    if captured < 54:
        return None
    kind = (data[start + 12] << 8) | data[start + 13]
    network = start + 14
    if kind == 0x8100:
        kind = (data[start + 16] << 8) | data[start + 17]
        network = start + 18
    if kind == 0x0800:
        if data[network + 9] != 6:
            return None
        total = (data[network + 2] << 8) | data[network + 3]
        header = (data[network] & 15) * 4
        transport, payload_end = network + header, total - header
        ttl = data[network + 8]
        source, destination = data[network + 12 : network + 16], data[network + 16 : network + 20]
    elif kind == 0x86DD:
        if data[network + 6] != 6:
            return None
        transport, payload_end = network + 40, (data[network + 4] << 8) | data[network + 5]
        ttl = data[network + 7]
        source, destination = data[network + 8 : network + 24], data[network + 24 : network + 40]
    else:
        return None
    if transport + 20 > end:
        return None
    source_port, destination_port, sequence, acknowledgement, offset, flags = struct.unpack_from(
        ">HHIIBB", data, transport
    )
    return Segment(
        time, data[start + 6 : start + 12], data[start : start + 6], (source, source_port),
        (destination, destination_port), sequence, acknowledgement, flags, payload_end - (offset >> 4) * 4, ttl,
    )


def _after(a, b):
    """Bytes from b to a on the circle of sequence numbers; negative when a comes first."""
    return ((a - b + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


class ControlPackets:
    """What a transfer must never cause, counted over every connection of a client's own capture."""

    def __init__(self):
        self.findings = []
        #: Bytes of payload towards the client, by source MAC.
        self.payload_by_mac = {}
        self.segments = 0
        self.retransmitted = 0

    @property
    def count(self):
        return len(self.findings)

    def read(self, path, server_ports):
        flows = {}
        for segment in read_segments(path):
            if segment.source[1] in server_ports:
                key, to_client = (segment.destination, segment.source), True
            elif segment.destination[1] in server_ports:
                key, to_client = (segment.source, segment.destination), False
            else:
                continue
            self.segments += 1
            flow = flows.setdefault(key, {
                "syn": set(), "synack": set(), "top": None, "fin": None, "client fin": None, "is over": False})
            self._step(flow, key, segment, to_client)
        for key, flow in flows.items():
            if flow["fin"] is not None and flow["top"] is not None and _after(flow["top"], flow["fin"]) > 0:
                self._note(key, "FIN before the last byte")
        return self

    def _note(self, key, what, segment=None):
        place = f" seq {segment.sequence} at {segment.time:.6f}" if segment else ""
        self.findings.append(f"client port {key[0][1]}: {what}{place}")

    def _step(self, flow, key, segment, to_client):
        if segment.flags & RST:
            over = ", which had ended" if flow["is over"] and not to_client else ""
            self._note(key, f"RST {'to' if to_client else 'from'} the client{over}", segment)
            return
        if segment.flags & SYN:
            seen = flow["synack" if to_client else "syn"]
            if seen:
                self._note(key, "SYN/ACK again" if to_client else "SYN again", segment)
            seen.add(segment.sequence)
            if to_client:
                flow["top"] = (segment.sequence + 1) & 0xFFFFFFFF
            return
        if not to_client:
            if segment.flags & FIN:
                flow["client fin"] = (segment.sequence + segment.length) & 0xFFFFFFFF
            return
        # It closes last: with this its kernel forgets the connection, and resets whatever copy comes later.
        if None not in (flow["fin"], flow["client fin"]) and _after(segment.acknowledgement, flow["client fin"]) > 0:
            flow["is over"] = True
        if flow["top"] is None:
            flow["top"] = segment.sequence
        if segment.length > 0:
            amount = self.payload_by_mac.get(segment.source_mac, 0)
            self.payload_by_mac[segment.source_mac] = amount + segment.length
            end = (segment.sequence + segment.length) & 0xFFFFFFFF
            if _after(end, flow["top"]) > 0:
                flow["top"] = end
            else:
                self.retransmitted += 1
        elif not segment.flags & FIN and _after(segment.sequence, flow["top"]) < 0:
            self._note(key, "empty segment below the highest sent", segment)
        if segment.flags & FIN:
            flow["fin"] = (segment.sequence + segment.length) & 0xFFFFFFFF


class Capture:
    """tcpdump on a host's interface, from `start` to `stop`."""

    def __init__(self, topology, host, device, path, filter="tcp", length=HEADERS):
        command = topology.inside(
            host, "tcpdump", "-i", device, "-n", "-s", str(length), "-B", "65536", "--immediate-mode", "-U", "-Z", "root",
            "-w", path, filter)
        self.path = path
        self._process = Process(f"tcpdump {host}:{device}", command, path + ".log")
        wait_until(f"tcpdump listens on {host}:{device}", lambda: "listening on" in self._process.tail(),
                   process=self._process)

    def stop(self):
        """Ends the capture when all is written; raises when the kernel dropped packets of it."""
        # At SIGINT tcpdump leaves unread what it was not scheduled to read.
        wait_until("tcpdump has read what came", self._has_read_all, 20, self._process)
        self._process.signal(signal.SIGINT)
        self._process.wait(30)
        dropped = COUNTS.findall(self._process.tail(1000))[-1][2]
        if dropped != "0":
            raise RuntimeError(f"{self.path}: {dropped} packets dropped by kernel")
        return self.path

    def _has_read_all(self):
        """By tcpdump's own count, which it tells at SIGUSR1."""
        told = len(COUNTS.findall(self._process.tail(1000)))
        self._process.signal(signal.SIGUSR1)
        wait_until("tcpdump tells its counts", lambda: len(COUNTS.findall(self._process.tail(1000))) > told, 10, self._process)
        captured, received, dropped = map(int, COUNTS.findall(self._process.tail(1000))[-1])
        return captured + dropped >= received
