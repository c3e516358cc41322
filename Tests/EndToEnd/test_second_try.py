"""A proxy that lacks the object, and one that has stopped in its tracks: the other one serves."""

import os

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, wait_until
from lab.scenarios import Played


def small(laboratory, expected="proxy"):
    return Played(curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve()), ["small.bin"], expected)


class SecondTry(LaboratoryCase):
    #: What the tests do to p1 is more than a missed keepalive, and less than its end.
    crtp_options = {"detect-multiplier": 100, "refusal-lifetime": "0s"}

    #: Whoever is slow here is stopped.
    timeout_options = {"floor": "20ms", "initial": "20ms", "ceiling": "30ms"}

    def proxy(self, name):
        return next(row for row in self.services.ctl("proxies") if row["name"] == name)

    def transfers(self):
        return self.services.ctl("status")["transfers"]


class Stopped(SecondTry):
    def test_the_other_one_serves_what_a_stopped_one_does_not_answer(self):
        self.play(small, "warm-up-1")
        self.play(small, "warm-up-2")
        self.services.pause("p1")
        try:
            for number in range(8):
                result = self.play(small, f"stopped-{number}")
                self.assertEqual(result["row"]["servedBy"], "p2")
            self.assertEqual(self.proxy("p1")["state"], "suspect")
            # It was set aside after three of them, and costs nobody any time from then on.
            self.assertEqual(self.proxy("p1")["passedOn"], 3)
        finally:
            self.services.resume("p1")

        def is_back():
            self.play(small, "resumed")
            return self.proxy("p1")["state"] == "up"

        wait_until("a probe has brought p1 back", is_back, 30)
        wait_until("p1's late answers were called back", lambda: self.transfers()["late"] >= 1, 10)
        served = {self.play(small, f"back-{number}")["row"]["servedBy"] for number in range(4)}
        self.assertEqual(served, {"p1", "p2"})
        self.assertConserved()
        self.assertNothingHeld()


class Lacking(SecondTry):
    @classmethod
    def start(cls):
        empty = os.path.join(cls.directory, "empty")
        os.makedirs(empty)
        cls.services.roots["p1"] = empty
        super().start()

    def test_the_one_that_has_the_object_serves_it(self):
        for number in range(6):
            result = self.play(small, f"lacking-{number}")
            self.assertEqual(result["row"]["servedBy"], "p2")
        self.assertEqual(self.transfers()["passedOn"], 3)
        # What was asked twice, because the answer took its time, is answered twice.
        self.assertGreaterEqual(self.proxy("p1")["nacks"], 3)
        rows = self.services.ctl("transfers")
        self.assertEqual({(row["proxy"], row["reason"]) for row in rows if row["state"] == "passedOn"}, {("p1", "notFound")})


class Remembering(Lacking):
    crtp_options = {"detect-multiplier": 100, "refusal-lifetime": "1min"}

    def test_the_one_that_has_the_object_serves_it(self):
        for number in range(6):
            result = self.play(small, f"remembered-{number}")
            self.assertEqual(result["row"]["servedBy"], "p2")
        self.assertEqual(self.proxy("p1")["nacks"], 1)
