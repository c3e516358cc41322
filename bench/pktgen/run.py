#!/usr/bin/env python3
"""Sends frames through Baton and finds the highest rate at which none is lost (RFC 2544).

    run.py [--full] [--sizes 64,1518] [--seconds S]                       on one machine, over memif
    run.py --client-port 0000:01:00.0 --server-port 0000:01:00.1 \\
           --generator-ports 0000:02:00.0,0000:02:00.1 [--cpus C,W,T,R]   on physical ports

Writes .build/pktgen.json and ends with one line of JSON (`pktgen: {...}`). README.md says what it measures.
"""

import argparse
import json
import os
import shlex
import signal
import sys
import time

sys.path.insert(1, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import machine
from measurement import Measurement
from processes import ProgramFailed, Workplace
from pktgen import is_installed
from report import table
from wiring import CPUs, Memif, Physical

RESULT = os.path.join(machine.ROOT, ".build", "pktgen.json")
ALL_SIZES = (64, 128, 256, 512, 1024, 1280, 1518)
#: What the programs of one trial want of hugepages, besides the base.
BYTES_WANTED = 256 << 20


def numbers(text):
    return [int(word) for word in text.split(",")]


def addresses(text):
    return text.split(",")


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="all sizes of RFC 2544, longer trials, finer steps")
    parser.add_argument("--sizes", type=numbers, help="frame sizes in bytes, check sequence included (64,512,1518)")
    parser.add_argument("--seconds", type=float, help="length of a trial (0.2; full: 10; RFC 2544 wants 60)")
    parser.add_argument("--resolution", type=float, help="finest step, as a part of the highest rate (0.02; full: 0.005)")
    parser.add_argument("--attempts", type=int, default=2, help="trials of which one must lose nothing (2)")
    parser.add_argument("--tolerance", type=float, default=0, help="part of the frames that may be lost (0)")
    parser.add_argument("--flows", type=int, default=1000, help="connections that frames belong to, at most 4096 (1000)")
    parser.add_argument("--ring", type=int, default=12, help="memif: logarithm of the rings' size (12: 4096 frames)")
    parser.add_argument("--generator", choices=("pktgen", "paced"), help="default: pktgen where it is installed")
    parser.add_argument("--no-flood", action="store_true", help="leaves out testpmd's unpaced traffic")
    parser.add_argument("--client-port", help="PCI address of Baton's port on the clients' side")
    parser.add_argument("--server-port", help="and of its port on the servers' side")
    parser.add_argument(
        "--generator-ports", type=addresses, metavar="SENDER,SINK",
        help="PCI addresses; without Baton's ports, Baton runs on another machine")
    parser.add_argument("--link-gbit", type=float, help="speed of the physical links; default: what the port says")
    parser.add_argument("--cpus", help="CONTROL,WORKER,TRANSMIT[,RECEIVE]; default: the first ones")
    parser.add_argument("--print", action="store_true", help="prints commands and configurations, and runs nothing")
    options = parser.parse_args(arguments)
    physical = options.client_port or options.server_port or options.generator_ports
    if physical and not options.generator_ports:
        parser.error("--generator-ports is missing")
    options.sizes = options.sizes or (list(ALL_SIZES) if options.full else [64, 512, 1518])
    options.seconds = options.seconds or (10 if options.full else 0.2)
    options.resolution = options.resolution or (0.005 if options.full else 0.02)
    options.generator = options.generator or ("pktgen" if is_installed() else "paced")
    if options.generator == "pktgen" and physical and not options.link_gbit:
        parser.error("--link-gbit is missing: Pktgen's rates are parts of the link's")
    if min(options.sizes) < 64 or max(options.sizes) > 1518:
        parser.error("frames have 64 to 1518 bytes")
    if not 0 < options.flows <= 4096:
        parser.error("--flows is 1 to 4096")
    return options


def wiring_of(options, directory):
    if options.generator_ports:
        return Physical(options.client_port, options.server_port, options.generator_ports)
    return Memif(os.path.join(directory, "memif"), options.ring)


def stop_in_order(number, _):
    """A signal ends a run like any other error: with everything given back. A second one does not disturb that."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    options = parse_arguments()
    try:
        cpus = CPUs.of(options.cpus)
        wiring_of(options, "/nowhere")
        if options.print:
            measurement = Measurement(options, wiring_of(options, "/tmp/baton-pktgen"), cpus, "/tmp/baton-pktgen", "pktgen")
            for title, text in measurement.plan():
                print(f"# {title}\n{text if isinstance(text, str) else shlex.join(text)}\n")
            return 0
    except ValueError as error:
        sys.exit(f"pktgen: {error}")
    if os.geteuid() != 0:
        sys.exit("pktgen: hugepages and ports need root")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_in_order)
    started = time.monotonic()
    failures = []
    with Workplace(BYTES_WANTED, cpus.worker) as place:
        described = machine.description()
        measurement = Measurement(options, wiring_of(options, place.directory), cpus, place.directory, place.prefix)
        print(f"pktgen: {measurement.text()}", flush=True)
        try:
            measurement.run()
        except ProgramFailed as error:
            failures.append(str(error))
    rows = measurement.rows
    result = {"seconds": round(time.monotonic() - started), "machine": described, "failures": failures, "rows": rows}
    with open(RESULT, "w") as file:
        json.dump(result, file, indent=1)
    print(table(rows))
    for failure in failures:
        print(f"pktgen: {failure}", file=sys.stderr)
    summary = {row["name"]: {"baton": row["baton"], "peerValue": row["peerValue"], "ratio": row["ratio"]} for row in rows}
    print("pktgen: " + json.dumps({"seconds": result["seconds"], "failures": len(failures), "rows": summary}))
    return 1 if failures or not rows else 0


if __name__ == "__main__":
    sys.exit(main())
