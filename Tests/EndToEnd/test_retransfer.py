"""Connections that move again: one client connection, objects of one proxy, of the other, and of the origin."""

import unittest

from .laboratory_case import LaboratoryCase, curl, resolve, scenarios
from lab.services import MOVING_HOST

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


if __name__ == "__main__":
    unittest.main()
