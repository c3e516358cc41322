"""Whatever hosts agree to, and wherever their numbers begin: byte for byte, with real kernels at every end."""

import json
import os
import sys

from .laboratory_case import (
    ALL_COMBINATIONS, CACHED_HOST, ORIGIN_HOST, LaboratoryCase, curl, resolve, scenarios, topology, wait_until)
from lab.scenarios import REPLAY_RULE
from lab.services import MOST_PATIENT, ONE_WAY_HOST, ONE_WAY_RULE, REPLAY_HOST, RULES
from lab.witnesses import complaints, new_complaints


class EveryCombination(LaboratoryCase):
    files = {"object.bin": (48 << 10, True)}
    #: One connection after the other, and nobody is to be late.
    timeout_options = MOST_PATIENT

    def tearDown(self):
        for host in ("client", "origin", *self.proxies):
            self.agree(host, (1, 1, 1))

    def test_of_client_origin_and_proxy(self):
        """Window scale, SACK and timestamps on and off at each: 512 connections, transferred unless a busy machine is late."""
        expected = [scenarios.sha256_of(f"{self.laboratory.content.origin}/object.bin")]
        before = self.services.ctl("status")["transfers"]["committed"]
        number = 0
        with self.assertClientSeesNothing():
            for proxies in ALL_COMBINATIONS:
                for proxy in self.proxies:
                    self.agree(proxy, proxies)
                for origin in ALL_COMBINATIONS:
                    self.agree("origin", origin)
                    for client in ALL_COMBINATIONS:
                        self.agree("client", client)
                        number += 1
                        address = (topology.v4("origin"), topology.v6("origin"))[number & 1]
                        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/object.bin"], resolve(address))
                        self.assertEqual((got.error, got.sha256), ("", expected), (client, origin, proxies))
        self.assertGreater(self.services.ctl("status")["transfers"]["committed"] - before, 450)
        self.assertConserved()


class AboutToWrap(LaboratoryCase):
    """The numbers of the client wrap within its request, those of the server within its answer."""

    rules = (REPLAY_RULE, ONE_WAY_RULE) + RULES
    files = {"half.bin": (512 << 10, True), "long.bin": (24 << 20, True), "elsewhere.bin": (24 << 20, False)}

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def download(self, kind, addresses, host, file, by):
        before = complaints(self.topology, "client")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "numbers_client.py")
        size = os.path.getsize(f"{self.laboratory.content.origin}/{file}")
        for address in addresses:
            served = self.served(by, file)
            found = json.loads(self.topology.run(
                "client", sys.executable, script, kind, address, 80, host, f"/{file}", size, 1))
            self.assertEqual([one["sha256"] for one in found], [scenarios.sha256_of(f"{self.laboratory.content.origin}/{file}")])
            half = 1 << 31
            self.assertGreater(found[0]["server"] % half, half - size)
            wait_until("the access log has it", lambda: self.served(by, file) == served + 1, 10)
        self.assertEqual(new_complaints(before, complaints(self.topology, "client")), [])

    def served(self, servers, file):
        return sum(f"/{file} " in line for server in servers for line in self.services.access_log(server))

    def test_of_the_origin(self):
        origins = (topology.v4("origin"), topology.v6("origin"))
        for host, file, by in ((CACHED_HOST, "half.bin", self.proxies), (ONE_WAY_HOST, "half.bin", self.proxies),
                               (ORIGIN_HOST, "elsewhere.bin", ["origin"])):
            self.download("kernel", origins, host, file, by)

    def test_of_a_replayed_server(self):
        self.services.start_replayed_server("p1")
        self.services.attach("p1")
        try:
            self.download("kernel", (topology.v4("origin"), topology.v6("origin")), REPLAY_HOST, "half.bin", ["p1"])
        finally:
            self.services.detach("p1")

    def test_of_a_cookie(self):
        scenarios.wait_for_origins(self.laboratory)
        self.download("cookie", topology.VIRTUAL_SERVERS, CACHED_HOST, "long.bin", self.proxies)
        self.download("cookie", topology.VIRTUAL_SERVERS, CACHED_HOST, "elsewhere.bin", ["origin"])
