#!/usr/bin/env python3
"""A second implementation of CRTP's receiving side, written from docs/crtp.md and nothing else.

crtp_decode.py --verify docs/crtp.md [--plain]    opens and reads every vector of the page, and its connection in a blob
crtp_decode.py --key HEX --nonces HEX HEX FRAME   opens one frame of a session (hexadecimal) and prints it
--plain: the AES-GCM below even where the `cryptography` package is installed.
"""
import hashlib
import hmac
import struct
import sys

try:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError:
    AESGCM = None


class Refused(Exception):
    pass


class UnknownPart(Refused):
    """A critical part that nobody here knows, or not in this message; `number` is its type."""

    def __init__(self, number):
        super().__init__(f"critical part {number}")
        self.number = number


# --- AES-128-GCM, for those who have none (FIPS 197, SP 800-38D) ---

def _sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p = p ^ (p << 1) & 0xFF ^ (0x1B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotated = [(q << n | q >> 8 - n) & 0xFF for n in range(5)]
        box[p] = rotated[0] ^ rotated[1] ^ rotated[2] ^ rotated[3] ^ rotated[4] ^ 0x63
        if p == 1:
            box[0] = 0x63
            return box


SBOX = _sbox()


def _double(x):
    return (x << 1) ^ (0x11B if x & 0x80 else 0)


def _expand(key):
    words, rcon = [list(key[i:i + 4]) for i in range(0, 16, 4)], 1
    for i in range(4, 44):
        word = words[-1]
        if i % 4 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = _double(rcon)
        words.append([a ^ b for a, b in zip(words[i - 4], word)])
    return [sum(words[i:i + 4], []) for i in range(0, 44, 4)]


def _encrypt(keys, block):
    state = [a ^ b for a, b in zip(block, keys[0])]
    for number, key in enumerate(keys[1:], 1):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if number < 10:
            mixed = []
            for c in range(0, 16, 4):
                a = state[c:c + 4]
                every = a[0] ^ a[1] ^ a[2] ^ a[3]
                mixed += [a[r] ^ every ^ _double(a[r] ^ a[(r + 1) % 4]) for r in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, key)]
    return bytes(state)


def _ghash(h, data):
    y = 0
    for i in range(0, len(data), 16):
        x, z, v = y ^ int.from_bytes(data[i:i + 16], "big"), 0, h
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y


def plain_gcm_open(key, nonce, sealed, header):
    text, tag, keys = sealed[:-16], sealed[-16:], _expand(key)
    h = int.from_bytes(_encrypt(keys, bytes(16)), "big")
    pad = lambda b: b + bytes(-len(b) % 16)
    code = _ghash(h, pad(header) + pad(text) + struct.pack(">QQ", len(header) * 8, len(text) * 8))
    mask = int.from_bytes(_encrypt(keys, nonce + b"\0\0\0\1"), "big")
    if not hmac.compare_digest((code ^ mask).to_bytes(16, "big"), tag):
        raise Refused("tag")
    out = bytearray()
    for i in range(0, len(text), 16):
        stream = _encrypt(keys, nonce + struct.pack(">I", i // 16 + 2))
        out += bytes(a ^ b for a, b in zip(text[i:i + 16], stream))
    return bytes(out)


def library_gcm_open(key, nonce, sealed, header):
    try:
        return AESGCM(key).decrypt(nonce, sealed, header)
    except Exception as error:
        raise Refused("tag") from error


# --- keys ---

def hkdf(secret, salt, info, count):
    prk = hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()
    out, last, number = b"", b"", 1
    while len(out) < count:
        last = hmac.new(prk, last + info + bytes([number]), hashlib.sha256).digest()
        out, number = out + last, number + 1
    return out[:count]


def open_frame(frame, secret, direction, nonces, gcm_open):
    """Header fields and body; Refused when the frame is not what the key's owner sent."""
    if len(frame) < 48 or frame[0] != 0x14:
        raise Refused("version or size")
    kind, _, length, key_id, protection, sender, session, sequence, transaction, attempt = struct.unpack_from(
        ">xBHHBBIIQIB", frame)
    if length != len(frame):
        raise Refused("length")
    way = direction.encode()
    if kind <= 3 or session == 0:
        if protection != 1:
            raise Refused("protection")
        key = hkdf(secret, b"", b"CRTP/1 handshake " + way, 32)
    elif kind == 20:
        # No session: the numbers that the director drew stand for nonces.
        info = b"CRTP/1 one-way " + bytes([protection, key_id]) + struct.pack(">II", sender, session)
        key = hkdf(secret, b"", info, 32 if protection == 1 else 20)
    elif direction == "g":
        # To a group; its nonce is the initiator's.
        info = b"CRTP/1 group " + bytes([protection, key_id]) + struct.pack(">I", session)
        key = hkdf(secret, nonces[0], info, 32 if protection == 1 else 20)
    else:
        info = b"CRTP/1 session " + way + bytes([protection, key_id]) + struct.pack(">I", session)
        key = hkdf(secret, nonces[0] + nonces[1], info, 32 if protection == 1 else 20)
    if protection == 1:
        if not hmac.compare_digest(hmac.new(key, frame[:-16], hashlib.sha256).digest()[:16], frame[-16:]):
            raise Refused("tag")
        body = frame[32:-16]
    elif protection == 2:
        body = gcm_open(key[:16], key[16:] + struct.pack(">Q", sequence), frame[32:], frame[:32])
    else:
        raise Refused("protection")
    head = f"type={kind} session={session} sequence={sequence} transaction={transaction} attempt={attempt}"
    return kind, head, body


# --- bodies ---

FIXED = {1: 32, 2: 40, 3: 64, 4: 8, 5: 8, 6: 16, 16: 88, 17: 0, 18: 8, 19: 0, 20: 96, 21: 24, 22: 0, 24: 24, 25: 12,
         32: 48, 33: 8, 34: 40, 35: 40}
EXPECTED = {(5, 9), (1, 2), (16, 1), (3, 3), (16, 5), (16, 6), (20, 1), (20, 5), (20, 6), (1, 13), (3, 13), (6, 13),
            (16, 7), (32, 8), (24, 10), (25, 11)}
SIZES = {5: 8, 6: 12, 7: 16, 8: 8, 9: 40}
LONGEST = {10: 1216, 11: 1216, 13: 256}
REQUIRED = {3: 3, 16: 1, 20: 1, 24: 10, 25: 11}


def read_parts(kind, body):
    parts, at = {}, FIXED[kind]
    if len(body) < at:
        raise Refused("short body")
    while at < len(body):
        if at + 4 > len(body):
            raise Refused("part")
        number, count = struct.unpack_from(">HH", body, at)
        end = at + 4 + count + (-count % 4)
        if end > len(body) or any(body[at + 4 + count:end]):
            raise Refused("part")
        critical, number = number >> 15, number & 0x7FFF
        if (kind, number) in EXPECTED:
            if number in parts:
                raise Refused("repeated part")
            if count > LONGEST.get(number, count):
                raise Refused("value")
            if SIZES.get(number, count) != count:
                raise Refused("size of a part")
            parts[number] = body[at + 4:at + 4 + count]
        elif critical and number != 4:
            raise UnknownPart(number)
        at = end
    if kind in REQUIRED and REQUIRED[kind] not in parts:
        raise Refused("missing part")
    return parts


def flow_key(body):
    client_port, server_port, vlan, protocol = struct.unpack_from(">HHHB", body, 32)
    if vlan > 4095 and vlan != 0xFFFF:
        raise Refused("vlan")
    if protocol not in (0, 17):
        raise Refused("protocol")
    return (f"client={body[:16].hex()} server={body[16:32].hex()} client_port={client_port} "
            f"server_port={server_port} vlan={vlan} protocol={protocol}")


def optional(parts):
    """The parts of TRANSFER that need not be there."""
    text = f" connection={parts[5].hex()}" if 5 in parts else ""
    if 6 in parts:
        bandwidth, delay, kind = struct.unpack(">IIB3x", parts[6])
        if kind > 63 and kind != 255:
            raise Refused("class")
        text += f" bandwidth={bandwidth} delay={delay} class={kind}"
    if 7 in parts:
        if len(parts[1]) > 1200:
            raise Refused("a request too long beside a blob")
        text += " blob=%s length=%d checksum=%d" % (parts[7][:8].hex(), *struct.unpack_from(">II", parts[7], 8))
    return text


def blob(body, parts):
    """A fragment whose numbers agree with each other."""
    length, checksum, index, count, size = struct.unpack_from(">IIHHH", body, 8)
    piece = parts[10]
    if not 1 <= size <= 1216 or count > 9728 or index >= count or count != max(1, -(-length // size)) or len(
            piece) != min(size, length - index * size):
        raise Refused("a fragment that cannot be")
    return (f"blob={body[:8].hex()} length={length} checksum={checksum} index={index} count={count} "
            f"fragment_bytes={size} fragment={piece.hex()}")


def receipt(body, parts):
    state, reason, index = struct.unpack_from(">BBH", body, 8)
    if state > 2 or state == 2 and not 1 <= reason <= 5:
        raise Refused("state")
    return f"blob={body[:8].hex()} state={state} reason={reason} index={index} received={parts[11].hex() or 'none'}"


def group(parts):
    """What KEEPALIVE says of the director's group."""
    if 9 not in parts:
        return ""
    port, key_id, protection, session = struct.unpack_from(">HBBI", parts[9], 16)
    if protection not in (1, 2) or session == 0:
        raise Refused("group")
    return (f" group={parts[9][:16].hex()} group_port={port} group_key={key_id} group_protection={protection} "
            f"group_session={session} group_nonce={parts[9][24:].hex()}")


def read_body(kind, body):
    """What the body says, as the page's `means`."""
    if kind not in FIXED:
        raise Refused(f"type {kind}")
    parts = read_parts(kind, body)
    keys = f" keys={parts[13].hex()}" if 13 in parts else ""
    if kind == 1:
        epoch, interval, multiplier, protection, flags = struct.unpack_from(">QIBBH", body, 16)
        cookie = parts[2].hex() if 2 in parts else "none"
        return (f"nonce={body[:16].hex()} epoch={epoch} interval={interval} multiplier={multiplier} "
                f"protection={protection} flags={flags} cookie={cookie}{keys}")
    if kind == 2:
        return f"nonce={body[:16].hex()} cookie={body[16:40].hex()}"
    if kind == 3:
        epoch, vlan = struct.unpack_from(">QH", body, 32)
        mac = int.from_bytes(body[42:48], "big")
        credits, capabilities, mtu, protection = struct.unpack_from(">IIHB", body, 48)
        return (f"initiator={body[:16].hex()} responder={body[16:32].hex()} epoch={epoch} vlan={vlan} mac={mac} "
                f"credits={credits} capabilities={capabilities} mtu={mtu} protection={protection} "
                f"name={parts[3].hex()}{keys}")
    if kind == 4:
        return "code=%d detail=%d" % struct.unpack_from(">B3xI", body)
    if kind == 5:
        return f"algorithm={body[0]}" + group(parts)
    if kind == 6:
        load = "connections=%d credits=%d processor=%d memory=%d flags=%d" % struct.unpack_from(">IIHHH", body)
        return load + keys
    if kind in (16, 20):
        state = ("psn=%d pan=%d window=%d edge=%d mss=%d,%d scale=%d,%d agreed=%d ttl=%d tsval=%d,%d age=%d "
                 "valid=%d application=%d flags=%d" % struct.unpack_from(">IIIIHHBBBBIIIIBB", body, 40))
        generation, back = struct.unpack_from(">HI", body, 82)
        sent = " sent_at=%d" % struct.unpack_from(">Q", body, 88) if kind == 20 else ""
        return (f"{flow_key(body)} {state} request={parts[1].hex()}" + (f" transfer={back}" if back else "")
                + (f" generation={generation}" if generation else "") + optional(parts) + sent)
    if kind == 18:
        return "reason=%d retry=%d detail=%d" % struct.unpack_from(">BxHI", body)
    if kind == 21:
        return "cause=%d transfer=%d psn=%d sent=%d" % struct.unpack_from(">B3xII4xQ", body)
    if kind == 24:
        return blob(body, parts)
    if kind == 25:
        return receipt(body, parts)
    if kind == 32:
        label = " identifier=%d generation=%d" % struct.unpack(">II", parts[8]) if 8 in parts else ""
        return "%s transfer=%d" % (flow_key(body), struct.unpack_from(">I", body, 40)[0]) + label
    if kind in (34, 35):
        return flow_key(body)
    if kind == 33:
        return "count=%d" % struct.unpack_from(">I", body)
    return ""


# --- connections in blobs ---

def read_sections(blob):
    sections, at = {}, 16
    while at < len(blob):
        if at + 8 > len(blob):
            raise Refused("section")
        kind, count = struct.unpack_from(">H2xI", blob, at)
        end = at + 8 + count + (-count % 4)
        if end > len(blob) or any(blob[at + 8 + count:end]):
            raise Refused("section")
        critical, kind = kind >> 15, kind & 0x7FFF
        if kind in sections or critical and not 1 <= kind <= 5:
            raise Refused("section")
        if 1 <= kind <= 5:
            sections[kind] = blob[at + 8:at + 8 + count]
        at = end
    return sections


def read_connection(blob):
    """What a connection in a blob says, as the page's `means`."""
    if len(blob) < 16 or blob[:4] != b"BTNC":
        raise Refused("no connection")
    version, length, generation = struct.unpack_from(">H2xII", blob, 4)
    if version != 1 or length != len(blob):
        raise Refused("version or length")
    sections = read_sections(blob)
    state = sections.get(1, b"")
    if len(state) != 76 or state[38] != 0 or max(state[60:62]) > 14:
        raise Refused("connection")
    text = (f"version={version} generation={generation} {flow_key(state)} "
            + "psn=%d pan=%d window=%d edge=%d mss=%d,%d scale=%d,%d agreed=%d ttl=%d tsval=%d,%d age=%d" %
            struct.unpack_from(">IIIIHHBBBBIII", state, 40))
    for kind, name in ((2, "received"), (3, "sent"), (4, "unsent")):
        text += f" {name}={sections.get(kind, b'').hex() or 'none'}"
    if 5 not in sections:
        return text
    value = sections[5]
    if len(value) < 72:
        raise Refused("continuation")
    body, document, place, modified, digested, tag = struct.unpack_from(">QQQqIB", value)
    if digested > 65536 or 72 + tag > len(value):
        raise Refused("continuation")
    value[72:72 + tag].decode()
    return text + (f" body={body} document={document} place={place} modified={modified} "
                   f"entity_tag={value[72:72 + tag].hex()} digest={value[40:72].hex()} digest_bytes={digested} "
                   f"request={value[72 + tag:].hex()}")


# --- the page ---

def read_page_connection(path):
    """The page's example of a connection in a blob: its bytes, and what they mean."""
    with open(path, encoding="utf-8") as page:
        text = page.read().split("<!-- connection -->\n```\n")[1].split("```")[0]
    blob, _, means = text.partition("means")
    return bytes.fromhex(blob.replace("blob", "")), " ".join(means.split())


def read_page(path):
    """The keys, and (name, {field: value}) of every vector."""
    with open(path, encoding="utf-8") as page:
        text = page.read().split("<!-- vectors -->\n```\n")[1].split("```")[0]
    blocks = []
    for block in text.split("\n\n"):
        name, fields, last = None, {}, None
        for line in block.splitlines():
            if not line.startswith(" "):
                name, fields = line, {}
                blocks.append((name, fields))
            elif line.startswith("      "):
                fields[last] += ("" if last == "frame" else " ") + line.strip()
            else:
                last, _, value = line.strip().partition(" ")
                fields[last] = value
    secret = bytes.fromhex(next(iter(blocks[0][1])))
    nonces = [bytes.fromhex(blocks[1][1][end]) for end in ("initiator", "responder")]
    return secret, nonces, blocks[2:]


def verify(path, gcm_open):
    secret, nonces, vectors = read_page(path)
    wrong = 0
    for name, fields in vectors:
        frame = bytes.fromhex(fields["frame"])
        try:
            kind, head, body = open_frame(frame, secret, fields["from"], nonces, gcm_open)
            said = f"{head} {read_body(kind, body)}".strip()
        except Refused as reason:
            said = f"refused: {reason}"
        if said != fields["means"]:
            wrong += 1
            print(f"{name}: read\n  {said}\nbut the page says\n  {fields['means']}")
        for spoilt in (frame[:-1] + bytes([frame[-1] ^ 1]), frame[:9] + bytes([frame[9] ^ 1]) + frame[10:], frame[:-1]):
            try:
                open_frame(spoilt, secret, fields["from"], nonces, gcm_open)
                wrong += 1
                print(f"{name}: a spoilt frame was opened")
            except Refused:
                pass
    blob, means = read_page_connection(path)
    if read_connection(blob) != means:
        wrong += 1
        print(f"a connection in a blob: read\n  {read_connection(blob)}\nbut the page says\n  {means}")
    for count in range(len(blob)):
        try:
            read_connection(blob[:count])
            wrong += 1
            print(f"{count} bytes of a connection were read")
        except Refused:
            pass
    print(f"{len(vectors)} frames, {wrong} wrong")
    return 1 if wrong or not vectors else 0


def main(arguments):
    plain = "--plain" in arguments or AESGCM is None
    gcm_open = plain_gcm_open if plain else library_gcm_open
    arguments = [argument for argument in arguments if argument != "--plain"]
    if len(arguments) == 2 and arguments[0] == "--verify":
        return verify(arguments[1], gcm_open)
    if len(arguments) == 6 and arguments[0] == "--key" and arguments[2] == "--nonces":
        secret, first, second, frame = (bytes.fromhex(arguments[i]) for i in (1, 3, 4, 5))
        for direction in "ir":
            try:
                kind, head, body = open_frame(frame, secret, direction, (first, second), gcm_open)
                print(f"from {direction}: {head} {read_body(kind, body)}")
                return 0
            except Refused as reason:
                print(f"from {direction}: refused: {reason}", file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
