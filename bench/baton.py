"""Runs Baton's side of the bench: `baton-bench`, which measures itself and prints JSON."""

import json
import os
import subprocess

import ports
from namespace import CommandFailed
from synflood import NoSYNPROXY, SYNFlood
from wakeup import WakeUp


#: A hundred pairs of turns for each question, in which a count of a million flows ends.
LISTING_SECONDS = 60


class BatonFailed(Exception):
    pass


class NotBuilt(Exception):
    pass


class Baton:
    """`directory` is where the programs lie, `work` for what is built or written."""

    def __init__(self, directory, work, seconds, warm_up):
        self._directory = directory
        self._work = work
        self._program = os.path.join(directory, "baton-bench")
        self._seconds = seconds
        self._warm_up = warm_up

    def forward(self, mode, traffic, burst=32):
        """The plain loop: `io` or `macswap`."""
        report = self._run_on_ports(mode, traffic, "--burst", burst)
        counters = report["counters"]
        if counters["transmitted"] != counters["received"]:
            raise BatonFailed(f"{mode}: not everything was transmitted: {counters}")
        return report

    def transferred(self, traffic, flows, ipv6=False, hit=100, workers=1):
        """Workers; of 100 packets `hit` belong to transferred flows, by their own counters."""
        report = self._run_on_ports(
            "transferred", traffic, "--flows", flows, "--hit", hit, "--workers", workers,
            *(["--ipv6"] if ipv6 else []), lcores=ports.lcores(workers),
        )
        counters = report["counters"]
        self._check_nothing_is_lost("transferred", counters)
        for name, counter in (("handedOverPercent", "handedOver"), ("handOverLostPercent", "droppedHandOverFull")):
            report[name] = round(100 * counters.get(counter, 0) / counters["receivedFromClients"], 1)
        strangers = counters.get("passedNotCandidate", 0) / counters["transmittedToServers"]
        if abs(strangers - (100 - hit) / 100) > (0.01 if 0 < hit < 100 else 0):
            raise BatonFailed(f"transferred: {hit} of 100 were to hit: {counters}")
        return report

    def synflood(self, traffic, flows, ipv6=False):
        """A worker with a full table, all of whose packets would open a connection."""
        report = self._run_on_ports(
            "synflood", traffic, "--flows", flows, *(["--ipv6"] if ipv6 else [])
        )
        counters = report["counters"]
        self._check_nothing_is_lost("synflood", counters)
        if counters.get("passedTableFull") != counters["receivedFromClients"] or "flowsCreated" in counters:
            raise BatonFailed(f"synflood: the table was not full for every packet: {counters}")
        return report

    def translated(self, traffic, flows, ipv6=False):
        """A worker whose flows are an origin's: numbers, timestamps and addresses of every packet change."""
        report = self._run_on_ports("transferred", traffic, "--flows", flows, "--translated", *(["--ipv6"] if ipv6 else []))
        self._check_nothing_is_lost("translated", report["counters"])
        if "passedNotCandidate" in report["counters"] or "cookiesRefused" in report["counters"]:
            raise BatonFailed(f"translated: not every packet was: {report['counters']}")
        return report

    def forwarded(self, traffic, flows, ipv6=False):
        """A forwarder's worker: every packet goes inside another, which names its flow."""
        report = self._run_on_ports("transferred", traffic, "--flows", flows, "--forwarded", *(["--ipv6"] if ipv6 else []))
        counters = report["counters"]
        self._check_nothing_is_lost("forwarded", counters)
        if counters.get("encapsulated") != counters["receivedFromClients"]:
            raise BatonFailed(f"forwarded: not every packet was: {counters}")
        return report

    def synflood_cookie(self, traffic, flows):
        """A worker with a full table that answers every SYN."""
        report = self._run_on_ports("synflood", traffic, "--flows", flows, "--answered")
        counters = report["counters"]
        sent = counters.get("transmittedToClients")
        if not counters["receivedFromClients"] == counters.get("synsAnswered") == sent or counters["imbalance"]:
            raise BatonFailed(f"synflood-cookie: not everything was answered: {counters}")
        return report

    def flooded(self, both, flood, flows):
        """What a transferred flow's packet costs among as many SYNs to virtual servers: clocks for one of either, less
        those that a SYN costs in a flood alone."""
        report = self._run_on_ports("synflood", both, "--flows", flows, "--answered")
        counters = report["counters"]
        received, answered = counters["receivedFromClients"], counters.get("synsAnswered", 0)
        forwarded = counters.get("transmittedToServers", 0)
        if counters["imbalance"] or answered + forwarded != received or abs(answered / received - 0.5) > 0.01:
            raise BatonFailed(f"synflood-established: half is to be answered, half forwarded: {counters}")
        alone = self.synflood_cookie(flood, flows)
        return {
            **report, "clocksPerPacket": report["clocksPerPacket"] - alone["clocksPerPacket"],
            "clocksPerSYN": round(alone["clocksPerPacket"], 1),
        }

    def synproxy(self, answering, where):
        """SYNs that come over veth and are answered by `director` or by `kernel`, alongside the sender or apart from it."""
        flood = SYNFlood(self._directory, self._work, self._seconds)
        try:
            flood.build()
            return getattr(flood, answering)(where)
        except NoSYNPROXY as error:
            raise NotBuilt(str(error)) from error
        except CommandFailed as error:
            raise BatonFailed(f"synproxy: {error}") from error

    def synflood_download(self):
        """Mbit/s of downloads that keep their rate, flooded and not."""
        os.environ["BATON_BINARIES"] = self._directory
        # Not before: what it stands on needs Debian's packages for tests.
        import flooded

        try:
            return flooded.measure(SYNFlood(self._directory, self._work, self._seconds).build())
        except flooded.FloodFailed as error:
            raise BatonFailed(f"synflood-download: {error}") from error

    def syn_answers(self, traffic):
        """The plain loop, which answers every SYN with a cookie."""
        report = self._run_on_ports("synanswers", traffic)
        counters = report["counters"]
        if not counters["answered"] == counters["transmitted"] == counters["received"]:
            raise BatonFailed(f"synanswers: not everything was answered: {counters}")
        return report

    def listing(self, traffic, flows):
        """A worker that is asked about its flows, and not, in turns of a tenth of a second: (each question's rate, the rates
        beside)."""
        report = self._run(
            traffic.environment, "listing", "--capture", traffic.capture, "--packets", traffic.packets, "--seconds",
            LISTING_SECONDS, "--warm-up", self._warm_up, "--flows", flows,
        )
        questions = {name: report[name] for name in ("count", "listing", "scrape")}
        answered = all(asked["answers"] > 0 and asked["mpps"] > 0 for asked in questions.values())
        if report["imbalance"] != 0 or report["flowsCounted"] != flows or not answered:
            raise BatonFailed(f"listing: not everything was answered or forwarded: {report}")
        answers = {f"{name}Answers": asked["answers"] for name, asked in questions.items()}
        answers |= {f"{name}Uncertainty": asked["uncertainty"] for name, asked in questions.items()}
        return ({name: asked["mpps"] for name, asked in questions.items()} | answers,
                {name: asked["mpps"] / asked["ratio"] for name, asked in questions.items()})

    @staticmethod
    def _check_nothing_is_lost(name, counters):
        # What one worker gave to another may still be in the ring between them, or have found it full.
        between = counters.get("handedOver", 0) - counters.get("receivedHandedOver", 0)
        gone = counters["receivedFromClients"] - counters["transmittedToServers"]
        if counters["imbalance"] != 0 or gone != between + counters.get("droppedHandOverFull", 0):
            raise BatonFailed(f"{name}: packets are missing: {counters}")

    def table(self, keys, ipv6=False):
        """Clocks for each find, insert and delete."""
        return self._run(
            {}, "table", "--flows", keys, "--seconds", self._seconds, *(["--ipv6"] if ipv6 else []),
            lcores=ports.alone(),
        )

    def transfers(self, stage):
        """Transfers a second of one control core: alone (`control`), or with a worker and packets around it (`whole`),
        which also says how long requests are held."""
        program = os.path.join(self._directory, "baton-bench-transfers")
        if not os.path.exists(program):
            raise NotBuilt(f"{program} is not built")
        # The control core's CPU is the measured one.
        report = self._json([program, stage, "--seconds", str(self._seconds), "--lcores", ports.reversed_pair()])
        if report.get("lost") or not report.get("sealed"):
            raise BatonFailed(f"transfers: packets are lost, or frames not sealed: {report}")
        return report

    def wake_up(self, idle):
        """How long a frame takes through a whole batond when nothing came before it."""
        try:
            return WakeUp(self._directory).measure(idle)
        except CommandFailed as error:
            raise BatonFailed(f"wake-up: {error}") from error

    def blobs(self):
        """Blobs of 64 KiB over a channel in memory, and their bytes sealed and opened alone, in turns of one process."""
        return json.loads(subprocess.run(
            [os.path.join(self._directory, "baton-bench"), "blobs"], capture_output=True, text=True, check=True).stdout)

    def evacuate(self):
        """Connections that go to another proxy in the middle of downloads."""
        os.environ["BATON_BINARIES"] = self._directory
        import evacuation

        try:
            return evacuation.measure()
        except evacuation.EvacuationFailed as error:
            raise BatonFailed(f"evacuate: {error}") from error

    def replay_download(self):
        """Mbit/s of downloads that go through a replayer, translated and not."""
        os.environ["BATON_BINARIES"] = self._directory
        # Not before: what it stands on needs Debian's packages for tests.
        import replay

        try:
            return replay.measure()
        except replay.ReplayFailed as error:
            raise BatonFailed(f"replay-download: {error}") from error

    def _run_on_ports(self, command, traffic, *arguments, **environment):
        # A machine that others use may leave a program no time at all for a while.
        for _ in range(5):
            report = self._run(
                traffic.environment, command, "--capture", traffic.capture, "--packets", traffic.packets, "--seconds",
                self._seconds, "--warm-up", self._warm_up, *arguments, **environment,
            )
            if report["packets"] > 0:
                return report
        raise BatonFailed(f"{command}: no packet came")

    def _run(self, variables, *arguments, **environment):
        command = [self._program, *map(str, arguments), "--", *ports.environment("bench-baton", **environment)]
        return self._json(command, variables)

    @staticmethod
    def _json(command, variables=None):
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=600, env={**os.environ, **(variables or {})}
        )
        if result.returncode != 0 or not result.stdout.strip():
            raise BatonFailed(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return json.loads(result.stdout.splitlines()[-1])
