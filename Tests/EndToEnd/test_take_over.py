"""An agent that is replaced by another process: no request is lost, whatever stage its connection is at."""

import json
import os
import re
import signal
import subprocess
import sys
import unittest

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, scenarios, topology, wait_until
from lab import services
from lab.shell import Process

CONNECTIONS = 1_000
#: Too slowly for a download to end before its agent does.
SLOWLY = ["--limit-rate", "50M"]


class TakeOver(LaboratoryCase):
    files = {"object.bin": (24 << 10, True), "long.bin": (256 << 20, True)}

    def start_crowd(self, requests_per_connection):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "crowd.py")
        expected = scenarios.sha256_of(f"{self.laboratory.content.origin}/object.bin")
        command = self.topology.inside("client", sys.executable, script, topology.v4("origin"), CACHED_HOST,
                                       "/object.bin", expected, str(CONNECTIONS), str(requests_per_connection))
        crowd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(crowd.kill)
        self.assertEqual(crowd.stdout.readline(), "busy\n")
        return crowd

    def finish(self, crowd):
        output, _ = crowd.communicate(timeout=120)
        return json.loads(output.splitlines()[-1])

    @staticmethod
    def text(path, start=0):
        with open(path, errors="replace") as file:
            file.seek(start)
            return file.read()

    def take_over_under_load(self, requests_per_connection):
        log = self.services.path("director.log")
        begun = os.path.getsize(log)
        crowd = self.start_crowd(requests_per_connection)
        before = self.services.counters()
        self.assertGreater(before["committedFlows"], CONNECTIONS // 2, "hardly anything was transferred")
        # The first one twice, so that a successor is succeeded too.
        for name in PROXIES + PROXIES[:1]:
            old = self.services.succeed_agent(name)
            self.assertEqual(old.wait(60), 0, old.tail())
        result = self.finish(crowd)
        self.assertEqual(result["failures"], [], f"of {result['asked']}")
        self.assertEqual(result["asked"], result["served"])
        self.assertGreater(result["served"], 2 * CONNECTIONS)
        self.assertNotRegex(self.text(log, begun), r"proxy (down|up)", "the director noticed")
        print(f"\n    {result['served']} requests, {CONNECTIONS} at a time, three agents replaced;"
              f" {self.services.counters()['holdsCommitted'] - before['holdsCommitted']} transfers meanwhile", end=" ", flush=True)
        wait_until("no connection is left", lambda: self.services.counters()["committedFlows"] == 0, 20)
        self.assertConserved()

    def test_no_request_is_lost_on_kept_connections(self):
        self.take_over_under_load(1 << 30)

    def test_no_request_is_lost_on_short_connections(self):
        self.take_over_under_load(2)

    def test_a_response_under_way_is_finished_by_who_began_it(self):
        client = curl(self.laboratory).start(
            [f"http://{CACHED_HOST}/long.bin", f"http://{CACHED_HOST}/object.bin"], resolve(), SLOWLY)
        wait_until("a part of the download is there", lambda: client.body_size() > 1 << 20, 60)
        old = {name: self.services.succeed_agent(name) for name in PROXIES}
        got = client.finish()
        self.assertTrue(got.ok, got.error)
        self.assertEqual(got.sha256, [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}")
                                      for name in ("long.bin", "object.bin")])
        for name in PROXIES:
            self.assertEqual(old[name].wait(30), 0, old[name].tail())

    def test_a_killed_predecessor_loses_only_its_own(self):
        client = curl(self.laboratory).start([f"http://{CACHED_HOST}/long.bin"], resolve(), SLOWLY)
        wait_until("a part of the download is there", lambda: client.body_size() > 1 << 20, 60)
        old = {name: self.services.succeed_agent(name) for name in PROXIES}
        for process in old.values():
            process.signal(signal.SIGSTOP)
            process.kill()
        wait_until("the director hears of its end", lambda: self.services.counters()["committedFlows"] == 0, 20)
        self.assertFalse(client.finish(60).ok)
        # The successors serve.
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/object.bin"], resolve())
        self.assertTrue(got.ok, got.error)

    def test_a_successor_that_cannot_start_changes_nothing(self):
        binary = os.path.join(services.BINARIES, "baton-agent")
        old = self.services.processes["p1"]
        with open(self.services.path("p1.yaml")) as file:
            text = file.read()
        cases = {
            "adoption: { delivery-mark: 0xba700009 }\n": "delivery-mark.*takes a restart",
            "access-log: /nowhere/at/all\n": "opening /nowhere/at/all",
        }
        for change, complaint in cases.items():
            with self.subTest(change):
                key = change.split(":")[0]
                changed = re.sub(rf"^{key}:.*\n", "", text, flags=re.M) + change
                path = self.services.write("changed.yaml", changed)
                successor = Process("successor", self.topology.inside("p1", binary, "--config", path, "--take-over"),
                                    self.services.path("successor.log"))
                self.assertEqual(successor.wait(20), 1)
                self.assertRegex(successor.tail(), complaint)
                self.assertIsNone(old.poll())
        # And a second agent of the same name, by mistake.
        second = Process("second", self.topology.inside("p1", binary, "--config", self.services.path("p1.yaml")),
                         self.services.path("second.log"))
        self.assertEqual(second.wait(20), 1)
        self.assertIn("runs here already; --take-over succeeds it", second.tail())
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/object.bin"], resolve())
        self.assertTrue(got.ok, got.error)


if __name__ == "__main__":
    unittest.main()
