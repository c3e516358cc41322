#!/usr/bin/env python3
"""The demo: real downloads, each handed over, refused, or saved in its own way, with proof of who served it.

    run.py                     all scenarios
    run.py cached late         some of them
    run.py --keep              leaves the laboratory up and says how to use it
    run.py --down              takes a laboratory that was left up down
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import scenarios  # noqa: E402
from lab.scenarios import MEBIBYTE, Laboratory  # noqa: E402
from lab.services import BINARIES, CACHED_HOST  # noqa: E402
from lab.topology import Topology, v4  # noqa: E402

KEPT = "/run/baton-demo"


def main():
    names = [scenario.__name__ for scenario in scenarios.ALL]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help=f"all, or some of: {', '.join(names)}")
    parser.add_argument("--keep", action="store_true", help="leave the laboratory up")
    parser.add_argument("--down", action="store_true", help="take a kept laboratory down")
    options = parser.parse_args()
    unknown = [name for name in options.scenario if name not in names + ["all"]]
    if unknown:
        parser.error(f"no scenario {unknown[0]!r}; there are: all, {', '.join(names)}")
    if os.geteuid() != 0:
        sys.exit("demo: needs root, for network namespaces and AF_XDP: sudo make demo")
    if options.down:
        Topology(KEPT).down()
        shutil.rmtree(KEPT, ignore_errors=True)
        print("demo: the laboratory is down")
        return 0
    wanted = [s for s in scenarios.ALL if not options.scenario or "all" in options.scenario or s.__name__ in options.scenario]
    return play(wanted, options.keep)


def play(wanted, keep):
    Topology(KEPT).down()
    shutil.rmtree(KEPT, ignore_errors=True)
    directory = KEPT if keep else tempfile.mkdtemp(prefix="baton-demo-")
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    laboratory = Laboratory(directory)
    results = []
    try:
        print(f"demo: building the laboratory in {directory}", flush=True)
        for name, size in (("cached.bin", 64), ("narrow.bin", 48), ("huge.bin", 1024)):
            users = {"cached.bin": ("cached", "symmetric"), "narrow.bin": ("pmtu",), "huge.bin": ("restart", "replay-nginx", "forwarder")}[name]
            if any(scenario.__name__ in users for scenario in wanted):
                laboratory.content.add(name, size * MEBIBYTE, cached=True)
        if any(getattr(scenario, "over_udp", False) for scenario in wanted):
            laboratory.serve_datagrams()
        laboratory.up()
        for number, scenario in enumerate(wanted, 1):
            print(f"\n[{number}/{len(wanted)}] {scenario.__name__}: {scenario.__doc__.strip()}", flush=True)
            results.append(play_one(laboratory, scenario))
        if keep:
            explain(laboratory)
    except BaseException:
        traceback.print_exc()
        for process in laboratory.services.processes.values():
            print(f"--- {process.name}:\n{process.tail()}", file=sys.stderr)
    finally:
        if not keep:
            laboratory.down()
            shutil.rmtree(directory, ignore_errors=True)
    return close(results, len(wanted))


def play_one(laboratory, scenario):
    try:
        result = laboratory.play(scenario.__name__, scenario)
    except Exception as error:  # noqa: BLE001 (a row of the table says so)
        traceback.print_exc()
        row = {"name": scenario.__name__, "servedBy": "", "sha256Match": False, "clientControlPackets": -1, "tookMs": 0,
               "reason": str(error).splitlines()[0]}
        result = {"row": row, "ok": False, "problems": [str(error)], "timeline": [], "proof": ""}
    for milliseconds, program, line in result["timeline"][:40]:
        print(f"  {milliseconds:9.1f} ms  {program:<9} {line}")
    if len(result["timeline"]) > 40:
        print(f"  … and {len(result['timeline']) - 40} lines more")
    if result["proof"]:
        print(f"  proof: {result['proof']}")
    for problem in result["problems"]:
        print(f"  WRONG: {problem}")
    print(f"  {'ok' if result['ok'] else 'FAILED'}", flush=True)
    return result


def close(results, wanted):
    rows = [result["row"] for result in results]
    ok = len(results) == wanted and all(result["ok"] for result in results)
    columns = [("scenario", "name"), ("served by", "servedBy"), ("SHA-256", "sha256Match"),
               ("control packets", "clientControlPackets"), ("ms", "tookMs"), ("reason", "reason")]
    cells = [[title for title, _ in columns]]
    for row in rows:
        cells.append([("equal" if row[key] else "DIFFERS") if key == "sha256Match" else str(row[key])
                      for _, key in columns])
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    print()
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print("\ndemo: " + json.dumps({"ok": ok, "scenarios": rows}), flush=True)
    return 0 if ok else 1


def explain(laboratory):
    socket = laboratory.services.path("batond.sock")
    inside = " ".join(laboratory.topology.inside("client"))
    print(f"""
The laboratory stays up. Try:
  {inside} curl -o /dev/null --resolve {CACHED_HOST}:80:{v4('origin')} http://{CACHED_HOST}/cached.bin
  {BINARIES}/batonctl --socket {socket} status
  {BINARIES}/batonctl --socket {socket} transfers
  {inside} tcpdump -ni c0 tcp
  tail -f {laboratory.directory}/p1-access.log
Take it down with: make demo DOWN=1""")


if __name__ == "__main__":
    sys.exit(main())
