"""The Wireshark dissector against the page that it follows, and against the decoder that was written from the page."""

import ipaddress
import os
import random
import re
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import tshark  # noqa: E402
from page import HEADER, TAG, VECTORS, changed, decoder, frame_of, in_the_clear, message, part  # noqa: E402
from page import message_sections, page_names, page_table  # noqa: E402
from wrong import wrong_frames  # noqa: E402

#: What the decoder and the page call otherwise than the dissector; the rest is `crtp.MESSAGE.NAME`.
NAMES = {
    "init.keys": ["tlv.keys"], "accept.keys": ["tlv.keys"], "keepalive_response.keys": ["tlv.keys"],
    "init.cookie": ["tlv.cookie"], "accept.name": ["tlv.name"], "transfer.request": ["tlv.request"],
    "keepalive.group": ["group.address"], "keepalive.group_port": ["group.port"],
    "keepalive.group_key": ["group.key_id"], "keepalive.group_protection": ["group.protection"],
    "keepalive.group_session": ["group.session"], "keepalive.group_nonce": ["group.nonce"],
    "transfer.connection": ["tlv.connection"], "transfer.bandwidth": ["requirements.bandwidth"],
    "transfer.delay": ["requirements.delay"], "transfer.class": ["requirements.class"],
    "transfer.blob": ["reference.blob"], "transfer.length": ["reference.length"],
    "transfer.checksum": ["reference.checksum"], "flow_info.identifier": ["label.identifier"],
    "flow_info.generation": ["label.generation"], "blob.fragment": ["tlv.fragment"],
    "blob_receipt.received": ["tlv.received"],
    "accept.initiator": ["accept.initiator_nonce"], "accept.responder": ["accept.responder_nonce"],
    "transfer.mss": ["transfer.client_mss", "transfer.server_mss"],
    "transfer.scale": ["transfer.client_scale", "transfer.server_scale"],
    "transfer.tsval": ["transfer.server_tsval", "transfer.client_tsval"],
    "transfer.agreed": ["transfer.options"], "transfer_nack.retry": ["transfer_nack.retry_after"],
}
FLOW_KEY = ("client", "server", "client_port", "server_port", "vlan", "protocol")
HEAD = ("type", "session", "sequence", "transaction", "attempt")
#: They have no bytes but those of the fields in them, or none at all.
FRAMES = ("crtp.header", "crtp.body", "crtp.tlv", "crtp.from")


def experts(fields):
    return {field.name for field in fields if re.match(r"crtp\.(malformed|unknown|cut)", field.name)} | {
        field.name for field in fields if field.name.startswith("_ws.") and field.name not in (
            "_ws.expert", "_ws.expert.message", "_ws.expert.severity", "_ws.expert.group", "_ws.lua.fake")}


def shown(fields, name):
    return [field.show for field in fields if field.name == "crtp." + name]


#: What tshark shows of these as bytes with colons, and the decoder as hexadecimal.
BYTES = {"init.nonce", "challenge.nonce", "challenge.cookie", "accept.initiator_nonce", "accept.responder_nonce",
         "tlv.cookie", "tlv.request", "tlv.keys", "group.nonce", "tlv.fragment", "tlv.received"}


def as_decoded(name, show):
    """What tshark shows of a field, in the form of the decoder's value."""
    if name in BYTES:
        return show.replace(":", "")
    if name in ("tlv.connection", "blob.blob", "blob_receipt.blob", "reference.blob"):
        return show.removeprefix("0x")
    if name == "tlv.name":
        return show.encode().hex()
    if name in ("flow.client", "flow.server", "group.address"):
        return ipaddress.ip_address(show).packed.hex()
    return str(int(show.replace(":", ""), 16) if name == "accept.mac" else int(show, 0))


def names_of(title, key):
    """The dissector's fields for what the decoder calls `key` in a message of that name."""
    if title == "handoff" and key != "sent_at":
        title = "transfer"
    if key in HEAD:
        return [key]
    if key in FLOW_KEY and title in ("transfer", "flow_info", "flow_query", "flow_unknown"):
        return ["flow." + key]
    return NAMES.get(f"{title}.{key}", [f"{title}.{key}"])


class VectorTests(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clear = tshark.trees([tshark.udp(frame) for _, frame, _ in in_the_clear()])
        cls.vectors = tshark.trees([tshark.udp(bytes.fromhex(fields["frame"])) for _, fields in VECTORS])

    def test_every_field_has_the_value_that_the_decoder_reads(self):
        for (name, _, meaning), fields in zip(in_the_clear(), self.clear):
            with self.subTest(name):
                title = page_names()[int(shown(fields, "type")[0])].lower()
                for pair in meaning.split():
                    key, value = pair.split("=", 1)
                    found = [as_decoded(name, show) for name in names_of(title, key) for show in shown(fields, name)]
                    self.assertEqual(found, [] if value == "none" else value.split(","), pair)

    def test_no_vector_is_complained_of(self):
        for (name, _), fields in zip(VECTORS, self.vectors):
            self.assertTrue(fields, name)
            self.assertEqual(experts(fields), set(), name)
        for (name, _, _), fields in zip(in_the_clear(), self.clear):
            self.assertEqual(experts(fields), set(), name)

    def test_a_sealed_body_is_marked_and_not_read(self):
        sealed = 0
        for (name, vector), fields in zip(VECTORS, self.vectors):
            frame = bytes.fromhex(vector["frame"])
            with self.subTest(name):
                body = frame[HEADER:-TAG] if frame[7] == 2 else b""
                self.assertEqual("".join(shown(fields, "body.sealed")).replace(":", ""), body.hex())
                self.assertEqual([as_decoded(key, shown(fields, key)[0]) for key in HEAD],
                                 [re.search(rf"\b{key}=(\d+)", vector["means"]).group(1) for key in HEAD])
                if frame[7] == 2:
                    sealed += 1
                    self.assertEqual(shown(fields, "body"), [])
        self.assertGreater(sealed, 5)

    def test_every_byte_belongs_to_a_named_field(self):
        for (name, frame, _), fields in zip(in_the_clear(), self.clear):
            covered = bytearray(len(frame))
            for field in fields:
                if field.name.startswith("crtp.") and field.name not in FRAMES:
                    self.assertNotEqual(field.name, "crtp.fragment", name)
                    covered[field.at:field.at + field.size] = b"\1" * field.size
            self.assertEqual(covered, b"\1" * len(frame), name)


class PageTests(unittest.TestCase):
    """What the page names, the dissector names."""

    @classmethod
    def setUpClass(cls):
        cls.fields = {row[2]: row for row in tshark.glossary("fields") if row[0] == "F"}
        cls.values = {}
        for row in tshark.glossary("values"):
            if row[0] == "V":
                cls.values.setdefault(row[1], {})[int(row[2], 0)] = row[3]

    def test_messages(self):
        self.assertEqual(self.values["crtp.type"], page_names())

    def test_parts(self):
        named = {int(row[1]): row[0] for row in page_table("TLV") if row[0]}
        self.assertEqual(self.values["crtp.tlv.type"], named)
        for name in named.values():
            self.assertIn(f"crtp.tlv.{name.lower()}", self.fields)

    def test_the_header_s_fields(self):
        for name, *_ in page_table("field"):
            self.assertIn("crtp." + name.replace(" ", "_"), self.fields)

    def test_values(self):
        sections = message_sections()
        for message_name, word, field in (
            ("ERROR", "Codes:", "error.code"), ("TRANSFER_NACK", "Reasons:", "transfer_nack.reason"),
            ("TERMINATE", "cause:", "terminate.cause"), ("BLOB_RECEIPT", "reason of a refusal:", "blob_receipt.reason"),
        ):
            text = sections[message_name].split(word)[1].split(";")[0]
            named = {int(number): name for number, name in re.findall(r"\b(\d+) ([A-Z_]{2,})", text)}
            self.assertGreater(len(named), 2)
            self.assertEqual(self.values["crtp." + field], named)
        row = next(row for row in page_table("field") if row[0] == "protection")
        named = {int(number): name for number, name in re.findall(r"(\d) (\w+)", row[1])}
        for field in ("protection", "init.protection", "accept.protection"):
            self.assertEqual(self.values["crtp." + field], named)
        named = re.findall(r"(\d) ([a-z ]+)", sections["KEEPALIVE"].split("in use:")[1].split(";")[0])
        self.assertEqual(self.values["crtp.keepalive.algorithm"], {int(number): name for number, name in named})
        text = sections["TRANSFER"].split("exactly one bit:")[1].split("|")[0]
        named = re.findall(r"(\d+) ([A-Za-z ]*[A-Za-z])", text)
        self.assertEqual(self.values["crtp.transfer.application"], {int(number): name for number, name in named})

    def test_flags(self):
        sections = message_sections()
        for message_name, word, field in (
            ("INIT", "flags:", "init.flags"), ("ACCEPT", "capabilities:", "accept.capabilities"),
            ("KEEPALIVE_RESPONSE", "flags:", "keepalive_response.flags"),
            ("TRANSFER", "agreed options:", "transfer.options"), ("TRANSFER", "| flags:", "transfer.flags"),
        ):
            text = re.split(r"[;.|]", sections[message_name].split(word)[1])[0]
            meant = {int(number) for number in re.findall(r"(?:^|, ) ?(\d+) ", text)}
            self.assertTrue(meant, word)
            named = {int(row[6], 0) for name, row in self.fields.items() if name.startswith(f"crtp.{field}.")}
            self.assertEqual(named, meant, field)

    def test_the_fixed_parts_fields_lie_where_the_page_says(self):
        sections = message_sections()
        places = {}
        for name, text in sections.items():
            is_table = name == "TRANSFER"
            cells = re.findall(r"^\| ([\d+, ]+) \|" if is_table else r"`(\d+\+\d+)`", text, re.M)
            places[name] = [tuple(map(int, place.split("+"))) for cell in cells for place in cell.split(", ")]
        flow_key = [place for place in places["TRANSFER"] if place[0] < 40]
        for name in ("FLOW_INFO", "FLOW_QUERY", "FLOW_UNKNOWN"):
            self.assertEqual(places[name][0], (0, 40))
            places[name][:1] = flow_key
        self.assertEqual(places["HANDOFF"][0], (0, 88))
        places["HANDOFF"][:1] = places["TRANSFER"]

        rows = [(name, int(kind), sender, int(size)) for name, kind, sender, size in page_table("message")]
        packets = [tshark.udp(message(kind, bytes(size))) for _, kind, _, size in rows]
        for (name, _, sender, size), fields in zip(rows, tshark.trees(packets)):
            with self.subTest(name):
                self.assertEqual(shown(fields, "from"), [] if sender == "both" else [sender])
                body = next((index for index, field in enumerate(fields) if field.name == "crtp.body"), None)
                found = [(field.at - HEADER, field.size) for field in fields
                         if body is not None and field.parent == body and field.name.startswith("crtp.")]
                self.assertEqual(found, places.get(name, []))
                self.assertEqual(sum(count for _, count in found), size)
                self.assertNotIn("crtp.malformed.body", experts(fields))


class MalformedTests(unittest.TestCase):
    def test_what_is_wrong_is_said(self):
        frames = list(wrong_frames())
        for (title, _, due), fields in zip(frames, tshark.trees([tshark.udp(frame) for _, frame, _ in frames])):
            # A name that is not UTF-8 has tshark's own complaints as well.
            found = {name for name in experts(fields) if name.startswith("crtp.")}
            self.assertTrue(fields, title)
            self.assertEqual(found, {"crtp." + one for one in due}, title)

    def test_a_capture_that_cuts_is_no_fault_of_the_frame(self):
        packet = tshark.udp(frame_of("TRANSFER, IPv4, authenticated"))
        cut = [(packet, length) for length in range(tshark.UDP_PAYLOAD + 1, len(packet))]
        for (_, length), fields in zip(cut, tshark.trees(cut)):
            self.assertEqual(experts(fields), {"crtp.cut"}, length)


class RobustnessTests(unittest.TestCase):
    """Whatever comes, the dissector takes it, and no error is raised in it."""

    def check(self, packets):
        for index, (protocols, error, messages) in enumerate(tshark.lines(packets)):
            whole = packets[index][0] if isinstance(packets[index], tuple) else packets[index]
            said = f"packet {index}: {whole[tshark.UDP_PAYLOAD:].hex()}: {messages}"
            self.assertIn(":baton", protocols, said)
            self.assertEqual(error, "", said)
            self.assertNotRegex(messages, "Lua|[Ee]xception", said)
        self.assertEqual(index + 1, len(packets))

    def frames(self):
        return [bytes.fromhex(fields["frame"]) for _, fields in VECTORS] + [frame for _, frame, _ in in_the_clear()]

    def test_truncated(self):
        packets = []
        for frame in set(self.frames()):
            for length in range(1, len(frame)):
                packets.append(tshark.udp(frame[:length]))
                packets.append((tshark.udp(frame), tshark.UDP_PAYLOAD + length))
                if length > 5:
                    packets.append(tshark.udp(changed(frame[:length], 4, struct.pack(">H", length))))
        self.check(packets)

    def test_flipped(self):
        packets = []
        for frame in set(self.frames()):
            for offset in range(len(frame)):
                for flip in (0xFF, 0x80, 0x01) if offset < HEADER else (0xFF,):
                    packets.append(tshark.udp(changed(frame, offset, bytes([frame[offset] ^ flip]))))
        self.check(packets)

    def test_random(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        kinds = [*decoder.FIXED, 0, 7, 0x80, 0xFF]
        packets = []
        for _ in range(2000):
            kind = chance.choice(kinds)
            body = chance.randbytes(max(0, decoder.FIXED.get(kind, 0) + chance.randrange(-2, 3)))
            for _ in range(chance.randrange(4)):
                value = chance.randbytes(chance.choice((0, 1, 24, 63, chance.randrange(300))))
                body += part(chance.randrange(8), value, chance.random() < 0.5)
                if chance.random() < 0.2:
                    body = body[:chance.randrange(len(body) + 1)]
            head = chance.randbytes(chance.randrange(1, HEADER)) if chance.random() < 0.1 else b""
            packets.append(tshark.udp(message(kind, body[:1400], head=head)))
            packets.append(tshark.udp(chance.randbytes(chance.randrange(1, 100))))
        with self.subTest(seed=seed):
            self.check(packets)

    def test_streams(self):
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        frames = [frame for _, frame, _ in in_the_clear()]
        packets = []
        for port in range(100):
            stream = bytearray(b"".join(chance.sample(frames, 5)))
            for _ in range(chance.randrange(4)):
                stream[chance.randrange(len(stream))] ^= 1 << chance.randrange(8)
            start = 0
            while start < len(stream):
                end = start + chance.randrange(1, 300)
                segment = tshark.tcp(bytes(stream[start:end]), 1 + start, source=1024 + port)
                cut = chance.randrange(tshark.TCP_PAYLOAD, len(segment) + 1) if chance.random() < 0.2 else len(segment)
                packets.append((segment, cut))
                start = end
        options = ("-d", f"tcp.port=={tshark.PORT},baton")
        with self.subTest(seed=seed):
            for index, (_, error, messages) in enumerate(tshark.lines(packets, options)):
                self.assertEqual(error, "", f"packet {index}: {messages}")
                self.assertNotIn("Lua", messages, f"packet {index}")

    def test_a_capture_that_ends_between_two_frames(self):
        frames = [frame for _, frame, _ in in_the_clear()]
        packets = []
        for port, frame in enumerate(frames):
            segment = tshark.tcp(frame + frames[0], 1, source=1024 + port)
            packets.append((segment, tshark.TCP_PAYLOAD + len(frame)))
        options = ("-d", f"tcp.port=={tshark.PORT},baton")
        for frame, (protocols, error, messages) in zip(frames, tshark.lines(packets, options)):
            self.assertIn(":baton", protocols)
            self.assertEqual((error, messages), ("", f"The capture has {len(frame)} of {len(frame + frames[0])} bytes"))

    def test_an_empty_datagram(self):
        [(_, error, messages)] = tshark.lines([tshark.udp(b"")])
        self.assertEqual((error, messages), ("", ""))

    def test_an_error_would_be_seen(self):
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            with open(tshark.SCRIPT, encoding="utf-8") as file:
                script.write(file.read().replace("local function judge_header(tree, tvb, size)",
                                                 "local function judge_header(tree, tvb, size)\n    size = nil + 1"))
            script.flush()
            packets = [tshark.udp(frame_of("INIT"))]
            [(_, error, messages)] = tshark.lines(packets, script=script.name)
            self.assertTrue(error or "Lua" in messages)


class PortTests(unittest.TestCase):
    def taken(self, packets, *options):
        return [":baton" in protocols for protocols, *_ in tshark.lines(packets, options)]

    def test_frames_are_found_on_any_port(self):
        self.assertEqual(self.taken([tshark.udp(frame) for _, frame, _ in in_the_clear()]), [True] * len(VECTORS))

    def test_and_what_follows_between_the_same_ends(self):
        frame, spoilt = frame_of("INIT"), changed(frame_of("INIT"), 7, b"\3")
        answer = tshark.udp(spoilt, tshark.PORT, 40000, addresses=(2, 1))
        stranger = tshark.udp(spoilt, 1, 2)
        packets = [tshark.udp(spoilt), tshark.udp(frame), tshark.udp(spoilt), answer, stranger]
        self.assertEqual(self.taken(packets), [False, True, True, True, False])

    def test_others_are_left_alone(self):
        frame = frame_of("KEEPALIVE")
        others = [b"", frame[:-1], frame + b"\0", bytes(100), changed(frame, 0, b"\x24"), changed(frame, 1, b"\7"),
                  changed(frame, 2, b"\1"), changed(frame, 31, b"\1")]
        self.assertEqual(self.taken([tshark.udp(other) for other in others]), [False] * len(others))

    def test_a_port_by_preference_and_by_decode_as(self):
        packets = [tshark.udp(b"\x24\x04", destination=port) for port in (7443, 7450, 7451)]
        self.assertEqual(self.taken(packets, "-o", "baton.udp_ports:7443,7449-7450"), [True, True, False])
        self.assertEqual(self.taken(packets, "-d", "udp.port==7451,baton"), [False, False, True])

    def test_a_stream_s_frames_are_told_apart_by_their_length(self):
        first, second = frame_of("INIT"), frame_of("TRANSFER, IPv4, authenticated")
        stream = first + second + first
        packets, cuts = [], (0, 3, 100, 260, 300, len(stream))
        for start, end in zip(cuts, cuts[1:]):
            packets.append(tshark.tcp(stream[start:end], 1 + start))
        packets.append(tshark.tcp(b"no frame at all", 1 + len(stream)))
        rows = tshark.lines(packets, ("-d", f"tcp.port=={tshark.PORT},baton"), (*tshark.COLUMNS, "crtp.type"))
        self.assertEqual([row[3] for row in rows], ["", "", "1", "", "16,1", str(ord("o"))])
        self.assertEqual("".join(row[1] for row in rows), "")


if __name__ == "__main__":
    unittest.main()
