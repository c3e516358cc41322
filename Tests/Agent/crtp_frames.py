"""CRTP's frames, keys and bodies as an agent needs them, from docs/crtp.md. What comes in is read by Tests/Decoder."""

import collections
import hashlib
import hmac
import os
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Decoder"))

from crtp_decode import Refused, UnknownPart, hkdf, read_body, read_parts  # noqa: E402

INIT, CHALLENGE, ACCEPT, ERROR, KEEPALIVE, KEEPALIVE_RESPONSE = range(1, 7)
TRANSFER, TRANSFER_ACK, TRANSFER_NACK, FIRST_BYTE, HANDOFF, TERMINATE, TERMINATE_RESPONSE = 16, 17, 18, 19, 20, 21, 22
BLOB, BLOB_RECEIPT, FLOW_INFO, FLOW_INFO_END, FLOW_QUERY, FLOW_UNKNOWN = 24, 25, 32, 33, 34, 35
#: Under keys of their own, whatever session they name.
HANDSHAKE = (INIT, CHALLENGE, ACCEPT)
AUTHENTICATED, SEALED = 1, 2
REQUEST, COOKIE, NAME, PADDING, CONNECTION, REQUIREMENTS, BLOB_REFERENCE, LABEL, GROUP = 1, 2, 3, 4, 5, 6, 7, 8, 9
KEYS = 13
BAD_VERSION, BAD_SESSION, BAD_MESSAGE = 16, 17, 19
NOT_FOUND, BUSY, EXPIRED, POLICY, BAD_TLV = 1, 2, 10, 13, 15
CANCEL, LATE, FLOW_DONE, ADMINISTRATIVE, HAND_BACK = 1, 2, 3, 4, 5
ANNOUNCE = 1
HELD, FIRST_BYTE_WANTED = 2, 4
SHORTEST, LONGEST, TAG = 48, 1472, 16

class Fate(Exception):
    """Ends the judgement of a frame; its argument is one of the page's names."""


# --- frames ---

class Header(collections.namedtuple("Header", "kind length key_id protection sender session sequence transaction attempt")):
    LAYOUT = struct.Struct(">BBxxHBBIIQIB3x")

    @classmethod
    def parse(cls, frame):
        """The header of a frame that has the right version, length and form."""
        if not frame:
            raise Fate("malformed")
        if frame[0] >> 4 != 1:
            raise Fate("bad_version")
        if not SHORTEST <= len(frame) <= LONGEST:
            raise Fate("malformed")
        first, *fields = cls.LAYOUT.unpack_from(frame)
        header = cls(*fields)
        if first != 0x14 or header.length != len(frame) or header.protection not in (AUTHENTICATED, SEALED):
            raise Fate("malformed")
        return header

    def emit(self):
        return self.LAYOUT.pack(0x14, *self)


class Key:
    """One direction's key of a session, or of all handshakes."""

    def __init__(self, protection, material):
        self.protection = protection
        self._material = material
        self._sealing = AESGCM(material[:16]) if protection == SEALED else None

    @classmethod
    def of_handshakes(cls, secret, direction):
        return cls(AUTHENTICATED, hkdf(secret, b"", b"CRTP/1 handshake " + direction, 32))

    @classmethod
    def of_session(cls, secret, nonces, direction, protection, key_id, session):
        info = b"CRTP/1 session " + direction + bytes([protection, key_id]) + struct.pack(">I", session)
        return cls(protection, hkdf(secret, b"".join(nonces), info, 32 if protection == AUTHENTICATED else 20))

    @classmethod
    def of_group(cls, secret, nonce, protection, key_id, session):
        info = b"CRTP/1 group " + bytes([protection, key_id]) + struct.pack(">I", session)
        return cls(protection, hkdf(secret, nonce, info, 32 if protection == AUTHENTICATED else 20))

    @classmethod
    def of_hand_offs(cls, secret, protection, key_id, sender, session):
        info = b"CRTP/1 one-way " + bytes([protection, key_id]) + struct.pack(">II", sender, session)
        return cls(protection, hkdf(secret, b"", info, 32 if protection == AUTHENTICATED else 20))

    def close(self, header, body):
        """The frame; its length is put into the header here."""
        header = header._replace(length=Header.LAYOUT.size + len(body) + TAG, protection=self.protection)
        start = header.emit()
        if self._sealing:
            return start + self._sealing.encrypt(self._nonce(header), body, start)
        return start + body + self._tag(start + body)

    def open(self, header, frame):
        """The body of a frame that the key's other owner made."""
        if header.protection != self.protection:
            raise Fate("malformed")
        if self._sealing:
            try:
                return self._sealing.decrypt(self._nonce(header), frame[32:], frame[:32])
            except InvalidTag:
                raise Fate("unauthenticated") from None
        if not hmac.compare_digest(self._tag(frame[:-TAG]), frame[-TAG:]):
            raise Fate("unauthenticated")
        return frame[32:-TAG]

    def _nonce(self, header):
        return self._material[16:20] + struct.pack(">Q", header.sequence)

    def _tag(self, data):
        return hmac.new(self._material, data, hashlib.sha256).digest()[:TAG]


class Window:
    """Which of the latest 1,024 sequence numbers have come."""

    SIZE = 1024

    def __init__(self):
        self.highest = 0
        self._seen = 0

    def admit(self, sequence):
        """True once for each number, unless it is 0 or too far below the highest."""
        if sequence == 0 or self.highest - sequence >= self.SIZE:
            return False
        if sequence > self.highest:
            ahead = min(sequence - self.highest, self.SIZE)
            self._seen = (self._seen << ahead | 1) & ((1 << self.SIZE) - 1)
            self.highest = sequence
            return True
        bit = 1 << (self.highest - sequence)
        new = not self._seen & bit
        self._seen |= bit
        return new


# --- bodies ---

def part(number, value, critical=False):
    return struct.pack(">HH", number | (critical << 15), len(value)) + value + bytes(-len(value) % 4)


def keys_part(held):
    """The ids of the keys that this end holds; without any, nothing is said."""
    return part(KEYS, bytes(sorted(held))) if held else b""


def accept_body(nonces, epoch, vlan, mac, credits, capabilities, mtu, protection, name, held=()):
    return nonces[0] + nonces[1] + struct.pack(
        ">QH6sIIHB5x", epoch, vlan, mac, credits, capabilities, mtu, protection) + part(NAME, name) + keys_part(held)


def error_body(code, detail):
    return struct.pack(">B3xI", code, detail)


def keepalive_response_body(connections, credits, processor=0, memory=0, flags=0, held=()):
    return struct.pack(">IIHHHxx", connections, credits, processor, memory, flags) + keys_part(held)


def nack_body(reason, retry_milliseconds=0, detail=0):
    return struct.pack(">BxHI", reason, retry_milliseconds, detail)


def terminate_body(cause, transfer=0, psn=0, sent=0):
    return struct.pack(">B3xII4xQ", cause, transfer, psn, sent)


def flow_info_body(key, transfer, label=None):
    """`label`: flow identifier and generation."""
    return key + struct.pack(">I4x", transfer) + (part(LABEL, struct.pack(">II", *label)) if label else b"")


def flow_info_end_body(count):
    return struct.pack(">I4x", count)


def read_message(kind, body):
    """Refuses the body of a director's message when it cannot be read, or says what the page has no meaning for."""
    read_body(kind, body)
    if kind == KEEPALIVE and not 1 <= body[0] <= 8 or kind == TERMINATE and body[0] not in (1, 2, 3, 4, 5):
        raise Refused("value")
    if kind == TRANSFER:
        mapped = [address[:12] == bytes(10) + b"\xff\xff" for address in (body[:16], body[16:32])]
        request = read_parts(kind, body)[REQUEST]
        # Part 7 is not expected of a director by an agent without capability 2048.
        if BLOB_REFERENCE in read_parts(kind, body):
            raise UnknownPart(BLOB_REFERENCE)
        if mapped[0] != mapped[1] or max(body[60:62]) > 14 or body[80] not in (1, 2, 4, 8) or len(request) > 1216:
            raise Refused("value")


#: What a TRANSFER asks, as far as this agent looks. `key` is the flow key in FLOW_INFO's form.
Asked = collections.namedtuple("Asked", "transaction key psn valid_microseconds application flags request requires")

def read_transfer(header, body):
    psn, = struct.unpack_from(">I", body, 40)
    valid, application, flags = struct.unpack_from(">IBB", body, 76)
    parts = read_parts(TRANSFER, body)
    return Asked(header.transaction, body[:38] + bytes(2), psn, valid, application, flags, parts[REQUEST],
                 REQUIREMENTS in parts)
