"""DPDK's own telemetry shows the director's counters; a lost link shows in its health."""

import json
import unittest

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, wait_until
from lab.shell import run

LISTEN = "127.0.0.1:9464"


class Telemetry(LaboratoryCase):
    #: AF_PACKET ports, whose links follow their wires, are what several workers get.
    workers = 2
    director_options = {"metrics": f"{{ listen: '{LISTEN}' }}"}

    @classmethod
    def start(cls):
        cls.services.eal_options = []
        super().start()
        cls.topology.run("director", "ip", "link", "set", "lo", "up")

    def ask(self, command):
        """The answer that dpdk-telemetry.py prints."""
        text = run("dpdk-telemetry.py", "-f", self.topology.prefix, input=f"{command}\n")
        decoder, found, at = json.JSONDecoder(), {}, text.find("{")
        while at >= 0:
            try:
                value, end = decoder.raw_decode(text, at)
            except ValueError:
                break
            found.update(value)
            at = text.find("{", end)
        name = command.partition(",")[0]
        self.assertIn(name, found, text)
        return found[name]

    def test_the_same_counters(self):
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
        self.assertTrue(got.ok, got.error)
        self.assertNothingHeld()
        wait_until("the connection is over", lambda: self.services.counters()["committedFlows"] == 0)
        status = self.services.counters()
        stats, flows = self.ask("/baton/stats"), self.ask("/baton/flows")
        self.assertEqual(stats["holdsCommitted"], status["holdsCommitted"])
        self.assertEqual(flows["committedFlows"], 0)
        self.assertEqual(set(stats) | set(flows), set(status))
        each = [self.ask(f"/baton/stats,{worker}") for worker in range(2)]
        self.assertEqual(sum(worker["holdsCommitted"] for worker in each), stats["holdsCommitted"])
        self.assertFalse(self.ask("/baton/stats,7"))

        def proxies():
            return self.ask("/baton/proxies")

        wait_until("the proxies' state has come", lambda: set(proxies()) == {"p1", "p2"})
        acks = sum(row["acks"] for row in self.services.ctl("proxies"))
        wait_until("it is of now", lambda: sum(proxy["acks"] for proxy in proxies().values()) == acks)
        self.assertEqual({proxy["state"] for proxy in proxies().values()}, {"up"})

    def health(self, path):
        text = run(*self.topology.inside(
            "director", "curl", "--silent", "--max-time", "10", "--write-out", "\n%{http_code}", f"http://{LISTEN}{path}"))
        body, _, code = text.rpartition("\n")
        return int(code), json.loads(body)

    def test_without_a_link_it_lives_and_is_not_ready(self):
        self.assertEqual(self.health("/ready"), (200, {
            "ok": True, "checks": {"workers": True, "clientLink": True, "serverLink": True}}))
        self.topology.run("client", "ip", "link", "set", "c0", "down")
        try:
            wait_until("the link is missed", lambda: self.health("/ready")[0] == 503)
            self.assertEqual(self.health("/ready")[1]["checks"], {"workers": True, "clientLink": False, "serverLink": True})
            self.assertEqual(self.health("/live")[0], 200)
        finally:
            self.topology.run("client", "ip", "link", "set", "c0", "up")
        wait_until("the link is back", lambda: self.health("/ready")[0] == 200)


if __name__ == "__main__":
    unittest.main()
