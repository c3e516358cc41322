"""`batonctl explain`: what it says of a request is what becomes of it."""

from .held_open import held_open
from .laboratory_case import CACHED_HOST, ORIGIN_HOST, LaboratoryCase, curl, resolve, topology, wait_until

ROUTED_CLIENT = "10.9.9.9"


class Explain(LaboratoryCase):
    files = {"cached.bin": (20_000, True), "origin.bin": (20_000, False)}
    routes = (f"{{ clients: [{ROUTED_CLIENT}/32], to: origin }}",)

    def explain(self, *arguments):
        return self.services.ctl("explain", *arguments)

    def test_the_next_proxy_is_the_one_that_serves(self):
        for _ in range(4):
            said = self.explain(f"http://{CACHED_HOST}/cached.bin", "--client", topology.v4("client"))
            self.assertEqual((said["outcome"], said["rule"]), ("asked", "web"), said)
            self.assertEqual(said["proxy"], self.explain(f"http://{CACHED_HOST}/cached.bin")["proxy"])
            before = len(self.services.access_log(said["proxy"]))
            self.assertTrue(curl(self.laboratory).get([f"http://{CACHED_HOST}/cached.bin"], resolve()).ok)
            wait_until(f"{said['proxy']} has served it",
                       lambda: len(self.services.access_log(said["proxy"])) > before, 10)

    def test_each_rule_has_its_reason(self):
        said = self.explain(f"http://{CACHED_HOST}/", "--client", topology.v4("client"))
        rules = {rule["name"]: (rule["verdict"], rule["reason"]) for rule in said["rules"]}
        self.assertEqual(rules["web"], ("decides", ""))
        self.assertEqual(rules["tls"], ("no", "port 80 is not in 443"))
        self.assertEqual(rules["observed"], ("no", "port 80 is not in 8080"))
        self.assertIn("is not in 10.1.0.100/32", rules["asymmetric"][1])
        secret = self.explain(f"http://{CACHED_HOST}/", "--client", topology.v4("client"), "--credentials")
        self.assertEqual(secret["outcome"], "passes")
        h2 = self.explain(f"https://{CACHED_HOST}/", "--client", topology.v4("client"), "--alpn", "h2")
        self.assertEqual((h2["outcome"], h2["summary"]), ("origin", "to the origin: protocolNotSpoken"))
        routed = self.explain(f"http://{CACHED_HOST}/", "--client", ROUTED_CLIENT)
        self.assertEqual(routed["outcome"], "routed")

    def test_a_live_connection_shows_its_flow(self):
        with held_open(self.topology, topology.v4("origin"), CACHED_HOST, "/cached.bin", 1), \
                held_open(self.topology, topology.v6("origin"), ORIGIN_HOST, "/origin.bin", 1):
            for state in ("committed", "origin"):
                flow = self.services.ctl("flows", "--state", state, "--younger", "1min")["flows"][0]
                said = self.explain(flow["flow"])
                self.assertEqual((said["flow"]["flow"], said["flow"]["state"]), (flow["flow"], state), said)
                self.assertEqual("transfer" in said, state == "committed", said)
            self.assertNotIn("flow", self.explain("192.0.2.1:1", "192.0.2.2:80"))

    def test_bypass_comes_first(self):
        self.services.ctl("bypass", "on")
        try:
            said = self.explain(f"http://{CACHED_HOST}/")
            self.assertEqual((said["outcome"], said["bypass"]), ("bypass", True))
        finally:
            self.services.ctl("bypass", "off")
