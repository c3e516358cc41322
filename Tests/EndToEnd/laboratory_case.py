"""A unittest case with a laboratory that its whole class shares."""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "demo"))

from lab.capture import RST, Capture, read_segments  # noqa: E402
from lab.scenarios import PROXIES, SERVERS, Laboratory, curl, resolve  # noqa: E402, F401
from lab import scenarios, topology  # noqa: E402, F401
from lab.services import CACHED_HOST, ORIGIN_HOST  # noqa: E402, F401
from lab.shell import run, wait_until  # noqa: E402, F401
from lab.witnesses import complaints, expert_errors, new_complaints  # noqa: E402

OPTIONS = ("tcp_window_scaling", "tcp_sack", "tcp_timestamps")
ALL_COMBINATIONS = list(itertools.product((1, 0), repeat=len(OPTIONS)))
#: BATON_KEEP_LOGS=1 leaves a failed class's files behind and says where.
KEEP = bool(os.environ.get("BATON_KEEP_LOGS"))


class LaboratoryCase(unittest.TestCase):
    relayed = ("far",)
    queues = 1
    workers = 1
    proxies = PROXIES
    worker_options = {}
    #: As in `Services`, where they are not the demo's.
    rules = None
    routes = ()
    agent_options = {}
    proxy_options = {}
    director_options = {}
    #: Merged into `Services.timeout_options`.
    timeout_options = {}
    crtp_options = {}
    sites = ()
    #: Servers over UDP as well.
    datagrams = False
    #: Files at the origin: name → (bytes, whether proxies have it, and which one if not all).
    files = {}

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="baton-test-")
        os.chmod(cls.directory, 0o755)
        cls.laboratory = Laboratory(cls.directory, "bt-test", cls.relayed, cls.queues, cls.proxies)
        cls.services = cls.laboratory.services
        cls.topology = cls.laboratory.topology
        cls.services.worker_options = cls.worker_options
        cls.services.rules = list(cls.rules or cls.services.rules)
        cls.services.routes = list(cls.routes)
        if cls.datagrams:
            cls.laboratory.serve_datagrams()
        cls.services.agent_options = cls.agent_options
        cls.services.proxy_options = cls.proxy_options
        cls.services.director_options = dict(cls.director_options)
        cls.services.timeout_options |= cls.timeout_options
        cls.services.crtp_options |= cls.crtp_options
        cls.services.sites = list(cls.sites)
        try:
            for name, wanted in cls.files.items():
                cls.laboratory.content.add(name, *wanted)
            cls.start()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def start(cls):
        cls.laboratory.up(cls.workers)

    @classmethod
    def tearDownClass(cls):
        cls.laboratory.down()
        if KEEP:
            print(f"logs and captures: {cls.directory}")
        else:
            shutil.rmtree(cls.directory, ignore_errors=True)

    def play(self, scenario, name=None):
        """A scenario, held to all that the demo holds it to."""
        result = self.laboratory.play(name or scenario.__name__, scenario)
        self.assertTrue(result["ok"], f"{result['row']}\n" + "\n".join(result["problems"]) + "\n" + "\n".join(
            f"{at:9.1f} ms {program} {line}" for at, program, line in result["timeline"][-30:]))
        return result

    def start_slow(self, file, count, url, *options):
        """So many downloads of a file at once, which take some seconds, and how to hear what became of them. They have
        begun."""
        directory = self.services.path(f"slow-{len(os.listdir(self.directory))}")
        os.makedirs(directory)
        expected = scenarios.sha256_of(f"{self.laboratory.content.origin}/{file}")
        rate = os.path.getsize(f"{self.laboratory.content.origin}/{file}") // 4
        process = subprocess.Popen(self.topology.inside(
            "client", "curl", "--no-progress-meter", "--fail", "--parallel", "--parallel-immediate", "--parallel-max",
            str(count), "--limit-rate", str(rate), *options, "--output", f"{directory}/#1", f"{url}[1-{count}]"),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def finish():
            output, _ = process.communicate(timeout=60)
            self.assertEqual((process.returncode, output), (0, ""))
            sums = [scenarios.sha256_of(f"{directory}/{name}") for name in os.listdir(directory)]
            self.assertEqual(sums, [expected] * count)

        wait_until("all downloads have begun", lambda: len(os.listdir(directory)) == count, 20)
        return finish

    def agree(self, host, combination):
        """What a host's kernel says in its handshakes: OPTIONS, on or off."""
        self.topology.run(host, "sysctl", "-qw", *(f"net.ipv4.{key}={value}" for key, value in zip(OPTIONS, combination)))

    @contextlib.contextmanager
    def assertClientSeesNothing(self, device="c0"):
        """Meanwhile the client gets no reset, nothing that Wireshark's experts take for an error, no wrong checksum, and
        nothing that its kernel counts as odd."""
        path = os.path.join(self.directory, f"seen-{self.id()}.pcap")
        before = complaints(self.topology, "client")
        capture = Capture(self.topology, "client", device, path, "tcp", 2048)
        try:
            yield
        finally:
            capture.stop()
        self.assertEqual(new_complaints(before, complaints(self.topology, "client")), [])
        self.assertEqual(expert_errors(path), [])
        self.assertEqual([segment for segment in read_segments(path) if segment.flags & RST], [])

    def assertNothingHeld(self):
        wait_until("no hold is left", lambda: self.services.counters()["heldPackets"] == 0, 5)

    def assertConserved(self):
        """Invariant 6 on the running director: every packet that came in went somewhere."""
        def balanced():
            self.counted = self.services.counters()
            return conservation_gap(self.counted) == 0

        try:
            wait_until("the counters balance", balanced, 5)
        except Exception:
            self.fail(f"gap {conservation_gap(self.counted)}: {self.counted}")


def conservation_gap(counters):
    """Left minus right side of the equation in Sources/InterCore/Counters.swift."""
    came = sum(counters[name] for name in (
        "receivedFromClients", "receivedFromServers", "receivedHandedOver", "released", "generated"))
    went = sum(value for name, value in counters.items() if name.startswith("dropped")) + sum(
        counters[name] for name in ("transmittedToClients", "transmittedToServers", "handedOver", "taken", "ownReceived"))
    return came - went
