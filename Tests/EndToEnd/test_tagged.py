"""Invariant 8 on the wire: the director's ports carry 802.1Q frames, hosts behind them do not know."""

from .laboratory_case import LaboratoryCase, scenarios, wait_until

VLAN = 7


class Tagged(LaboratoryCase):
    relayed = ("far", "client", "server")
    #: One agent names its VLAN, the other takes what comes.
    agent_options = {"p1": {"vlan": VLAN}}
    files = {"cached.bin": (4 << 20, True)}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            # The relays are the switches: tags on the director's side alone, and only this VLAN passes.
            for wire in ("client", "server"):
                cls.topology.impair(wire, "--vlan", str(VLAN))
        except BaseException:
            cls.tearDownClass()
            raise

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def assertTagged(self):
        """The last transfer, as the director tells it."""
        self.assertEqual(self.services.ctl("transfers", "--limit", "1")[0]["flow"].partition(" vlan ")[2], str(VLAN))


    def assertOriginIsReset(self):
        """The director's own packets are tagged, too: its reset has reached the origin, whose half would stay otherwise."""
        wait_until("the origin has no connection left", lambda: not self.topology.run(
            "origin", "ss", "-Htn", "state", "established", "( sport = :80 or sport = :443 )"), 10)


def _add(scenario):
    def test(self):
        self.play(scenario)
        self.assertTagged()
        self.assertOriginIsReset()

    test.__doc__ = f"tagged: {scenario.__doc__}"
    setattr(Tagged, f"test_invariant8_{scenario.__name__}", test)


for _scenario in (scenarios.cached, scenarios.uncached, scenarios.late, scenarios.keepalive, scenarios.ipv6, scenarios.tls):
    _add(_scenario)
