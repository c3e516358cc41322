"""Downloads from a virtual server while it is flooded with SYNs, beside others while it is not.

The way is the demo's laboratory: client, director and a proxy share two CPUs with the flood's sender, so both are kept below
what all of them together can do: each download takes what is established its rate (`RATE`), the flood comes at another.
"""

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))

from lab import scenarios, topology  # noqa: E402
from lab.services import CACHED_HOST  # noqa: E402
from lab.shell import CommandFailed  # noqa: E402

BYTES = 64 << 20
#: Bytes a second of a download.
RATE = 32 << 20
SYNS_A_SECOND = 200_000
#: Of both kinds, in turns.
DOWNLOADS = 5
#: Seconds until a flood flows evenly.
WARM_UP = 0.5
#: Nobody is there, so that the answers go no further than the client's interface.
NOBODY = "02:00:00:00:00:01"


class FloodFailed(Exception):
    pass


def measure(sender):
    """Mbit/s of downloads under the flood and of those without, the median of each; and the answers a second. `sender` is
    the flood's program."""
    with tempfile.TemporaryDirectory(prefix="baton-flooded-") as place:
        os.chmod(place, 0o755)
        laboratory = scenarios.Laboratory(place, "bench-flood")
        try:
            laboratory.content.add("long.bin", BYTES, cached=True)
            laboratory.up()
            scenarios.wait_for_origins(laboratory)
            return _in_turns(laboratory, sender)
        except CommandFailed as error:
            raise FloodFailed(str(error)) from error
        finally:
            laboratory.down()


def _in_turns(laboratory, sender):
    rates, answers = {True: [], False: []}, []
    # Either one first; the first pair teaches everybody the way.
    for number in range(DOWNLOADS + 1):
        for flooded in (number % 2 == 0, number % 2 == 1):
            rate, answered = _download(laboratory, sender if flooded else None)
            if number > 0:
                rates[flooded].append(rate)
                answers += [answered] if flooded else []
    if min(answers) < SYNS_A_SECOND / 2:
        raise FloodFailed(f"the flood was not answered: {answers}")
    return {"flooded": median(rates[True]), "quiet": median(rates[False]), "answersPerSecond": round(median(answers))}


def _download(laboratory, sender):
    inside, server = laboratory.topology.inside, topology.VIRTUAL_SERVERS[0]
    flood = None
    if sender:
        mac = laboratory.topology.run("director", "cat", "/sys/class/net/dc/address").strip()
        flood = subprocess.Popen(inside("client", sender, "c0", mac, NOBODY, server, "80", str(SYNS_A_SECOND)))
        time.sleep(WARM_UP)
    answered, started = laboratory.services.counters()["synsAnswered"], time.monotonic()
    try:
        result = subprocess.run(inside(
            "client", "curl", "--no-progress-meter", "--fail", "--output", "/dev/null", "--limit-rate", str(RATE),
            "--write-out", "%{size_download} %{speed_download}", "--resolve", f"{CACHED_HOST}:80:{server}",
            f"http://{CACHED_HOST}/long.bin"), capture_output=True, text=True, timeout=120)
        answered = (laboratory.services.counters()["synsAnswered"] - answered) / (time.monotonic() - started)
        if flood and flood.poll() is not None:
            raise FloodFailed("the flood has ended by itself")
    finally:
        if flood:
            flood.kill()
            flood.wait()
    size, speed = (result.stdout.split() + ["0", "0"])[:2]
    if result.returncode != 0 or int(size) != BYTES:
        raise FloodFailed(f"{size} bytes, {result.stderr}")
    return int(speed) * 8 / 1e6, answered
