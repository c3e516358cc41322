"""More requests than the agents have credits for: who matters more is served first, and everybody is served."""

import json
import os
import sys

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, scenarios, topology, wait_until
from lab.shell import Process

CLIENTS, REQUESTS = 40, 1_000


class Queue(LaboratoryCase):
    files = {"important.bin": (20_000, True), "other.bin": (20_000, True)}
    rules = (
        "{ name: important, ports: [80], paths: [/important.bin], priority: 1 }",
        "{ name: other, ports: [80], paths: [/other.bin], priority: 100 }",
    )
    agent_options = {name: {"adoption": "{ credits: 2 }"} for name in PROXIES}
    crtp_options = {"queue": 8, "queue-time": "20ms", "set-aside-after": 0}

    def start_load(self, name):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        expected = scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}")
        command = self.topology.inside("client", sys.executable, script, topology.v4("origin"), CACHED_HOST, f"/{name}",
                                       expected, str(CLIENTS), str(REQUESTS))
        return Process(f"load-{name}", command, self.services.path(f"load-{name}.log"))

    def served_by_proxies(self, name):
        return sum(f"/{name} " in line for proxy in PROXIES for line in self.services.access_log(proxy))

    def test_the_important_ones_are_served_first_and_nobody_is_lost(self):
        loads = [self.start_load(name) for name in self.files]
        for load in loads:
            load.wait(120)
            self.assertEqual(json.loads(load.tail(1))["failures"], [])
        status = self.services.ctl("status")
        # Two agents with two credits each, eighty clients, eight places in line.
        self.assertEqual(set(status["shed"]), {"important", "other"})
        self.assertGreater(status["shed"]["other"], status["shed"]["important"], status["shed"])
        self.assertEqual(status["transfers"]["shed"], sum(status["shed"].values()))
        self.assertGreater(self.served_by_proxies("important.bin"), self.served_by_proxies("other.bin"))
        wait_until("nobody waits", lambda: self.services.ctl("status")["queuedRequests"] == 0, 5)
        self.assertNothingHeld()
        self.assertConserved()
