"""A flood of first SYNs over veth, and who answers them: a whole `batond` by AF_XDP, or the kernel's SYNPROXY.

    namespace "clients"            namespace "director"
    syn_sender -> far ============= near -> batond, or nftables

The sender has the one CPU, who answers the other. The kernel's part of receiving, which belongs to nobody, happens where
it happens by itself, in the sender's calls (`ALONGSIDE`), or is moved to who answers, too (`APART`). Answers are counted
where the sender is, by the interface, and go no further: they are addressed to an Ethernet address that nobody has.
"""

import os
import subprocess
import time

import ports
from namespace import CommandFailed, Director, Namespace, call

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = "198.18.0.80"
CLIENTS = "10.0.0.0/8"
ROUTER = "192.0.2.254"
NEAR_MAC, ROUTER_MAC = "02:00:00:00:00:80", "02:00:00:00:00:01"
ALONGSIDE, APART = "alongside the sender", "apart from the sender"
#: Seconds until a flood flows evenly.
WARM_UP = 1.0

DIRECTOR = f"""\
name: synflood
ports: {{ client: ["net_af_xdp0,iface=near"], server: ["net_null0,no-rx=1"] }}
workers: {{ count: 1, idle: spin, flows: 65536, recovery: 0s }}
virtual-servers:
  - name: www
    address: "{SERVER}:80"
    origins: [{{ name: o1, address: "198.18.0.81:8080", mac: "02:00:00:00:00:a1" }}]
    check: {{ interval: 0 }}
"""

#: As in nft(8): SYNs are not tracked, and what nobody tracks is SYNPROXY's.
SYNPROXY = """
table ip flood {
    chain early { type filter hook prerouting priority raw; tcp dport 80 tcp flags syn notrack; }
    chain input {
        type filter hook input priority filter;
        tcp dport 80 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm;
        ct state invalid drop;
    }
}
"""


class NoSYNPROXY(Exception):
    pass


class SYNFlood:
    """`programs` is where batond lies, `directory` for what is built."""

    def __init__(self, programs, directory, seconds):
        self._programs = programs
        self._sender = os.path.join(directory, "syn_sender")
        self._seconds = seconds

    def build(self):
        """The sender's program; where it lies."""
        source = os.path.join(HERE, "source", "syn_sender.c")
        if not os.path.exists(self._sender) or os.path.getmtime(self._sender) < os.path.getmtime(source):
            subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", self._sender, source], check=True)
        return self._sender

    def director(self, where):
        """SYNs answered by a whole batond. Apart from the sender, its worker polls the kernel for what has come."""
        with Namespace("bench-clients") as clients, Namespace("bench-director") as director:
            self._wire(clients, director)
            if where == APART:
                director.write("/sys/class/net/near/napi_defer_hard_irqs", 2)
                director.write("/sys/class/net/near/gro_flush_timeout", 200_000)
            with Director(self._programs, director, DIRECTOR):
                return self._flood(clients)

    def kernel(self, where):
        """SYNs answered by the kernel's SYNPROXY. Apart from the sender, a thread on a CPU of its own does it all."""
        with Namespace("bench-clients") as clients, Namespace("bench-director") as director:
            self._wire(clients, director)
            self._set_up_synproxy(director)
            if where == APART:
                # Which makes veth receive by NAPI; faster than packets that are steered there (RPS).
                director.run("ethtool", "-K", "near", "gro", "on")
                director.write("/sys/class/net/near/threaded", 1)
                call("taskset", "-cp", str(ports.MEASURED_CPU), self._napi_thread())
            return self._flood(clients)

    @staticmethod
    def _set_up_synproxy(director):
        director.raise_up("lo")
        director.run("ip", "addr", "add", "192.0.2.1/24", "dev", "near")
        director.run("ip", "neigh", "add", ROUTER, "lladdr", ROUTER_MAC, "dev", "near", "nud", "permanent")
        director.run("ip", "route", "add", CLIENTS, "via", ROUTER)
        director.run("ip", "route", "add", "local", f"{SERVER}/32", "dev", "lo")
        try:
            director.run("nft", "-f", "-", text=SYNPROXY)
            director.run("sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_loose=0")
        except (CommandFailed, FileNotFoundError) as error:
            raise NoSYNPROXY(f"no SYNPROXY here: {error}") from error
        director.run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1", "net.ipv4.tcp_timestamps=1")

    @staticmethod
    def _napi_thread():
        for process in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{process}/comm") as file:
                    if file.read().startswith("napi/near"):
                        return process
            except FileNotFoundError:
                pass
        raise CommandFailed("the interface has no thread of its own")

    @staticmethod
    def _wire(clients, director):
        clients.run("ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", director.name)
        director.run("ip", "link", "set", "near", "address", NEAR_MAC)
        for namespace, interface in ((clients, "far"), (director, "near")):
            # Frames have their checksums, and are as long as they say.
            namespace.run("ethtool", "-K", interface, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
            namespace.raise_up(interface)

    def _flood(self, clients):
        command = [self._sender, "far", NEAR_MAC, ROUTER_MAC, SERVER, "80", "0"]
        pinned = ["taskset", "-c", str(1 - ports.MEASURED_CPU)]
        sender = subprocess.Popen([*clients.prefix, *pinned, *command])
        try:
            time.sleep(WARM_UP)
            (sent, answered), start = clients.packets("far"), time.monotonic()
            time.sleep(self._seconds)
            (all_sent, all_answered), seconds = clients.packets("far"), time.monotonic() - start
            if sender.poll() is not None or all_answered == answered:
                raise CommandFailed("the flood has no answer")
        finally:
            sender.kill()
            sender.wait()
        return {"mpps": (all_answered - answered) / seconds / 1e6, "sentMpps": round((all_sent - sent) / seconds / 1e6, 3)}
