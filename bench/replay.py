"""Downloads that an nginx serves by replay, beside others from the same nginx that go the same way untranslated.

The way is the demo's laboratory: client, director, the proxy's replayer and its TAP. A plain download dials the proxy's own
address, so director and replayer only pass it.
"""

import os
import subprocess
import sys
import tempfile
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))

from lab import scenarios, topology  # noqa: E402
from lab.services import REPLAY_HOST, REPLAY_PORT  # noqa: E402
from lab.shell import CommandFailed  # noqa: E402

BYTES = 256 << 20
#: Of both kinds, in turns.
DOWNLOADS = 6


class ReplayFailed(Exception):
    pass


def measure():
    """Mbit/s of the replayed downloads, and of the plain ones beside them; the median of each."""
    with tempfile.TemporaryDirectory(prefix="baton-replay-") as place:
        os.chmod(place, 0o755)
        laboratory = scenarios.Laboratory(place, "bench-replay")
        laboratory.services.rules.insert(0, scenarios.REPLAY_RULE)
        try:
            laboratory.content.add("long.bin", BYTES, cached=True)
            laboratory.up()
            laboratory.services.start_replayed_server("p1")
            laboratory.services.attach("p1")
            return _in_turns(laboratory)
        except CommandFailed as error:
            raise ReplayFailed(str(error)) from error
        finally:
            laboratory.down()


def _in_turns(laboratory):
    host, origin = topology.v4("p1"), topology.v4("origin")
    ways = {
        "replayed": (f"http://{REPLAY_HOST}/long.bin?replayed", "--resolve", f"{REPLAY_HOST}:80:{origin}"),
        "plain": (f"http://{host}:{REPLAY_PORT}/long.bin?plain",),
    }
    rates = {name: [] for name in ways}
    # Either one first; the first pair teaches everybody the way.
    for number in range(DOWNLOADS + 1):
        for name in sorted(ways, reverse=number % 2 == 0):
            rate = _download(laboratory, *ways[name])
            if number > 0:
                rates[name].append(rate)
    lines = laboratory.services.access_log("p1")
    served = {name: sum(f"?{name} " in line for line in lines) for name in ways}
    if set(served.values()) != {DOWNLOADS + 1}:
        raise ReplayFailed(f"the proxy's nginx has not served all of them: {served}")
    return {name: median(found) for name, found in rates.items()}


def _download(laboratory, url, *options):
    command = laboratory.topology.inside(
        "client", "curl", "--no-progress-meter", "--fail", "--output", "/dev/null", "--write-out",
        "%{size_download} %{speed_download}", *options, url)
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    size, speed = (result.stdout.split() + ["0", "0"])[:2]
    if result.returncode != 0 or int(size) != BYTES:
        raise ReplayFailed(f"{url}: {size} bytes, {result.stderr}")
    return int(speed) * 8 / 1e6
