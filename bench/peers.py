"""The peers: DPDK's own programs, from Debian or built from Debian's sources, measured from outside."""

import json
import os
import shutil
import signal
import subprocess
import time

import captures
import ports
from telemetry import Telemetry

HERE = os.path.dirname(os.path.abspath(__file__))
#: The sources of package dpdk-doc.
EXAMPLES = "/usr/share/dpdk/examples"
#: Flows that l3fwd's tables have room for as they come, and when there are more.
L3FWD_ENTRIES = 4 << 20
L3FWD_MOST_ENTRIES = 16 << 20
L3FWD_CHANGES = (
    ("main.c", ".offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM,", ".offloads = 0,"),
    ("main.c", "(unsigned)8192)", '(unsigned)atoi(getenv("BENCH_PACKETS")))'),
    ("l3fwd.h", "(1024*1024*4)", f"({L3FWD_MOST_ENTRIES})"),
    ("l3fwd_em.c", ".entries = L3FWD_HASH_ENTRIES,", '.entries = (unsigned)atoi(getenv("BENCH_ENTRIES")),'),
    ("l3fwd_em.c", 'printf("EM: Adding route', 'if (0) printf("EM: Adding route'),
)

#: Seconds until a program that forwards nothing is given up.
PATIENCE = 10


class PeerFailed(Exception):
    pass


class Forwarding:
    """A DPDK program that forwards from port 0 to port 1 until it is stopped."""

    def __init__(self, command, prefix, log, environment=None):
        self._prefix = prefix
        self._log = log
        with open(log, "w") as output:
            # testpmd ends when its standard input does.
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
            )

    def measure(self, seconds, warm_up):
        """Million packets a second over `seconds`, after the first packet and `warm_up` more seconds."""
        try:
            telemetry = self._connect()
            time.sleep(warm_up)
            first, start = telemetry.received()
            time.sleep(seconds)
            last, end = telemetry.received()
            # A machine that others use may leave a program no time at all for a while.
            while last == first and end - start < PATIENCE:
                time.sleep(seconds)
                last, end = telemetry.received()
            lost = last - telemetry.statistics(1)["opackets"]
            telemetry.close()
        finally:
            self._stop()
        if lost > 0.001 * last:
            raise PeerFailed(f"{lost} of {last} packets were not forwarded, see {self._log}")
        if last == first:
            raise PeerFailed(f"no packet in {PATIENCE} seconds, see {self._log}")
        return {"mpps": (last - first) / (end - start) / 1e6}

    def _connect(self, patience=120):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise PeerFailed(f"{self._process.args[0]} ended:\n{self._tail()}")
            try:
                telemetry = Telemetry(self._prefix)
                while telemetry.received()[0] == 0 and time.monotonic() < deadline:
                    time.sleep(0.02)
                return telemetry
            except (OSError, ValueError, KeyError, TypeError):
                # Not listening yet, or no ports yet.
                time.sleep(0.05)
        raise PeerFailed(f"{self._process.args[0]} does not start:\n{self._tail()}")

    def _tail(self):
        with open(self._log, errors="replace") as file:
            return "".join(file.readlines()[-20:])

    def _stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdin.close()


class Peers:
    """Makes and runs every peer; `directory` is for what is built and written."""

    def __init__(self, directory, seconds, warm_up):
        self._directory = directory
        self._seconds = seconds
        self._warm_up = warm_up

    # testpmd

    def testpmd(self, mode, traffic, burst=32, queues=1):
        """testpmd in one of its forwarding modes, on a forwarding core for each queue."""
        prefix = f"bench-testpmd-{os.getpid()}"
        command = ["dpdk-testpmd", *ports.environment(prefix, ports.lcores(queues))]
        command += [*ports.devices(traffic.capture, queues), "--", f"--rxq={queues}", f"--txq={queues}"]
        command += ["--auto-start", f"--nb-cores={queues}", f"--forward-mode={mode}", f"--burst={burst}", "--no-flush-rx"]
        command += [f"--total-num-mbufs={queues * (traffic.packets + ports.SPARE_PACKETS)}"]
        log = os.path.join(self._directory, f"testpmd-{mode}.log")
        return Forwarding(command, prefix, log, traffic.environment).measure(self._seconds, self._warm_up)

    # l3fwd

    def l3fwd(self, lookup, traffic, flows, ipv6=False):
        """l3fwd with a rule for each flow (`em`) or for the servers' network (`lpm`)."""
        prefix = f"bench-l3fwd-{os.getpid()}"
        program = os.path.join(self._directory, "l3fwd", "l3fwd")
        rules4, rules6 = (self._rules(lookup, flows if ipv6 == is6 else 0, is6) for is6 in (False, True))
        command = [program, *ports.environment(prefix, ports.alone()), *ports.devices(traffic.capture), "--"]
        command += ["-p", "0x3", "-P", "--lookup", lookup, "--parse-ptype", "--no-numa"]
        cpu = ports.MEASURED_CPU
        command += ["--config", f"(0,0,{cpu}),(1,0,{cpu})", f"--rule_ipv4={rules4}", f"--rule_ipv6={rules6}"]
        if ipv6 and lookup == "em":
            # It fills the exact-match table of one family only.
            command.append("--ipv6")
        log = os.path.join(self._directory, f"l3fwd-{lookup}.log")
        environment = {
            **traffic.environment,
            "BENCH_PACKETS": str(traffic.packets + ports.SPARE_PACKETS),
            "BENCH_ENTRIES": str(L3FWD_ENTRIES if flows < L3FWD_ENTRIES // 2 else L3FWD_MOST_ENTRIES),
        }
        return Forwarding(command, prefix, log, environment).measure(self._seconds, self._warm_up)

    def _rules(self, lookup, flows, ipv6):
        """The path of a file of l3fwd's rules, all of them out by port 1. It demands a rule of either family."""
        path = os.path.join(self._directory, f"l3fwd-{lookup}-{'ipv6' if ipv6 else 'ipv4'}-{flows}.rules")
        if os.path.exists(path):
            return path
        with open(path + ".tmp", "w") as file:
            if lookup == "lpm":
                file.write("R2001:db8:2::/48 1\n" if ipv6 else "R198.18.0.0/24 1\n")
            for index in range(max(flows, 1)) if lookup == "em" else ():
                client, server, client_port, server_port = captures.flow_addresses(index, ipv6)
                # The destination's before the source's, addresses and ports.
                file.write(f"R{server} {client} {server_port} {client_port} 6 1\n")
        os.rename(path + ".tmp", path)
        return path

    def build_l3fwd(self):
        """Builds l3fwd from the examples with a few changes: vdevs offer no checksum offload, the pool must hold the
        capture, the tables may hold more flows than they were made for, and not every rule is printed."""
        directory = os.path.join(self._directory, "l3fwd")
        program = os.path.join(directory, "l3fwd")
        if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(__file__):
            return
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(os.path.join(EXAMPLES, "l3fwd"), directory)
        for name, old, new in L3FWD_CHANGES:
            path = os.path.join(directory, name)
            with open(path) as file:
                text = file.read()
            if old not in text:
                raise PeerFailed(f"this l3fwd is another one: no '{old}' in {path}")
            with open(path, "w") as file:
                file.write(text.replace(old, new))
        sources = subprocess.run(
            ["make", "-s", "--eval", "bench-sources:\n\t@echo $(SRCS-y)", "bench-sources"],
            cwd=directory, check=True, capture_output=True, text=True,
        ).stdout.split()
        flags = ["-O3", "-DALLOW_EXPERIMENTAL_API", f"-I{EXAMPLES}/common", "-o", "l3fwd"]
        self._compile([*flags, *sources], directory, _package_config("--libs"))

    # rte_hash

    def build_rte_hash(self):
        """Builds rte_hash_bench."""
        source = os.path.join(HERE, "peers", "rte_hash_bench.c")
        program = os.path.join(self._directory, "rte_hash_bench")
        if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
            return
        self._compile(["-O3", "-o", program, source], HERE, ["-lrte_hash", "-lrte_eal", "-lrte_kvargs"])

    def rte_hash(self, keys, ipv6=False):
        """Clocks for each find, insert and delete, and bytes for each key."""
        program = os.path.join(self._directory, "rte_hash_bench")
        command = [program, *ports.environment("bench-hash", ports.alone()), "--no-telemetry", "--"]
        command += [str(keys), "6" if ipv6 else "4", str(self._seconds)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if result.returncode != 0:
            raise PeerFailed(f"rte_hash_bench: {result.stdout}{result.stderr}")
        return json.loads(result.stdout.splitlines()[-1])

    def _compile(self, arguments, directory, libraries):
        command = ["cc", *_package_config("--cflags"), *arguments, *libraries]
        result = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        if result.returncode != 0:
            raise PeerFailed(f"{' '.join(command)}\n{result.stderr}")


def _package_config(what):
    return subprocess.run(
        ["pkg-config", what, "libdpdk"], check=True, capture_output=True, text=True
    ).stdout.split()
