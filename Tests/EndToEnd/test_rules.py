"""What an operator can say of rules and routes beyond `on`: a destination of its own, a late reset, a canary."""

import json
import os
import socket
import sys

from .laboratory_case import CACHED_HOST, PROXIES, SERVERS, LaboratoryCase, curl, resolve, scenarios, topology, wait_until
from lab.capture import RST, Capture, ControlPackets, read_segments
from lab.downloads import Download
from lab.scenarios import Played
from lab.shell import Process

#: An address that the origin and p1 both serve; a client whose connections a route gives to the origin.
SERVICE, SPARED_CLIENT = "10.0.0.81", "10.0.0.102"
FIRST_BYTE = 19

STAYING = r'''
import hashlib, http.client, signal, sys
connection = http.client.HTTPConnection(sys.argv[1])
connection.request("GET", sys.argv[3], headers={"Host": sys.argv[2]})
print(hashlib.sha256(connection.getresponse().read()).hexdigest(), flush=True)
signal.pause()
'''


def plain(laboratory, expected="proxy"):
    return Played(curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve()), ["small.bin"], expected)


class Routes(LaboratoryCase):
    routes = (f"{{ clients: [{SPARED_CLIENT}/32], to: origin }}", f"{{ servers: [{SERVICE}/32], to: p1 }}")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.topology.run("client", "ip", "addr", "add", f"{SPARED_CLIENT}/32", "dev", "c0")
            cls.topology.run("origin", "ip", "addr", "add", f"{SERVICE}/32", "dev", "eth0")
            # As for direct server return anywhere: the host takes the address and never says by ARP that it has it.
            cls.topology.run("p1", "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
            cls.topology.run("p1", "ip", "addr", "add", f"{SERVICE}/32", "dev", "lo")
            # Its lines go where the agent's go: what was served by this host.
            cls.services.start_nginx("p1-service", "p1", cls.services.content.proxy, [f"listen {SERVICE}:80;"],
                                     cls.services.path("p1-access.log"))
        except BaseException:
            cls.tearDownClass()
            raise

    def setUp(self):
        self.before = self.services.counters()

    def assertNobodyWasAsked(self):
        counters = self.services.counters()
        for name in ("holdsStarted", "holdsCommitted"):
            self.assertEqual(counters[name], self.before[name], name)
        self.assertConserved()

    def test_a_route_to_a_proxy_takes_the_connection_from_its_syn(self):
        def to_service(laboratory):
            got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin", f"http://{CACHED_HOST}/small.bin"],
                                       resolve(SERVICE))
            return Played(got, ["small.bin", "small.bin"], "proxy")

        result = self.play(to_service)
        self.assertEqual(result["row"]["servedBy"], "p1")
        self.assertNobodyWasAsked()

    def test_a_route_to_a_proxy_that_is_down_leads_to_the_origin(self):
        def without_p1(laboratory):
            laboratory.services.kill("p1")
            wait_until("the director has missed p1", lambda: not laboratory.services.is_director_ready(["p1"]), 20)
            try:
                got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve(SERVICE))
            finally:
                laboratory.restart_agents()
            return Played(got, ["small.bin"], "origin")

        self.play(without_p1)
        self.assertGreater(self.services.counters()["passedProxyDown"], self.before["passedProxyDown"])

    def test_a_route_to_the_origin_spares_a_connection_that_a_rule_would_take(self):
        def spared(laboratory):
            got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve(), ["--interface", SPARED_CLIENT])
            return Played(got, ["small.bin"], "origin")

        self.play(spared)
        self.assertNobodyWasAsked()
        self.play(plain, "neighbour")


class ResetByProxy(LaboratoryCase):
    relayed = ("far", "crtp")
    rules = ("{ name: web, ports: [80], application: [http-get], reset-by: proxy }",)

    def played(self, name, scenario=plain):
        """(when the request reached a proxy, when its connection's reset reached the origin)"""
        captures = [Capture(self.topology, host, "eth0", self.services.path(f"{name}-{host}.pcap")) for host in ("origin", *PROXIES)]
        try:
            before = self.services.counters()["originResetsSent"]
            self.play(scenario, name)
            wait_until("the origin's half is reset", lambda: self.services.counters()["originResetsSent"] > before, 10)
            origin = self.services.path(f"{name}-origin.pcap")
            wait_until("the origin's capture has the reset", lambda: list(resets(origin)), 10)
        finally:
            paths = [capture.stop() for capture in captures]
        requests = [s for path in paths[1:] for s in read_segments(path) if s.destination[1] == 80 and s.length > 0]
        self.assertEqual([s for s in read_segments(paths[0]) if s.destination[1] == 80 and s.length > 0], [],
                         "the origin was given the request, too")
        request, reset = min(requests), min(resets(paths[0]))
        self.assertEqual(reset.source, request.source)
        self.assertEqual(reset.sequence, request.sequence, "the origin would not believe this reset")
        return request.time, reset.time

    def test_the_origin_is_reset_once_the_agent_has_read_the_request(self):
        request, reset = self.played("reset-by-proxy")
        self.assertGreater(reset, request)

    def test_it_is_the_agents_word_that_resets_the_origin(self):
        """Without that word the origin keeps its half, until a second has passed or the connection is over."""
        kept = []

        def staying(laboratory):
            """A client that has its answer and keeps its connection."""
            command = [sys.executable, "-c", STAYING, topology.v4("origin"), CACHED_HOST, "/small.bin"]
            client = Process("staying", self.topology.inside("client", *command), self.services.path("staying.log"))
            kept.append(client)
            wait_until("the client has its answer", lambda: "\n" in client.tail(), 20, client)
            return Played(Download(True, "200", [client.tail().strip()], 0, ""), ["small.bin"], "proxy")

        self.topology.impair("crtp", "--drop-crtp", str(FIRST_BYTE))
        try:
            request, reset = self.played("reset-by-timer", staying)
        finally:
            for client in kept:
                client.stop()
            self.topology.impair("crtp")
        self.assertGreater(reset - request, 0.9)


def resets(path):
    return (s for s in read_segments(path) if s.destination[1] == 80 and s.flags & RST)


class Canary(LaboratoryCase):
    rules = ("{ name: web, ports: [80], application: [http-get], mode: canary 50% }",)
    files = {"object.bin": (24 << 10, True)}

    def test_a_part_of_the_connections_is_transferred_and_each_is_whole(self):
        requests = 120
        lines = {server: len(self.services.access_log(server)) for server in SERVERS}
        before = self.services.counters()["holdsCommitted"]
        capture = Capture(self.topology, "client", "c0", self.services.path("canary.pcap"))
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        result = json.loads(self.topology.run(
            "client", sys.executable, script, topology.v4("origin"), CACHED_HOST, "/object.bin",
            scenarios.sha256_of(f"{self.laboratory.content.origin}/object.bin"), 4, requests, timeout=120))
        self.assertEqual(result["failures"], [])

        def served():
            return {server: len(self.services.access_log(server)) - lines[server] for server in SERVERS}

        wait_until("the access logs have the requests", lambda: sum(served().values()) >= requests, 10)
        transferred = sum(served()[name] for name in PROXIES)
        self.assertEqual(sum(served().values()), requests, served())
        self.assertEqual(transferred, self.services.counters()["holdsCommitted"] - before)
        # The lot is drawn by a hash with a seed of its own: 30 of 120 is more than five standard deviations away.
        self.assertGreater(transferred, requests // 4, served())
        self.assertLess(transferred, requests - requests // 4, served())
        self.assertEqual(ControlPackets().read(capture.stop(), {80}).findings, [])
        self.assertConserved()
