#!/usr/bin/env python3
"""A second implementation of CRTP's agent, written from docs/crtp.md and nothing else.

It answers for its channels and for transfers, by a policy, and adopts nothing: a client whose connection it accepts waits
for ever. `Agent` is a machine without clock and sockets; `Host` runs it behind a UDP socket.

crtp_agent.py --listen 10.0.0.11:7443 --mac 02:ba:70:00:00:0b --key 1=FILE [--key 2=FILE] [--answer nack|ack|none]

It lists the keys that it holds; `hold` gives it others while it runs.
"""
import argparse
import collections
import hashlib
import hmac
import os
import secrets
import select
import signal
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from crtp_frames import (  # noqa: E402
    ACCEPT, ADMINISTRATIVE, ANNOUNCE, AUTHENTICATED, BAD_MESSAGE, BAD_SESSION, BAD_TLV, BAD_VERSION, BUSY, CANCEL,
    CHALLENGE, COOKIE, ERROR, EXPIRED, FIRST_BYTE, FIRST_BYTE_WANTED, FLOW_DONE, FLOW_INFO, FLOW_INFO_END, GROUP, HANDSHAKE,
    HELD, INIT, KEEPALIVE, KEEPALIVE_RESPONSE, LATE, NOT_FOUND, POLICY, SEALED, TERMINATE, TERMINATE_RESPONSE, TRANSFER,
    TRANSFER_ACK, TRANSFER_NACK, Fate, Header, Key, Window, accept_body, error_body, flow_info_body, flow_info_end_body,
    keepalive_response_body, nack_body, read_message, read_transfer, terminate_body)
from crtp_decode import FIXED, Refused, UnknownPart, read_parts  # noqa: E402

FATES = ("accepted", "unauthenticated", "replayed", "malformed", "unknown_session", "unknown_key", "bad_version",
         "bad_message", "unexpected", "refused")
COOKIE_SECONDS = 10
#: The page leaves these to the agent.
RESEND_SECONDS, DIRECTORS, REMEMBERED_ANSWERS = 0.2, 16, 4096

#: What the policy may answer beside a Nack and None, which is to say nothing.
ACCEPTED = "accepted"
Nack = collections.namedtuple("Nack", "reason retry_milliseconds detail", defaults=(0, 0))

Message = collections.namedtuple("Message", "header body source")


class Session:
    """One set of keys with a director."""

    def __init__(self, number, header, secret, init, nonce, protection, source):
        self.number, self.key_id, self.sender, self.source = number, header.key_id, header.sender, source
        self.protection = protection
        self.nonces = (init[:16], nonce)
        self.epoch, interval, multiplier, _, self.flags = struct.unpack_from(">QIBBH", init, 16)
        self.patience = (multiplier + 1) * min(max(interval / 1e6, 0.01), 60)
        self.receiving, self.sending = (
            Key.of_session(secret, self.nonces, direction, protection, header.key_id, number) for direction in (b"i", b"r"))
        self.window = Window()
        self.accept = None
        self.sequence = 0
        self.heard = None
        self.until = None


class Group:
    """A director's multicast group, as its KEEPALIVE names it."""

    def __init__(self, said, keys):
        self.said = said
        self.key_id, self.protection, self.number = struct.unpack_from(">BBI", said, 18)
        self.key = Key.of_group(keys[self.key_id], said[24:], self.protection, self.key_id, self.number)
        self.window = Window()


class Director:
    """All that is known of one director, by its sender id. One that starts anew may come with another."""

    def __init__(self):
        self.in_force = self.waiting = self.former = None
        self.epoch = None
        self.group = None
        #: Transaction of a TRANSFER → (type, body) of its answer.
        self.answers = collections.OrderedDict()
        #: Transaction → Asked: adopted, without a request yet.
        self.adopted = {}
        #: Transaction of a TERMINATE → [body, attempt, when it is due again].
        self.ending = {}

    @property
    def sessions(self):
        return [session for session in (self.in_force, self.waiting, self.former) if session]


class Agent:
    """CRTP's responder: datagrams, wishes and time in, datagrams with their addresses out."""

    def __init__(self, keys, policy, name="second", protection=SEALED, mac=bytes(6), vlan=0xFFFF, credits=1024,
                 capabilities=0xFF, mtu=1500, random=secrets.token_bytes):
        self.keys = keys
        self.policy = policy
        self.protection, self.credits, self.random = protection, credits, random
        self.about = (vlan, mac, credits, capabilities, mtu)
        self.name = name.encode()
        #: False: INITs are not answered.
        self.welcoming = True
        self.draining = False
        #: Groups that are listened to: the address's 16 bytes and the port's two.
        self.groups = set()
        self.counters = dict.fromkeys(FATES, 0)
        self.directors = {}
        self.sessions = {}
        #: Transaction → Asked: connections whose request has arrived. They outlive who handed them over.
        self.served = {}
        self.epoch = int.from_bytes(random(8), "big")
        self._secret = random(32)
        self._transaction = 0
        self._errors = collections.deque(maxlen=10)
        self._out = []

    def receive(self, frame, source, now):
        try:
            self._judge(frame, source, now)
            fate = "accepted"
        except Fate as judged:
            fate = judged.args[0]
        self.counters[fate] += 1
        return self._taken()

    def receive_from_group(self, frame, source):
        """What came to a group: TRANSFER and nothing else, and never answered when it cannot be placed."""
        try:
            header = Header.parse(frame)
            director = next((one for one in self.directors.values()
                             if one.in_force and one.group and one.group.number == header.session), None)
            if header.kind != TRANSFER:
                raise Fate("malformed")
            if director is None:
                raise Fate("unknown_session")
            group = director.group
            if (group.key_id, group.protection, director.in_force.sender) != header[2:5]:
                raise Fate("malformed")
            body = group.key.open(header, frame)
            if not group.window.admit(header.sequence):
                raise Fate("replayed")
            # The answer goes where the director's own frames come from.
            self._take(director, Message(header, body, director.in_force.source))
            fate = "accepted"
        except Fate as judged:
            fate = judged.args[0]
        self.counters[fate] += 1
        return self._taken()

    def tick(self, now):
        """Sessions that are over, and TERMINATEs that are due again."""
        for director in self.directors.values():
            for session in (director.waiting, director.in_force):
                if session and now - session.heard >= session.patience:
                    self._forget(director, session)
            if director.former and now >= director.former.until:
                self._forget(director, director.former)
            for transaction, ending in director.ending.items():
                if director.in_force and now >= ending[2]:
                    ending[1:] = ((ending[1] + 1) % 256, now + RESEND_SECONDS)
                    self._send(director, TERMINATE, ending[0], transaction, ending[1])
        for sender in [sender for sender, director in self.directors.items() if not director.sessions]:
            del self.directors[sender]
        return self._taken()

    # --- wishes ---

    def begin(self, transaction):
        """The request of an adopted connection has arrived."""
        for director in self.directors.values():
            if transaction in director.adopted:
                asked = self.served[transaction] = director.adopted.pop(transaction)
                if asked.flags & FIRST_BYTE_WANTED:
                    self._send(director, FIRST_BYTE, b"", transaction)
        return self._taken()

    def finish(self, transaction, sent, now):
        """A served connection is over: all directors are told, for all had it announced."""
        asked = self.served.pop(transaction)
        for director in self.directors.values():
            self._terminate(director, terminate_body(FLOW_DONE, transaction, asked.psn, sent), now)
        return self._taken()

    def close(self, now):
        """Ends all channels."""
        for director in self.directors.values():
            if director.in_force:
                self._terminate(director, terminate_body(ADMINISTRATIVE), now)
        return self._taken()

    def hold(self, keys):
        """Other keys from now on. Sessions go on until their director replaces them."""
        self.keys = dict(keys)
        return self._taken()

    def say(self, kind, body, transaction):
        """A message of the caller's making, in every session in force."""
        for director in self.directors.values():
            self._send(director, kind, body, transaction)
        return self._taken()

    # --- judgement ---

    def _judge(self, frame, source, now):
        try:
            header = Header.parse(frame)
        except Fate as judged:
            if judged.args[0] == "bad_version":
                self._answer_version(len(frame), frame[1:2] == bytes([ERROR]), source, now)
            raise
        session = None if header.kind in HANDSHAKE else self.sessions.get(header.session)
        if session is None:
            self._judge_outside(header, frame, source, now)
            return
        if (session.key_id, session.protection, session.sender) != header[2:5]:
            raise Fate("malformed")
        body = session.receiving.open(header, frame)
        if not session.window.admit(header.sequence):
            raise Fate("replayed")
        session.heard = now
        director = self.directors[session.sender]
        is_first = session is director.waiting
        announces = is_first and self._bring_into_force(director, now)
        try:
            self._take(director, Message(header, body, source))
        finally:
            if announces:
                self._announce(director)

    def _judge_outside(self, header, frame, source, now):
        """A frame of a handshake, or of no session that is known."""
        if header.key_id not in self.keys:
            raise Fate("unknown_key")
        if header.kind in HANDSHAKE or header.kind == ERROR and header.session == 0:
            body = self._handshake_key(header, b"i").open(header, frame)
            if header.kind != INIT or header.session != 0:
                raise Fate("unexpected")
            self._initiate(header, body, len(frame), source, now)
            return
        if header.kind != ERROR:
            self._complain(header, error_body(BAD_SESSION, header.session), len(frame), source, now)
        raise Fate("unknown_session")

    def _take(self, director, message):
        """A message in a session, authentic and new."""
        kind = message.header.kind
        if kind not in FIXED and kind < 0x80:
            self._answer(director, message, ERROR, error_body(BAD_MESSAGE, kind))
            raise Fate("bad_message")
        if kind not in (KEEPALIVE, TRANSFER, TERMINATE, TERMINATE_RESPONSE, ERROR):
            raise Fate("unexpected")
        try:
            read_message(kind, message.body)
        except Refused as refused:
            self._refuse(director, message, refused)
            raise Fate("bad_message") from None
        if kind == KEEPALIVE:
            self._follow(director, read_parts(KEEPALIVE, message.body).get(GROUP))
            self._answer(director, message, KEEPALIVE_RESPONSE, self._load(director))
        elif kind == TRANSFER:
            self._transfer(director, message)
        elif kind == TERMINATE:
            self._ended(director, message)
        elif kind == TERMINATE_RESPONSE:
            ending = director.ending.pop(message.header.transaction, None)
            if ending is None:
                raise Fate("unexpected")
            if ending[0][0] == ADMINISTRATIVE:
                self._close(director)

    def _follow(self, director, said):
        """KEEPALIVE names a group, or none. The same one goes on."""
        if said is None or said[:18] not in self.groups or said[18] not in self.keys:
            director.group = None
        elif director.group is None or director.group.said != said:
            director.group = Group(said, self.keys)

    def _refuse(self, director, message, refused):
        """A body that cannot be read."""
        kind = message.header.kind
        if isinstance(refused, UnknownPart) and kind == TRANSFER:
            self._answer(director, message, TRANSFER_NACK, nack_body(BAD_TLV, 0, refused.number))
        elif kind != ERROR:
            detail = refused.number if isinstance(refused, UnknownPart) else kind
            self._answer(director, message, ERROR, error_body(BAD_MESSAGE, detail))

    # --- opening ---

    def _initiate(self, header, init, size, source, now):
        try:
            cookie = read_parts(INIT, init).get(COOKIE, b"")
        except Refused:
            raise Fate("bad_message") from None
        interval, multiplier, protection = struct.unpack_from(">IBB", init, 24)
        if interval == 0 or multiplier == 0 or protection not in (AUTHENTICATED, SEALED):
            raise Fate("bad_message")
        if not self.welcoming:
            raise Fate("refused")
        if not self._is_good(cookie, header, init, source, now):
            clock = struct.pack(">Q", int(now * 1e6))
            body = init[:16] + clock + self._cookie_code(clock, header, init, source)
            self._send_outside(header, CHALLENGE, 0, body, size, source)
            return
        director = self.directors.get(header.sender)
        if director is None:
            if len(self.directors) >= DIRECTORS:
                raise Fate("refused")
            director = self.directors[header.sender] = Director()
        for session in (director.in_force, director.waiting):
            if session and (session.nonces[0], session.key_id) == (init[:16], header.key_id):
                break
        else:
            session = self._admit(director, header, init, source, now)
        self._send_outside(header, ACCEPT, session.number, session.accept, size, source)

    def _admit(self, director, header, init, source, now):
        """A session that waits, in the place of one that waited before."""
        if director.waiting:
            self._forget(director, director.waiting)
        number = 0
        while number == 0 or number in self.sessions:
            number = int.from_bytes(self.random(4), "big")
        protection = max(self.protection, init[29])
        session = Session(number, header, self.keys[header.key_id], init, self.random(16), protection, source)
        session.accept = accept_body(session.nonces, self.epoch, *self.about, protection, self.name, self.keys)
        session.heard = now
        self.sessions[number] = director.waiting = session
        return session

    def _bring_into_force(self, director, now):
        """The session that waited replaces the one in force; true when connections are to be announced."""
        session, before = director.waiting, director.in_force
        started_anew = director.epoch not in (None, session.epoch)
        director.waiting, director.in_force, director.epoch = None, session, session.epoch
        if director.former:
            self._forget(director, director.former)
        if before:
            before.until = now + before.patience
            director.former = before
            if started_anew:
                self._forget(director, before)
        if started_anew:
            for told in (director.answers, director.adopted, director.ending):
                told.clear()
        return before is None or started_anew or session.flags & ANNOUNCE

    def _announce(self, director):
        for transaction, asked in self.served.items():
            self._send(director, FLOW_INFO, flow_info_body(asked.key, transaction), self._next_transaction())
        self._send(director, FLOW_INFO_END, flow_info_end_body(len(self.served)), self._next_transaction())

    def _cookie_code(self, clock, header, init, source):
        address, port = source[:2]
        packed = socket.inet_pton(socket.AF_INET6, address if ":" in address else f"::ffff:{address}")
        data = b"CRTP/1 cookie" + clock + packed + struct.pack(">HI", port, header.sender) + init[:16]
        return hmac.new(self._secret, data, hashlib.sha256).digest()[:16]

    def _is_good(self, cookie, header, init, source, now):
        if len(cookie) != 24 or not hmac.compare_digest(
                cookie[8:], self._cookie_code(cookie[:8], header, init, source)):
            return False
        return 0 <= now - int.from_bytes(cookie[:8], "big") / 1e6 <= COOKIE_SECONDS

    # --- transfers ---

    def _transfer(self, director, message):
        asked = read_transfer(message.header, message.body)
        if asked.transaction not in director.answers:
            answer = self._decide(director, asked)
            if answer is None:
                return
            director.answers[asked.transaction] = answer
            if len(director.answers) > REMEMBERED_ANSWERS:
                director.answers.popitem(last=False)
        self._answer(director, message, *director.answers[asked.transaction])

    def _decide(self, director, asked):
        held = asked.flags & HELD
        if held and len(director.adopted) >= self.credits:
            answer = Nack(BUSY)
        elif asked.requires:
            answer = Nack(POLICY)  # this agent promises nothing
        else:
            answer = self.policy(asked)
        if answer is None:
            return None
        if answer != ACCEPTED:
            return TRANSFER_NACK, nack_body(*answer)
        if held:
            director.adopted[asked.transaction] = asked
        return TRANSFER_ACK, b""

    def _ended(self, director, message):
        cause, transfer, psn = struct.unpack_from(">B3xII", message.body)
        asked = director.adopted.get(transfer)
        if cause in (CANCEL, LATE) and asked and asked.psn == psn:
            del director.adopted[transfer]
            director.answers[transfer] = TRANSFER_NACK, nack_body(EXPIRED)
        self._answer(director, message, TERMINATE_RESPONSE, b"")
        if cause == ADMINISTRATIVE:
            self._close(director)

    def _load(self, director):
        connections = len(director.adopted) + len(self.served)
        return keepalive_response_body(
            connections, self.credits - len(director.adopted), flags=self.draining + 2 * bool(director.group),
            held=self.keys)

    def _terminate(self, director, body, now):
        transaction = self._next_transaction()
        director.ending[transaction] = [body, 0, now + RESEND_SECONDS]
        self._send(director, TERMINATE, body, transaction)

    # --- ends ---

    def _forget(self, director, session):
        del self.sessions[session.number]
        for place in ("in_force", "waiting", "former"):
            if getattr(director, place) is session:
                setattr(director, place, None)

    def _close(self, director):
        for session in director.sessions:
            self._forget(director, session)
        for transaction in [t for t, ending in director.ending.items() if ending[0][0] == ADMINISTRATIVE]:
            del director.ending[transaction]

    # --- out ---

    def _taken(self):
        out, self._out = self._out, []
        return out

    def _next_transaction(self):
        self._transaction = (self._transaction + 1) % (1 << 32)
        return self._transaction

    def _answer(self, director, message, kind, body):
        self._send(director, kind, body, message.header.transaction, message.header.attempt, message.source)

    def _send(self, director, kind, body, transaction, attempt=0, address=None):
        """In the session in force; what there is no session for is lost, as on any network."""
        session = director.in_force
        if session:
            session.sequence += 1
            header = Header(kind, 0, session.key_id, session.protection, session.sender, session.number, session.sequence,
                            transaction, attempt)
            self._out.append((session.sending.close(header, body), address or session.source))

    def _handshake_key(self, header, direction):
        return Key.of_handshakes(self.keys[header.key_id], direction)

    def _send_outside(self, header, kind, session, body, size, source):
        """An answer outside sessions, unless it is longer than what it answers."""
        frame = self._handshake_key(header, b"r").close(
            header._replace(kind=kind, session=session, sequence=0), body)
        if len(frame) <= size:
            self._out.append((frame, source))

    def _complain(self, header, body, size, source, now):
        """An ERROR outside sessions."""
        if len(self._errors) < 10 or now - self._errors[0] >= 1:
            self._errors.append(now)
            self._send_outside(header, ERROR, 0, body, size, source)

    def _answer_version(self, size, is_error, source, now):
        """Only the first two bytes of such a frame can be read, so the answer repeats nothing."""
        if not is_error:
            header = Header(ERROR, 0, min(self.keys), AUTHENTICATED, 0, 0, 0, 0, 0)
            self._complain(header, error_body(BAD_VERSION, 0), size, source, now)


# --- behind a socket ---

class Host(threading.Thread):
    """Runs an agent behind a UDP socket. Other threads speak to the agent by `tell` only."""

    def __init__(self, agent, endpoint):
        super().__init__(daemon=True)
        self.agent = agent
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._ended = threading.Event()
        family = (socket.IPPROTO_IPV6, 23) if endpoint.family == socket.AF_INET6 else (socket.IPPROTO_IP, 10)
        endpoint.setsockopt(*family, 2)  # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: IP_PMTUDISC_DO
        endpoint.setblocking(False)

    def run(self):
        while not self._ended.is_set():
            ready, _, _ = select.select([self.endpoint], [], [], 0.05)
            if ready:
                self._receive()
            self.tell(lambda agent, now: agent.tick(now))

    def _receive(self):
        for _ in range(64):
            try:
                frame, source = self.endpoint.recvfrom(65536)
            except OSError:
                return
            self.tell(lambda agent, now: agent.receive(frame, source, now))

    def tell(self, wish):
        """`wish` gets the agent and the time; the datagrams that it returns are sent."""
        with self._lock:
            for frame, address in wish(self.agent, time.monotonic()):
                self.send(frame, address)

    def send(self, frame, address):
        try:
            self.endpoint.sendto(frame, address)
        except OSError:
            pass  # one more lost datagram

    def stop(self):
        self._ended.set()
        if self.is_alive():
            self.join()
        self.endpoint.close()


def bound(address):
    """A UDP socket at `address:port`."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    endpoint = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.bind((host, int(port)))
    return endpoint


def read_key(path):
    with open(path) as file:
        return bytes.fromhex(file.read().strip())


def main():
    parser = argparse.ArgumentParser(description="An agent that answers and adopts nothing.")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT")
    parser.add_argument("--key", required=True, action="append", metavar="NUMBER=FILE")
    parser.add_argument("--mac", default="00:00:00:00:00:00", help="what the director is told")
    parser.add_argument("--name", default="second")
    parser.add_argument("--protection", choices=("sealed", "authenticated"), default="sealed")
    parser.add_argument("--answer", choices=("nack", "ack", "none"), default="nack")
    options = parser.parse_args()
    answer = {"nack": Nack(NOT_FOUND), "ack": ACCEPTED, "none": None}[options.answer]
    keys = {int(number): read_key(path) for number, path in (entry.split("=", 1) for entry in options.key)}
    agent = Agent(keys, lambda asked: answer, options.name, SEALED if options.protection == "sealed" else AUTHENTICATED,
                  bytes.fromhex(options.mac.replace(":", "")))
    host = Host(agent, bound(options.listen))
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    host.start()
    signal.sigwait(ends)
    host.tell(lambda agent, now: agent.close(now))
    host.stop()
    print(" ".join(f"{fate}={count}" for fate, count in agent.counters.items() if count))


if __name__ == "__main__":
    main()
