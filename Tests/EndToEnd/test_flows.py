"""`batonctl flows` against a running director: filters, counts, pages."""

import contextlib
import json
import os
import subprocess

from .held_open import held_open
from .laboratory_case import CACHED_HOST, ORIGIN_HOST, PROXIES, LaboratoryCase, topology, wait_until
from lab.services import BINARIES


class Flows(LaboratoryCase):
    files = {"cached.bin": (20_000, True), "origin.bin": (20_000, False)}
    workers = 2
    queues = 2

    @classmethod
    def start(cls):
        super().start()
        v4, v6 = topology.v4("origin"), topology.v6("origin")
        cls.clients = contextlib.ExitStack()
        for address, host, path, count in (
                (v4, CACHED_HOST, "/cached.bin", 30), (v6, CACHED_HOST, "/cached.bin", 10),
                (v4, ORIGIN_HOST, "/origin.bin", 20)):
            cls.clients.enter_context(held_open(cls.topology, address, host, path, count))

    @classmethod
    def tearDownClass(cls):
        if hasattr(cls, "clients"):
            cls.clients.close()
        super().tearDownClass()

    def flows(self, *arguments):
        return self.services.ctl("flows", *arguments)["flows"]

    def counts(self, *arguments):
        census = self.services.ctl("flows", "--count", *arguments)
        self.assertEqual(census["flows"], sum(count["flows"] for count in census["counts"]))
        return {(count["state"], count["proxy"]): count["flows"] for count in census["counts"]}

    def test_counts_agree_with_gauges_and_listings(self):
        counts, gauges = self.counts(), self.services.counters()
        committed = sum(counts.get(("committed", proxy), 0) for proxy in PROXIES)
        # What a busy machine made too late went to the origin.
        self.assertGreaterEqual(committed, 36, counts)
        self.assertEqual(committed + counts[("origin", "")], 60, counts)
        self.assertEqual((sum(counts.values()), committed), (gauges["flows"], gauges["committedFlows"]))
        self.assertEqual(len(self.flows("--state", "committed")), committed)

    def test_filters(self):
        self.assertEqual(sum(self.counts("--server", "10.0.0.0/24").values()), 50)
        self.assertEqual(sum(self.counts("--server", "fd00:ba::/64").values()), 10)
        self.assertEqual({state for state, _ in self.counts("--state", "committed")}, {"committed"})
        self.assertEqual(sum(self.counts("--client", topology.v4("client")).values()), 50)
        self.assertEqual(self.counts("--client", "192.0.2.0/24"), {})
        self.assertEqual(self.counts("--port", "443"), {})
        one = self.flows("--state", "committed", "--limit", "1")[0]
        port = one["flow"].split(" > ")[0].rsplit(":", 1)[1]
        self.assertEqual([flow["flow"] for flow in self.flows("--client-port", port)], [one["flow"]])
        by_proxy = {proxy: self.flows("--proxy", proxy) for proxy in PROXIES}
        for proxy, rows in by_proxy.items():
            self.assertTrue(rows and all(row["proxy"] == proxy for row in rows), rows)
        self.assertEqual(self.flows("--older", "1h"), [])
        self.assertEqual(len(self.flows("--younger", "1h")), 60)
        # Time goes by until these have been silent for a while.
        wait_until("all are old", lambda: len(self.flows("--older", "1s")) == 60, 10)
        self.assertEqual(self.flows("--younger", "500ms"), [])

    def test_pages_hold_each_flow_once(self):
        found, cursor = [], []
        while True:
            page = self.services.ctl("flows", "--limit", "7", *cursor)
            found += [row["flow"] for row in page["flows"]]
            self.assertLessEqual(len(page["flows"]), 7)
            if page.get("next") is None:
                break
            cursor = ["--cursor", page["next"]]
        self.assertEqual(len(found), 60)
        self.assertEqual(len(set(found)), 60)
        self.assertEqual({row["worker"] for row in self.flows()}, {0, 1})

    def test_what_cannot_be_is_said(self):
        for arguments, says in (
            (("--proxy", "p9"), "no proxy is named 'p9'"),
            (("--state", "open"), "'state' is one of opening, held"),
            (("--client", "10.0.0/8"), "'client' is an address or a prefix"),
            (("--cursor", "1"), "the cursor is none of this director's"),
        ):
            outcome = subprocess.run(
                [os.path.join(BINARIES, "batonctl"), "flows", *arguments, "--socket", self.services.path("batond.sock")],
                capture_output=True, text=True)
            self.assertEqual(outcome.returncode, 1)
            self.assertIn(says, outcome.stderr)

    def test_many_ask_at_once(self):
        command = [os.path.join(BINARIES, "batonctl"), "flows", "--count", "--json",
                   "--socket", self.services.path("batond.sock")]
        asking = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(20)]
        answers = [json.loads(one.communicate(timeout=20)[0])["flows"] for one in asking]
        self.assertEqual(answers, [60] * 20)
