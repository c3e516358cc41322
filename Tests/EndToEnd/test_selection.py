"""Every selection algorithm with real agents, changed while the director runs."""

import collections

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, wait_until

OBJECTS = [f"object-{number}.bin" for number in range(12)]


class Selection(LaboratoryCase):
    files = {name: (2_000, True) for name in OBJECTS}

    def served(self, names):
        """Downloads each by a connection of its own; which proxy served it, by the proxies' logs."""
        result = []
        for name in names:
            before = {proxy: len(self.services.access_log(proxy)) for proxy in PROXIES}
            got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}"], resolve())
            self.assertTrue(got.ok, got.error)

            def server():
                return [proxy for proxy in PROXIES if len(self.services.access_log(proxy)) > before[proxy]]

            wait_until("a proxy has logged it", server, 10)
            result += server()
        return result

    def choose(self, algorithm):
        answer = self.services.ctl("algorithm", algorithm)
        self.assertEqual(answer["algorithm"], algorithm)
        self.assertEqual(self.services.ctl("status")["algorithm"], algorithm)

    def test_each_algorithm_by_its_choices(self):
        self.choose("round-robin")
        served = self.served(OBJECTS)
        self.assertTrue(all(one != other for one, other in zip(served, served[1:])), served)

        self.choose("enforced")
        self.assertEqual(set(self.served(OBJECTS[:4])), {PROXIES[0]})

        self.choose("application-hash")
        first, second = self.served(OBJECTS), self.served(reversed(OBJECTS))
        self.assertEqual(first, second[::-1], "an object has its proxy")
        self.assertEqual(set(first), set(PROXIES))

        for algorithm in ("least-connections", "two-choices", "least-load", "most-load"):
            self.choose(algorithm)
            served = collections.Counter(self.served(OBJECTS[:6]))
            self.assertEqual(sum(served.values()), 6, f"{algorithm}: {served}")
        self.choose("round-robin")

    def test_a_proxy_that_drains_gets_nothing_new(self):
        self.choose("round-robin")
        self.assertEqual(self.services.ctl("drain", "p1"), {"proxy": "p1", "draining": True})
        self.assertEqual([proxy["state"] for proxy in self.services.ctl("proxies") if proxy["name"] == "p1"], ["draining"])
        self.assertEqual(set(self.served(OBJECTS[:4])), {"p2"})
        self.services.ctl("drain", "p1", "off")
        self.assertEqual(set(self.served(OBJECTS[:4])), set(PROXIES))

    def test_one_rule_may_have_its_own(self):
        before = self.services.ctl("algorithm")["rules"]
        rule = sorted(before)[0]
        after = self.services.ctl("algorithm", "two-choices", "--rule", rule)["rules"]
        self.assertEqual(after, {**before, rule: "two-choices"})
        self.services.ctl("algorithm", before[rule], "--rule", rule)
