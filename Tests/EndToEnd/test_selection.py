"""Every selection algorithm with three real agents of unequal weight, changed while the director runs."""

import collections
import os

from .held_open import held_open
from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, topology, wait_until

OBJECTS = [f"object-{number}.bin" for number in range(18)]

MEMINFO = "MemTotal: 1000000 kB\nMemAvailable: 999000 kB\n"


class ThreeProxies(LaboratoryCase):
    """p1, p2 and p3 with the weights 3, 2 and 1."""

    files = {name: (2_000, True) for name in OBJECTS}
    proxies = ("p1", "p2", "p3")
    proxy_options = {"p1": {"weight": 3}, "p2": {"weight": 2}}
    #: A busy machine must not make a second choice: the first one has all the time.
    timeout_options = {"floor": "59ms", "initial": "59ms", "ceiling": "59ms"}

    def served(self, names):
        """Downloads each by a connection of its own, one after the other; which proxy served it, by their logs."""
        result = []
        for name in names:
            before = {proxy: len(self.services.access_log(proxy)) for proxy in self.proxies}
            got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}"], resolve())
            self.assertTrue(got.ok, got.error)

            def server():
                return [proxy for proxy in self.proxies if len(self.services.access_log(proxy)) > before[proxy]]

            wait_until("a proxy has logged it", server, 10)
            result += server()
        return result

    def spread(self, count):
        """How many connections each proxy got of `count` that are opened one after the other and stay open."""
        servers = (*self.proxies, "origin")
        before = {server: len(self.services.access_log(server)) for server in servers}
        with held_open(self.topology, topology.v4("origin"), CACHED_HOST, f"/{OBJECTS[0]}", count):
            def served():
                return [len(self.services.access_log(server)) - before[server] for server in servers]

            wait_until("all are served", lambda: sum(served()) == count, 30)
            *result, late = served()
            self.assertLessEqual(late, 1, "what a busy machine made too late went to the origin")
        wait_until("no connection is left", lambda: self.open_connections() == 0, 30)
        return result

    def open_connections(self):
        return sum(proxy["committedFlows"] + proxy["pendingTransfers"] for proxy in self.services.ctl("proxies"))

    def choose(self, algorithm):
        answer = self.services.ctl("algorithm", algorithm)
        self.assertEqual(answer["algorithm"], algorithm)
        self.assertEqual(self.services.ctl("status")["algorithm"], algorithm)


class Choices(ThreeProxies):
    def test_round_robin_goes_by_weight(self):
        self.choose("round-robin")
        served = self.served(OBJECTS[:12])
        self.assertEqual(collections.Counter(served), {"p1": 6, "p2": 4, "p3": 2})
        self.assertNotIn(["p1"] * 3, [served[at:at + 3] for at in range(10)], "a turn is spread, not served in one go")

    def test_least_connections_goes_by_weight(self):
        self.choose("least-connections")
        # An agent's word of its connections may cross with one that is just being handed over.
        for got, fair in zip(self.spread(18), [9, 6, 3]):
            self.assertAlmostEqual(got, fair, delta=1)

    def test_two_choices_leaves_nobody_out(self):
        self.choose("two-choices")
        p1, p2, p3 = self.spread(60)
        self.assertGreater(p1, p2)
        self.assertGreater(p2, p3)
        self.assertGreater(p3, 0)

    def test_an_object_has_its_proxy(self):
        self.choose("application-hash")
        first, second = self.served(OBJECTS), self.served(reversed(OBJECTS))
        self.assertEqual(first, second[::-1])
        self.assertGreater(len(set(first)), 1)
        # A lost proxy moves only its own share.
        lost = first[0]
        self.services.ctl("drain", lost)
        for before, now in zip(first, self.served(OBJECTS)):
            self.assertTrue(now == before or before == lost, f"{before} → {now} without {lost}")
        self.services.ctl("drain", lost, "off")

    def test_enforced_pins(self):
        self.choose("enforced")
        self.assertEqual(set(self.served(OBJECTS[:4])), {"p1"})

    def test_a_proxy_that_drains_gets_nothing_new(self):
        self.choose("round-robin")
        self.assertEqual(self.services.ctl("drain", "p1")["administrative"], "drain")
        self.assertEqual([proxy["state"] for proxy in self.services.ctl("proxies") if proxy["name"] == "p1"], ["draining"])
        self.assertEqual(set(self.served(OBJECTS[:6])), {"p2", "p3"})
        self.services.ctl("drain", "p1", "off")
        self.assertEqual(set(self.served(OBJECTS[:6])), set(self.proxies))

    def test_one_rule_may_have_its_own(self):
        before = self.services.ctl("algorithm")["rules"]
        rule = sorted(before)[0]
        after = self.services.ctl("algorithm", "two-choices", "--rule", rule)["rules"]
        self.assertEqual(after, {**before, rule: "two-choices"})
        self.services.ctl("algorithm", before[rule], "--rule", rule)


class Load(ThreeProxies):
    """Agents that read loads of 200, 600 and 400 thousandths from their hosts: files in the place of /proc's."""

    proxy_options = {}
    loads = {"p1": 0.2, "p2": 0.6, "p3": 0.4}

    @classmethod
    def start(cls):
        cls.services.agent_wrappers = {name: cls.wrapper(name) for name in cls.proxies}
        super().start()

    @classmethod
    def wrapper(cls, name):
        """A command before the agent's own that gives it a /proc of this load."""
        average = cls.loads[name] * os.cpu_count()
        load = cls.services.write(f"{name}-loadavg", f"{average:.2f} {average:.2f} {average:.2f} 1/100 1\n")
        memory = cls.services.write(f"{name}-meminfo", MEMINFO)
        return ["sh", "-c", f"mount --bind {load} /proc/loadavg && mount --bind {memory} /proc/meminfo && exec \"$@\"", "sh"]

    def test_least_and_most_load(self):
        wait_until("the agents have said their loads", lambda: [
            proxy["processorLoad"] for proxy in self.services.ctl("proxies")] == [200, 600, 400], 10)
        self.choose("least-load")
        self.assertEqual(self.served(OBJECTS[:4]), ["p1"] * 4)
        self.choose("most-load")
        self.assertEqual(self.served(OBJECTS[:4]), ["p2"] * 4)
