"""How long a frame takes through a worker that sleeps: `idle: adaptive` beside `idle: spin`.

    wakeup.py probe IN OUT COUNT        inside the namespace: prints the frames' times as JSON

A whole `batond` joins two veth pairs of a namespace of its own by AF_XDP. Frames go in by one and come out by the other,
one at a time, some milliseconds apart, so that each finds the worker asleep.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time

import ports
from namespace import CommandFailed, Director, Namespace

#: Enough for a 99th percentile.
FRAMES = 1_000
PORTS = ("bwc", "bws")


class WakeUp:
    """`directory` is where the programs lie."""

    def __init__(self, directory):
        self._directory = directory

    def measure(self, idle):
        """Microseconds from a frame's way in to its way out, median and 99th percentile."""
        with Namespace("bench-wake") as namespace:
            for name in PORTS:
                namespace.run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}-far")
                for end in (name, f"{name}-far"):
                    namespace.raise_up(end)
            client, server = (f"net_af_xdp{index},iface={name}" for index, name in enumerate(PORTS))
            configuration = (
                f'name: wake-up\nports: {{ client: ["{client}"], server: ["{server}"] }}\n'
                f"workers: {{ count: 1, idle: {idle}, flows: 65536, recovery: 0s }}\n"
            )
            with Director(self._directory, namespace, configuration) as director:
                return self._probe(namespace, director)

    @staticmethod
    def _probe(namespace, director):
        probe = [sys.executable, os.path.abspath(__file__), "probe", *(f"{name}-far" for name in PORTS), str(FRAMES)]
        # The sender stays off the worker's CPU.
        pinned = ["taskset", "-c", str(1 - ports.MEASURED_CPU)]
        result = subprocess.run([*namespace.prefix, *pinned, *probe], capture_output=True, text=True, timeout=120)
        if result.returncode != 0:
            raise CommandFailed(f"{result.stderr}{director.log}")
        return json.loads(result.stdout)


def probe(inward, outward, count):
    """Sends frames, one when the one before it has come; the first ones teach everybody the way."""
    frame = bytes(range(12)) + b"\x88\xb5" + bytes(46)
    sender, receiver = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300) for _ in range(2))
    sender.bind((inward, 0))
    receiver.bind((outward, 0x0003))
    receiver.setblocking(False)
    times = []
    for number in range(count + 20):
        time.sleep(random.uniform(0.002, 0.006))
        wanted = frame[:14] + number.to_bytes(4, "big") + frame[18:]
        start = time.perf_counter_ns()
        sender.send(wanted)
        # Polls, so that its own waking does not count.
        while time.perf_counter_ns() - start < 1_000_000_000:
            try:
                if receiver.recv(2048) == wanted:
                    break
            except BlockingIOError:
                pass
        else:
            sys.exit(f"wakeup: frame {number} does not come through")
        if number >= 20:
            times.append((time.perf_counter_ns() - start) / 1_000)
    times.sort()
    print(json.dumps({"microseconds": times[len(times) // 2], "percentile99": round(times[len(times) * 99 // 100], 1)}))


if __name__ == "__main__":
    if len(sys.argv) != 5 or sys.argv[1] != "probe":
        sys.exit(__doc__)
    probe(sys.argv[2], sys.argv[3], int(sys.argv[4]))
