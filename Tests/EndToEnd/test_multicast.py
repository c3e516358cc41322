"""A whole group of agents asked by one datagram, over IPv4 and IPv6."""

from .laboratory_case import LaboratoryCase, curl, resolve, topology, wait_until
from lab.scenarios import Played
from lab.services import GROUPS, MULTICAST_HOST


def asked(laboratory, name="small.bin", expected="proxy", address=None):
    got = curl(laboratory).get([f"http://{MULTICAST_HOST}:8080/{name}"], resolve(address))
    return Played(got, [name], expected)


class Multicast(LaboratoryCase):
    group = GROUPS[0]
    crtp_options = {"detect-multiplier": 100, "refusal-lifetime": "0s", "set-aside-after": 0}
    #: Whoever is slow here is stopped.
    timeout_options = {"floor": "59ms", "initial": "59ms", "ceiling": "59ms"}
    files = {"other.bin": (100_000, False)}

    @classmethod
    def start(cls):
        cls.services.crtp_options["multicast"] = f'{{ group: "{cls.group}", interface: dm }}'
        super().start()

    def rows(self):
        return {row["name"]: row for row in self.services.ctl("proxies")}

    def counts(self, name):
        return {proxy: row[name] for proxy, row in self.rows().items()}

    def assertForgotten(self):
        """By the agents' own word: what they adopted and did not get is gone."""
        wait_until("no agent has a connection", lambda: set(self.counts("connections").values()) == {0}, 10)

    def test_one_serves_and_the_other_forgets(self):
        before, acks = self.services.ctl("status")["transfers"], self.counts("acks")
        for number in range(4):
            self.play(asked, f"asked-{number}")
        self.play(lambda laboratory: asked(laboratory, address=topology.v6("origin")), "asked-ipv6")

        self.assertGreaterEqual(sum(self.counts("acks").values()) - sum(acks.values()), 5)
        self.assertForgotten()
        after = self.services.ctl("status")["transfers"]
        self.assertEqual(after["committed"] - before["committed"], 5)
        self.assertGreaterEqual(after["cancelled"] - before["cancelled"], 5)
        self.assertEqual(after["late"] - before["late"], 0)
        self.assertConserved()

    def test_what_all_lack_is_the_origins(self):
        nacks = self.counts("nacks")
        result = self.play(lambda laboratory: asked(laboratory, "other.bin", "origin"), "lacking")
        self.assertEqual(result["row"]["reason"], "notFound")
        self.assertEqual({proxy: count - nacks[proxy] for proxy, count in self.counts("nacks").items()}, {"p1": 1, "p2": 1})

    def test_a_stopped_member_keeps_nobody_waiting(self):
        timeouts = self.counts("timeouts")
        self.services.pause("p1")
        try:
            for number in range(3):
                self.assertEqual(self.play(asked, f"stopped-{number}")["row"]["servedBy"], "p2")
        finally:
            self.services.resume("p1")
        self.assertEqual(self.counts("timeouts"), timeouts)
        self.laboratory.wait_for_proxies()

        self.assertForgotten()
        self.assertNothingHeld()


class MulticastByIPv6(Multicast):
    group = GROUPS[1]

    @classmethod
    def start(cls):
        cls.services.crtp_listen = "'[::]:0'"
        super().start()
