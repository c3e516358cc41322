"""Virtual servers: the director answers the handshake, a proxy or an origin serves; real kernels at every end."""

import json
import os
import sys

from .laboratory_case import (
    ALL_COMBINATIONS, CACHED_HOST, SERVERS, LaboratoryCase, curl, resolve, scenarios, topology, wait_until)


class Symmetric(LaboratoryCase):
    files = {"half.bin": (512 << 10, True), "elsewhere.bin": (128 << 10, False), "object.bin": (12 << 10, True)}

    @classmethod
    def start(cls):
        super().start()
        scenarios.wait_for_origins(cls.laboratory)

    def download(self, name, address=None):
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}"], resolve(address or topology.VIRTUAL_SERVERS[0]))
        self.assertTrue(got.ok, got.error)
        self.assertEqual(got.sha256, [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}")])

    def served(self, server):
        return sum("object.bin" in line for line in self.services.access_log(server))


class Handshakes(Symmetric):
    def tearDown(self):
        for host in ("client", "origin", *self.topology.proxies):
            self.agree(host, (1, 1, 1))

    def each_combination(self, name, *servers):
        """Every combination of options at the client with every one at the servers."""
        with self.assertClientSeesNothing():
            for theirs in ALL_COMBINATIONS:
                for server in servers:
                    self.agree(server, theirs)
                for number, ours in enumerate(ALL_COMBINATIONS):
                    self.agree("client", ours)
                    with self.subTest(client=ours, server=theirs):
                        self.download(name, topology.VIRTUAL_SERVERS[number & 1])
        self.assertConserved()

    def test_whatever_client_and_origin_agree_to(self):
        """64 combinations of window scale, SACK and timestamps, translated."""
        before = len(self.services.access_log("origin"))
        self.each_combination("elsewhere.bin", "origin")
        wait_until("the origin has logged them", lambda: len(self.services.access_log("origin")) == before + 64, 10)
        self.assertGreaterEqual(self.services.counters()["flowsBound"], 64)

    def test_whatever_client_and_proxy_know(self):
        """64 combinations of window scale, SACK and timestamps, adopted."""
        self.each_combination("half.bin", *self.topology.proxies)


class Kept(Symmetric):
    def test_a_proxy_relays_what_it_lacks_to_the_pool(self):
        """On one connection: an object that the proxy has, then one that only the pool's origin has."""
        names = ["object.bin", "elsewhere.bin"]
        for address in topology.VIRTUAL_SERVERS:
            got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}" for name in names], resolve(address))
            self.assertTrue(got.ok, got.error)
            self.assertEqual(
                got.sha256, [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}") for name in names])


class Impaired(Symmetric):
    relayed = ("client", "server", "far")

    def test_invariant2_losses_on_either_leg(self):
        """1 % lost, repeated and reordered on the client's and then on the servers' leg: every byte from one server."""
        for number, leg in enumerate(("client", "server")):
            self.topology.impair(leg, "--loss", "0.01", "--duplicate", "0.01", "--reorder", "0.01", "--seed", str(7 + number))
            try:
                for address in topology.VIRTUAL_SERVERS:
                    for name in ("half.bin", "elsewhere.bin"):
                        self.download(name, address)
                self.many()
            finally:
                self.topology.impair(leg)
            self.assertNothingHeld()
            self.assertConserved()

    def many(self, requests=400):
        before = {server: self.served(server) for server in SERVERS}
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        expected = scenarios.sha256_of(f"{self.laboratory.content.origin}/object.bin")
        result = json.loads(self.topology.run(
            "client", sys.executable, script, topology.VIRTUAL_SERVERS[0], CACHED_HOST, "/object.bin", expected, 16,
            requests, timeout=180))
        self.assertEqual(result["failures"], [])

        def new():
            return {server: self.served(server) - before[server] for server in SERVERS}

        wait_until("the access logs have the requests", lambda: sum(new().values()) >= requests, 10)
        self.assertEqual(sum(new().values()), requests, new())


class Flood(Symmetric):
    #: Of a neighbour that pretends to be many.
    SYNS = 20_000

    def test_a_flood_keeps_no_state_and_disturbs_nobody(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "syn_flood.py")
        mac = self.topology.run("director", "cat", "/sys/class/net/dc/address").strip()
        before = self.services.counters()
        running = curl(self.laboratory).start(
            [f"http://{CACHED_HOST}/half.bin"], resolve(topology.VIRTUAL_SERVERS[0]), ["--limit-rate", "400k"])
        self.topology.run("client", sys.executable, script, "c0", mac, topology.VIRTUAL_SERVERS[0], str(self.SYNS), timeout=120)
        got = running.finish()
        self.assertTrue(got.ok, got.error)
        now = self.services.counters()
        self.assertGreater(now["synsAnswered"] - before["synsAnswered"], self.SYNS // 2)
        # The download's, and what it may have had to do again.
        self.assertLess(now["flowsCreated"] - before["flowsCreated"], 10)
        self.download("elsewhere.bin")
        self.assertConserved()
