"""Where the packets of a run come from: a capture of all connections, or a small one whose packets are rewritten."""

import os
import subprocess

import captures
import ports

HERE = os.path.dirname(os.path.abspath(__file__))
#: Packets of the small capture: whole rounds of the Internet mix, and few enough to stay in a core's own cache.
FEW = 60


class Traffic:
    """Packets for a run: the capture that port 0 is given, how many it holds, and the programs' environment."""

    def __init__(self, name, packets, environment, write):
        #: "captured" or "written".
        self.name = name
        self.packets = packets
        self.environment = environment
        self._write = write

    @property
    def capture(self):
        """The path; the file is written when it is asked for first."""
        return os.path.abspath(self._write())

    @property
    def hugepage_bytes(self):
        return (self.packets + ports.SPARE_PACKETS) * ports.BYTES_PER_PACKET


class Sources:
    """Makes traffic. `directory` is for captures and for the library that rewrites packets; `program` is baton-bench,
    which knows the owners of flows."""

    def __init__(self, directory, program):
        self._directory = directory
        self._program = program
        self._library = os.path.join(directory, "flow_source.so")

    def build(self):
        source = os.path.join(HERE, "source", "flow_source.c")
        if os.path.exists(self._library) and os.path.getmtime(self._library) > os.path.getmtime(source):
            return
        flags = subprocess.run(["pkg-config", "--cflags", "libdpdk"], check=True, capture_output=True, text=True)
        command = ["cc", "-O3", "-shared", "-fPIC", *flags.stdout.split(), "-o", self._library, source]
        subprocess.run(command, check=True)

    def captured(self, flows, size="64", ipv6=False, first=0, opens=False):
        """A packet of each connection in the port's memory."""
        return Traffic(
            "captured", flows, {}, lambda: captures.capture(self._directory, flows, size, ipv6, first, opens)
        )

    def flooded(self, flows, syns):
        """Two packets for each connection, of which so many are SYNs of other connections."""
        return Traffic("captured", 2 * flows, {}, lambda: captures.flooded(self._directory, flows, syns))

    def written(self, flows, size="64", ipv6=False, first=0, opens=False):
        """A few packets, rewritten when they are received (source/flow_source.c)."""
        environment = {
            "LD_PRELOAD": os.path.abspath(self._library),
            "BENCH_SOURCE_FLOWS": str(flows),
            "BENCH_SOURCE_FIRST": str(first),
        }
        return Traffic(
            "written", FEW, environment, lambda: captures.capture(self._directory, FEW, size, ipv6, 0, opens)
        )

    def sorted(self, flows, workers):
        """The same for several queues, each with its own worker's flows only: what a port with a hash would do."""
        lists = os.path.abspath(os.path.join(self._directory, f"owners-{flows}-{workers}"))
        traffic = self.written(flows)

        def write():
            # Not kept: the hash may have changed since the last run.
            command = [self._program, "owners", "--flows", str(flows), "--workers", str(workers), lists]
            subprocess.run(command, check=True)
            return traffic.capture

        return Traffic("written, sorted", FEW, {**traffic.environment, "BENCH_SOURCE_LISTS": lists}, write)
