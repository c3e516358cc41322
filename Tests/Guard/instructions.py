#!/usr/bin/env python3
"""Instructions that a worker spends on a packet, counted by callgrind, against the bounds in instructions.json.

Seconds depend on the machine and on who else uses it; instructions do not. Only what is in the modules FastPath and Wire
counts, with everything that was inlined into it: drivers and start-up do not. When a bound is passed, either the change
is worth it and the bound moves with it, in the same commit, or it is not.

    instructions.py            checks every case
    instructions.py --update   writes bounds ten percent above what is counted now
"""

import json
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))

import captures  # noqa: E402

BOUNDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
WORK = os.path.join(ROOT, ".build", "guard")
FLOWS = 1_000
MODULES = ("$s8FastPath", "$s4Wire")

#: Of each case: what baton-bench is asked for, whether its packets are IPv6, and whether they are first SYNs.
CASES = {
    "transferred": (["transferred"], False, False),
    "transferred-ipv6": (["transferred", "--ipv6"], True, False),
    "translated": (["transferred", "--translated"], False, False),
    "forwarded": (["transferred", "--forwarded"], False, False),
    "forwarded-ipv6": (["transferred", "--forwarded", "--ipv6"], True, False),
    "stranger": (["transferred", "--hit", "0"], False, False),
    "syn-answered": (["synflood", "--answered"], False, True),
    "syn-answered-ipv6": (["synflood", "--answered", "--ipv6"], True, True),
}


def count(program, arguments, ipv6, opens):
    """Instructions for each packet."""
    # New connections are those behind the table's.
    capture = captures.capture(WORK, FLOWS, ipv6=ipv6, first=FLOWS if opens else 0, opens=opens)
    profile = os.path.join(WORK, "callgrind.out")
    command = ["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"]
    command += [f"--callgrind-out-file={profile}", program, *arguments, "--capture", capture]
    command += ["--flows", str(FLOWS), "--packets", str(FLOWS), "--seconds", "0.2", "--warm-up", "0.05"]
    command += ["--", "--lcores", "0@0,1@0", "--no-huge", "-m", "512", "--no-pci", "--no-telemetry", "--no-shconf"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if result.returncode != 0:
        sys.exit(f"instructions: {' '.join(command)}\n{result.stdout}{result.stderr}")
    report = next(json.loads(line) for line in result.stdout.splitlines() if line.startswith("{"))
    return own_cost(profile, MODULES) / report["counters"]["receivedFromClients"]


def own_cost(profile, prefixes):
    """The cost of all functions whose names begin so or so, without what they call."""
    total = 0
    counts = skip = False
    for line in open(profile):
        if line.startswith("fn="):
            counts = line[3:].startswith(prefixes)
        elif line.startswith("calls="):
            skip = True
        elif counts and re.match(r"^\d+ \d+$", line):
            total += 0 if skip else int(line.split()[1])
            skip = False
        elif line[0].isdigit():
            skip = False
    return total


def main():
    os.makedirs(WORK, exist_ok=True)
    # Valgrind cannot read Swift's debug information.
    program = os.path.join(WORK, "baton-bench")
    built = os.path.join(ROOT, ".build", "release", "baton-bench")
    if not os.path.exists(built) or shutil.which("valgrind") is None:
        sys.exit("instructions: needs `swift build -c release` and valgrind: make test does both")
    subprocess.run(["strip", "--strip-debug", "-o", program, built], check=True)
    bounds = json.load(open(BOUNDS))
    counted = {}
    for name, case in CASES.items():
        counted[name] = count(program, *case)
        # Turns in which nothing came are counted as well, and a busy machine has more of them: the least counts.
        for _ in range(2):
            if counted[name] > bounds[name]:
                counted[name] = min(counted[name], count(program, *case))
        verdict = "ok" if counted[name] <= bounds[name] else "too many"
        print(f"instructions: {name}: {counted[name]:.1f} a packet, bound {bounds[name]}: {verdict}", flush=True)
    if sys.argv[1:] == ["--update"]:
        with open(BOUNDS, "w") as file:
            json.dump({name: round(value * 1.1) for name, value in counted.items()}, file, indent=2)
            file.write("\n")
        return 0
    return 0 if all(counted[name] <= bounds[name] for name in CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
