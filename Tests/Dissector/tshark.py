"""tshark with the dissector under test, over datagrams that a test makes."""

import os
import re
import struct
import subprocess
import tempfile
import xml.etree.ElementTree
from collections import namedtuple

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SCRIPT = os.path.join(ROOT, "packaging", "wireshark", "crtp.lua")
PORT = 7443

#: Of a frame's tree: name, offset in the datagram, bytes, what is shown, and the index of its parent.
Field = namedtuple("Field", "name at size show parent")

ETHERNET, IPV4, UDP, TCP = 14, 20, 8, 20
#: Where a datagram's and a segment's bytes begin in a packet.
UDP_PAYLOAD, TCP_PAYLOAD = ETHERNET + IPV4 + UDP, ETHERNET + IPV4 + TCP


def udp(payload, source=40000, destination=PORT, addresses=(1, 2)):
    header = struct.pack(">HHHH", source, destination, UDP + len(payload), 0)
    return _ipv4(17, header + payload, addresses)


def tcp(payload, sequence, source=40000, destination=PORT):
    header = struct.pack(">HHIIBBHHH", source, destination, sequence, 1, TCP // 4 << 4, 0x18, 8192, 0, 0)
    return _ipv4(6, header + payload, (1, 2))


def _ipv4(protocol, rest, hosts):
    source, destination = (10 << 24 | host for host in hosts)
    header = struct.pack(">BBHHHBBHII", 0x45, 0, IPV4 + len(rest), 0, 0, 64, protocol, 0, source, destination)
    return bytes(12) + b"\x08\0" + header + rest


def write_capture(path, packets):
    """`packets`: Ethernet frames, or pairs of one and the number of its bytes that were captured."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number, packet in enumerate(packets):
            whole, captured = packet if isinstance(packet, tuple) else (packet, len(packet))
            file.write(struct.pack("<IIII", number // 1000, number % 1000, captured, len(whole)) + whole[:captured])


def run(*arguments, script=SCRIPT):
    """What tshark writes. An error in a script fails here, and whatever this user has installed has no say."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not re.match("XDG_|WIRESHARK_", name)}
        environment.update(HOME=home, LC_ALL="C.UTF-8")
        # -G is understood only in the first place.
        command = ["tshark", *arguments[:2], "-X", f"lua_script:{script}", *arguments[2:]]
        outcome = subprocess.run(command, env=environment, capture_output=True, text=True, errors="replace")
    complaints = [line for line in outcome.stderr.splitlines() if line and "could be dangerous" not in line]
    if outcome.returncode or complaints:
        raise AssertionError(f"tshark ended with {outcome.returncode}:\n" + "\n".join(complaints))
    return outcome.stdout


def _over(packets, options, form, script):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "frames.pcap")
        write_capture(path, packets)
        return run("-n", "-r" + path, *options, *form, script=script)


#: The port, by preference.
BY_PORT = ("-o", f"baton.udp_ports:{PORT}")


def trees(packets, options=BY_PORT):
    """For each datagram the fields of its CRTP frame; empty for what the dissector did not take."""
    found = []
    tree = xml.etree.ElementTree.fromstring(_over(packets, options, ("-T", "pdml"), SCRIPT))
    for packet in tree.findall("packet"):
        fields = []

        def walk(element, parent):
            for child in element.findall("field"):
                at, size = int(child.get("pos")) - UDP_PAYLOAD, int(child.get("size"))
                fields.append(Field(child.get("name"), at, size, child.get("show"), parent))
                walk(child, len(fields) - 1)

        for proto in packet.findall("proto"):
            # Complaints of Lua stand beside the protocol, not below it.
            if proto.get("name") in ("baton", "fake-field-wrapper", "_ws.malformed"):
                fields.append(Field(proto.get("name"), 0, 0, proto.get("showname"), None))
                walk(proto, len(fields) - 1)
        found.append(fields if any(field.name == "baton" for field in fields) else [])
    assert len(found) == len(packets)
    return found


#: What is asked of packets in great number.
COLUMNS = ("frame.protocols", "_ws.lua.error", "_ws.expert.message")


def lines(packets, options=BY_PORT, columns=COLUMNS, script=SCRIPT):
    """For each packet the values of the columns."""
    form = ["-T", "fields", "-E", "separator=\x1f"]
    for column in columns:
        form += ["-e", column]
    found = [line.split("\x1f") for line in _over(packets, options, form, script).split("\n")[:-1]]
    assert len(found) == len(packets)
    return found


def glossary(kind):
    """What tshark's own list of fields or of values has of CRTP, as lists of columns."""
    return [line.split("\t") for line in run("-G", kind).splitlines() if "\tcrtp." in line]
