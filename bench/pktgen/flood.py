"""testpmd's own generator, which knows no pace: how much passes when both ports are always full."""

import time

from devices import environment, wait_for_telemetry
from processes import Program

#: Without the check sequence, which is not in a frame's memory.
FRAME_CHECK_SEQUENCE = 4


class Flood:
    """testpmd in mode flowgen. It sends on both of its ports and throws away what it receives there, so the device has
    both directions to carry, in UDP packets of 1,024 flows each."""

    def __init__(self, arguments, cpus, prefix, log):
        self._arguments = arguments
        # testpmd wants an lcore for its commands besides the one that works.
        self._lcores = f"0@{cpus.control},1@{cpus.transmit}"
        self._prefix = prefix
        self._log = log

    def command(self, size):
        return [
            "dpdk-testpmd", *environment(self._lcores, self._prefix), *self._arguments, "--",
            "--auto-start", "--nb-cores=1", "--forward-mode=flowgen", "--flowgen-flows=1024",
            f"--txpkts={size - FRAME_CHECK_SEQUENCE}", "--total-num-mbufs=32768", "--no-flush-rx",
        ]

    def measure(self, size, seconds, warm_up=0.5):
        """Million frames a second that come out of the device, both directions together."""
        program = Program("testpmd flowgen", self.command(size), self._log)
        try:
            telemetry = wait_for_telemetry(program, self._prefix)
            program.wait_until("frames come back", lambda: _received(telemetry)[0] > 0)
            time.sleep(warm_up)
            first, start = _received(telemetry)
            time.sleep(seconds)
            last, end = _received(telemetry)
            telemetry.close()
        finally:
            program.stop()
        return (last - first) / (end - start) / 1e6


def _received(telemetry):
    before = time.monotonic()
    frames = sum(telemetry.statistics(port)["ipackets"] for port in (0, 1))
    return frames, (before + time.monotonic()) / 2
