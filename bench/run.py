#!/usr/bin/env python3
"""Measures Baton beside its peers on one core, in turns, and says how they compare.

    run.py [--rounds N] [--seconds S] [--quick] [--rows ROW,...] [--list]

Writes .build/bench.json and ends with one line of JSON (`bench: {...}`).
"""

import argparse
import json
import os
import sys
import time

import machine
import ports
import results
from baton import Baton, BatonFailed
from contests import Programme
from peers import PeerFailed, Peers

DIRECTORY = os.path.join(machine.ROOT, ".build", "bench")
PROGRAM = os.path.join(machine.ROOT, ".build", "release", "baton-bench")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, help="turns of each side (default 5; quick: 3)")
    parser.add_argument("--seconds", type=float, help="measured seconds of a run (default 2; quick: 0.5)")
    parser.add_argument("--quick", action="store_true", help="shorter and fewer runs")
    parser.add_argument("--rows", default="", help="only these rows, by name, with commas between")
    parser.add_argument("--list", action="store_true", help="prints the names of the rows and ends")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.5 if options.quick else 2.0)
    return options


def chosen(contests, names):
    """The contests that yield any of the named rows; all for no name."""
    contests = list(contests)
    unknown = set(names) - {row for contest in contests for row in contest.rows}
    if unknown:
        sys.exit(f"bench: no row is named {', '.join(sorted(unknown))}; --list says which there are")
    return [contest for contest in contests if not names or contest.rows & set(names)]


def measure(contest, count):
    """The rounds of a contest: in each, Baton first and then its peers."""
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
    programme = Programme(Baton(PROGRAM, options.seconds, warm_up), peers, DIRECTORY)
    names = [name for name in options.rows.split(",") if name]
    contests = chosen(programme.contests(), names)
    if options.list:
        print("\n".join(sorted({row for contest in contests for row in contest.rows})))
        return 0
    peers.build_l3fwd()
    peers.build_rte_hash()
    started = time.monotonic()
    rows, failures = [], []
    with machine.Hugepages(max(contest.hugepage_bytes for contest in contests), ports.MEASURED_CPU):
        described = machine.description()
        for contest in contests:
            try:
                rounds = measure(contest, options.rounds)
            except (BatonFailed, PeerFailed) as error:
                failures.append(f"{', '.join(sorted(contest.rows))}: {error}")
                print(f"bench: {failures[-1]}", file=sys.stderr, flush=True)
                continue
            rows += [results.row(contest, figure, rounds) for figure in contest.figures]
    with open(os.path.join(machine.ROOT, ".build", "bench.json"), "w") as file:
        json.dump(rows, file, indent=1)
    with open(os.path.join(machine.ROOT, ".build", "bench-machine.json"), "w") as file:
        json.dump(described, file, indent=1)
    print(f"\n{described['cpu']}, Linux {described['kernel']}, DPDK {described['dpdk']}, {described['swift']}\n")
    print(results.table(rows))
    summary = {"ok": not failures, "rows": len(rows), "failed": failures, "seconds": round(time.monotonic() - started)}
    print("bench: " + json.dumps(summary))
    return 0 if not failures else 1


if __name__ == "__main__":
    sys.exit(main())
