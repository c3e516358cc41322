"""The page's vectors as frames, frames made from them, and what the page's tables say."""

import functools
import hmac
import os
import re
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Decoder"))

import crtp_decode as decoder  # noqa: E402
import tshark  # noqa: E402

PAGE = os.path.join(tshark.ROOT, "docs", "crtp.md")
HEADER, TAG = 32, 16
SECRET, NONCES, VECTORS = decoder.read_page(PAGE)
GCM_OPEN = decoder.library_gcm_open if decoder.AESGCM else decoder.plain_gcm_open


def frame_of(name):
    return bytes.fromhex(next(fields["frame"] for title, fields in VECTORS if title == name))


def key(header, direction):
    """The HMAC key for a frame that is to be authenticated."""
    kind, key_id, session = header[1], header[6], int.from_bytes(header[12:16], "big")
    if kind <= 3 or session == 0:
        return decoder.hkdf(SECRET, b"", b"CRTP/1 handshake " + direction.encode(), 32)
    if kind == 20:
        return decoder.hkdf(SECRET, b"", b"CRTP/1 one-way " + bytes([1, key_id]) + header[8:16], 32)
    if direction == "g":
        return decoder.hkdf(SECRET, NONCES[0], b"CRTP/1 group " + bytes([1, key_id]) + header[12:16], 32)
    info = b"CRTP/1 session " + direction.encode() + bytes([1, key_id]) + header[12:16]
    return decoder.hkdf(SECRET, NONCES[0] + NONCES[1], info, 32)


def authenticated(header, body, direction="i"):
    """A frame with that body in the clear; of the header, length and protection are set."""
    header = header[:4] + struct.pack(">H", HEADER + len(body) + TAG) + header[6:7] + b"\x01" + header[8:]
    return header + body + hmac.new(key(header, direction), header + body, "sha256").digest()[:TAG]


@functools.lru_cache(maxsize=None)
def in_the_clear():
    """(name, frame, what the decoder reads) of every vector; of a sealed one its copy that is authenticated only."""
    found = []
    for name, fields in VECTORS:
        frame = bytes.fromhex(fields["frame"])
        _, _, body = decoder.open_frame(frame, SECRET, fields["from"], NONCES, GCM_OPEN)
        readable = authenticated(frame[:HEADER], body, fields["from"])
        kind, head, body = decoder.open_frame(readable, SECRET, fields["from"], NONCES, GCM_OPEN)
        found.append((name, readable, f"{head} {decoder.read_body(kind, body)}".strip()))
    return found


def message(kind, body, session=0x5E551011, head=b""):
    """A frame of that type with that body; the header's other fields are a vector's, the first ones `head`."""
    header = bytearray(frame_of("TRANSFER_ACK, authenticated")[:HEADER])
    header[1] = kind
    header[12:16] = struct.pack(">I", 0 if kind in (1, 2) else session)
    header[:len(head)] = head
    return authenticated(bytes(header), body)


def part(number, value, critical=False, padding=None):
    padding = bytes(-len(value) % 4) if padding is None else padding
    return struct.pack(">HH", number | critical << 15, len(value)) + value + padding


def changed(frame, offset, new):
    return frame[:offset] + new + frame[offset + len(new):]


def bodies():
    """The body of each vector in the clear, by the message's type; the first of each."""
    found = {}
    for _, frame, _ in in_the_clear():
        found.setdefault(frame[1], frame[HEADER:-TAG])
    return found


def message_sections():
    """From the page: the text on each message's fixed part, by the message's name."""
    with open(PAGE, encoding="utf-8") as file:
        bodies = file.read().split("In the tables below")[1].split("\n## ")[0]
    sections = re.split(r"^\*\*([A-Z_]+)\*\*: ", bodies, flags=re.M)
    return dict(zip(sections[1::2], sections[2::2]))


def page_table(first_column):
    """Rows of the page's table whose head begins so, as lists of cells."""
    with open(PAGE, encoding="utf-8") as file:
        table = re.search(rf"^\| {first_column} \|.*\n\|[-|]+\n((?:\|.*\n)+)", file.read(), re.M).group(1)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


def page_names():
    return {int(row[1]): row[0] for row in page_table("message")}
