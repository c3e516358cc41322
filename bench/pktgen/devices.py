"""What stands between generator and sink: Baton, or for comparison testpmd."""

import json
import os
import subprocess
import time

import machine
from processes import Program
from telemetry import Telemetry

BINARIES = os.environ.get("BATON_BINARIES", os.path.join(machine.ROOT, ".build", "release"))

#: Packet buffers of either device: as many for both, since more of them means more cache misses.
MBUFS = 16383


def environment(lcores, prefix):
    """EAL's arguments that every program of a measurement has."""
    return ["--lcores", lcores, "--in-memory", "--file-prefix", prefix, "--log-level", "lib.eal:4"]


class Baton:
    """batond as a bump in the wire, with nobody to hand anything to: every frame passes."""

    name = "Baton"

    def __init__(self, wiring, cpus, directory, prefix, log):
        self._socket = os.path.join(directory, "batond.sock")
        self._configuration = os.path.join(directory, "batond.yaml")
        self._command = [
            os.path.join(BINARIES, "batond"), "--config", self._configuration, "--",
            *environment(cpus.device_lcores(), prefix), "--no-telemetry", *wiring.device_arguments(),
        ]
        client, server = wiring.device_ports()
        self.text = f"""name: pktgen
ports:
  client: ["{client}"]
  server: ["{server}"]
workers: {{ count: 1, idle: spin, flows: 65536, mbufs: {MBUFS}, recovery: 0s }}
control: {{ socket: {self._socket} }}
"""
        self._log = log

    def command(self):
        return self._command

    def __enter__(self):
        with open(self._configuration, "w") as file:
            file.write(self.text)
        self._program = Program("batond", self._command, self._log)
        try:
            self._program.wait_until("it answers", self._status)
            self._worker = self._program.thread("worker-1")
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_):
        self._program.stop()

    def _status(self):
        command = [os.path.join(BINARIES, "batonctl"), "status", "--socket", self._socket, "--json"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return json.loads(result.stdout) if result.returncode == 0 else None

    def seconds_kept_waiting(self):
        """How long its worker has been kept off its CPU so far."""
        return self._program.seconds_kept_waiting(self._worker)

    def counters(self):
        """What its workers have counted, without zeros."""
        status = self._status()
        if status is None:
            raise self._program.failed("does not answer")
        total = {}
        for worker in status["workers"]:
            for name, value in worker["counters"].items():
                total[name] = total.get(name, 0) + value
        return {name: value for name, value in total.items() if value}


class Testpmd:
    """testpmd, which moves frames from one port to the other and looks at nothing."""

    name = "testpmd io"

    def __init__(self, wiring, cpus, prefix, log):
        self._prefix = prefix
        self._log = log
        self._command = [
            "dpdk-testpmd", *environment(cpus.device_lcores(), prefix), *wiring.device_arguments(),
            *(f"--vdev={port}" for port in wiring.device_ports() if wiring.kind == "memif"), "--",
            "--auto-start", "--nb-cores=1", "--forward-mode=io", f"--total-num-mbufs={MBUFS}", "--no-flush-rx",
        ]

    def command(self):
        return self._command

    def __enter__(self):
        self._program = Program("testpmd", self._command, self._log)
        try:
            wait_for_telemetry(self._program, self._prefix).close()
        except BaseException:
            self._program.stop()
            raise
        return self

    def __exit__(self, *_):
        self._program.stop()


class Nothing:
    """No device that this program would start: the generator's own two ports connected, or one that runs elsewhere."""

    def __init__(self, name="no device"):
        self.name = name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def seconds_kept_waiting(self):
        return 0.0

    def counters(self):
        return {}


def wait_for_telemetry(program, prefix, patience=30):
    """DPDK's telemetry of a program that is starting, once it has two ports."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and program.is_running():
        try:
            telemetry = Telemetry(prefix)
            telemetry.statistics(1)["ipackets"]
            return telemetry
        except (OSError, ValueError, KeyError, TypeError):
            # Not listening yet, or no ports yet.
            time.sleep(0.05)
    raise program.failed("does not start")
