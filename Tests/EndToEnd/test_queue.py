"""More requests than the agents have credits for: who matters more is served first, and everybody is served."""

import json
import os
import sys

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, scenarios, topology, wait_until

CLIENTS, REQUESTS = 80, 2_000


class Queue(LaboratoryCase):
    files = {"important.bin": (20_000, True), "other.bin": (20_000, True)}
    rules = (
        "{ name: important, ports: [80], paths: [/important.bin], priority: 1 }",
        "{ name: other, ports: [80], paths: [/other.bin], priority: 100 }",
    )
    agent_options = {name: {"adoption": "{ credits: 2 }"} for name in PROXIES}
    crtp_options = {"queue": 8, "queue-time": "20ms", "set-aside-after": 0}

    def load(self):
        """As many requests for the one as for the other, in turns: what one of them finds the other one finds too."""
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        expected = [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}") for name in self.files]
        return json.loads(self.topology.run(
            "client", sys.executable, script, topology.v4("origin"), CACHED_HOST, ",".join(f"/{name}" for name in self.files),
            ",".join(expected), CLIENTS, REQUESTS, timeout=180))

    def served_by_proxies(self, name):
        return sum(f"/{name} " in line for proxy in PROXIES for line in self.services.access_log(proxy))

    def test_the_important_ones_are_served_first_and_nobody_is_lost(self):
        self.assertEqual(self.load()["failures"], [])
        status = self.services.ctl("status")
        # Two agents with two credits each, eighty clients, eight places in line.
        self.assertEqual(set(status["shed"]), {"important", "other"})
        self.assertGreater(status["shed"]["other"], status["shed"]["important"], status["shed"])
        self.assertEqual(status["transfers"]["shed"], sum(status["shed"].values()))
        self.assertGreater(self.served_by_proxies("important.bin"), self.served_by_proxies("other.bin"))
        wait_until("nobody waits", lambda: self.services.ctl("status")["queuedRequests"] == 0, 5)
        self.assertNothingHeld()
        self.assertConserved()
