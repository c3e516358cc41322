"""Agents that die and come back under load: whoever was not yet handed to a killed agent is served."""

import dataclasses
import datetime
import json
import math
import os
import random
import re
import sys
import time

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, scenarios, topology, wait_until
from lab.shell import Process

CLIENTS = 200
REQUESTS = 10_000


@dataclasses.dataclass
class Life:
    """Of an agent's process: when it was started and killed."""
    began: float
    end: float = math.inf


def timestamp(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Chaos(LaboratoryCase):
    files = {"object.bin": (24 << 10, True)}
    #: Entries go soon, so that "back to zero" is a matter of seconds.
    worker_options = {"lifetimes": "{ closed: 2s, idle: 5s }"}

    def test_agents_killed_and_restarted_under_load(self):
        choice = random.Random(int(os.environ.get("BATON_SEED", "11")))
        self.warm_up()
        memory = self.memory()
        lives = {name: [Life(0.0)] for name in PROXIES}
        load = self.start_load()
        while load.poll() is None:
            name = choice.choice(PROXIES)
            lives[name][-1].end = time.time()
            self.services.kill(name)
            lives[name].append(Life(time.time()))
            self.services.start_agent(name)
            wait_until("the next strike is due, or the load has ended", self.after(choice.uniform(1.0, 2.0), load), 60)
        load.wait(10)
        result = json.loads(load.tail(1))
        lost, unexplained = self.explain(result["failures"], lives)
        print(f"\n    {result['succeeded']} of {result['requests']} served; {len(lost)} were committed to an agent that was "
              f"killed; {sum(map(len, lives.values())) - len(lives)} kills", end=" ", flush=True)
        self.assertEqual(unexplained, [], lives)
        self.assertEqual(result["succeeded"] + len(lost), REQUESTS)
        self.assertGreater(self.services.counters()["holdsCommitted"], REQUESTS // 4, "hardly anything was transferred")
        # One that timed out too often stays set aside until a request probes it: there are no more.
        wait_until("the channels are up again", lambda: all(
            row["state"] in ("up", "suspect") for row in self.services.ctl("proxies")), 20)
        self.assertConserved()
        try:
            wait_until("held and flow counts are zero", self.is_empty, 60)
        except Exception:
            self.fail(f"left: {self.services.ctl('flows')} {self.services.counters()}")
        self.assertLess(self.memory() - memory, 16 << 20, "memory grew")

    # MARK: parts

    def warm_up(self):
        """A first round of the same size, so that tables and pools have been used before memory is measured."""
        got = self.start_load()
        got.wait(120)
        self.assertEqual(json.loads(got.tail(1))["failures"], [])

    def start_load(self, requests=REQUESTS):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
        expected = scenarios.sha256_of(f"{self.laboratory.content.origin}/object.bin")
        command = self.topology.inside("client", sys.executable, script, topology.v4("origin"), CACHED_HOST,
                                       "/object.bin", expected, str(CLIENTS), str(requests))
        return Process("load", command, self.services.path("load.log"))

    @staticmethod
    def after(seconds, process):
        due = time.monotonic() + seconds
        return lambda: time.monotonic() > due or process.poll() is not None

    def explain(self, failures, lives):
        """Parts failures into those whose connection was committed to an agent that died before the client was done,
        and the others."""
        committed = self.commits(lives)
        lost, unexplained = [], []
        for failure in failures:
            fates = [(when, life) for when, life in committed.get(failure["port"], ())
                     if failure["began"] - 0.5 <= when <= failure["ended"] + 0.05]
            if any(life.end <= failure["ended"] for _, life in fates):
                lost.append(failure)
            else:
                unexplained.append((failure, fates))
        return lost, unexplained

    def commits(self, lives):
        """Client port → [(time, the life of the agent that it was committed to)], of the director's log. A busy director
        may hear of a commit long after the agent has died, so not its time but the channel says which life it was."""
        found, channels = {}, {name: lives[name][0] for name in lives}
        with open(self.services.path("director.log"), errors="replace") as file:
            for line in file:
                up = re.search(r"^(\S+) \w+ proxy up proxy=(\S+)", line)
                if up:
                    channels[up[2]] = max(
                        (life for life in lives[up[2]] if life.began <= timestamp(up[1])), key=lambda life: life.began)
                match = re.search(r"^(\S+) \w+ transfer committed .*:(\d+) > .* proxy=(\S+)", line)
                if match:
                    found.setdefault(int(match[2]), []).append((timestamp(match[1]), channels[match[3]]))
        return found

    def is_empty(self):
        counters = self.services.counters()
        return counters["heldPackets"] == counters["heldFlows"] == counters["committedFlows"] == counters["flows"] == 0

    def memory(self):
        """Resident bytes of batond."""
        with open(f"/proc/{self.services.processes['director'].pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))


class ChaosWithTwoWorkers(Chaos):
    """The same with each flow owned by one of two workers, whichever queue its packets come in by."""

    workers = 2

    def tearDown(self):
        counters = self.services.counters()
        self.assertGreater(counters["handedOver"], 0, "no packet came in by the other worker's queue")
