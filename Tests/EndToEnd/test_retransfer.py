"""Connections that move again: one client connection, objects of one proxy, of the other, and of the origin."""

import hashlib
import http.client
import socket
import unittest

from .laboratory_case import LaboratoryCase, curl, resolve, scenarios, topology, wait_until
from .second_agent import made_at
from lab.capture import FIN, RST, SYN, Capture, read_segments
from lab.services import MOVING_HOST

TRANSFER, ACK, NACK, TERMINATE = 16, 17, 18, 21
#: Mark of a connection that is on offer.
SUSPENDED = "fwmark:0xba700003"
FILES = ["only-p1.bin", "only-p2.bin", "uncached.bin", "only-p1.bin"]


class Retransfer(LaboratoryCase):
    relayed = ("client", "crtp", "far")

    def test_objects_of_two_proxies_and_the_origin(self):
        self.play(scenarios.retransfer)
        self.assertGreater(self.services.counters()["flowsMoved"], 0)

    def whole(self):
        """All objects over one connection, byte for byte."""
        got = curl(self.laboratory).get([f"http://{MOVING_HOST}/{name}" for name in FILES], resolve(), seconds=60)
        self.assertTrue(got.ok, got.error)
        self.assertEqual(got.sha256, [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}") for name in FILES])

    def impaired(self, leg):
        moved = self.services.counters()["flowsMoved"]
        self.topology.impair(leg, "--loss", "0.1", "--duplicate", "0.1", "--reorder", "0.1", "--seed", "7")
        try:
            for _ in range(12):
                self.whole()
        finally:
            self.topology.impair(leg)
        self.assertGreater(self.services.counters()["flowsMoved"], moved, "nothing moved")
        self.assertNothingHeld()
        self.assertConserved()

    def test_whatever_crtp_loses_repeats_and_reorders(self):
        self.impaired("crtp")

    def test_whatever_the_clients_leg_loses_repeats_and_reorders(self):
        self.impaired("client")

    def test_the_other_proxy_is_dead(self):
        self.services.pause("p2")
        try:
            self.whole()
        finally:
            self.services.resume("p2")


class InBetween(LaboratoryCase):
    """One of those who take part is killed, or not heard, between two requests."""
    relayed = ("far", "crtp")
    #: p1 and p2 are asked, whatever was lost before.
    crtp_options = {"set-aside-after": 0, "refusal-lifetime": "0s"}

    def setUp(self):
        """A connection of the client's that p1 serves."""
        self.connection = made_at(self.topology, "client", lambda: socket.create_connection((topology.v4("origin"), 80), 30))
        self.addCleanup(self.connection.close)
        self.ask("only-p1.bin")
        self.assertWhole("only-p1.bin")
        self.assertIn(":80", self.established("p1"))

    def tearDown(self):
        self.topology.impair("crtp")
        for name in self.topology.proxies:
            if name not in self.services.processes:
                self.laboratory.start_agent_anew(name)
        self.laboratory.wait_for_proxies()
        self.assertNothingHeld()
        self.assertConserved()

    # MARK: parts

    def ask(self, name):
        self.connection.sendall(f"GET /{name} HTTP/1.1\r\nHost: {MOVING_HOST}\r\n\r\n".encode())

    def assertWhole(self, name):
        response = http.client.HTTPResponse(self.connection)
        response.begin()
        digest = hashlib.sha256(response.read()).hexdigest()
        self.assertEqual(digest, scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}"))

    def established(self, name):
        return self.topology.run(name, "ss", "-Htne", "state", "established", "( sport = :80 )")

    def lose(self, *kinds):
        self.topology.impair("crtp", *(option for kind in kinds for option in ("--drop-crtp", str(kind))))

    def refused(self):
        return self.services.ctl("status")["transfers"]["moveRefused"]

    # MARK: tests

    def test_the_next_proxy_is_killed_before_its_answer_arrives(self):
        """It has adopted and is mute, also in death; the first one goes on and relays."""
        capture = Capture(self.topology, "p2", "eth0", self.services.path("killed-next.pcap"), "tcp")
        refused = self.refused()
        self.lose(ACK, TERMINATE)
        self.ask("only-p2.bin")
        wait_until("p2 has adopted", lambda: ":80" in self.established("p2"), 10)
        self.services.kill("p2")
        self.assertWhole("only-p2.bin")
        wait_until("the kernel has closed its socket", lambda: not self.established("p2"), 10)
        origin = socket.inet_aton(topology.v4("origin"))
        self.assertEqual([s for s in read_segments(capture.stop()) if s.source[0] == origin], [])
        self.assertEqual(self.refused() - refused, 1)

    def test_the_former_proxy_is_killed_while_the_connection_is_on_offer(self):
        """Nothing says that it dies: it could be the other one's by now."""
        self.lose(TRANSFER, TERMINATE)
        capture = Capture(self.topology, "p1", "eth0", self.services.path("killed-former.pcap"), "tcp")
        self.ask("only-p2.bin")
        wait_until("the connection is on offer", lambda: SUSPENDED in self.established("p1"), 10)
        self.services.kill("p1")
        wait_until("the kernel has closed its socket", lambda: not self.established("p1"), 10)
        origin = socket.inet_aton(topology.v4("origin"))
        said = [s for s in read_segments(capture.stop()) if s.source[0] == origin]
        self.assertEqual([s for s in said if s.length or s.flags & (SYN | FIN | RST)], [])
        self.connection.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.connection.recv(1)

    def test_the_refusal_is_lost(self):
        """Of the next proxy, and of the director: the first one asks, hears that its offer is void, and relays."""
        refused = self.refused()
        self.lose(NACK)
        self.ask("uncached.bin")
        self.assertWhole("uncached.bin")
        self.assertEqual(self.refused() - refused, 1)
        self.topology.impair("crtp")
        # And then it moves.
        moved = self.services.counters()["flowsMoved"]
        self.ask("only-p2.bin")
        self.assertWhole("only-p2.bin")
        self.assertEqual(self.services.counters()["flowsMoved"] - moved, 1)


if __name__ == "__main__":
    unittest.main()
