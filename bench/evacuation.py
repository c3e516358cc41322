"""How many connections a second go from one proxy to another while downloads run on them.

The way is the demo's laboratory. Clients read slowly, so that every connection is in the middle of an answer.
"""

import datetime
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))

from lab import scenarios, topology  # noqa: E402
from lab.load import Load  # noqa: E402
from lab.services import CACHED_HOST  # noqa: E402
from lab.shell import CommandFailed, wait_until  # noqa: E402

BYTES = 4 << 20
#: More clients than these want more than two CPUs.
CONNECTIONS = 150
SECONDS = 10.0


class EvacuationFailed(Exception):
    pass


def measure():
    """Connections moved, a second, from the first to the last; how many; and downloads that failed."""
    with tempfile.TemporaryDirectory(prefix="baton-evacuation-") as place:
        os.chmod(place, 0o755)
        laboratory = scenarios.Laboratory(place, "bench-evac")
        try:
            laboratory.content.add("long.bin", BYTES, cached=True)
            laboratory.up()
            return _emptied(laboratory)
        except (CommandFailed, AssertionError) as error:
            raise EvacuationFailed(str(error)) from error
        finally:
            laboratory.down()


def _emptied(laboratory):
    services = laboratory.services
    sha256 = scenarios.sha256_of(os.path.join(laboratory.content.origin, "long.bin"))
    services.ctl("proxy", "p2", "drain")
    load = Load(laboratory, topology.v4("origin"), CACHED_HOST, "long.bin", sha256, CONNECTIONS, SECONDS)
    try:
        load.mark(CONNECTIONS * 9 // 10)

        def committed():
            return next(row for row in services.ctl("proxies") if row["name"] == "p1")["committedFlows"]

        wait_until("the proxy has them", lambda: committed() >= CONNECTIONS * 3 // 4, 60)
        services.ctl("proxy", "p2", "up")
        answer = services.ctl("evacuate", "p1", "--timeout", "120")
        summary = load.finish()
    except BaseException:
        load.kill()
        raise
    if answer["left"] or summary["failed"]:
        raise EvacuationFailed(f"left behind or broken: {answer}, {summary['failures'][:3]}")
    with open(services.path("director.log")) as log:
        times = [datetime.datetime.fromisoformat(line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()
                 for line in log if re.search(r"connection moved .*from=p1", line)]
    return {"movedPerSecond": (len(times) - 1) / (times[-1] - times[0]), "moved": answer["moved"],
            "seconds": answer["seconds"], "downloads": summary["requests"]}
