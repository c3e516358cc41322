"""Adoption by replay: an nginx that knows nothing of it, behind a replayer that comes and goes; real kernels at every end."""

import itertools
import os
import subprocess

from .laboratory_case import ALL_COMBINATIONS, LaboratoryCase, curl, scenarios, topology, wait_until
from lab.scenarios import REPLAY_RULE
from lab.services import BINARIES, MOST_PATIENT, REPLAY_HOST, REPLAY_PORT, RULES
from lab.shell import run


class Replayed(LaboratoryCase):
    rules = (REPLAY_RULE,) + RULES
    files = {"half.bin": (512 << 10, True)}
    #: A name for each request.
    numbers = itertools.count()

    @classmethod
    def start(cls):
        super().start()
        cls.services.start_replayed_server("p1")
        cls.attach()

    @classmethod
    def attach(cls):
        cls.services.attach("p1")

    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def served(self, server, query):
        return sum(f"/half.bin?{query} " in line for line in self.services.access_log(server))

    def download(self, address, by=None):
        """One by the director, from the server that is to have it."""
        query = f"one={next(self.numbers)}"
        got = curl(self.laboratory).get([f"http://{REPLAY_HOST}/half.bin?{query}"], scenarios.resolve(address))
        self.assertTrue(got.ok, got.error)
        self.assertEqual(got.sha256, [scenarios.sha256_of(f"{self.laboratory.content.origin}/half.bin")])
        if by:
            wait_until(f"{by} has logged it", lambda: self.served(by, query) == 1, 10)


class Handshakes(Replayed):
    def tearDown(self):
        for host in ("client", "p1"):
            self.agree(host, (1, 1, 1))
        super().tearDown()

    def test_whatever_client_and_server_agree_to(self):
        """64 combinations of window scale, SACK and timestamps: replayed, unless the client would lose its timestamps."""
        with self.assertClientSeesNothing():
            for theirs in ALL_COMBINATIONS:
                self.agree("p1", theirs)
                for number, ours in enumerate(ALL_COMBINATIONS):
                    self.agree("client", ours)
                    address = (topology.v4("origin"), topology.v6("origin"))[number & 1]
                    with self.subTest(client=ours, server=theirs):
                        self.download(address, by="origin" if ours[2] and not theirs[2] else "p1")


class Impaired(Replayed):
    relayed = ("client", "server", "far")

    def test_invariant2_losses_on_either_leg(self):
        for number, leg in enumerate(("client", "server")):
            self.topology.impair(leg, "--loss", "0.01", "--duplicate", "0.01", "--reorder", "0.01", "--seed", str(3 + number))
            try:
                for address in (topology.v4("origin"), topology.v6("origin")):
                    for _ in range(3):
                        self.download(address)
            finally:
                self.topology.impair(leg)


class ComesAndGoes(Replayed):
    #: A hundred at once, and this machine is all hosts: nobody is to be late.
    timeout_options = MOST_PATIENT

    @classmethod
    def attach(cls):
        """The tests do."""

    def refusals(self):
        return sum(row["nacks"] for row in self.services.ctl("proxies"))

    def replayed(self, count):
        return self.start_slow("half.bin", count, f"http://{REPLAY_HOST}/half.bin?many=", "--resolve",
                               f"{REPLAY_HOST}:80:{topology.v4('origin')}")

    def test_two_hundred_downloads_do_not_notice(self):
        """Attached under a hundred that pass the host's own interface, detached under those and a hundred replayed ones."""
        own = self.start_slow("half.bin", 100, f"http://{topology.v4('p1')}:{REPLAY_PORT}/half.bin?own=")
        self.services.attach("p1")
        replayed = [self.replayed(10) for _ in range(10)]
        replayer = self.services.processes.pop("p1-host")
        replayer.signal(15)
        wait_until("it drains", lambda: "draining" in replayer.tail(), 10, replayer)
        # Meanwhile nobody new is taken.
        self.download(topology.v4("origin"), by="origin")
        for finish in replayed:
            finish()
        by_replay = sum("/half.bin?many=" in line for line in self.services.access_log("p1"))
        self.assertGreater(by_replay, 50, "the others' answers came too late: a busy machine\n" + "".join(
            f"{row}\n" for row in self.services.ctl("transfers", "--limit", "5")))
        self.assertEqual(replayer.wait(30), 0)
        own()
        self.assertIn("detached", replayer.tail())
        addresses = self.topology.run("p1", "ip", "address", "show", "dev", "eth0")
        self.assertIn(topology.v4("p1") + "/24", addresses)
        self.assertIn(topology.v6("p1") + "/64", addresses)
        self.download(topology.v4("origin"), by="origin")

    def test_a_killed_replayer_leaves_the_host_restorable(self):
        self.services.attach("p1")
        self.download(topology.v6("origin"), by="p1")
        self.services.kill("p1-host")
        wait_until("the agent knows", lambda: not self.services.is_replayer_connected("p1"), 10)
        command = self.topology.inside("p1", f"{BINARIES}/batond", "--config", self.services.path("p1-host.yaml"))
        refused = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("--restore", refused.stdout + refused.stderr)
        with open(self.services.path("p1-host.yaml"), "a") as file:
            file.write("mistakes: [1, 2]\n")
        self.assertEqual(run(*command, "--restore").strip(), "restored", "whatever else the file says")
        self.assertEqual(run(*command, "--restore").strip(), "nothing to restore")
        self.laboratory.wait_for_proxies()
        self.download(topology.v4("origin"), by="origin")

    def test_a_server_that_is_not_there_is_refused_in_time(self):
        self.services.attach("p1")
        try:
            self.services.processes.pop("p1-web").stop()
            before = self.refusals()
            for address in (topology.v4("origin"), topology.v6("origin")):
                self.download(address, by="origin")
            self.assertEqual(self.refusals(), before + 2, "the answer was no, not silence")
        finally:
            self.services.start_replayed_server("p1")
            self.services.detach("p1")

    def test_downloads_outlive_their_agent(self):
        self.services.attach("p1")
        try:
            finish = self.replayed(20)
            self.services.kill("p1")
            self.laboratory.start_agent_anew("p1")
            finish()
            self.laboratory.wait_for_proxies()
            wait_until("agent and replayer have met", lambda: self.services.is_replayer_connected("p1"), 10)
            self.download(topology.v6("origin"), by="p1")
        finally:
            self.services.detach("p1")
