"""Pktgen-DPDK as the generator, where it is installed: started with a script that answers commands."""

import json
import os
import shutil

from devices import environment
from generators import HERE, Generator
from search import Trial

TEMPLATE = os.path.join(HERE, "pktgen.lua")
#: Preamble, start of frame and the gap between frames: what a frame takes of a link besides itself, bytes.
FRAME_OVERHEAD = 20


def is_installed():
    return shutil.which("pktgen") is not None


def percent(rate, size, gigabits):
    """A rate in frames a second as Pktgen takes it: percent of the link; 0 is as fast as possible."""
    return min(100.0, 100.0 * rate * (size + FRAME_OVERHEAD) * 8 / (gigabits * 1e9)) if rate > 0 else 100.0


class Pktgen(Generator):
    """Pktgen with its port 0 as sender and its port 1 as sink."""

    def __init__(self, arguments, cpus, prefix, log, directory, gigabits):
        self._commands = os.path.join(directory, "commands")
        self._answers = os.path.join(directory, "answers")
        self._script = os.path.join(directory, "pktgen.lua")
        self._gigabits = gigabits
        self._size = 64
        super().__init__("pktgen", self.command(arguments, cpus, prefix, self._script), log)

    @staticmethod
    def command(arguments, cpus, prefix, script):
        # Pktgen's first lcore is for its own commands; the ports' lcores come after it.
        if cpus.receive != cpus.transmit:
            lcores, ports = f"0@{cpus.control},1@{cpus.transmit},2@{cpus.receive}", "1.0,2.1"
        else:
            lcores, ports = f"0@{cpus.control},1@{cpus.transmit}", "1.[0-1]"
        return ["pktgen", *environment(lcores, prefix), *arguments, "--", "-P", "-T", "-m", ports, "-f", script]

    def script(self):
        with open(TEMPLATE) as file:
            return file.read().replace("@COMMANDS@", self._commands).replace("@ANSWERS@", self._answers)

    def __enter__(self):
        for path in (self._commands, self._answers):
            if not os.path.exists(path):
                os.mkfifo(path)
        with open(self._script, "w") as file:
            file.write(self.script())
        # Open at both ends, so that opening never waits.
        self._speak = os.open(self._commands, os.O_RDWR)
        self._listen = os.open(self._answers, os.O_RDWR)
        try:
            return super().__enter__()
        except BaseException:
            self._close()
            raise

    def __exit__(self, *details):
        os.write(self._speak, b"quit\n")
        super().__exit__(*details)
        self._close()

    def _close(self):
        os.close(self._speak)
        os.close(self._listen)

    def ask(self, command, patience=30):
        os.write(self._speak, command.encode() + b"\n")
        return json.loads(self._program.hear_from(self._listen, patience))

    def choose(self, size):
        self._size = size
        self.ask(f"size {size}")

    def trial(self, rate, seconds):
        answer = self.ask(f"trial {percent(rate, self._size, self._gigabits):.4f} {seconds}", seconds + 30)
        return Trial(rate, answer["sent"], answer["received"], 0, 0, answer["seconds"])
