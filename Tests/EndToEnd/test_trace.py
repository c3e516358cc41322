"""`batonctl trace`: each decision about a real connection, as it happens and afterwards."""

import json
import os
import subprocess

from .laboratory_case import CACHED_HOST, ORIGIN_HOST, LaboratoryCase, curl, resolve, topology, wait_until
from lab.services import BINARIES


class Trace(LaboratoryCase):
    files = {"cached.bin": (20_000, True), "origin.bin": (20_000, False)}

    def trace(self, target, *arguments):
        """All that is known of a target at present."""
        answer = subprocess.run(
            [os.path.join(BINARIES, "batonctl"), "--socket", self.services.path("batond.sock"), "trace", target, "--json",
             *arguments], capture_output=True, text=True, check=True).stdout
        return [json.loads(line) for line in answer.splitlines()]

    def get(self, host, path):
        self.assertTrue(curl(self.laboratory).get([f"http://{host}/{path}"], resolve()).ok)

    def follow(self, target, host, path, last):
        """What a follower sees of one download, up to an event."""
        command = [os.path.join(BINARIES, "batonctl"), "--socket", self.services.path("batond.sock"), "trace", target,
                   "--follow", "--json"]
        before = len(self.trace(target))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as follower:
            for _ in range(before):
                follower.stdout.readline()
            self.get(host, path)
            events = []
            while not events or events[-1]["event"] != last:
                event = json.loads(follower.stdout.readline())
                # An earlier connection may still have something to say.
                if events and event["flow"] == events[0]["flow"] or not events and event["event"] == "held":
                    events.append(event)
            follower.terminate()
        return events

    def test_an_accepted_request_from_hold_to_flow_done(self):
        events = self.follow(topology.v4("client"), CACHED_HOST, "cached.bin", "flow ended")
        names = [event["event"] for event in events]
        wanted = ["held", "rule", "selection", "TRANSFER", "ACK", "verdict", "committed", "decided", "first byte",
                  "flow done", "flow ended"]
        self.assertEqual([name for name in names if name in wanted], wanted, names)
        times = [event["atMicroseconds"] for event in events]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({event["flow"] for event in events}), 1)
        self.assertIn(f"{CACHED_HOST}/cached.bin", events[0]["detail"])
        self.assertIn("web", events[1]["detail"])
        self.assertIn("chosen", events[2]["detail"])
        # The same by its number, and by its port.
        number = events[-1]["transfer"]
        self.assertIn(str(number), json.dumps(self.services.ctl("transfers")))
        self.assertEqual([event["event"] for event in self.trace(str(number))], ["asked", "decided"])
        port = events[0]["flow"].split(" > ")[0]
        self.assertEqual({event["flow"] for event in self.trace(port)}, {events[0]["flow"]})

    def test_a_refused_request_and_who_refused_it(self):
        events = self.follow(topology.v4("client"), ORIGIN_HOST, "origin.bin", "decided")
        nack = next(event for event in events if event["event"] == "NACK")
        self.assertIn(nack["proxy"], ("p1", "p2"))
        self.assertEqual((nack["detail"].split(",")[0], events[-1]["detail"]), ("policy", "policy"))

    def test_a_proxy_that_does_not_answer(self):
        self.services.pause("p1")
        self.services.pause("p2")
        try:
            events = self.follow(topology.v4("client"), CACHED_HOST, "cached.bin", "decided")
        finally:
            self.services.resume("p1")
            self.services.resume("p2")
        names = [event["event"] for event in events]
        self.assertIn("timeout", names)
        self.assertEqual(events[-1]["detail"], "timeout")
        wait_until("both answer again", lambda: all(
            proxy["state"] == "up" for proxy in self.services.ctl("proxies")), 20)

    def test_z_nobody_else_is_seen(self):
        self.assertEqual(self.trace("192.0.2.1"), [])
        self.get(CACHED_HOST, "cached.bin")
        self.assertEqual(self.trace("192.0.2.1"), [])
        # More targets than are followed at once.
        command = [os.path.join(BINARIES, "batonctl"), "--socket", self.services.path("batond.sock"), "trace"]
        for number in range(9):
            refused = subprocess.run([*command, f"192.0.2.{number}"], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("a trace ends when nobody has read it for a minute", refused.stderr)
