#!/usr/bin/env python3
"""Measures Baton beside its peers on one core, in turns, and says how they compare.

    run.py [--rounds N] [--seconds S] [--quick] [--full] [--rows ROW,...] [--list]

Writes .build/bench.json, .build/bench-machine.json and .build/bench.svg, and ends with one line of JSON
(`bench: {...}`): `ok` says that every program ran and every check of correctness passed; figures do not touch it.
"""

import argparse
import json
import os
import signal
import sys
import time

import machine
import plot
import ports
import results
from baton import Baton, BatonFailed, NotBuilt
from contests import Programme
from peers import PeerFailed, Peers
from series import Series
from sources import Sources

DIRECTORY = os.path.join(machine.ROOT, ".build", "bench")
PROGRAMS = os.path.join(machine.ROOT, ".build", "release")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="turns of each side (default 5; quick: 3)")
    parser.add_argument("--seconds", type=float, help="measured seconds of a run (default 2; quick: 0.5)")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs")
    parser.add_argument("--full", action="store_true", help="the series over frames, bursts, hits and workers as well")
    parser.add_argument("--rows", default="", help="only these rows, by name, with commas between")
    parser.add_argument("--list", action="store_true", help="prints the names of the rows and ends")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)
    return options


def chosen(contests, names):
    """The contests that yield any of the named rows; all for no name."""
    unknown = set(names) - {row for contest in contests for row in contest.rows}
    if unknown:
        sys.exit(f"bench: no row is named {', '.join(sorted(unknown))}; --list says which there are")
    return [contest for contest in contests if not names or contest.rows & set(names)]


def measure(contest, count):
    """The rounds of a contest: in each, Baton first and then its peers."""
    count = min(count, contest.most_rounds or count) * contest.times_rounds
    rounds = []
    for number in range(count):
        one = {"baton": contest.baton()}
        for peer, run in contest.peers.items():
            one[peer] = run()
        rounds.append(one)
        print(f"bench: {', '.join(sorted(contest.rows))}: round {number + 1} of {count}", flush=True)
    return rounds


def main():
    options = parse_arguments()
    os.makedirs(DIRECTORY, exist_ok=True)
    warm_up = min(0.5, options.seconds)
    peers = Peers(DIRECTORY, options.seconds, warm_up)
    sources = Sources(DIRECTORY, os.path.join(PROGRAMS, "baton-bench"))
    baton = Baton(PROGRAMS, DIRECTORY, options.seconds, warm_up)
    names = [name for name in options.rows.split(",") if name]
    contests = list(Programme(baton, peers, sources).contests())
    if options.full or names or options.list:
        contests += Series(baton, peers, sources).contests()
    contests = chosen(contests, names)
    if options.list:
        print("\n".join(sorted({row for contest in contests for row in contest.rows})))
        return 0
    sources.build()
    peers.build_l3fwd()
    peers.build_rte_hash()
    # Whoever ends the run, by whatever signal, gets what was measured until then; and hugepages go back.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    started = time.monotonic()
    rows, failures = [], []
    with machine.Hugepages(max(contest.hugepage_bytes for contest in contests), ports.MEASURED_CPU):
        described = machine.description()
        for contest in contests:
            try:
                rounds = measure(contest, options.rounds)
            except NotBuilt as error:
                print(f"bench: {', '.join(sorted(contest.rows))}: {error}", flush=True)
                continue
            except KeyboardInterrupt:
                failures.append("interrupted")
                break
            except (BatonFailed, PeerFailed) as error:
                failures.append(f"{', '.join(sorted(contest.rows))}: {error}")
                print(f"bench: {failures[-1]}", file=sys.stderr, flush=True)
                continue
            rows += [results.row(contest, figure, rounds) for figure in contest.figures]
    return report(rows, failures, described, time.monotonic() - started)


def interrupt(*_):
    raise KeyboardInterrupt


def report(rows, failures, described, seconds):
    """Writes the files and prints the tables. Returns the exit status: a figure never makes it other than 0."""
    write("bench.json", json.dumps(rows, indent=1))
    write("bench-machine.json", json.dumps(described, indent=1))
    drawing = plot.svg(rows, f"{described['cpu']}, DPDK {described['dpdk']}")
    if drawing is not None:
        write("bench.svg", drawing)
    print(f"\n{described['cpu']}, Linux {described['kernel']}, DPDK {described['dpdk']}, {described['swift']}\n")
    print(results.table(rows))
    for failure in failures:
        print(f"failed: {failure}")
    goals = [{key: one.get(key) for key in ("name", "unit", "peer", "ratio", "goal", "met")} for one in rows]
    met = [one["met"] for one in goals if one["met"] is not None]
    print(f"\n{sum(met)} of {len(met)} goals met")
    print("bench: " + json.dumps({"ok": not failures, "seconds": round(seconds), "failed": failures, "rows": goals}))
    return 0 if not failures else 1


def write(name, text):
    with open(os.path.join(machine.ROOT, ".build", name), "w") as file:
        file.write(text)


if __name__ == "__main__":
    sys.exit(main())
