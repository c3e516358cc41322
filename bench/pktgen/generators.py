"""The paced generator of this directory: sends captures at a rate, and receives them again."""

import json
import os
import subprocess

import captures
import machine
from devices import environment
from processes import Program, ProgramFailed
from search import Trial

HERE = os.path.dirname(os.path.abspath(__file__))
DIRECTORY = os.path.join(machine.ROOT, ".build", "bench")


def build():
    """Builds generator.c unless it is there already."""
    source, program = os.path.join(HERE, "generator.c"), os.path.join(DIRECTORY, "generator")
    if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
        return program
    os.makedirs(DIRECTORY, exist_ok=True)
    flags, libraries = (
        subprocess.run(["pkg-config", what, "libdpdk"], check=True, capture_output=True, text=True).stdout.split()
        for what in ("--cflags", "--libs"))
    result = subprocess.run(
        ["cc", "-O3", "-Wall", "-Wextra", *flags, "-o", program, source, *libraries], capture_output=True, text=True)
    if result.returncode != 0:
        raise ProgramFailed(f"generator.c does not compile:\n{result.stderr}")
    return program


class Generator:
    """A program that answers commands, one line each, with JSON: generator.c, and Pktgen by its script."""

    #: How long a link may take to come up, seconds.
    LINK_PATIENCE = 30

    def __init__(self, name, command, log):
        self.name = name
        self.arguments = command
        self._log = log

    def __enter__(self):
        self._program = Program(self.name, self.arguments, self._log, talks=True)
        try:
            self._program.wait_until("both links are up", lambda: all(self.links()["up"]), self.LINK_PATIENCE)
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_):
        self._program.stop()

    def ask(self, command, patience=30):
        self._program.say(command)
        while True:
            line = self._program.hear(patience)
            # EAL and drivers print lines of their own.
            if line.startswith("{"):
                return json.loads(line)

    def seconds_kept_waiting(self):
        """How long the thread that sends has been kept off its CPU so far; unknown of Pktgen."""
        return 0.0

    def links(self):
        return self.ask("link")

    def choose(self, size):
        """Frames of this size from now on, check sequence included."""
        raise NotImplementedError

    def trial(self, rate, seconds):
        answer = self.ask(f"trial {rate:.0f} {seconds}", patience=seconds + 30)
        return Trial(
            rate=rate, sent=answer["sent"], received=answer["received"], refused=answer["refused"],
            forfeited=answer["forfeited"], seconds=answer["seconds"],
            longest_pause_microseconds=answer.get("longestPauseMicroseconds", 0),
        )


class Paced(Generator):
    """generator.c."""

    def __init__(self, arguments, cpus, prefix, log, flows):
        super().__init__("generator", self.command(arguments, cpus, prefix), log)
        self._flows = flows

    @staticmethod
    def command(arguments, cpus, prefix):
        program = os.path.join(DIRECTORY, "generator")
        return [program, *environment(cpus.generator_lcores(), prefix), "--no-telemetry", *arguments]

    def seconds_kept_waiting(self):
        # The first thread has the first lcore, and that one sends.
        return self._program.seconds_kept_waiting(self._program.pid)

    def choose(self, size):
        self.ask(f"load {captures.capture(DIRECTORY, self._flows, str(size))}")
