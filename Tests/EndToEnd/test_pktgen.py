"""bench/pktgen: its search on modelled devices, and the whole of it, once, on the real one."""

import glob
import json
import math
import os
import signal
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path += [os.path.join(ROOT, "bench", "pktgen"), os.path.join(ROOT, "bench")]
RUN = os.path.join(ROOT, "bench", "pktgen", "run.py")

from search import Search, Trial  # noqa: E402


def device(capacity, disturb=lambda number: 0.0, generator=float("inf")):
    """A device that forwards `capacity` frames a second, and whose worker is sometimes kept off its CPU."""
    numbers = iter(range(1_000_000))

    def run(rate):
        waiting = disturb(next(numbers))
        wanted = min(rate or 2 * capacity, generator)
        forwarded = min(wanted, capacity) * (1 - waiting)
        # Unpaced, the ring takes what the device takes.
        sent = forwarded if rate == 0 else wanted
        return Trial(rate, int(sent), math.ceil(forwarded), 0, 0, 1.0, seconds_kept_waiting=waiting)

    return run


class SearchTests(unittest.TestCase):
    def test_the_capacity_of_a_device_is_found_to_the_resolution(self):
        for capacity in (1_000, 123_457, 14_880_952):
            found = Search(device(capacity), resolution=0.01).highest()
            self.assertLessEqual(found.best.rate, capacity)
            self.assertGreaterEqual(found.best.rate, capacity - 0.01 * found.ceiling)

    def test_a_device_that_is_better_when_paced_is_followed_upwards(self):
        inner = device(1_000_000)
        found = Search(lambda rate: inner(rate) if rate else device(300_000)(0), resolution=0.01).highest()
        self.assertGreater(found.best.rate, 0.98 * 1_000_000)

    def test_a_link_bounds_the_search(self):
        found = Search(device(5_000_000)).highest(limit=1_000_000)
        self.assertEqual((found.ceiling, found.best.rate, found.trials), (1_000_000, 1_000_000, 2))

    def test_trials_that_others_disturb_do_not_count(self):
        found = Search(device(1_000_000, lambda number: 0.004 if number % 3 else 0.0), resolution=0.01).highest()
        self.assertGreater(found.best.rate, 0.98 * 1_000_000)
        self.assertGreater(found.disturbed, 0)

    def test_a_loss_greater_than_the_disturbance_counts(self):
        trial = Trial(1_000, sent=1_000, received=900, refused=0, forfeited=0, seconds=1.0, seconds_kept_waiting=0.05)
        self.assertFalse(trial.is_disturbed())

    def test_a_sender_that_was_held_up_is_a_disturbance_and_a_slow_one_is_not(self):
        for waiting, expected in ((0.05, True), (0.0, False)):
            trial = Trial(
                1_000, sent=950, received=950, refused=0, forfeited=50, seconds=1.0, seconds_sender_kept_waiting=waiting)
            self.assertFalse(trial.is_offered())
            self.assertEqual(trial.is_disturbed(), expected)

    def test_always_disturbed_is_not_passed(self):
        found = Search(device(1_000_000, lambda number: 0.004)).highest()
        self.assertIsNone(found.best)
        self.assertGreater(found.disturbed, 0)

    def test_a_rate_that_the_generator_does_not_reach_is_not_passed(self):
        found = Search(device(1_000_000, generator=500_000), resolution=0.01).highest()
        self.assertAlmostEqual(found.best.offered, 500_000, delta=0.02 * found.ceiling)
        self.assertGreater(found.not_offered, 0)

    def test_frames_that_the_port_refuses_are_lost(self):
        trial = Trial(1_000, sent=900, received=900, refused=100, forfeited=0, seconds=1.0)
        self.assertEqual(trial.lost, 100)
        self.assertFalse(trial.is_loss_free(0.05))
        self.assertTrue(trial.is_loss_free(0.1))


class PlanTests(unittest.TestCase):
    def plan(self, *arguments):
        return subprocess.run([RUN, "--print", *arguments], capture_output=True, text=True, timeout=60)

    def test_physical_ports(self):
        text = self.plan(
            "--client-port", "0000:01:00.0", "--server-port", "0000:01:00.1", "--generator-ports",
            "0000:02:00.0,0000:02:00.1", "--cpus", "0,1,2,3").stdout
        self.assertIn('client: ["0000:01:00.0"]', text)
        self.assertIn("--lcores 0@2,1@3", text)
        self.assertIn("-a 0000:02:00.0 -a 0000:02:00.1", text)

    def test_pktgen_gets_a_script(self):
        text = self.plan("--generator", "pktgen").stdout
        self.assertIn("-f /tmp/baton-pktgen/pktgen.lua", text)
        self.assertIn('io.open("/tmp/baton-pktgen/commands"', text)
        self.assertNotIn("@COMMANDS@", text)

    def test_mistakes_are_told(self):
        for arguments, word in (
            (["--client-port", "0000:01:00.0"], "--generator-ports"),
            (["--generator-ports", "eth0,eth1"], "no PCI address"),
            (["--cpus", "1"], "--cpus"),
            (["--sizes", "9000"], "1518"),
        ):
            result = self.plan(*arguments)
            self.assertNotEqual(result.returncode, 0)
            self.assertIn(word, result.stderr)


@unittest.skipUnless(os.geteuid() == 0, "hugepages need root")
class RunTests(unittest.TestCase):
    SHORT = ["--sizes", "64", "--seconds", "0.05", "--resolution", "0.2", "--no-flood"]

    def traces(self):
        return set(glob.glob("/tmp/baton-pktgen-*") + glob.glob("/var/run/dpdk/pktgen-*"))

    def test_frames_pass_and_nothing_is_left(self):
        before = self.traces()
        result = subprocess.run([RUN, *self.SHORT], capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        last = result.stdout.splitlines()[-1]
        self.assertTrue(last.startswith("pktgen: {"))
        self.assertGreater(json.loads(last.removeprefix("pktgen: "))["rows"]["pktgen-loss-free-64"]["baton"], 0)
        self.assertEqual(self.traces() - before, set())

    def test_killed_it_leaves_nothing(self):
        before = self.traces()
        for number in (signal.SIGTERM, signal.SIGKILL):
            process = subprocess.Popen(
                [RUN, *self.SHORT, "--seconds", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while not any("generator" in path for path in self.traces() - before) and time.monotonic() < deadline:
                time.sleep(0.1)
            process.send_signal(number)
            process.wait(30)
            while self.traces() - before and time.monotonic() < deadline + 30:
                time.sleep(0.1)
            self.assertEqual(self.traces() - before, set())
            running = subprocess.run(["pgrep", "-f", f"pktgen-{process.pid}-"], capture_output=True, text=True).stdout
            self.assertEqual(running, "")
