"""UDP by its first datagrams: HTTP/3 by server name, DNS by the name asked for."""

import hashlib
import os

from .laboratory_case import CACHED_HOST, ORIGIN_HOST, PROXIES, LaboratoryCase, topology, wait_until
from lab import datagrams
from lab.shell import Process

MEBIBYTE = 1 << 20


class Datagrams(LaboratoryCase):
    datagrams = True
    files = {"big.bin": (3 * MEBIBYTE, True), "long.bin": (24 * MEBIBYTE, True)}

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def sha256(self, name):
        with open(os.path.join(self.laboratory.content.origin, name), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def get(self, host, address=None, path="/small.bin", **options):
        """Downloads and holds the client's word, the hash and the servers' logs together; gives who served."""
        before = {name: len(datagrams.requests(self.services, name)) for name in ("origin",) + PROXIES}
        got, told = datagrams.get(self.services, host, path, address, **options)
        self.assertTrue(got.ok, got.error)
        self.assertEqual(got.sha256, [self.sha256(path[1:])])
        lines = {name: len(datagrams.requests(self.services, name)) - count for name, count in before.items()}
        self.assertEqual({name for name, count in lines.items() if count}, {told["server"]}, lines)
        return told["server"], told

    def test_the_server_name_decides_in_either_family_and_version(self):
        for address in (topology.v4("origin"), topology.v6("origin")):
            for options in ({}, {"version2": True}):
                self.assertIn(self.get(CACHED_HOST, address, **options)[0], PROXIES)
                self.assertEqual(self.get(ORIGIN_HOST, address, **options)[0], "origin")

    def test_a_client_that_rebinds_in_mid_connection_stays_with_its_server(self):
        for address in (topology.v4("origin"), topology.v6("origin")):
            before = self.services.counters()
            server, told = self.get(CACHED_HOST, address, "/big.bin", rebind_after=MEBIBYTE)
            self.assertIn(server, PROXIES)
            self.assertEqual(len(set(told["ports"])), 2, told)
            after = self.services.counters()
            self.assertEqual(after["steeredByIdentifier"], before["steeredByIdentifier"] + 1)
            self.assertEqual(after["holdsCommitted"], before["holdsCommitted"] + 1)

    def test_a_client_of_the_origin_rebinds_as_if_nobody_were_there(self):
        server, told = self.get(ORIGIN_HOST, path="/big.bin", rebind_after=MEBIBYTE)
        self.assertEqual((server, len(set(told["ports"]))), ("origin", 2))

    def test_the_name_asked_for_decides(self):
        for address in (topology.v4("origin"), topology.v6("origin")):
            said = datagrams.resolve(self.services, CACHED_HOST, address)
            self.assertIn(said, [datagrams.ANSWERS[name] for name in PROXIES])
            self.assertEqual(datagrams.resolve(self.services, ORIGIN_HOST, address), datagrams.ANSWERS["origin"])
            self.assertEqual(datagrams.resolve(self.services, CACHED_HOST.upper(), address).split(".")[:3],
                             ["192", "0", "2"])

    def test_a_late_answer_leaves_all_to_the_origin(self):
        for name in PROXIES:
            self.services.pause(name)
        try:
            server, told = self.get(CACHED_HOST)
            said = datagrams.resolve(self.services, CACHED_HOST)
        finally:
            for name in PROXIES:
                self.services.resume(name)
            self.laboratory.wait_for_proxies()
        self.assertEqual((server, said), ("origin", datagrams.ANSWERS["origin"]))
        # Not a client's retransmission, which comes after a second, but the held datagram itself.
        self.assertLess(told["connected"], 0.9)

    def test_without_agents_and_in_bypass_all_is_the_origins(self):
        for name in PROXIES:
            self.services.kill(name)
        try:
            self.assertEqual(self.get(CACHED_HOST)[0], "origin")
        finally:
            self.laboratory.restart_agents()
        self.services.ctl("bypass", "on")
        try:
            self.assertEqual(self.get(CACHED_HOST)[0], "origin")
            self.assertEqual(datagrams.resolve(self.services, CACHED_HOST), datagrams.ANSWERS["origin"])
        finally:
            self.services.ctl("bypass", "off")
        self.assertIn(self.get(CACHED_HOST)[0], PROXIES)

    def begin_long_download(self):
        """A client that gets long.bin from a proxy, as soon as its flow is the proxy's."""
        client = self.topology.inside(
            "client", datagrams.PYTHON, os.path.join(datagrams.HERE, "quic_client.py"), "--address",
            topology.v4("origin"), "--host", CACHED_HOST, "--path", "/long.bin", "--authority",
            self.services.path("tls.crt"))
        before = self.services.counters()
        download = Process("quic-client", client, self.services.path("quic-client.log"))
        wait_until("the flow is a proxy's", lambda: self.services.counters()["holdsCommitted"] > before["holdsCommitted"],
                   20, download)
        return download

    def end_long_download(self, download):
        self.assertEqual(download.wait(60), 0, download.tail())
        self.assertIn(self.sha256("long.bin"), download.tail())

    def test_an_agent_that_goes_takes_no_flow_with_it(self):
        """What is committed is the server's, whatever becomes of the agent beside it."""
        download = self.begin_long_download()
        self.laboratory.restart_agents()
        self.end_long_download(download)

    def test_a_flow_outlives_its_rule_and_its_proxys_place_in_the_file(self):
        rules = list(self.services.rules)
        download = self.begin_long_download()
        try:
            self.services.rules = [rule for rule in rules if rule not in datagrams.RULES]
            self.services.director_proxies = PROXIES[:1]
            self.assertEqual({change["key"] for change in self.services.reload()["changes"]},
                             {"rules.quic", "rules.dns", f"proxies.{PROXIES[1]}"})
            self.assertEqual(datagrams.get(self.services, CACHED_HOST, "/small.bin")[1]["server"], "origin")
            self.assertEqual(datagrams.resolve(self.services, CACHED_HOST), datagrams.ANSWERS["origin"])
            self.end_long_download(download)
        finally:
            self.services.rules, self.services.director_proxies = rules, ()
            self.services.reload()
        self.laboratory.wait_for_proxies()
        self.assertIn(self.get(CACHED_HOST)[0], PROXIES)
