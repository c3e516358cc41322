"""Invariant 2: whatever is lost, repeated, reordered or late, on any leg, the bytes are the same and have one source."""

import json
import os
import sys

from .laboratory_case import CACHED_HOST, SERVERS, LaboratoryCase, curl, resolve, scenarios, topology, wait_until

LEGS = ("client", "server", "crtp")
CLIENTS = 16
REQUESTS = 600


class Impairment(LaboratoryCase):
    relayed = LEGS + ("far",)
    files = {"half.bin": (512 << 10, True), "elsewhere.bin": (128 << 10, False), "object.bin": (12 << 10, True)}

    def impaired(self, leg, percent):
        share = str(percent / 100)
        faults = ["--loss", share, "--duplicate", share, "--reorder", share, "--seed", str(percent * 100 + LEGS.index(leg))]
        if leg == "crtp":
            # More than twice the longest time that an answer is awaited: many come when the origin has the request.
            faults += ["--reorder-by", "0.16"]
        self.topology.impair(leg, *faults)
        try:
            for number in range(6):
                names = ["half.bin", "elsewhere.bin"] if number % 2 else ["elsewhere.bin"]
                got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}" for name in names], resolve())
                self.assertTrue(got.ok, got.error)
                self.assertEqual(got.sha256, [self.hash_of(name) for name in names])
            self.many()
        finally:
            self.topology.impair(leg)
        self.assertNothingHeld()
        self.assertConserved()

    def many(self):
        """So many connections that each fault hits each moment of a transfer. Every request has one server."""
        before = {server: self.served(server) for server in SERVERS}
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        result = json.loads(self.topology.run(
            "client", sys.executable, script, topology.v4("origin"), CACHED_HOST, "/object.bin",
            self.hash_of("object.bin"), CLIENTS, REQUESTS, timeout=180))
        self.assertEqual(result["failures"], [])

        def new():
            return {server: self.served(server) - before[server] for server in SERVERS}

        wait_until("the access logs have the requests", lambda: sum(new().values()) >= REQUESTS, 10)
        self.assertEqual(sum(new().values()), REQUESTS, new())
        self.assertGreater(REQUESTS - new()["origin"], REQUESTS // 4, "hardly anything was transferred")

    def served(self, server):
        return sum("/object.bin" in line for line in self.services.access_log(server))

    def hash_of(self, name):
        return scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}")


def _add(leg, percent):
    def test(self):
        self.impaired(leg, percent)

    test.__doc__ = f"invariant 2: {percent} % lost, {percent} % repeated, {percent} % reordered on the {leg} leg"
    setattr(Impairment, f"test_invariant2_{leg}_{percent}_percent", test)


for _leg in LEGS:
    for _percent in (1, 5):
        _add(_leg, _percent)
