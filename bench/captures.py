"""Captures that every program of the bench receives: one packet of each of N connections, in random order.

Connection number i is the one that `flowKey(number:isIPv6:)` in baton-bench/FlowNumbers.swift makes of i, so that a
worker can be told of exactly the connections that the capture holds.
"""

import os
import random
import struct

SEED = 20240607
#: Frame lengths in bytes without the frame check sequence, which a capture does not hold: "64" is 60 here.
FRAME_CHECK_SEQUENCE = 4
#: The simple Internet mix: of 12 packets 7 of 64, 4 of 570 and 1 of 1518 bytes.
IMIX = [64] * 7 + [570] * 4 + [1518]

CLIENT_MAC = bytes.fromhex("020000000001")
GATEWAY_MAC = bytes.fromhex("020000000080")


def flow_numbers(index):
    """The varying parts of connection `index`: client's number, client's port, server's number."""
    return (index * 2654435761) & 0xFFFFFF, 1024 + index % 50000, index & 0xFF


def flow_addresses(index, ipv6=False):
    """Connection `index` as text, for the rules of l3fwd: client, server, client's port, server's port."""
    client, port, server = flow_numbers(index)
    if ipv6:
        return f"2001:db8:1::{client >> 16:x}:{client & 0xFFFF:x}", f"2001:db8:2::{server:x}", port, 80
    return f"10.{client >> 16}.{client >> 8 & 255}.{client & 255}", f"198.18.0.{server}", port, 80


def frame_sizes(size):
    """The frame lengths that a size's name stands for, in the order in which packets take them."""
    sizes = list(IMIX) if size == "imix" else [int(size)]
    random.Random(SEED).shuffle(sizes)
    return sizes


def _sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Template:
    """A client's acknowledgement with payload, or its first SYN, whose addresses, ports and checksums are still to be
    filled in."""

    def __init__(self, size, ipv6, opens=False):
        ethernet = GATEWAY_MAC + CLIENT_MAC + (b"\x86\xdd" if ipv6 else b"\x08\x00")
        network = 40 if ipv6 else 20
        length = max(size - FRAME_CHECK_SEQUENCE, 14 + network + 20)
        if opens:
            # Of options a largest segment; what is missing in the frame is padding, not payload.
            tcp = struct.pack("!HHIIBBHHHBBH", 0, 80, 1_000_000, 0, 6 << 4, 0x02, 8192, 0, 0, 2, 4, 1460)
        else:
            payload = b"x" * (length - 14 - network - 20)
            tcp = struct.pack("!HHIIBBHHH", 0, 80, 1_000_000, 2_000_000, 5 << 4, 0x10, 8192, 0, 0) + payload
        self.ipv6 = ipv6
        if ipv6:
            fixed = bytes.fromhex("20010db800010000") + bytes(8) + bytes.fromhex("20010db800020000") + bytes(8)
            header = struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + fixed
        else:
            fixed = bytes([10, 0, 0, 0, 198, 18, 0, 0])
            header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + fixed
        self.frame = bytearray((ethernet + header + tcp).ljust(length, b"\0"))
        self.transport = 14 + network
        self.header_sum = _sum16(header)
        odd = b"\0" if len(tcp) % 2 else b""
        self.tcp_sum = _sum16(fixed + struct.pack("!HH", 6, len(tcp)) + tcp + odd)

    def fill(self, index):
        """Makes the frame one of connection `index`."""
        client, port, server = flow_numbers(index)
        frame = self.frame
        varying = (client >> 16) + (client & 0xFFFF) + server
        if self.ipv6:
            struct.pack_into("!I", frame, 14 + 20, client)
            struct.pack_into("!I", frame, 14 + 36, server)
        else:
            struct.pack_into("!I", frame, 14 + 12, 0x0A000000 | client)
            struct.pack_into("!I", frame, 14 + 16, 0xC6120000 | server)
            total = self.header_sum + varying
            total = (total & 0xFFFF) + (total >> 16)
            total = (total & 0xFFFF) + (total >> 16)
            struct.pack_into("!H", frame, 14 + 10, 0xFFFF - total)
        total = self.tcp_sum + varying + port
        total = (total & 0xFFFF) + (total >> 16)
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", frame, self.transport, port)
        struct.pack_into("!H", frame, self.transport + 16, 0xFFFF - total)
        return frame


def capture(directory, flows, size="64", ipv6=False, first=0, opens=False):
    """The path of a capture with one packet of each of `flows` connections from number `first` on, first SYNs if it
    `opens` them; written when it is not there yet."""
    kind = f"{'syn-' if opens else ''}{'ipv6' if ipv6 else 'ipv4'}-{size}"
    path = os.path.join(directory, f"flows-{f'{first}+' if first else ''}{flows}-{kind}.pcap")
    templates = [Template(length, ipv6, opens) for length in frame_sizes(size)]
    return _written(path, templates, lambda: [(None, index) for index in range(first, first + flows)])


def flooded(directory, flows, syns):
    """The same with two packets for each of `flows` connections, of which so many (0, 1, 2) are replaced by first SYNs of
    other connections: what is in it alone makes the difference."""
    path = os.path.join(directory, f"flows-{flows}-flooded-{syns}.pcap")
    templates = [Template(64, False, opens) for opens in (False, True)]

    def packets():
        for place in range(2):
            for index in range(flows):
                yield (1, index + (place + 1) * flows) if place < syns else (0, index)

    return _written(path, templates, lambda: list(packets()))


def _written(path, templates, packets):
    """Writes a capture, in random order, unless it is there. A packet is its template's number, or None for one template
    after another, and its connection's."""
    if os.path.exists(path):
        return path
    os.makedirs(os.path.dirname(path), exist_ok=True)
    order = packets()
    random.Random(SEED).shuffle(order)
    records = [struct.pack("<IIII", 0, 0, len(one.frame), len(one.frame)) for one in templates]
    with open(path + ".tmp", "wb", buffering=1 << 20) as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for place, (kind, index) in enumerate(order):
            kind = place % len(templates) if kind is None else kind
            file.write(records[kind])
            file.write(templates[kind].fill(index))
    os.rename(path + ".tmp", path)
    return path
