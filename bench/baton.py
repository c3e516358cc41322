"""Runs Baton's side of the bench: `baton-bench`, which measures itself and prints JSON."""

import json
import os
import subprocess

import ports


class BatonFailed(Exception):
    pass


class Baton:
    def __init__(self, program, seconds, warm_up):
        self._program = program
        self._seconds = seconds
        self._warm_up = warm_up

    def forward(self, mode, capture, packets, burst=32):
        """The plain loop: `io` or `macswap`."""
        report = self._run_on_ports(mode, capture, packets, "--burst", burst)
        counters = report["counters"]
        if counters["transmitted"] != counters["received"]:
            raise BatonFailed(f"{mode}: not everything was transmitted: {counters}")
        return report

    def transferred(self, capture, flows, ipv6=False):
        """A worker all of whose packets belong to transferred flows, by its own counters."""
        report = self._run_on_ports(
            "transferred", capture, flows, "--flows", flows, *(["--ipv6"] if ipv6 else [])
        )
        counters = report["counters"]
        # Strangers are those packets that came before their flow was installed: before the clock ran.
        strangers = counters.get("passedNotCandidate", 0)
        if counters["imbalance"] != 0 or counters["receivedFromClients"] != counters["transmittedToServers"]:
            raise BatonFailed(f"transferred: packets are missing: {counters}")
        if strangers > 0.02 * counters["receivedFromClients"] and strangers > flows:
            raise BatonFailed(f"transferred: not every packet hit: {counters}")
        return report

    def table(self, keys, ipv6=False):
        """Clocks for each find, insert and delete."""
        return self._run(
            "table", "--flows", keys, "--seconds", self._seconds, *(["--ipv6"] if ipv6 else []), lcores=ports.alone()
        )

    def _run_on_ports(self, command, capture, packets, *arguments):
        return self._run(
            command, "--capture", os.path.abspath(capture), "--packets", packets, "--seconds", self._seconds,
            "--warm-up", self._warm_up, *arguments,
        )

    def _run(self, *arguments, **environment):
        command = [self._program, *map(str, arguments), "--", *ports.environment("bench-baton", **environment)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            raise BatonFailed(f"{' '.join(command)}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return json.loads(result.stdout.splitlines()[-1])
