"""Virtual servers: their origins are checked and found, and clients find the director."""

import re

from .laboratory_case import ORIGIN_HOST, LaboratoryCase, curl, resolve, topology, wait_until

#: Addresses that no host has; each is dialled from the clients' side.
DIALLED = topology.VIRTUAL_SERVERS


class Origins(LaboratoryCase):
    files = {"small.bin": (50_000, False)}

    @classmethod
    def start(cls):
        check = "check: { interval: 100ms, timeout: 100ms, rise: 2, fall: 3 }"
        cls.services.virtual_servers = lambda: f"""
  - {{ name: www, address: "{DIALLED[0]}:80", {check},
      origins: [{{ name: o1, address: "{topology.v4('origin')}:80" }}, {{ name: none, address: "{topology.v4('p1')}:81" }}] }}
  - {{ name: www6, address: "[{DIALLED[1]}]:80", {check},
      origins: [{{ name: o1, address: "[{topology.v6('origin')}]:80" }}] }}
"""
        super().start()

    def origins(self):
        return {f"{row['server']}/{row['origin']}": row for row in self.services.ctl("origins")}

    def wait_for(self, name, up):
        wait_until(f"{name} is {'up' if up else 'down'}", lambda: self.origins()[name]["up"] == up, 10)
        return self.origins()[name]

    def test_what_the_checks_find(self):
        card = self.topology.run("origin", "cat", "/sys/class/net/eth0/address").strip()
        for name in ("www/o1", "www6/o1"):
            row = self.wait_for(name, True)
            self.assertEqual((row["mac"], row["reason"]), (card, "takes connections"))
        wait_until("the other one was checked", lambda: self.origins()["www/none"]["reason"] == "connection refused", 10)
        self.assertFalse(self.origins()["www/none"]["up"])

    def test_a_server_that_stops_and_comes_back(self):
        self.wait_for("www/o1", True)
        self.services.processes.pop("origin").stop()
        self.assertEqual(self.wait_for("www/o1", False)["reason"], "connection refused")
        self.services.start_origin()
        self.wait_for("www/o1", True)
        self.wait_for("www6/o1", True)

    def test_a_connection_is_shown_with_its_origin(self):
        self.wait_for("www/o1", True)
        got = curl(self.laboratory).get([f"http://{ORIGIN_HOST}/small.bin"], resolve(DIALLED[0]))
        self.assertTrue(got.ok, got.error)
        for proxy in ((), ("--proxy", "www/o1")):
            rows = [row for row in self.services.ctl("flows", *proxy)["flows"] if row["proxy"] == "www/o1"]
            self.assertEqual({row["flow"].split(" > ")[1] for row in rows}, {f"{DIALLED[0]}:80"})
        self.assertEqual(self.services.ctl("flows", "--proxy", "www/none")["flows"], [])

    def test_a_client_finds_the_director(self):
        port = self.topology.run("director", "cat", "/sys/class/net/dc/address").strip()
        for address in DIALLED:
            self.topology.run("client", "ping", "-c", "3", "-i", "0.2", "-s", "1200", "-W", "5", address)
            known = self.topology.run("client", "ip", "neighbour", "show", address)
            self.assertRegex(known, re.escape(port))
        counters = self.services.counters()
        self.assertGreaterEqual(counters["neighborsAnswered"], 2)
        self.assertGreaterEqual(counters["echoesAnswered"], 6)
        self.assertConserved()
