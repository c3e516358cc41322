"""What rules require of agents: promised and kept, or refused and served by the origin."""

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, topology

from lab.capture import Capture

EXPEDITED = 46  # RFC 3246


class Requirements(LaboratoryCase):
    files = {"wanted.bin": (100_000, True)}
    rules = ("{ name: expedited, ports: [80], application: [http-get], requirements: { class: 46, bandwidth: 8Mbit } }",
             "{ name: fast, ports: [8080], application: [http-get], requirements: { delay: 1ms } }")
    #: p2 can promise neither.
    agent_options = {"p1": {"capacity": "{ bandwidth: 10Mbit, delay: 2ms }"},
                     "p2": {"capacity": "{ bandwidth: 1Mbit, delay: 2ms, classes: [0] }"}}

    def test_a_class_is_set_or_refused(self):
        for address in (topology.v4("origin"), topology.v6("origin")):
            served = {"p1": 0, "origin": 0}
            # Turns go round: each proxy is asked once or more.
            for turn in range(3):
                with self.subTest(address=address, turn=turn):
                    file = self.services.path(f"class-{address}-{turn}.pcap")
                    before = {name: len(self.services.access_log(name)) for name in served}
                    capture = Capture(self.topology, "client", "c0", file, "tcp port 80")
                    got = curl(self.laboratory).get([f"http://{CACHED_HOST}/wanted.bin"], resolve(address))
                    path = capture.stop()
                    self.assertTrue(got.ok, got.error)
                    by_proxy = len(self.services.access_log("p1")) > before["p1"]
                    served["p1" if by_proxy else "origin"] += 1
                    classes = self.classes_of_bodies(path)
                    self.assertEqual(classes, {EXPEDITED if by_proxy else 0})
            self.assertGreater(served["p1"], 0, "p1 can")
            self.assertGreater(served["origin"], 0, "p2 cannot")
        reasons = {row["reason"] for row in self.services.ctl("transfers")}
        self.assertLessEqual(reasons, {"policy", "committed"})
        self.assertEqual(self.services.access_log("p2"), [])

    def test_nobody_is_as_fast_as_that(self):
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}:8080/wanted.bin"], resolve())
        self.assertTrue(got.ok, got.error)
        self.assertEqual(self.services.ctl("transfers", "--limit", "1")[0]["reason"], "policy")

    def classes_of_bodies(self, path):
        """DSCPs of the large segments that came to the client."""
        lines = self.topology.run("client", "tshark", "-r", path, "-Y", "tcp.srcport == 80 && tcp.len > 500",
                                  "-T", "fields", "-e", "ip.dsfield.dscp", "-e", "ipv6.tclass.dscp").splitlines()
        return {int(line.strip()) for line in lines}
