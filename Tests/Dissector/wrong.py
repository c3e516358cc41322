"""Frames with one thing wrong, and some at the edge of that."""

import struct

from page import bodies, changed, decoder, frame_of, message, part


def wrong_frames():
    """(what is wrong, the frame, the complaints that are due)"""
    transfer = frame_of("TRANSFER, IPv4, authenticated")
    fixed = {kind: bodies()[kind][:size] for kind, size in decoder.FIXED.items()}
    request, name, cookie = part(1, b"GET", True), part(3, b"proxy"), part(2, bytes(24), True)
    yield "another version", changed(transfer, 0, b"\x24"), {"unknown.version"}
    yield "a longer header", changed(transfer, 0, b"\x15"), {"malformed.header"}
    # Then a byte of the tag seems to be the body's.
    longer, shortest = (changed(transfer, 4, struct.pack(">H", length)) for length in (len(transfer) + 1, 47))
    yield "a length that is too great", longer, {"malformed.length", "malformed.tlv"}
    yield "one that is too small", shortest, {"malformed.length"}
    yield "a frame that is too long", message(0x80, bytes(1500)), {"malformed.length", "unknown.ignored"}
    yield "protection 3", changed(transfer, 7, b"\x03"), {"malformed.header"}
    yield "an INIT that is sealed", changed(frame_of("INIT"), 7, b"\x02"), {"malformed.protection"}
    error = frame_of("ERROR outside a session")
    yield "an ERROR outside a session that is sealed", changed(error, 7, b"\x02"), {"malformed.protection"}
    yield "an INIT in a session", changed(frame_of("INIT"), 12, bytes([0, 0, 0, 1])), {"malformed.session"}
    yield "an ACCEPT without a session", changed(frame_of("ACCEPT"), 12, bytes(4)), {"malformed.session"}
    yield "a TRANSFER without a session", changed(transfer, 12, bytes(4)), {"malformed.session"}
    yield "sequence 0", changed(transfer, 16, bytes(8)), {"malformed.sequence"}
    yield "sequence 0, outside", changed(frame_of("INIT"), 16, bytes(8)), set()
    yield "an unknown type", message(0x7F, b"what is this?"), {"unknown.type"}
    yield "an unknown type that is ignored", message(0x80, b""), {"unknown.ignored"}
    yield "reserved in the header", changed(transfer, 31, b"\x01"), {"unknown.reserved"}
    yield "reserved in a body", message(5, changed(fixed[5], 7, b"\x01")), {"unknown.reserved"}
    for kind, body in fixed.items():
        if body:
            yield f"type {kind}, a byte short", message(kind, body[:-1]), {"malformed.body"}
    yield "a sealed body that is short", changed(frame_of("FIRST_BYTE"), 1, b"\x10"), {"malformed.body"}

    yield "an empty REQUEST, PADDING twice", message(16, fixed[16] + part(1, b"", True) + 2 * part(4, b"abcde")), set()
    yield "REQUEST missing", message(16, fixed[16]), {"malformed.missing_tlv"}
    yield "NAME missing", message(3, fixed[3] + part(4, b"")), {"malformed.missing_tlv"}
    yield "REQUEST twice", message(16, fixed[16] + request + request), {"malformed.tlv"}
    yield "a REQUEST that is too long", message(16, fixed[16] + part(1, bytes(1217), True)), {"malformed.value"}
    yield "a part beyond the body", message(16, fixed[16] + request + b"\0\4\0\1"), {"malformed.tlv"}
    yield "one with its padding beyond the body", message(16, fixed[16] + request[:-1]), {"malformed.tlv"}
    yield "less than a part", message(17, b"\0\4\0"), {"malformed.tlv"}
    yield "padding that is not zero", message(16, fixed[16] + part(1, b"GET", True, b"\1")), {"malformed.tlv"}
    yield "an unknown part", message(17, part(9, b"abc")), {"unknown.tlv"}
    yield "one in private use", message(17, part(0x7F00, b"abc")), {"unknown.tlv"}
    yield "a critical one", message(17, part(9, b"abc", True)), {"unknown.critical_tlv"}
    yield "a short CONNECTION", message(16, fixed[16] + request + part(5, bytes(7))), {"malformed.value"}
    yield "long REQUIREMENTS", message(16, fixed[16] + request + part(6, bytes(16), True)), {"malformed.value"}
    no_class = bytes(8) + bytes([64, 0, 0, 0])
    yield "a class that is none", message(16, fixed[16] + request + part(6, no_class, True)), {"malformed.value"}
    yield "a part of another message", message(16, fixed[16] + request + cookie), {"unknown.critical_tlv"}
    yield "the same, not critical", message(1, fixed[1] + name), {"unknown.tlv"}
    yield "a short COOKIE", message(1, fixed[1] + part(2, bytes(23), True)), {"malformed.value"}
    yield "a long COOKIE", message(1, fixed[1] + part(2, bytes(25), True)), {"malformed.value"}
    yield "a long NAME", message(3, fixed[3] + part(3, b"a" * 64)), {"malformed.value"}
    yield "an empty NAME", message(3, fixed[3] + part(3, b"")), set()
    for text in (b"a\nb", b"\x7f", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xff"):
        yield f"NAME {text!r}", message(3, fixed[3] + part(3, text)), {"malformed.value"}
    yield "a NAME of all lengths", message(3, fixed[3] + part(3, "aäÿ€퟿\U0010ffff".encode())), set()

    for kind, offset, value in (
        (1, 24, bytes(4)), (1, 28, b"\0"), (1, 29, b"\3"), (3, 40, b"\x10\0"), (3, 58, b"\0"), (4, 0, b"\x12"),
        (5, 0, b"\x09"), (16, 36, b"\xff\xfe"), (16, 60, b"\x0f"), (16, 61, b"\x0f"), (16, 80, b"\0"), (16, 80, b"\3"),
        (16, 80, b"\x40"), (16, 38, b"\x06"), (16, 0, b"\x20"), (18, 0, b"\x10"), (21, 0, b"\6"), (32, 36, b"\x10\0"), (32, 26, bytes(2)),
    ):
        body = changed(fixed[kind], offset, value) + {3: name, 16: request}.get(kind, b"")
        if kind == 32 and offset == 26:
            body = changed(body, 16, bytes(10) + b"\xff\xff")
        yield f"type {kind} with {value.hex()} at {offset}", message(kind, body), {"malformed.value"}
    blob, receipt = fixed[24], fixed[25]
    piece, bitmap = part(10, bytes(100), True), part(11, b"\5", True)
    yield "a whole fragment", message(24, blob + piece), set()
    yield "FRAGMENT missing", message(24, blob), {"malformed.missing_tlv"}
    yield "RECEIVED missing", message(25, receipt), {"malformed.missing_tlv"}
    yield "an empty bitmap", message(25, receipt + part(11, b"", True)), set()
    yield "a long bitmap", message(25, receipt + part(11, bytes(1217), True)), {"malformed.value"}
    yield "a fragment of another length", message(24, blob + part(10, bytes(99), True)), {"malformed.value"}
    for offset, value in ((8, bytes(4)), (16, b"\0\3"), (18, b"\0\4"), (18, bytes(2)), (20, bytes(2)), (20, b"\4\xc1")):
        yield f"BLOB with {value.hex()} at {offset}", message(24, changed(blob, offset, value) + piece), {"malformed.value"}
    yield "a state that is none", message(25, changed(receipt, 8, b"\3") + bitmap), {"malformed.value"}
    yield "a refusal without reason", message(25, changed(receipt, 8, b"\2") + bitmap), {"malformed.value"}
    reference = part(7, bytes(16), True)
    yield "1,200 bytes of a request beside BLOB", message(16, fixed[16] + part(1, bytes(1200), True) + reference), set()
    yield "one more", message(16, fixed[16] + part(1, bytes(1201), True) + reference), {"malformed.value"}
    yield "a short BLOB", message(16, fixed[16] + request + part(7, bytes(12), True)), {"malformed.value"}
    yield "a long LABEL", message(32, fixed[32] + part(8, bytes(12))), {"malformed.value"}
    yield "a LABEL with its first byte", message(32, fixed[32] + part(8, b"\1" + bytes(7))), {"unknown.reserved"}
    yield "a flow of two families", message(34, changed(fixed[34], 0, bytes(10) + b"\xff\xff")), {"malformed.value"}
    yield "VLAN 4095", message(16, changed(fixed[16], 36, b"\x0f\xff") + request), set()
