"""What an agent's host, or whoever sits beside it, may send to a director without changing anything."""

import os
import random
import struct

from .laboratory_case import topology, wait_until
from .second_agent import SecondAgentCase, crtp, endpoint_at
from crtp_agent import FATES
from crtp_frames import Header, Key, Window

FLOOD = 10_000
#: Frames that are sent before the director is asked whether it has them all.
BURST = 100


class Hostile(SecondAgentCase):
    @classmethod
    def start(cls):
        """The first agent's frames are those of an old epoch: the director has met another since."""
        super().start()
        wait_until("the former agent was heard", lambda: len(cls.host.sent) >= 5, 20)
        cls.host.stop()
        cls.former = list(cls.host.sent)
        cls.start_second_agent()
        wait_until("the director has met the new agent", lambda: any(
            director.in_force for director in list(cls.agent.directors.values())), 20)

    def setUp(self):
        super().setUp()
        self.wait_for_state("up")
        self.number = self.session.number
        self.director = self.services.processes["director"]
        self.known = dict(self.proxy())
        self.counted = self.crtp_counters()
        self.recorded = [frame for frame in self.host.sent if Header.parse(frame).session == self.number
                         and Header.parse(frame).kind not in crtp.HANDSHAKE]
        self.assertGreater(len(self.recorded), 0)

    def tearDown(self):
        self.assertIsNone(self.director.poll(), self.director.tail())
        self.assertEachHasOneFate()
        self.assertEqual(self.session.number, self.number)
        known = self.proxy()
        for field in ("state", "mac", "connections", "committedFlows", "timeouts", "lateACKs"):
            self.assertEqual(known[field], self.known[field], field)
        _, counted = self.play_from_origin(self.id().rpartition(".")[2], asked=1)
        self.assertEqual(counted["acks"], 0)
        self.assertNothingHeld()
        self.assertConserved()

    # MARK: parts

    def assertEachHasOneFate(self):
        """Every frame that was received since `setUp` is in exactly one of the page's counters."""
        now = self.crtp_counters()
        grown = {name: count - self.counted[name] for name, count in now.items()}
        self.assertEqual(sum(grown[fate] for fate in FATES), grown["received"], grown)

    def throw(self, frames, endpoint=None):
        """Sends frames to the director from p1's own socket or another."""
        endpoint, address = endpoint or self.host.endpoint, self.session.source
        for frame in frames:
            while True:
                try:
                    endpoint.sendto(frame, address)
                    break
                except BlockingIOError:
                    pass

    def assertCounted(self, fate, frames, endpoint=None):
        """Each of the frames is counted there."""
        frames, before, sent = list(frames), self.crtp_counters()[fate], 0
        self.assertGreater(len(frames), 0)
        while sent < len(frames):
            self.throw(frames[sent : sent + BURST], endpoint)
            sent = min(sent + BURST, len(frames))
            try:
                wait_until("all are counted", lambda: self.crtp_counters()[fate] - before >= sent, 10)
            except Exception:
                self.fail(f"{self.crtp_counters()[fate] - before} of {sent} are {fate}: {self.crtp_counters()}")
        self.assertEqual(self.crtp_counters()[fate] - before, len(frames), fate)

    def made(self, kind, body, **other):
        """A frame as the agent would make it, but for what `other` says, from some sequence far ahead."""
        session = self.session
        secret = other.pop("secret", None) or self.agent.keys[other.get("key_id", session.key_id)]
        direction = other.pop("direction", b"r")
        header = Header(kind, 0, session.key_id, session.protection, session.sender, session.number,
                        random.getrandbits(62), 1, 1)._replace(**other)
        if kind in crtp.HANDSHAKE or header.session == 0:
            return Key.of_handshakes(secret, direction).close(header, body)
        key = Key.of_session(secret, session.nonces, direction, header.protection, header.key_id, header.session)
        return key.close(header, body)

    def told(self, kind, body, count, first=1 << 30):
        """Authentic messages in transactions that nobody began."""
        for transaction in range(first, first + count):
            self.host.tell(lambda agent, now: agent.say(kind, body, transaction))

    # MARK: a stranger, or the wire: frames without the session's key

    def test_recorded_frames_of_this_session(self):
        self.assertCounted("replayed", self.recorded * (1 + 500 // len(self.recorded)))

    def test_recorded_frames_of_an_old_epoch(self):
        old = [frame for frame in self.former
               if Header.parse(frame).session and Header.parse(frame).kind not in crtp.HANDSHAKE]
        self.assertCounted("unknown_session", old * 10)

    def test_recorded_handshakes(self):
        """Old ones and this one's: CHALLENGEs and ACCEPTs whose nonces nobody waits for."""
        frames = [frame for frame in self.former + self.host.sent if Header.parse(frame).kind in crtp.HANDSHAKE]
        self.assertCounted("unexpected", frames * 10)

    def test_recorded_hints_that_a_session_is_lost(self):
        hints = [frame for frame in self.host.sent if Header.parse(frame).kind == crtp.ERROR]
        self.assertCounted("unexpected", hints * 10)

    def test_the_directors_own_frames(self):
        own = [frame for frame in self.host.given if Header.parse(frame).session == self.number]
        self.assertCounted("unauthenticated", own[:100])

    def test_truncations(self):
        frame = max(self.recorded, key=len)
        self.assertCounted("malformed", [frame[:length] for length in range(1, len(frame))])

    def test_wrong_lengths(self):
        frame = self.recorded[-1]
        longer = [frame + os.urandom(count) for count in (1, 16, 1472 - len(frame))]
        said = [frame[:4] + struct.pack(">H", length) + frame[6:]
                for length in range(0, 1 << 16, 101) if length != len(frame)]
        self.assertCounted("malformed", longer + said)

    def test_other_headers(self):
        frame = self.recorded[-1]
        self.assertCounted("malformed", [bytes([0x10 | words]) + frame[1:] for words in range(16) if words != 4])
        self.assertCounted("malformed", [frame[:7] + bytes([protection]) + frame[8:] for protection in (0, 3, 4, 255)])
        self.assertCounted("bad_version", [bytes([version << 4 | 4]) + frame[1:] for version in range(16) if version != 1])

    def test_single_changed_bits(self):
        frame = self.recorded[-1]
        changed = [frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1:]
                   for at in list(range(16, 24)) + list(range(32, len(frame))) for bit in range(8)]
        self.assertCounted("unauthenticated", changed)

    def test_wrong_keys(self):
        body = crtp.terminate_body(crtp.ADMINISTRATIVE)
        secrets = [os.urandom(32) for _ in range(100)]
        self.assertCounted("unauthenticated", [self.made(crtp.TERMINATE, body, secret=secret) for secret in secrets])
        self.assertCounted("unauthenticated", [self.made(crtp.ERROR, crtp.error_body(crtp.BAD_SESSION, self.number),
                                                         secret=secret, session=0) for secret in secrets])
        self.assertCounted("unknown_key", [self.made(crtp.ERROR, crtp.error_body(crtp.BAD_SESSION, self.number),
                                                     secret=secrets[0], session=0, key_id=key_id)
                                           for key_id in range(3, 256)])
        self.assertCounted("unauthenticated", [self.made(crtp.TERMINATE, body, direction=b"i")])
        self.assertCounted("unknown_session", [self.made(crtp.TERMINATE, body, session=self.number ^ 1 << bit)
                                              for bit in range(32)])

    def test_authentic_frames_whose_header_is_not_the_sessions(self):
        body = crtp.terminate_body(crtp.ADMINISTRATIVE)
        for other in ({"key_id": 2}, {"protection": crtp.AUTHENTICATED}, {"sender": self.session.sender ^ 1}):
            with self.subTest(other=other):
                self.assertCounted("malformed", [self.made(crtp.TERMINATE, body, **other)])

    def test_frames_from_elsewhere(self):
        """Even authentic ones: the origin is no proxy, p2 is another."""
        for host, fate in (("origin", "unknownPeer"), ("p2", "unknown_session")):
            endpoint = endpoint_at(self.topology, host, f"{topology.v4(host)}:{7443}")
            try:
                frames = [self.made(crtp.TERMINATE, crtp.terminate_body(crtp.ADMINISTRATIVE)) for _ in range(100)]
                self.assertCounted(fate, frames, endpoint)
            finally:
                endpoint.close()

    def test_a_flood_while_the_director_is_asked_for_work(self):
        chance = random.Random(int(os.environ.get("BATON_SEED", "11")))
        every = self.recorded + self.former + self.host.given[-100:]
        frames = []
        for _ in range(FLOOD):
            frame = bytearray(chance.choice(every))
            spoil = chance.randrange(4)
            if spoil == 0:
                frame[chance.randrange(len(frame))] ^= 1 << chance.randrange(8)
            elif spoil == 1:
                del frame[chance.randrange(1, len(frame)):]
            elif spoil == 2:
                frame += chance.randbytes(chance.randrange(1, 64))
            frames.append(bytes(frame))
        before = self.crtp_counters()
        for part in range(4):
            self.throw(frames[part::4])
            self.play_from_origin(f"flood{part}", asked=1)
        # An answer to a TRANSFER may be among what does not fit into the socket's buffer.
        self.known["timeouts"] = self.proxy()["timeouts"]
        after = self.crtp_counters()
        refused = sum(after[fate] - before[fate] for fate in after if fate not in ("received", "sent", "accepted"))
        self.assertGreater(refused, FLOOD // 10, (before, after))

    # MARK: an agent that has the key and has lost its mind

    def test_answers_that_nobody_waits_for(self):
        before = self.crtp_counters()["staleAnswer"]
        for kind, body in ((crtp.TRANSFER_NACK, crtp.nack_body(crtp.NOT_FOUND)), (crtp.FIRST_BYTE, b""),
                           (crtp.TERMINATE_RESPONSE, b"")):
            self.told(kind, body, 50)
        wait_until("they are counted", lambda: self.crtp_counters()["staleAnswer"] - before >= 150, 10)

    def test_answers_without_end_and_a_recording_from_before_them(self):
        """So many that the recording is below the window of sequence numbers, where nobody remembers what has come."""
        before, count = self.crtp_counters()["staleAnswer"], 0
        while count < 2 * Window.SIZE:
            self.told(crtp.TRANSFER_NACK, crtp.nack_body(crtp.NOT_FOUND), BURST, (1 << 30) + count)
            count += BURST
            wait_until("they are counted", lambda: self.crtp_counters()["staleAnswer"] - before >= count, 10)
        old = [frame for frame in self.recorded if Header.parse(frame).sequence <= self.session.sequence - Window.SIZE]
        self.assertCounted("replayed", old)

    def test_messages_that_are_a_directors(self):
        before = self.crtp_counters()
        self.told(crtp.KEEPALIVE, b"\1" + bytes(7), 50)
        self.told(crtp.TERMINATE, crtp.terminate_body(crtp.LATE, 12345, 67890), 50)

        def grown(name):
            return self.crtp_counters()[name] - before[name]

        # A channel accepts a TERMINATE; that agents are not late is noticed behind that.
        wait_until("they are counted", lambda: grown("unexpected") >= 50 and grown("misplaced") >= 50, 10)

    def test_offers_of_connections_that_it_does_not_have(self):
        """Each is refused, and none moves anything."""
        answered, moved = self.agent.counters["unexpected"], self.services.counters()["flowsMoved"]
        refused = self.services.ctl("status")["transfers"]["moveRefused"]
        body = bytes(80) + b"\1" + b"\x12" + bytes(2) + struct.pack(">I", 12345) + crtp.part(crtp.REQUEST, b"GET / HTTP/1.1", True)
        self.told(crtp.TRANSFER, body, 50)
        wait_until("each is answered", lambda: self.agent.counters["unexpected"] - answered >= 50, 10)
        self.assertEqual(self.services.ctl("status")["transfers"]["moveRefused"] - refused, 50)
        self.assertEqual(self.services.counters()["flowsMoved"], moved)

    def test_bodies_that_cannot_be_read(self):
        before = self.crtp_counters()["bad_message"]
        self.told(crtp.TERMINATE, crtp.terminate_body(crtp.ADMINISTRATIVE)[:-1], 50)
        self.told(crtp.FLOW_INFO, bytes(47), 50)
        self.told(crtp.TRANSFER_NACK, crtp.nack_body(crtp.NOT_FOUND) + crtp.part(0x123, b"", True), 50)
        self.told(crtp.TRANSFER_NACK, crtp.nack_body(99), 50)
        self.told(0x55, b"", 50)
        wait_until("they are counted", lambda: self.crtp_counters()["bad_message"] - before >= 250, 10)

    def test_ends_of_connections_that_never_were(self):
        """Each is answered, and none ends anything."""
        answered = self.agent.counters["unexpected"]
        self.told(crtp.TERMINATE, crtp.terminate_body(crtp.FLOW_DONE, 12345, 67890, 1), 50)
        wait_until("each is answered", lambda: self.agent.counters["unexpected"] - answered >= 50, 10)
