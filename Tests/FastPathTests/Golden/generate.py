#!/usr/bin/env python3
"""Writes the inputs of the golden tests: client-in.pcap and server-in.pcap of each case, beside this file or in FOLDER.

    python3 Tests/FastPathTests/Golden/generate.py [FOLDER]

Nothing but the standard library, and nothing of Baton's own code: a mistake there cannot cancel itself out here.
Each case is written down in the order of time; sequence numbers are relative, as packetdrill writes them. The same
files come out on every run. What the director makes of them is in client-out.pcap and server-out.pcap, which the tests
write themselves (see GoldenTests.swift).
"""
import struct
import sys
from ipaddress import ip_address
from pathlib import Path

TARGET = Path(sys.argv[1] if len(sys.argv) > 1 else __file__).resolve()
if TARGET.is_file():
    TARGET = TARGET.parent

CLIENT = bytes.fromhex("020000000001")
ORIGIN = bytes.fromhex("020000000080")
PROXY = bytes.fromhex("0200000000f0")
BROADCAST = b"\xff" * 6

FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128}
REQUEST = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def internet_checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


# MARK: headers

def ethernet(source, destination, kind, payload, tag=None):
    tagged = b"" if tag is None else struct.pack("!HH", 0x8100, tag)
    frame = destination + source + tagged + struct.pack("!H", kind) + payload
    return frame.ljust(60, b"\0")


def ipv4(source, destination, protocol, payload, identification=0, fragment=0x4000):
    def header(checksum):
        return struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), identification, fragment, 60, protocol, checksum,
            source.packed, destination.packed)
    return header(internet_checksum(header(0))) + payload


def ipv6(source, destination, protocol, payload, hop_limit=60):
    header = struct.pack("!IHBB", 0x60000000, len(payload), protocol, hop_limit)
    return header + source.packed + destination.packed + payload


def network(source, destination, protocol, payload):
    return (ipv4 if source.version == 4 else ipv6)(source, destination, protocol, payload)


def pseudo_header(source, destination, protocol, length):
    return source.packed + destination.packed + struct.pack("!II", length, protocol)


def tcp(source, destination, ports, sequence, acknowledgement, flags, window, options, payload):
    options = options.ljust(-(-len(options) // 4) * 4, b"\0")
    bits = sum(FLAGS[letter] for letter in flags)

    def segment(checksum):
        header = struct.pack(
            "!HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, acknowledgement & 0xFFFFFFFF, (20 + len(options)) << 2, bits,
            window, checksum, 0)
        return header + options + payload
    whole = segment(0)
    return segment(internet_checksum(pseudo_header(source, destination, 6, len(whole)) + whole))


def udp(source, destination, ports, payload):
    def datagram(checksum):
        return struct.pack("!HHHH", *ports, 8 + len(payload), checksum) + payload
    whole = datagram(0)
    return datagram(internet_checksum(pseudo_header(source, destination, 17, len(whole)) + whole) or 0xFFFF)


def icmp(kind, code, rest, pseudo=b""):
    message = struct.pack("!BBH", kind, code, 0) + rest
    return struct.pack("!BBH", kind, code, internet_checksum(pseudo + message)) + rest


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + sender_mac + sender.packed + target_mac + target.packed


# MARK: options

def mss(value):
    return struct.pack("!BBH", 2, 4, value)


def window_scale(shift):
    return bytes([1, 3, 3, shift])


def timestamps(value, echo):
    return struct.pack("!BBBBII", 1, 1, 8, 10, value, echo)


SACK_PERMITTED = bytes([4, 2])


# MARK: cases

class Case:
    """What comes in by the two ports, with its time in seconds."""

    def __init__(self, name):
        self.name = name
        self.frames = {"client-in": [], "server-in": []}

    def put(self, side, time, frame):
        self.frames[side].append((time, frame))

    def write(self):
        folder = TARGET / self.name
        folder.mkdir(exist_ok=True)
        for side, frames in self.frames.items():
            data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
            for time, frame in sorted(frames, key=lambda entry: entry[0]):
                microseconds = round(time * 1_000_000)
                data += struct.pack(
                    "<IIII", microseconds // 1_000_000, microseconds % 1_000_000, len(frame), len(frame)) + frame
            (folder / f"{side}.pcap").write_bytes(data)


class Connection:
    """One TCP connection of a case. `client`, `origin` and `proxy` put one segment each."""

    def __init__(self, case, port=40_000, isn=1_000, iss=900_000, v6=False, tag=None, stamped=False):
        self.case, self.port, self.isn, self.iss, self.tag, self.stamped = case, port, isn, iss, tag, stamped
        self.client_address = ip_address("2001:db8::1" if v6 else "10.0.0.1")
        self.server_address = ip_address("2001:db8::80" if v6 else "10.0.0.80")

    def frame(self, macs, addresses, ports, numbers, flags, options, payload):
        sequence, acknowledgement = numbers
        if "." not in flags:
            acknowledgement = 0
        segment = tcp(*addresses, ports, sequence, acknowledgement, flags, 64_000, options, payload)
        kind = 0x0800 if addresses[0].version == 4 else 0x86DD
        return ethernet(*macs, kind, network(*addresses, 6, segment), self.tag)

    def client(self, time, flags, seq, ack=1, payload=b"", options=None):
        if options is None:
            options = timestamps(5_000 + round(time * 1_000), 7_000) if self.stamped else b""
        frame = self.frame(
            (CLIENT, ORIGIN), (self.client_address, self.server_address), (self.port, 80),
            (self.isn + seq, self.iss + ack), flags, options, payload)
        self.case.put("client-in", time, frame)

    def server(self, mac, time, flags, seq, ack, payload, options):
        if options is None:
            options = timestamps(7_000 + round(time * 1_000), 5_000) if self.stamped else b""
        frame = self.frame(
            (mac, CLIENT), (self.server_address, self.client_address), (80, self.port),
            (self.iss + seq, self.isn + ack), flags, options, payload)
        self.case.put("server-in", time, frame)

    def origin(self, time, flags, seq, ack=1, payload=b"", options=None):
        self.server(ORIGIN, time, flags, seq, ack, payload, options)

    def proxy(self, time, flags, seq, ack=1, payload=b"", options=None):
        self.server(PROXY, time, flags, seq, ack, payload, options)

    def handshake(self):
        stamp = timestamps(5_000, 0) if self.stamped else b""
        self.client(0.000, "S", 0, options=mss(1_460) + SACK_PERMITTED + stamp + window_scale(7))
        stamp = timestamps(7_000, 5_000) if self.stamped else b""
        self.origin(0.002, "S.", 0, 1, options=mss(1_440) + SACK_PERMITTED + stamp + window_scale(8))
        self.client(0.003, ".", 1)


def transfer(name, **way):
    """A whole connection: handshake with the origin, request held and handed over, answer and end from the proxy."""
    case = Case(name)
    connection = Connection(case, stamped=True, isn=0xFFFF_FFF0, **way)
    asked, answered = 1 + len(REQUEST), 1 + len(RESPONSE)
    connection.handshake()
    connection.client(0.010, "P.", 1, 1, REQUEST)
    # While it is held: a bare acknowledgement passes, the request's retransmission is absorbed.
    connection.origin(0.012, ".", 1, 1)
    connection.client(0.013, "P.", 1, 1, REQUEST)
    connection.proxy(0.020, "P.", 1, asked, RESPONSE)
    connection.client(0.021, ".", asked, answered)
    connection.client(0.030, "F.", asked, answered)
    connection.proxy(0.031, "F.", answered, asked + 1)
    connection.client(0.032, ".", asked + 1, answered + 1)
    case.write()


def nack():
    """No proxy wants it: the request goes to the origin, and the origin answers."""
    case = Case("nack")
    connection = Connection(case)
    asked, answered = 1 + len(REQUEST), 1 + len(RESPONSE)
    connection.handshake()
    # In two segments, the second one first.
    connection.client(0.010, "P.", 21, 1, REQUEST[20:])
    connection.client(0.011, ".", 1, 1, REQUEST[:20])
    connection.origin(0.020, "P.", 1, asked, RESPONSE)
    connection.client(0.021, ".", asked, answered)
    # A second request is the origin's, whatever it asks for.
    connection.client(0.030, "P.", asked, answered, REQUEST)
    connection.origin(0.031, "P.", answered, 2 * asked - 1, RESPONSE)
    connection.client(0.040, "F.", 2 * asked - 1, 2 * answered - 1)
    connection.origin(0.041, "F.", 2 * answered - 1, 2 * asked)
    connection.client(0.042, ".", 2 * asked, 2 * answered)
    case.write()


def late_verdict():
    """The control core says nothing: the worker's own deadline gives the request to the origin, for good."""
    case = Case("late-verdict")
    connection = Connection(case)
    asked, answered = 1 + len(REQUEST), 1 + len(RESPONSE)
    connection.handshake()
    connection.client(0.010, "P.", 1, 1, REQUEST)
    connection.origin(0.110, "P.", 1, asked, RESPONSE)
    connection.client(0.121, ".", asked, answered)
    # The flow is the origin's for good.
    connection.client(0.130, "P.", asked, answered, REQUEST)
    case.write()


def muted_options():
    """The SYN/ACK goes another way: the SYN loses what could not be known, and the origin's reset is repeated."""
    case = Case("muted-options")
    connection = Connection(case)
    asked = 1 + len(REQUEST)
    connection.client(
        0.000, "SEW", 0, options=mss(1_460) + SACK_PERMITTED + timestamps(5_000, 0) + window_scale(7))
    connection.client(0.003, ".", 1)
    connection.client(0.010, "P.", 1, 1, REQUEST)
    # The proxy's answers go another way as well: only the client's acknowledgements are seen.
    connection.client(0.020, ".", asked, 1 + len(RESPONSE))
    case.write()


def late_origin():
    """What the origin says after the commit is dropped and answered with resets, also when the flow has ended."""
    case = Case("late-origin")
    connection = Connection(case)
    asked, answered = 1 + len(REQUEST), 1 + len(RESPONSE)
    connection.handshake()
    connection.client(0.010, "P.", 1, 1, REQUEST)
    connection.origin(0.016, ".", 1, 1)
    connection.origin(0.017, "P.", 1, 1, b"421 too slow\r\n")
    connection.origin(0.018, "F.", 15, 1)
    connection.origin(0.019, "R", 1)
    connection.proxy(0.020, "P.", 1, asked, RESPONSE)
    connection.client(0.021, ".", asked, answered)
    connection.client(0.030, "F.", asked, answered)
    connection.proxy(0.031, "F.", answered, asked + 1)
    connection.client(0.032, ".", asked + 1, answered + 1)
    # After the agent's word that the flow is over.
    connection.origin(0.050, "P.", 1, 1, b"421 too slow\r\n")
    connection.client(0.051, ".", asked + 1, answered + 1)
    case.write()


def pass_through():
    """Nobody's business: everything leaves by the other side as it came."""
    case = Case("pass-through")
    client, server = ip_address("10.0.0.1"), ip_address("10.0.0.80")
    client6, server6 = ip_address("2001:db8::1"), ip_address("2001:db8::80")

    def both(time, kind, request, answer, tag=None):
        case.put("client-in", time, ethernet(CLIENT, ORIGIN, kind, request, tag))
        case.put("server-in", time + 0.000_5, ethernet(ORIGIN, CLIENT, kind, answer, tag))

    case.put("client-in", 0.000, ethernet(CLIENT, BROADCAST, 0x0806, arp(1, CLIENT, client, bytes(6), server)))
    case.put("server-in", 0.000_5, ethernet(ORIGIN, CLIENT, 0x0806, arp(2, ORIGIN, server, CLIENT, client)))
    for tag, time in ((None, 0.001), (7, 0.002)):
        both(
            time, 0x0800, ipv4(client, server, 17, udp(client, server, (5_004, 9), b"question")),
            ipv4(server, client, 17, udp(server, client, (9, 5_004), b"an answer")), tag)
    both(
        0.003, 0x86DD, ipv6(client6, server6, 17, udp(client6, server6, (5_004, 9), b"question")),
        ipv6(server6, client6, 17, udp(server6, client6, (9, 5_004), b"an answer")))
    both(
        0.004, 0x0800, ipv4(client, server, 1, icmp(8, 0, struct.pack("!HH", 1, 1) + b"echo" * 8)),
        ipv4(server, client, 1, icmp(0, 0, struct.pack("!HH", 1, 1) + b"echo" * 8)))
    ask = struct.pack("!I", 0) + server6.packed + b"\x01\x01" + CLIENT
    tell = struct.pack("!I", 0x6000_0000) + server6.packed + b"\x02\x01" + ORIGIN
    both(
        0.005, 0x86DD,
        ipv6(client6, server6, 58, icmp(135, 0, ask, pseudo_header(client6, server6, 58, 4 + len(ask))), 255),
        ipv6(server6, client6, 58, icmp(136, 0, tell, pseudo_header(server6, client6, 58, 4 + len(tell))), 255))
    # A request in two fragments, to a port that is a candidate's, and a large datagram in two.
    whole = tcp(client, server, (41_000, 80), 5_001, 6_001, "P.", 64_000, b"", REQUEST)
    case.put("client-in", 0.006, ethernet(CLIENT, ORIGIN, 0x0800, ipv4(client, server, 6, whole[:32], 9, 0x2000)))
    case.put("client-in", 0.006_1, ethernet(CLIENT, ORIGIN, 0x0800, ipv4(client, server, 6, whole[32:], 9, 4)))
    large = udp(server, client, (9, 5_004), bytes(range(200)))
    case.put("server-in", 0.007, ethernet(ORIGIN, CLIENT, 0x0800, ipv4(server, client, 17, large[:104], 10, 0x2000)))
    case.put("server-in", 0.007_1, ethernet(ORIGIN, CLIENT, 0x0800, ipv4(server, client, 17, large[104:], 10, 13)))
    # TCP of another port, TCP in mid-stream of a port that is a candidate's, and an EtherType of tomorrow.
    both(
        0.008, 0x0800, ipv4(client, server, 6, tcp(client, server, (42_000, 22), 1, 0, "S", 64_000, mss(1_460), b"")),
        ipv4(server, client, 6, tcp(server, client, (22, 42_000), 1, 2, "S.", 64_000, mss(1_460), b"")))
    both(
        0.009, 0x0800,
        ipv4(client, server, 6, tcp(client, server, (43_000, 80), 7_000, 8_000, "P.", 64_000, b"", REQUEST)),
        ipv4(server, client, 6, tcp(server, client, (80, 43_000), 8_000, 7_038, "P.", 64_000, b"", RESPONSE)))
    both(0.010, 0x88B5, b"local experiment", b"and its answer")
    # An error about a connection that nobody knows.
    quoted = ipv4(server, client, 6, tcp(server, client, (80, 43_000), 8_000, 7_038, ".", 64_000, b"", b""))[:28]
    unreachable = ipv4(client, server, 1, icmp(3, 4, struct.pack("!HH", 0, 1_400) + quoted))
    case.put("client-in", 0.011, ethernet(CLIENT, ORIGIN, 0x0800, unreachable))
    case.write()


if __name__ == "__main__":
    transfer("transfer-ipv4")
    transfer("transfer-ipv6", v6=True)
    # Priority 3, VLAN 7: the identifier is the flow's, the priority is the frame's.
    transfer("transfer-tagged", tag=0x6007)
    nack()
    late_verdict()
    muted_options()
    late_origin()
    pass_through()
