"""The control channel by the servers' port, with an address of the director's own: no kernel has a part in it."""

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, scenarios, topology, wait_until
from lab.services import CRTP_PORT


class OwnAddress(LaboratoryCase):
    workers = 1
    files = {"cached.bin": (4 << 20, True)}

    @classmethod
    def start(cls):
        cls.services.crtp_listen = f"{topology.OWN_ADDRESS}:{CRTP_PORT}"
        cls.services.crtp_options |= {"via": "server-port"}
        super().start()

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def neighbours(self, name):
        return self.topology.run(name, "ip", "neighbour", "show", topology.OWN_ADDRESS)

    def test_requests_are_transferred_and_refused(self):
        self.assertNotIn(topology.OWN_ADDRESS, self.topology.run("director", "ip", "address"))
        before = self.services.counters()
        self.play(scenarios.cached)
        self.play(scenarios.uncached)
        after = self.services.counters()
        self.assertGreater(after["ownReceived"], before["ownReceived"])
        self.assertEqual(after["droppedOwnFull"], 0)
        # A host finds the director as it finds any other.
        port = self.topology.run("director", "cat", "/sys/class/net/ds/address").strip()
        self.assertIn(port, self.neighbours("p1"))

    def test_a_group_is_asked(self):
        self.play(scenarios.multicast)

    def test_agents_that_start_anew_are_found_again(self):
        self.laboratory.restart_agents()
        self.play(scenarios.cached, "cached-again")

    def test_proxies_that_ask_for_its_address_again_get_an_answer(self):
        self.topology.run("p1", "ip", "neighbour", "flush", "to", topology.OWN_ADDRESS)
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
        self.assertTrue(got.ok, got.error)
        wait_until("p1 knows where it is", lambda: "lladdr" in self.neighbours("p1"), 20)


class OwnAddressWithTwoWorkers(OwnAddress):
    workers = 2
    queues = 2
