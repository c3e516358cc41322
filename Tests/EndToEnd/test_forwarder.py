"""Forwarders before classifiers: whatever of them ends, the connections that proxies have go on."""

import contextlib
import hashlib
import re
import signal
import socket
import struct

from .laboratory_case import LaboratoryCase, conservation_gap, curl, run, topology, wait_until
from .second_agent import made_at
from lab.capture import Capture
from lab.forwarding import FORWARDERS, VNI, Forwarding
from lab.scenarios import CACHED_HOST, MOVING_HOST, sha256_of
from lab.services import CRTP_PORT
from lab.topology import FORWARDED, PROXIES, TUNNELS

MEBIBYTE = 1 << 20
#: Only the origin has it, and no socket's buffer takes it.
FAR = "far.bin"
#: What comes behind the fragment's mark is for curl's counting alone.
URL = f"http://{CACHED_HOST}/slow.bin#"


class ForwarderCase(LaboratoryCase):
    kind, outer, classifiers = "gue", 4, ("k1",)
    forwarding = None

    @classmethod
    def start(cls):
        super().start()
        cls.forwarding = Forwarding(cls.laboratory, cls.kind, cls.outer, cls.classifiers)
        cls.forwarding.__enter__()

    @classmethod
    def tearDownClass(cls):
        if cls.forwarding:
            cls.forwarding.__exit__()
        super().tearDownClass()

    def setUp(self):
        """All boxes are there, whatever the test before has ended."""
        for name in self.classifiers:
            if name not in self.services.processes:
                self.forwarding.start_classifier(name)
        for name in FORWARDERS:
            if name not in self.services.processes:
                self.forwarding.start_forwarder(name)
            wait_until(f"{name} finds all classifiers up",
                       lambda name=name: self.forwarding.are_up(name, self.classifiers), 60)
        self.forwarding.land("f1")

    def tearDown(self):
        for name in (*FORWARDERS, *self.classifiers):
            if name in self.services.processes:
                wait_until(f"{name}'s counters balance",
                           lambda name=name: conservation_gap(self.forwarding.counters(name)) == 0, 5)

    def begin(self, count=4, addresses=FORWARDED):
        """So many slow downloads over each family, begun and mapped, and how to hear what became of them."""
        finishes = []
        for address in addresses:
            before = {name: self.forwarding.mapped(name) for name in self.running}
            finishes.append(self.start_slow("slow.bin", count, URL, "--resolve", f"{CACHED_HOST}:80:{address}"))
            for name, mapped in before.items():
                wait_until(f"{name} has the mappings",
                           lambda name=name, mapped=mapped: self.forwarding.mapped(name) >= mapped + count, 10)

        def finish():
            for one in finishes:
                one()
        return finish

    @property
    def running(self):
        return [name for name in FORWARDERS if name in self.services.processes]

    def served(self):
        """Requests that the proxies and the origin have answered."""
        return sum(len(self.services.access_log(name)) for name in PROXIES), len(self.services.access_log("origin"))


class Ends(ForwarderCase):
    classifiers = ("k1", "k2")
    files = {"slow.bin": (MEBIBYTE, True)}

    def test_classifiers_end_and_what_proxies_have_goes_on(self):
        """One after the other, SIGKILL. In between new connections are the other one's."""
        before = self.served()
        with self.assertClientSeesNothing("c1"):
            first = self.begin()
            self.services.kill("k1")
            for name in FORWARDERS:
                wait_until(f"{name} finds it down", lambda name=name: self.forwarding.are_up(name, ("k2",)), 20)
            second = self.begin()
            self.services.kill("k2")
            first()
            second()
        self.assertEqual(self.served(), (before[0] + 16, before[1]))

    def test_a_forwarder_that_starts_anew_hears_of_all(self):
        """While it was away the other one had the connections; then they come back."""
        with self.assertClientSeesNothing("c1"):
            finish = self.begin()
            self.services.kill("f1")
            self.forwarding.land("f2")
            self.forwarding.start_forwarder("f1")
            wait_until("it has the mappings", lambda: self.forwarding.mapped("f1") >= 8, 10)
            for name in self.classifiers:
                self.services.kill(name)
            before = self.forwarding.counters("f1")
            self.forwarding.land("f1")
            finish()
        after = self.forwarding.counters("f1")
        self.assertGreater(after["encapsulated"], before["encapsulated"])
        self.assertEqual(after["mappingsWanted"], 0)

    def test_what_was_not_heard_is_asked_for(self):
        """The announcements to one forwarder are lost; when it gets the connection it asks, once, and meanwhile the
        classifier has it."""
        rule = f"udp sport {CRTP_PORT} drop"
        self.topology.run("f2", "nft", "add table inet deaf; add chain inet deaf in "
                          "{ type filter hook input priority 0; }; add rule inet deaf in " + rule)
        try:
            finish = self.start_slow("slow.bin", 1, URL, "--resolve", f"{CACHED_HOST}:80:{FORWARDED[0]}")
            wait_until("the other one has the mapping", lambda: self.forwarding.mapped("f1") > 0, 10)
        finally:
            self.topology.run("f2", "nft", "delete table inet deaf")
        before = self.forwarding.counters("f2")
        with self.assertClientSeesNothing("c1"):
            self.forwarding.land("f2")
            wait_until("it has asked", lambda: self.forwarding.mapped("f2") > before["committedFlows"], 10)
            finish()
        after = self.forwarding.counters("f2")
        self.assertEqual(after["mappingsWanted"] - before["mappingsWanted"], 1)
        self.assertGreater(after["forwardedToClassifier"], before["forwardedToClassifier"])

    def test_nobody_is_asked_again_and_again(self):
        """Segments of connections that nobody has."""
        before = self.forwarding.counters("f1")["mappingsWanted"]
        script = """
import socket, struct, sys, time
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
def sum16(data):
    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while total >> 16: total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff
source, target = map(socket.inet_aton, sys.argv[1:3])
raw.bind((sys.argv[1], 0))
for turn in range(100):
    for port in range(5):
        head = struct.pack('!HHIIBBHHH', 50000 + port, 80, 7, 9, 0x50, 0x10, 999, 0, 0)
        check = sum16(source + target + struct.pack('!HH', 6, 20) + head)
        raw.sendto(head[:16] + struct.pack('!H', check) + head[18:], (sys.argv[2], 0))
    time.sleep(0.01)
"""
        self.topology.run("client", "python3", "-c", script, topology.v4("return"), FORWARDED[0])
        asked = self.forwarding.counters("f1")["mappingsWanted"] - before
        self.assertTrue(5 <= asked <= 10, asked)

    def test_a_connection_that_moves_takes_its_mapping_along(self):
        """Between two requests, from one proxy to the other and back; each answers by itself."""
        files = ["only-p1.bin", "only-p2.bin", "only-p1.bin"]
        for address in FORWARDED:
            got = curl(self.laboratory).get([f"http://{MOVING_HOST}/{file}" for file in files], {MOVING_HOST: address})
            self.assertTrue(got.ok, got.error)
            self.assertEqual(got.sha256, [sha256_of(f"{self.laboratory.content.origin}/{file}") for file in files])
        for name in PROXIES:
            served = [line for line in self.services.access_log(name) if "only-" in line]
            self.assertTrue(all(f"only-{name}.bin" in line and "by=document" in line for line in served), served)
        moved = self.services.ctl("status", director="k1")["transfers"]["committed"] + self.services.ctl(
            "status", director="k2")["transfers"]["committed"]
        self.assertGreaterEqual(moved, 6)

    def test_the_origin_gets_what_no_proxy_has(self):
        """By way of the classifier, translated; its answers pass there."""
        self.services.kill("k2")
        for name in FORWARDERS:
            wait_until(f"{name} finds it down", lambda name=name: self.forwarding.are_up(name, ("k1",)), 20)
        before = len(self.services.access_log("origin"))
        for address in FORWARDED:
            got = curl(self.laboratory).get([f"http://{CACHED_HOST}/uncached.bin"], {CACHED_HOST: address})
            self.assertTrue(got.ok, got.error)
        self.assertEqual(len(self.services.access_log("origin")) - before, 2)
        self.assertGreaterEqual(self.forwarding.counters("k1")["flowsBound"], 2)


class Moments(ForwarderCase):
    """Connections that no proxy has yet, or ever: docs/failures.md, cell by cell."""

    classifiers = ("k1", "k2")
    files = {"slow.bin": (MEBIBYTE, True), FAR: (16 * MEBIBYTE, False)}

    # MARK: connections

    def connection(self, address):
        """One whose handshake the first classifier has made."""
        def answered():
            return [self.forwarding.counters(name)["synsAnswered"] for name in self.classifiers]

        def connect():
            made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
            made.settimeout(10)
            made.connect((address, 80))
            return made

        for _ in range(64):
            before = answered()
            made = made_at(self.topology, "client", connect)
            wait_until("a classifier has counted it", lambda: sum(answered()) > sum(before), 5)
            if answered()[0] > before[0]:
                self.addCleanup(made.close)
                return made
            # Without a FIN, which its classifier would take to an origin, where it has one.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            made.close()
        self.fail("no connection of 64 is the first classifier's")

    def connections(self):
        """One of each family."""
        return [self.connection(address) for address in FORWARDED]

    @staticmethod
    def ask(connection, file):
        connection.sendall(f"GET /{file} HTTP/1.1\r\nHost: {CACHED_HOST}\r\nConnection: close\r\n\r\n".encode())

    def assertServed(self, connection, file, begun=b""):
        answer = bytearray(begun)
        while piece := connection.recv(1 << 20):
            answer += piece
        head, _, body = bytes(answer).partition(b"\r\n\r\n")
        self.assertIn(b" 200 ", head)
        self.assertEqual(hashlib.sha256(body).hexdigest(), sha256_of(f"{self.laboratory.content.origin}/{file}"))

    def assertLost(self, connection):
        """Nobody says anything more: neither an end nor a reset."""
        connection.settimeout(1)
        with self.assertRaises(TimeoutError):
            while connection.recv(1 << 20):
                pass
            self.fail("it has come to an end")

    # MARK: boxes

    def end(self, name, is_killed=True):
        if is_killed:
            self.services.kill(name)
        else:
            self.services.processes.pop(name).stop()

    def end_classifier(self, name):
        self.end(name)
        for forwarder_name in self.running:
            wait_until(f"{forwarder_name} finds it down",
                       lambda: not self.forwarding.are_up(forwarder_name, self.classifiers), 60)

    def end_forwarder(self, is_killed=True):
        """And the other one gets the client's packets."""
        self.end("f1", is_killed)
        self.forwarding.land("f2")

    @contextlib.contextmanager
    def nobody_answers(self):
        """Both agents stand still: requests are held and asked for."""
        agents = [self.services.processes[name] for name in PROXIES]
        for agent in agents:
            agent.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for agent in agents:
                agent.signal(signal.SIGCONT)

    # MARK: cells

    def test_new_and_a_forwarder_ends(self):
        for is_killed in (True, False):
            with self.subTest(is_killed=is_killed), self.assertClientSeesNothing("c1"):
                waiting = self.connections()
                self.end_forwarder(is_killed)
                for connection in waiting:
                    self.ask(connection, "slow.bin")
                    self.assertServed(connection, "slow.bin")
            self.forwarding.start_forwarder("f1")
            self.forwarding.land("f1")

    def test_new_and_its_classifier_ends(self):
        """The other one has made no such cookie, and resets nobody."""
        waiting = self.connections()
        self.end_classifier("k1")
        before = self.forwarding.counters("k2")
        for connection in waiting:
            self.ask(connection, "slow.bin")
            self.assertLost(connection)
        after = self.forwarding.counters("k2")
        self.assertGreaterEqual(after["cookiesRefused"] - before["cookiesRefused"], 2)

    def test_held_and_a_forwarder_ends(self):
        with self.assertClientSeesNothing("c1"):
            asking = [(connection, file) for file in (FAR, "slow.bin") for connection in self.connections()]
            with self.nobody_answers():
                for connection, file in asking:
                    self.ask(connection, file)
                self.end_forwarder()
            for connection, file in asking:
                self.assertServed(connection, file)

    def test_held_and_its_classifier_ends(self):
        asking = self.connections()
        with self.nobody_answers():
            for connection in asking:
                self.ask(connection, "slow.bin")
            self.end_classifier("k1")
        # Whatever an agent has adopted of it says nothing.
        for connection in asking:
            self.assertLost(connection)

    def test_translated_and_boxes_end(self):
        """What the origin has passes its classifier: it outlives a forwarder."""
        with self.assertClientSeesNothing("c1"):
            loading = self.connections()
            for connection in loading:
                self.ask(connection, FAR)
            begun = [connection.recv(1) for connection in loading]
            self.end_forwarder()
            for connection, first in zip(loading, begun):
                self.assertServed(connection, FAR, first)
        loading = self.connections()
        for connection in loading:
            self.ask(connection, FAR)
            connection.recv(1)
        self.end_classifier("k1")
        for connection in loading:
            self.assertLost(connection)


class Tunnels(ForwarderCase):
    """What the tunnels carry, by tshark's account and by the agents'."""

    kind, outer = "vxlan", 6
    files = {"slow.bin": (256 << 10, True)}

    def test_packets_name_their_flow(self):
        path = self.services.path("tunnels.pcap")
        capture = Capture(self.topology, "fabric", "f-f1s", path, "udp port 4789", 2048)
        try:
            self.begin(count=3)()
        finally:
            capture.stop()
        options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
        rows = [line.split("\t") for line in run(
            "tshark", "-r", path, *options, "-Y", "vxlan", "-T", "fields", "-e", "ipv6.dst", "-e", "vxlan.vni",
            "-e", "tcp.stream").splitlines()]
        ends = {row[0].split(",")[0]: name for row in rows for name in (*PROXIES, "k1")
                if row[0].split(",")[0] == (topology.v6(name) if name in PROXIES else TUNNELS[name][1])}
        named = {}
        for row in rows:
            to = ends[row[0].split(",")[0]]
            if to == "k1":
                self.assertEqual(row[1], str(VNI))
            else:
                named.setdefault(row[2], set()).add((to, row[1]))
        self.assertEqual(len(named), 6)
        self.assertTrue(all(len(names) == 1 for names in named.values()), named)
        self.assertEqual(len(set().union(*named.values())), 6, named)
        wrong = "_ws.expert.severity >= 8388608 || udp.checksum.status == 0 || _ws.malformed"
        self.assertEqual(run("tshark", "-r", path, *options, "-Y", wrong), "")
        self.assertNothingRefused()

    def test_agents_are_succeeded_and_nobody_notices(self):
        """Downloads from before, and connections that only the successor has given a name: VXLAN takes no others."""
        with self.assertClientSeesNothing("c1"):
            finish = self.begin(count=3)
            old = [self.services.succeed_agent(name) for name in PROXIES]
            self.begin(count=3)()
            finish()
        for process in old:
            self.assertEqual(process.wait(60), 0, process.tail())
        self.assertNothingRefused()

    def assertNothingRefused(self):
        for name in PROXIES:
            with open(self.services.path(f"{name}.log"), errors="replace") as file:
                self.assertIsNone(re.search(r"packets on the directors' way", file.read()))
