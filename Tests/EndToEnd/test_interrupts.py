"""Ports that say by interrupt that something came: a director between two vhost-user links of a real testpmd."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path += [os.path.join(ROOT, "bench", "pktgen"), os.path.join(ROOT, "bench")]
BINARIES = os.path.join(ROOT, ".build", "release")

import machine  # noqa: E402
from processes import Program  # noqa: E402


@unittest.skipUnless(os.geteuid() == 0, "hugepages need root")
class InterruptTests(unittest.TestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="baton-interrupts-")
        self.addCleanup(place.cleanup)
        self.directory = place.name
        pages = machine.Hugepages(512 << 20, 0)
        pages.__enter__()
        self.addCleanup(pages.__exit__)

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, name, *command):
        program = Program(name, list(command), self.path(f"{name}.log"))
        self.addCleanup(program.stop)
        return program

    @staticmethod
    def environment(lcores, side):
        """EAL's arguments. vhost-user shares memory by few descriptors."""
        return [
            "--lcores", lcores, "--file-prefix", f"{side}-{os.getpid()}", "--in-memory", "--single-file-segments",
            "--no-pci",
        ]

    def status(self):
        command = [os.path.join(BINARIES, "batonctl"), "status", "--socket", self.path("batond.sock"), "--json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def received(self):
        counters = self.status()["workers"][0]["counters"]
        return counters["receivedFromClients"], counters["receivedFromServers"]

    def sleeps(self, director):
        """How often the worker has gone to sleep so far."""
        with open(f"/proc/{director.pid}/task/{director.thread('worker-1')}/status") as file:
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", file.read(), re.MULTILINE).group(1))

    def test_a_worker_sleeps_until_something_comes(self):
        links = [self.path(f"{side}.sock") for side in ("client", "server")]
        far = self.start(
            "testpmd", "dpdk-testpmd", *self.environment("0@0,1@0", "far"),
            *(f"--vdev=net_vhost{index},iface={link},queues=1" for index, link in enumerate(links)), "--",
            "--interactive", "--forward-mode=io", "--total-num-mbufs=4096", "--port-topology=paired")
        far.wait_until("it listens", lambda: all(os.path.exists(link) for link in links))
        client, server = (f"net_virtio_user{index},path={link},queues=1" for index, link in enumerate(links))
        with open(self.path("batond.yaml"), "w") as file:
            file.write(
                f'name: interrupts\nports: {{ client: ["{client}"], server: ["{server}"] }}\n'
                "workers: { count: 1, idle: adaptive, flows: 4096, recovery: 0s }\n"
                f"control: {{ socket: {self.path('batond.sock')} }}\n")
        director = self.start(
            "batond", os.path.join(BINARIES, "batond"), "--config", self.path("batond.yaml"), "--",
            *self.environment("0@0,1@1", "near"))
        director.wait_until("it answers", self.status)

        # Nothing comes: it sleeps for 10 ms at a time. Without an interrupt it would have to look every 50 µs.
        start, slept = time.monotonic(), self.sleeps(director)
        time.sleep(1)
        self.assertLess((self.sleeps(director) - slept) / (time.monotonic() - start), 2_000)

        # Frames go round and round, both ways, as often as testpmd is told to begin; the worker slept before.
        for _ in range(3):
            before = self.received()
            far.say("start tx_first 1")
            director.wait_until(
                "frames pass", lambda: all(now > then + 10_000 for now, then in zip(self.received(), before)))
            far.say("stop")
            director.wait_until("all is quiet", self.is_quiet)

    def is_quiet(self):
        before = self.received()
        time.sleep(0.2)
        return self.received() == before


if __name__ == "__main__":
    unittest.main()
