"""One measurement: which programs run, in which order, and what becomes a row."""

import os
import random
import time
from dataclasses import replace

import machine
from devices import Baton, Nothing, Testpmd
from flood import Flood
from generators import Paced, build
from pktgen import Pktgen
from report import flood_row, line_rate, loss_free_row, progress
from search import Search

LOGS = os.path.join(machine.ROOT, ".build", "bench")
#: Turns of Baton and testpmd under unpaced traffic, and the seconds that are measured of each.
FLOOD_ROUNDS = 3
FLOOD_SECONDS = 1.5
#: Turns of generator and sink alone, of which the best counts.
ALONE_ROUNDS = 3
#: Seconds between a disturbed trial and the next one.
PAUSE_AT_MOST = 0.25
#: What memif says of its speed; only Pktgen needs to know.
MEMIF_GIGABITS = 100


class Measurement:
    def __init__(self, options, wiring, cpus, directory, prefix):
        self._options = options
        self._wiring = wiring
        self._cpus = cpus
        self._directory = directory
        self._prefix = prefix
        self._was_disturbed = False
        self.rows = []

    # MARK: programs

    @property
    def _is_local(self):
        return self._wiring.kind == "memif"

    def _log(self, name):
        return os.path.join(LOGS, f"pktgen-{name}.log")

    def _baton(self):
        if not self._wiring.device_ports():
            return Nothing("a device elsewhere")
        return Baton(self._wiring, self._cpus, self._directory, f"{self._prefix}-device", self._log("batond"))

    def _testpmd(self):
        return Testpmd(self._wiring, self._cpus, f"{self._prefix}-device", self._log("testpmd"))

    def _generator(self, arguments):
        common = (arguments, self._cpus, f"{self._prefix}-generator", self._log("generator"))
        if self._options.generator == "pktgen":
            return Pktgen(*common, self._directory, self._options.link_gbit or MEMIF_GIGABITS)
        return Paced(*common, self._options.flows)

    def _flood(self):
        arguments = self._wiring.generator_arguments()
        return Flood(arguments, self._cpus, f"{self._prefix}-generator", self._log("flowgen"))

    # MARK: what is said of it

    def conditions(self):
        return {
            "wiring": self._wiring.text(), "cpus": self._cpus.text(), "generator": self._options.generator,
            "flows": self._options.flows, "trialSeconds": self._options.seconds, "attempts": self._options.attempts,
            "resolution": self._options.resolution, "tolerance": self._options.tolerance, "direction": "client to server",
        }

    def text(self):
        sizes = ", ".join(map(str, self._options.sizes))
        return f"{self._wiring.text()}; {self._cpus.text()}; generator {self._options.generator}; frames of {sizes} bytes"

    def plan(self):
        """Every program's command and configuration."""
        baton = self._baton()
        if isinstance(baton, Baton):
            yield "batond.yaml", baton.text
            yield "Baton", baton.command()
        generator = self._generator(self._wiring.generator_arguments())
        yield f"generator ({generator.name})", generator.arguments
        if isinstance(generator, Pktgen):
            yield "pktgen.lua", generator.script()
        if self._is_local:
            yield "generator to sink alone", self._generator(self._wiring.loop_arguments()).arguments
            yield "testpmd in Baton's place", self._testpmd().command()
            yield "unpaced", self._flood().command(self._options.sizes[0])

    # MARK: running

    def run(self):
        build()
        self._wiring.make()
        peers = self._measure_alone() if self._is_local else {}
        for row in self._search_baton(peers):
            self.rows.append(row)
        if self._is_local and not self._options.no_flood:
            for size in self._options.sizes:
                self._run_flood(size)

    def _search(self, generator, device, size, limit):
        options = self._options
        generator.choose(size)
        search = Search(
            lambda rate: self._trial(generator, device, rate), options.resolution, options.attempts, options.tolerance,
            progress(device.name, size))
        return search.highest(limit)

    def _trial(self, generator, device, rate):
        # What disturbs comes at regular intervals: a trial must not always begin at the same point of one.
        time.sleep(random.random() * PAUSE_AT_MOST if self._was_disturbed else 0)
        before = device.seconds_kept_waiting(), generator.seconds_kept_waiting()
        trial = generator.trial(rate, self._options.seconds)
        trial = replace(
            trial, seconds_kept_waiting=device.seconds_kept_waiting() - before[0],
            seconds_sender_kept_waiting=generator.seconds_kept_waiting() - before[1])
        self._was_disturbed = trial.is_disturbed()
        return trial

    def _measure_alone(self):
        """What the generator reaches with its two ports connected, by size. A full ring holds it up: nothing is lost, and
        nothing needs to be searched."""
        rates = {}
        with self._generator(self._wiring.loop_arguments()) as generator:
            for size in self._options.sizes:
                generator.choose(size)
                rates[size] = 0.0
                for _ in range(ALONE_ROUNDS):
                    trial = generator.trial(0, self._options.seconds)
                    progress("no device", size)(trial, "unpaced")
                    rates[size] = max(rates[size], trial.forwarded)
        return rates

    def _search_baton(self, peers):
        with self._baton() as device, self._generator(self._wiring.generator_arguments()) as generator:
            megabits = 0 if self._is_local else self._link_megabits(generator)
            for size in self._options.sizes:
                before = device.counters()
                limit = line_rate(megabits, size) if megabits else None
                found = self._search(generator, device, size, limit)
                after = device.counters()
                counted = {name: value - before.get(name, 0) for name, value in after.items()}
                conditions = {**self.conditions(), "counters": {name: value for name, value in counted.items() if value}}
                peer = ("generator to sink alone", peers[size]) if peers else ("line rate", limit)
                yield loss_free_row(size, found, *peer, conditions)

    def _link_megabits(self, generator):
        return self._options.link_gbit * 1000 if self._options.link_gbit else generator.links()["megabits"][0]

    def _run_flood(self, size):
        rounds = {"Baton": [], "testpmd io": []}
        for number in range(FLOOD_ROUNDS):
            for device in (self._baton(), self._testpmd()):
                with device:
                    rate = self._flood().measure(size, FLOOD_SECONDS)
                rounds[device.name].append(rate)
                print(f"pktgen: {size:5} bytes, {device.name}: unpaced, {rate:.3f} Mpps came, both ways", flush=True)
        conditions = {"wiring": self._wiring.text(), "cpus": self._cpus.text(), "generator": "testpmd flowgen",
                      "direction": "both", "seconds": FLOOD_SECONDS}
        self.rows.append(flood_row(size, rounds["Baton"], rounds["testpmd io"], conditions))
