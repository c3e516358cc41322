"""The second agent against the vectors of docs/crtp.md, and against a director that a test plays. No network, no clock."""

import os
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import crtp_frames as crtp  # noqa: E402
from crtp_agent import ACCEPTED, Agent, Nack  # noqa: E402
from crtp_frames import Header, Key, Window  # noqa: E402
from crtp_decode import read_body, read_page  # noqa: E402

PAGE = os.path.join(os.path.dirname(__file__), "..", "..", "docs", "crtp.md")
SECRET, NONCES, VECTORS = read_page(PAGE)
OTHER_SECRET = bytes(range(32))
SOURCE = ("10.0.0.2", 5000)
#: A KEEPALIVE's body.
STAY = b"\1" + bytes(7)


def said(text):
    """A `means` of the page as a dictionary."""
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def key_of(header, direction, secret=SECRET, nonces=NONCES):
    if header.kind in crtp.HANDSHAKE or header.session == 0:
        return Key.of_handshakes(secret, direction)
    if header.kind == crtp.HANDOFF:
        return Key.of_hand_offs(secret, header.protection, header.key_id, header.sender, header.session)
    if direction == b"g":
        return Key.of_group(secret, nonces[0], header.protection, header.key_id, header.session)
    return Key.of_session(secret, nonces, direction, header.protection, header.key_id, header.session)


class Vectors(unittest.TestCase):
    def setUp(self):
        self.assertEqual(len(VECTORS), 46)
        self.read = []
        for name, fields in VECTORS:
            frame = bytes.fromhex(fields["frame"])
            header = Header.parse(frame)
            key = key_of(header, fields["from"].encode())
            self.read.append((name, frame, header, key, key.open(header, frame), said(fields["means"])))

    def test_each_frame_is_opened_and_made_again(self):
        for name, frame, header, key, body, means in self.read:
            with self.subTest(name):
                self.assertEqual(key.close(header, body), frame)
                self.assertEqual([str(n) for n in (header.kind, header.session, header.sequence)],
                                 [means[field] for field in ("type", "session", "sequence")])

    def test_the_agents_bodies_are_made_from_what_they_mean(self):
        made = 0
        for name, _, header, _, body, means in self.read:
            number = {field: int(value) for field, value in means.items() if value.isdecimal()}
            builders = {
                crtp.ACCEPT: lambda: crtp.accept_body(
                    [bytes.fromhex(means["initiator"]), bytes.fromhex(means["responder"])], number["epoch"],
                    number["vlan"], number["mac"].to_bytes(6, "big"), number["credits"], number["capabilities"],
                    number["mtu"], number["protection"], bytes.fromhex(means["name"]), bytes.fromhex(means["keys"])),
                crtp.ERROR: lambda: crtp.error_body(number["code"], number["detail"]),
                crtp.KEEPALIVE_RESPONSE: lambda: crtp.keepalive_response_body(
                    *(number[field] for field in ("connections", "credits", "processor", "memory", "flags")),
                    bytes.fromhex(means["keys"])),
                crtp.TRANSFER_NACK: lambda: crtp.nack_body(number["reason"], number["retry"], number["detail"]),
                crtp.TERMINATE: lambda: crtp.terminate_body(
                    number["cause"], number["transfer"], number["psn"], number["sent"]),
                crtp.FLOW_INFO: lambda: crtp.flow_info_body(
                    body[:40], number["transfer"],
                    (number["identifier"], number["generation"]) if "generation" in number else None),
                crtp.FLOW_INFO_END: lambda: crtp.flow_info_end_body(number["count"])}
            if header.kind in builders:
                with self.subTest(name):
                    self.assertEqual(builders[header.kind](), body)
                    made += 1
        self.assertEqual(made, 9)

    def test_a_spoilt_frame_is_not_opened(self):
        for name, frame, header, key, _, _ in self.read:
            for at in (2, 9, 20, len(frame) - 17, len(frame) - 1):
                with self.subTest(name, at=at), self.assertRaises(crtp.Fate) as raised:
                    spoilt = frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1:]
                    key.open(Header.parse(spoilt), spoilt)
                self.assertEqual(raised.exception.args, ("unauthenticated",))

    def test_the_pages_inits_are_answered(self):
        agent = Agent({1: SECRET}, lambda asked: None)
        for name, frame, header, _, _, _ in self.read:
            if header.kind == crtp.INIT:
                (answer, _), = agent.receive(frame, SOURCE, 5.0)
                answered = Header.parse(answer)
                self.assertEqual(answered.kind, crtp.CHALLENGE, f"{name}: its cookie is none of this agent's")
                self.assertEqual((answered.sender, answered.transaction, answered.attempt), header[4:5] + header[7:])


class Initiator:
    """As much of a director as the tests need."""

    def __init__(self, agent, secret=SECRET, key_id=1, epoch=7, flags=0, sender=0x0A0B0C01, protection=crtp.SEALED):
        self.agent, self.secret, self.key_id = agent, secret, key_id
        self.epoch, self.flags, self.sender, self.protection = epoch, flags, sender, protection
        self.session = self.sequence = self.transaction = 0
        self.now = 100.0
        self.nonce = os.urandom(16)
        self.transcript = []

    def give(self, frame, source=SOURCE):
        self.transcript.append(frame)
        return [self.hear(answer) for answer, address in self.agent.receive(frame, source, self.now)]

    def hear(self, frame):
        """Header and meaning of what the agent sent."""
        header = Header.parse(frame)
        key = self.key(header.kind, b"r") if header.session else Key.of_handshakes(self.secret, b"r")
        return header, said(read_body(header.kind, key.open(header, frame)))

    def key(self, kind, direction):
        if kind in crtp.HANDSHAKE:
            return Key.of_handshakes(self.secret, direction)
        return Key.of_session(self.secret, self.nonces, direction, self.protection, self.key_id, self.session)

    def init(self, cookie=None):
        body = self.nonce + struct.pack(">QIBBH", self.epoch, 1_000_000, 3, self.protection, self.flags)
        if cookie:
            body += crtp.part(crtp.COOKIE, cookie, critical=True)
        body += crtp.part(crtp.PADDING, bytes(1400 - 32 - 4 - 16 - len(body)))
        return Key.of_handshakes(self.secret, b"i").close(
            Header(crtp.INIT, 0, self.key_id, 1, self.sender, 0, 0, 9, 1), body)

    def challenged(self):
        (header, means), = self.give(self.init())
        assert header.kind == crtp.CHALLENGE and header.session == 0, header
        return bytes.fromhex(means["cookie"])

    def accepted(self, cookie):
        (header, means), = self.give(self.init(cookie))
        assert header.kind == crtp.ACCEPT, header
        self.session, self.sequence = header.session, 0
        self.nonces = [bytes.fromhex(means[end]) for end in ("initiator", "responder")]
        return header, means

    def open(self):
        """A channel in force; what its first KEEPALIVE brought."""
        self.accepted(self.challenged())
        return self.keepalive()

    def frame(self, kind, body, transaction=None, attempt=1):
        self.sequence += 1
        if transaction is None:
            self.transaction += 1
            transaction = self.transaction
        return self.key(kind, b"i").close(
            Header(kind, 0, self.key_id, 0, self.sender, self.session, self.sequence, transaction, attempt), body)

    def keepalive(self, parts=b""):
        return self.give(self.frame(crtp.KEEPALIVE, STAY + parts))

    def group_frame(self, kind, body, sequence, number=77, nonce=bytes(16), transaction=500):
        key = Key.of_group(self.secret, nonce, self.protection, self.key_id, number)
        return key.close(Header(kind, 0, self.key_id, 0, self.sender, number, sequence, transaction, 0), body)

    def transfer(self, transaction=None, attempt=1, parts=None, flags=crtp.HELD, psn=1000):
        return self.give(self.frame(crtp.TRANSFER, self.transfer_body(parts, flags, psn), transaction, attempt))

    @staticmethod
    def transfer_body(parts=None, flags=crtp.HELD, psn=1000):
        key = bytes(10) + b"\xff\xff\xc0\0\2\1" + bytes(10) + b"\xff\xff\xc6\x33\x64\x50"
        key += struct.pack(">HHHH", 5, 80, 0xFFFF, 0)
        state = struct.pack(">IIIIHHBBBBIIIIBB6x", psn, 2, 64240, 3, 1460, 1460, 7, 7, 7, 63, 1, 2, 3, 50000, 1, flags)
        parts = crtp.part(crtp.REQUEST, b"GET / HTTP/1.1\r\n\r\n", critical=True) if parts is None else parts
        return key + state + parts

    def terminate(self, cause, transfer=0, psn=0):
        return self.give(self.frame(crtp.TERMINATE, crtp.terminate_body(cause, transfer, psn)))


def kinds(answers):
    return [header.kind for header, _ in answers]


class Machine(unittest.TestCase):
    def setUp(self):
        self.answer = Nack(crtp.NOT_FOUND)
        self.asked = []
        self.agent = Agent({1: SECRET, 2: OTHER_SECRET}, self.policy)
        self.director = Initiator(self.agent)

    def policy(self, asked):
        self.asked.append(asked)
        return self.answer

    def assertFate(self, fate, call, *answers):
        """`call` brings frames of these types, and its frame is counted under this name alone."""
        before = dict(self.agent.counters)
        heard = call()
        grown = {name: count - before[name] for name, count in self.agent.counters.items() if count != before[name]}
        self.assertEqual((grown, kinds(heard)), ({fate: 1}, list(answers)))
        return heard

    # --- groups ---

    PLACE = bytes(10) + b"\xff\xff" + bytes([239, 192, 0, 1]) + struct.pack(">H", 7443)

    def named(self, number=77, nonce=bytes(16)):
        """The part of KEEPALIVE that names a group."""
        return crtp.part(crtp.GROUP, self.PLACE + struct.pack(">BBI", 1, crtp.SEALED, number) + nonce)

    def from_group(self, frame):
        return [self.director.hear(answer) for answer, _ in self.agent.receive_from_group(frame, SOURCE)]

    def test_a_member_says_so_and_is_asked_by_the_group(self):
        self.director.open()
        self.assertEqual(self.director.keepalive(self.named())[0][1]["flags"], "0", "it does not listen there")
        self.agent.groups = {self.PLACE}
        self.assertEqual(self.director.keepalive(self.named())[0][1]["flags"], "2")
        self.answer = ACCEPTED
        frame = self.director.group_frame(crtp.TRANSFER, self.director.transfer_body(), 1)
        (header, _), = self.assertFate("accepted", lambda: self.from_group(frame), crtp.TRANSFER_ACK)
        self.assertEqual((header.session, header.transaction), (self.director.session, 500))
        self.assertFate("replayed", lambda: self.from_group(frame))
        # It is called back by unicast, as any.
        self.director.terminate(crtp.CANCEL, 500, 1000)
        again = self.director.group_frame(crtp.TRANSFER, self.director.transfer_body(), 2)
        (_, means), = self.from_group(again)
        self.assertEqual(means["reason"], str(crtp.EXPIRED))

    def test_what_is_no_transfer_of_the_group_changes_nothing(self):
        self.agent.groups = {self.PLACE}
        self.director.open()
        self.director.keepalive(self.named())
        body = self.director.transfer_body()
        good = self.director.group_frame(crtp.TRANSFER, body, 5)
        spoilt = good[:40] + bytes([good[40] ^ 1]) + good[41:]
        other = self.director.group_frame(crtp.TRANSFER, body, 5, number=78)
        for fate, frame in (("unauthenticated", spoilt), ("unknown_session", other),
                            ("malformed", self.director.group_frame(crtp.KEEPALIVE, STAY, 6))):
            self.assertFate(fate, lambda frame=frame: self.from_group(frame))
        self.assertEqual(self.asked, [])
        # The next session of the group ends this one, and so does a KEEPALIVE that names none.
        self.director.keepalive(self.named(78, bytes(15) + b"\1"))
        self.assertFate("unknown_session", lambda: self.from_group(good))
        self.assertEqual(self.director.keepalive()[0][1]["flags"], "0")

    # --- opening ---

    def test_a_channel_opens(self):
        heard = self.director.open()
        self.assertEqual(kinds(heard), [crtp.KEEPALIVE_RESPONSE, crtp.FLOW_INFO_END])
        self.assertEqual(heard[1][1]["count"], "0")
        self.assertEqual([header.sequence for header, _ in heard], [1, 2])
        self.assertEqual(heard[0][0].transaction, self.director.transaction)

    def test_nothing_is_kept_of_an_init_without_a_cookie(self):
        for _ in range(100):
            self.director.challenged()
            self.director.nonce = os.urandom(16)
        self.assertEqual((self.agent.directors, self.agent.sessions), ({}, {}))

    def test_a_cookie_is_good_for_one_sender_one_place_and_ten_seconds(self):
        cookie = self.director.challenged()
        frame = self.director.init(cookie)
        self.assertFate("accepted", lambda: self.director.give(frame, ("10.0.0.2", 5001)), crtp.CHALLENGE)
        self.assertFate("accepted", lambda: self.director.give(frame, ("10.0.0.3", 5000)), crtp.CHALLENGE)
        self.director.now += 10.1
        self.assertFate("accepted", lambda: self.director.give(frame), crtp.CHALLENGE)
        self.director.now -= 0.2
        self.director.sender += 1
        self.assertFate("accepted", lambda: self.director.give(self.director.init(cookie)), crtp.CHALLENGE)
        self.assertEqual(self.agent.sessions, {})

    def test_the_same_init_gets_the_same_accept_and_changes_nothing(self):
        cookie = self.director.challenged()
        _, first = self.director.accepted(cookie)
        self.assertEqual(self.director.accepted(cookie)[1], first)
        self.director.keepalive()
        (header, again), = self.director.give(self.director.init(cookie))
        self.assertEqual((header.session, again["responder"]), (self.director.session, first["responder"]))
        self.assertFate("accepted", self.director.keepalive, crtp.KEEPALIVE_RESPONSE)

    def test_an_answer_is_never_longer_than_the_init(self):
        body = self.director.nonce + struct.pack(">QIBBH", 1, 1_000_000, 3, 2, 0)
        frame = Key.of_handshakes(SECRET, b"i").close(Header(crtp.INIT, 0, 1, 1, 5, 0, 0, 9, 1), body)
        self.assertLess(len(frame), 88)
        self.assertFate("accepted", lambda: self.director.give(frame))

    def test_the_stronger_protection_is_the_sessions(self):
        director = Initiator(Agent({1: SECRET}, self.policy), protection=crtp.AUTHENTICATED)
        self.assertEqual(director.accepted(director.challenged())[1]["protection"], "2")
        director = Initiator(Agent({1: SECRET}, self.policy, protection=crtp.AUTHENTICATED))
        self.assertEqual(director.accepted(director.challenged())[1]["protection"], "2")
        director = Initiator(Agent({1: SECRET}, self.policy, protection=crtp.AUTHENTICATED), protection=crtp.AUTHENTICATED)
        self.assertEqual(kinds(director.open()), [crtp.KEEPALIVE_RESPONSE, crtp.FLOW_INFO_END])

    # --- replacing ---

    def test_the_key_rotates_beside_the_session_in_force(self):
        self.director.open()
        other = Initiator(self.agent, OTHER_SECRET, 2)
        other.accepted(other.challenged())
        self.assertFate("accepted", self.director.keepalive, crtp.KEEPALIVE_RESPONSE)
        self.assertEqual(kinds(other.keepalive()), [crtp.KEEPALIVE_RESPONSE], "the same director: no announcement")
        # The former session is understood, and answered in the one in force.
        late = self.director.frame(crtp.KEEPALIVE, STAY)
        (header, _), = [other.hear(answer) for answer, _ in self.agent.receive(late, SOURCE, 101.0)]
        self.assertEqual((header.kind, header.key_id, header.session), (crtp.KEEPALIVE_RESPONSE, 2, other.session))
        self.agent.tick(104.1)
        self.director.now = 104.1
        self.assertFate("unknown_session", self.director.keepalive, crtp.ERROR)

    def test_a_recorded_init_replaces_nothing(self):
        self.director.open()
        for frame in self.director.transcript[:2]:
            self.director.give(frame)
        other = Initiator(self.agent, epoch=8)
        other.accepted(other.challenged())
        self.assertFate("accepted", self.director.keepalive, crtp.KEEPALIVE_RESPONSE)

    def test_a_director_that_started_anew_ends_its_old_session_and_is_told_all(self):
        self.answer = ACCEPTED
        self.director.open()
        self.director.transfer(77)
        self.director.transfer(78)
        self.agent.begin(77)
        anew = Initiator(self.agent, epoch=8)
        heard = anew.open()
        self.assertEqual(kinds(heard), [crtp.KEEPALIVE_RESPONSE, crtp.FLOW_INFO, crtp.FLOW_INFO_END])
        self.assertEqual((heard[1][1]["transfer"], heard[1][1]["client_port"], heard[2][1]["count"]), ("77", "5", "1"))
        self.assertEqual(heard[2][0].transaction, heard[1][0].transaction + 1)
        self.assertFate("unknown_session", lambda: anew.give(self.director.frame(crtp.KEEPALIVE, STAY)), crtp.ERROR)
        self.assertEqual(len(self.asked), 2)
        anew.transfer(77)
        self.assertEqual(len(self.asked), 3, "what the former director was told counts no more")

    def test_connections_outlive_their_director(self):
        """A director that starts anew may have another sender id: it is told what the former one handed over."""
        self.answer = ACCEPTED
        self.director.open()
        self.director.transfer(77)
        self.agent.begin(77)
        self.agent.tick(200.0)
        self.assertEqual(self.agent.directors, {})
        anew = Initiator(self.agent, epoch=8, sender=0x0D0E0F01)
        anew.now = 200.0
        self.assertEqual(kinds(anew.open()), [crtp.KEEPALIVE_RESPONSE, crtp.FLOW_INFO, crtp.FLOW_INFO_END])
        (frame, _), = self.agent.finish(77, 1, 200.0)
        self.assertEqual(anew.hear(frame)[1]["transfer"], "77")

    def test_flows_are_announced_again_where_that_is_asked_for(self):
        self.director.open()
        asking = Initiator(self.agent, flags=crtp.ANNOUNCE)
        self.assertEqual(kinds(asking.open()), [crtp.KEEPALIVE_RESPONSE, crtp.FLOW_INFO_END])

    def test_a_silent_director_is_gone(self):
        self.director.open()
        self.director.now = 102.0
        self.director.keepalive()
        self.agent.tick(105.9)
        self.assertEqual(len(self.agent.sessions), 1)
        self.agent.tick(106.0)
        self.assertEqual(self.agent.sessions, {})

    # --- transfers ---

    def test_an_answer_is_remembered(self):
        self.director.open()
        heard = self.assertFate("accepted", lambda: self.director.transfer(77), crtp.TRANSFER_NACK)
        self.assertEqual(heard[0][1]["reason"], "1")
        self.answer = ACCEPTED
        heard = self.assertFate("accepted", lambda: self.director.transfer(77, attempt=2), crtp.TRANSFER_NACK)
        self.assertEqual((heard[0][0].transaction, heard[0][0].attempt, len(self.asked)), (77, 2, 1))

    def test_a_policy_may_say_nothing(self):
        self.director.open()
        self.answer = None
        self.assertFate("accepted", lambda: self.director.transfer(77))
        self.assertEqual(self.asked[0].request, b"GET / HTTP/1.1\r\n\r\n")

    def test_a_cancel_must_name_the_transfer_and_its_psn(self):
        self.director.open()
        self.answer = ACCEPTED
        self.assertFate("accepted", lambda: self.director.transfer(77), crtp.TRANSFER_ACK)
        adopted = self.agent.directors[self.director.sender].adopted
        for transfer, psn in ((77, 999), (78, 1000)):
            self.assertFate("accepted", lambda: self.director.terminate(crtp.CANCEL, transfer, psn), crtp.TERMINATE_RESPONSE)
            self.assertIn(77, adopted)
        self.assertFate("accepted", lambda: self.director.terminate(crtp.CANCEL, 77, 1000), crtp.TERMINATE_RESPONSE)
        self.assertEqual(adopted, {})

    def test_a_transfer_that_is_not_held_is_answered_and_not_adopted(self):
        self.director.open()
        self.answer = ACCEPTED
        self.assertFate("accepted", lambda: self.director.transfer(77, flags=0), crtp.TRANSFER_ACK)
        self.assertEqual(self.agent.directors[self.director.sender].adopted, {})

    def test_a_critical_part_that_is_unknown_is_refused_by_number(self):
        self.director.open()
        parts = crtp.part(crtp.REQUEST, b"", True) + crtp.part(0x123, b"abc", True)
        heard = self.assertFate("bad_message", lambda: self.director.transfer(77, parts=parts), crtp.TRANSFER_NACK)
        self.assertEqual((heard[0][1]["reason"], heard[0][1]["detail"]), ("15", str(0x123)))
        parts = crtp.part(crtp.REQUEST, b"", True) + crtp.part(0x123, b"abc")
        self.assertFate("accepted", lambda: self.director.transfer(77, parts=parts), crtp.TRANSFER_NACK)

    def test_who_promises_nothing_refuses_what_requires_something(self):
        self.director.open()
        self.answer = ACCEPTED
        parts = crtp.part(crtp.REQUEST, b"", True) + crtp.part(crtp.CONNECTION, bytes(8))
        self.assertFate("accepted", lambda: self.director.transfer(77, parts=parts), crtp.TRANSFER_ACK)
        parts += crtp.part(crtp.REQUIREMENTS, bytes(12), True)
        heard = self.assertFate("accepted", lambda: self.director.transfer(78, parts=parts), crtp.TRANSFER_NACK)
        self.assertEqual(heard[0][1]["reason"], "13")

    def test_parts_that_cannot_be_read_change_nothing(self):
        self.director.open()
        request = crtp.part(crtp.REQUEST, b"", True)
        for parts in (b"", request + request, request + b"\0", request + b"\0\4\0\1", request + b"\0\4\0\1x\0\0\1",
                      crtp.part(crtp.REQUEST, bytes(1217), True)):
            heard = self.assertFate("bad_message", lambda: self.director.transfer(77, parts=parts), crtp.ERROR)
            self.assertEqual((heard[0][1]["code"], heard[0][1]["detail"]), ("19", "16"))
        self.assertEqual(self.asked, [])

    def test_the_end_of_a_connection_is_repeated_until_it_is_answered(self):
        self.director.open()
        self.answer = ACCEPTED
        self.director.transfer(77, flags=crtp.HELD | crtp.FIRST_BYTE_WANTED)
        (frame, _), = self.agent.begin(77)
        self.assertEqual((Header.parse(frame).kind, Header.parse(frame).transaction), (crtp.FIRST_BYTE, 77))
        (frame, _), = self.agent.finish(77, 5_000_000_000, 100.0)
        header, means = self.director.hear(frame)
        self.assertEqual((means["cause"], means["transfer"], means["psn"], means["sent"]), ("3", "77", "1000", "5000000000"))
        (frame, _), = self.agent.tick(100.25)
        again, _ = self.director.hear(frame)
        self.assertEqual((again.transaction, header.attempt, again.attempt), (header.transaction, 0, 1))
        (frame, _), = self.agent.tick(100.5)
        self.assertEqual(Header.parse(frame).attempt, 2)
        answer = self.director.frame(crtp.TERMINATE_RESPONSE, b"", header.transaction, 1)
        self.assertFate("accepted", lambda: self.director.give(answer))
        self.assertEqual(self.agent.tick(101.0), [])

    def test_either_end_may_end_the_channel(self):
        self.director.open()
        self.assertFate("accepted", lambda: self.director.terminate(crtp.ADMINISTRATIVE), crtp.TERMINATE_RESPONSE)
        self.assertEqual(self.agent.sessions, {})
        self.assertEqual(len(self.director.open()), 2)
        (frame, _), = self.agent.close(100.0)
        header, means = self.director.hear(frame)
        self.assertEqual((means["cause"], means["transfer"]), ("4", "0"))
        self.director.give(self.director.frame(crtp.TERMINATE_RESPONSE, b"", header.transaction))
        self.assertEqual(self.agent.sessions, {})

    def test_an_answer_goes_where_its_question_came_from(self):
        self.director.open()
        frames = [self.director.frame(crtp.KEEPALIVE, STAY) for _ in range(2)]
        for frame, source in zip(frames, (("10.0.0.2", 5001), SOURCE)):
            (_, address), = self.agent.receive(frame, source, 100.0)
            self.assertEqual(address, source)

    # --- frames that are refused ---

    def test_a_frame_counts_once(self):
        self.director.open()
        for frame in list(self.director.transcript[2:]):
            self.assertFate("replayed", lambda: self.director.give(frame))
        other = bytearray(self.director.frame(crtp.KEEPALIVE, STAY))
        for fate, spoil in (("unauthenticated", {54: 1}), ("malformed", {6: 2}), ("malformed", {0: 0x15}),
                            ("malformed", {5: 1}), ("malformed", {7: 3}), ("malformed", {7: 1})):
            frame = bytearray(other)
            for at, value in spoil.items():
                frame[at] = value
            self.assertFate(fate, lambda: self.director.give(bytes(frame)))
        unknown = self.director.init()
        self.assertFate("unknown_key", lambda: self.director.give(unknown[:6] + b"\x09" + unknown[7:]))
        for length in range(48):
            self.assertFate("malformed", lambda: self.director.give(bytes(other[:length])))
        self.assertFate("malformed", lambda: self.director.give(bytes(other) + bytes(1)))
        self.assertFate("accepted", lambda: self.director.give(bytes(other)), crtp.KEEPALIVE_RESPONSE)

    def test_errors_are_bounded_in_number_and_length(self):
        self.director.open()
        self.director.session ^= 1
        lost = self.director.frame(crtp.KEEPALIVE, STAY)
        heard = self.assertFate("unknown_session", lambda: self.director.give(lost), crtp.ERROR)
        self.assertEqual((heard[0][1]["code"], heard[0][1]["detail"]), ("17", str(self.director.session)))
        short = self.director.frame(crtp.TERMINATE_RESPONSE, b"")
        self.assertFate("unknown_session", lambda: self.director.give(short))
        error = self.director.frame(crtp.ERROR, bytes(8))
        self.assertFate("unknown_session", lambda: self.director.give(error))
        self.assertLessEqual(sum(len(self.director.give(lost)) for _ in range(100)), 10)
        self.director.now += 1
        heard = self.assertFate("bad_version", lambda: self.director.give(b"\x24" + lost[1:]), crtp.ERROR)
        self.assertEqual((heard[0][0][4:], heard[0][1]["code"]), ((0, 0, 0, 0, 0), "16"))
        self.assertFate("bad_version", lambda: self.director.give(b"\x24\4" + lost[2:]))

    def test_messages_that_are_not_the_directors(self):
        self.director.open()
        for kind in (crtp.KEEPALIVE_RESPONSE, crtp.TRANSFER_ACK, crtp.BLOB, crtp.FLOW_INFO, crtp.FLOW_QUERY, 0x80, 0xFF):
            self.assertFate("unexpected", lambda: self.director.give(self.director.frame(kind, bytes(48))))
        for kind in (0, 0x7F):
            heard = self.assertFate("bad_message", lambda: self.director.give(self.director.frame(kind, b"")), crtp.ERROR)
            self.assertEqual((heard[0][1]["code"], heard[0][1]["detail"]), ("19", str(kind)))
        for kind, body in ((crtp.KEEPALIVE, b"\1" + bytes(6)), (crtp.KEEPALIVE, b"\x09" + bytes(7)),
                           (crtp.TERMINATE, crtp.terminate_body(6)), (crtp.TRANSFER, bytes(92))):
            heard = self.assertFate("bad_message", lambda: self.director.give(self.director.frame(kind, body)), crtp.ERROR)
            self.assertEqual(heard[0][1]["detail"], str(kind))
        self.assertFate("bad_message", lambda: self.director.give(self.director.frame(crtp.ERROR, bytes(7))))


class Windows(unittest.TestCase):
    def test_each_number_is_admitted_once_and_not_too_late(self):
        window = Window()
        self.assertFalse(window.admit(0))
        self.assertTrue(window.admit(5000))
        self.assertTrue(window.admit(5000 - 1023))
        self.assertFalse(window.admit(5000 - 1024))
        self.assertFalse(window.admit(5000))
        self.assertFalse(window.admit(5000 - 1023))
        self.assertTrue(window.admit(4999))
        self.assertTrue(window.admit(1 << 63))
        self.assertFalse(window.admit(5001))


if __name__ == "__main__":
    unittest.main()
