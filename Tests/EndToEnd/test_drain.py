"""A proxy that is drained, set down and brought back while traffic runs."""

from .laboratory_case import PROXIES, LaboratoryCase, scenarios
from lab.shell import CommandFailed


class Drain(LaboratoryCase):
    def test_with_a_thousand_requests_in_flight(self):
        result = self.play(scenarios.drain)
        row = result["row"]
        self.assertEqual((row["servedBy"], row["failed"]), ("proxy", 0), result["proof"])
        self.assertGreaterEqual(row["inFlight"], 1000)
        self.assertNothingHeld()
        self.assertConserved()
        self.assertEqual({row["name"]: (row["state"], row["administrative"]) for row in self.services.ctl("proxies")},
                         dict.fromkeys(PROXIES, ("up", "up")))

    def test_what_is_wrong_is_said(self):
        with self.assertRaisesRegex(CommandFailed, "no proxy is named 'p9'"):
            self.services.ctl("proxy", "p9", "drain")
        with self.assertRaisesRegex(CommandFailed, "The value 'away' is invalid"):
            self.services.ctl("proxy", "p1", "away")
