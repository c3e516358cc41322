"""What rules require of agents: promised and kept, or refused and served by the origin."""

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, topology, wait_until

from lab.capture import Capture

EXPEDITED = 46  # RFC 3246


class Requirements(LaboratoryCase):
    files = {"wanted.bin": (100_000, True)}
    rules = ("{ name: expedited, ports: [80], application: [http-get], requirements: { class: 46, bandwidth: 8Mbit } }",
             "{ name: fast, ports: [8080], application: [http-get], requirements: { delay: 1ms } }")
    #: p2 can promise neither.
    agent_options = {"p1": {"capacity": "{ bandwidth: 10Mbit, delay: 2ms }"},
                     "p2": {"capacity": "{ bandwidth: 1Mbit, delay: 2ms, classes: [0] }"}}

    def test_a_class_is_set_by_who_can(self):
        for address in (topology.v4("origin"), topology.v6("origin")):
            # Turns go round: p2 is asked, too, and its refusal is followed by another try.
            for turn in range(3):
                with self.subTest(address=address, turn=turn):
                    before = len(self.services.access_log("p1"))
                    self.assertEqual(self.classes(address, 80, turn), {EXPEDITED})
                    wait_until("p1 has logged it", lambda: len(self.services.access_log("p1")) > before, 10)
        self.assertEqual(self.services.access_log("p2"), [])

    def test_nobody_is_as_fast_as_that(self):
        before = len(self.services.access_log("origin"))
        self.assertEqual(self.classes(topology.v4("origin"), 8080, 0), {0})
        wait_until("the origin has logged it", lambda: len(self.services.access_log("origin")) > before, 10)
        self.assertEqual(self.services.ctl("transfers", "--limit", "1")[0]["reason"], "policy")

    def classes(self, address, port, turn):
        """DSCPs of the large segments that come to a client that downloads."""
        path = self.services.path(f"class-{address}-{port}-{turn}.pcap")
        capture = Capture(self.topology, "client", "c0", path, f"tcp port {port}")
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}:{port}/wanted.bin"], resolve(address))
        capture.stop()
        self.assertTrue(got.ok, got.error)
        lines = self.topology.run("client", "tshark", "-r", path, "-Y", f"tcp.srcport == {port} && tcp.len > 500",
                                  "-T", "fields", "-e", "ip.dsfield.dscp", "-e", "ipv6.tclass.dscp").splitlines()
        return {int(line.strip()) for line in lines}
