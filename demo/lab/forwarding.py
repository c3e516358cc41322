"""Thin forwarders before a classifier: `f1` and `f2` send what the client sends to the proxies that have its connections,
or to `k1` (and `k2`), which decide; proxies answer the client directly.

        client ─┬─(cf1)─ f1 ─┐
                ├─(cf2)─ f2 ─┼─ fabric ┬─ p1, p2
                └─(c1)───────┘         ├─ k1 ── origin (eth1)
                                       └─ k2, where a test wants it

The client's route says which forwarder it reaches, as an ECMP router's would; `c1` is its way back.
"""

import os

from . import topology as addresses
from .services import (
    BINARIES, CRTP_PORT, INCOMPLETE_HEAD, MOVING_HOST, PATIENT, POOL_PORT, endpoint, free_hugepages)
from .shell import wait_until
from .topology import FORWARDED, PROXIES, TUNNELS

FORWARDERS = ("f1", "f2")
CLASSIFIERS = ("k1", "k2")
#: Where a classifier's metrics say that it is up.
HEALTH_PORT = 9_100
VNI = 7270
#: The origin's second interface, behind the first classifier, and its addresses there.
POOL = ("10.0.0.82", "fd00:ba::82")
#: The client's own, to which everybody answers by the fabric.
RETURN = (addresses.v4("return"), addresses.v6("return"))


class Forwarding:
    """While it is entered, two forwarders and `classifiers` stand in the client's way to the forwarded addresses, and the
    proxies' agents know of them. Tunnels are of `kind`, over IPv4 or IPv6 (`outer`)."""

    def __init__(self, laboratory, kind="gue", outer=4, classifiers=("k1",)):
        self.laboratory = laboratory
        self.topology = laboratory.topology
        self.services = laboratory.services
        self.kind = kind
        self.outer = outer
        self.classifiers = classifiers

    # MARK: hosts

    def __enter__(self):
        try:
            for name in (*FORWARDERS, *self.classifiers):
                self._add(name)
            self._add_pool()
            self._restart_agents(encapsulated=True)
            for name in self.classifiers:
                self.start_classifier(name)
            for name in FORWARDERS:
                self.start_forwarder(name)
            self.land("f1")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in (*FORWARDERS, *CLASSIFIERS):
            if name in self.services.processes:
                self.services.processes.pop(name).stop()
        for name in (*FORWARDERS, *CLASSIFIERS):
            self.topology.remove(name)
        self.topology.run("origin", "ip", "link", "del", "eth1", check=False)
        for family, address in zip(("-4", "-6"), POOL):
            self.topology.run("origin", "ip", family, "rule", "del", "from", address, check=False)
        self._restart_agents(encapsulated=False)

    def _add(self, name):
        """A host with a port on each side, and an interface of its own on the fabric (`fm`)."""
        self.topology.add(name)
        if name in FORWARDERS:
            self.topology.wire("client", f"c{name}", name, "pc")
            self.topology.wire("fabric", f"f-{name}s", name, "ps")
            self.topology.run("fabric", "ip", "link", "set", f"f-{name}s", "master", "br0")
        else:
            self.topology.wire("fabric", f"f-{name}c", name, "pc")
            self.topology.run("fabric", "ip", "link", "set", f"f-{name}c", "master", "br0")
            other, device = ("origin", "eth1") if name == "k1" else (name, "idle")
            self.topology.wire(other, device, name, "ps")
        self.topology.wire(name, "fm", "fabric", f"f-{name}m")
        self.topology.run("fabric", "ip", "link", "set", f"f-{name}m", "master", "br0")
        for port in ("pc", "ps"):
            self.topology.sysctl(name, f"net.ipv6.conf.{port}.disable_ipv6", 1)
        self.topology.address(name, "fm", addresses.NUMBERS[name])

    def _add_pool(self):
        """What the origin says by its second interface passes the classifier, also to its own checks."""
        for key in ("arp_ignore=1", "arp_announce=2"):
            self.topology.run("origin", "sysctl", "-qw", f"net.ipv4.conf.all.{key}")
        for address, family, length, net in ((POOL[0], "-4", 32, "10.0.0.0/24"), (POOL[1], "-6", 128, "fd00:ba::/64")):
            nodad = ["nodad"] if family == "-6" else []
            self.topology.run("origin", "ip", "addr", "add", f"{address}/{length}", "dev", "eth1", *nodad)
            self.topology.run("origin", "ip", family, "route", "add", net, "dev", "eth1", "table", "82")
            self.topology.run("origin", "ip", family, "rule", "add", "from", address, "table", "82")

    def land(self, name):
        """The client's packets go to this forwarder from now on."""
        for address, source in zip(FORWARDED, RETURN):
            family = "-6" if ":" in address else "-4"
            self.topology.run("client", "ip", family, "route", "replace", address, "dev", f"c{name}", "src", source)

    # MARK: programs

    def _restart_agents(self, encapsulated):
        for name in PROXIES:
            options = dict(self.services.agent_options.get(name, {}))
            options.pop("encapsulation", None)
            if encapsulated:
                vni = f", vni: {VNI}" if self.kind == "vxlan" else ""
                options["encapsulation"] = f'{{ kind: {self.kind}, addresses: ["{self._end(name)}"]{vni} }}'
            self.services.agent_options = {**self.services.agent_options, name: options}
            if name in self.services.processes:
                self.services.processes.pop(name).stop()
                self.laboratory.start_agent_anew(name)
        self.laboratory.wait_for_proxies()

    def _end(self, name):
        """Where a tunnel to a proxy, a forwarder or a classifier ends."""
        if name in PROXIES:
            return (addresses.v4 if self.outer == 4 else addresses.v6)(name)
        return TUNNELS[name][0 if self.outer == 4 else 1]

    def _encapsulation(self, name):
        vni = f", vni: {VNI}" if self.kind == "vxlan" else ""
        return f'{{ kind: {self.kind}, address: "{self._end(name)}"{vni} }}'

    def _start(self, name, role, sections, ready):
        configuration = self.services.write(f"{name}.yaml", f"""
name: {name}
role: {role}
tunnel-address: {list(TUNNELS[name])}
log-lines-per-second: 100000
ports: {{ client: ["net_af_xdp0,iface=pc"], server: ["net_af_xdp1,iface=ps"] }}
workers: {{ incomplete-head: {INCOMPLETE_HEAD} }}
crtp: {{ listen: "{addresses.v4(name)}:0", keys: {{ {self.services.key_table()} }}, current-key: {self.services.crtp_options.get("current-key", 1)} }}
control: {{ socket: {self.services.path(f"{name}.sock")} }}
{sections}""")
        memory = ["--in-memory", "--socket-mem", "96"] if free_hugepages() >= 96 else ["--no-huge", "-m", "192"]
        cpus = os.cpu_count() or 1
        process = self.services.start(
            name, name, os.path.join(BINARIES, "batond"), "--config", configuration, "--", "--lcores",
            f"0@0,1@{cpus - 1}", "--no-pci", "--no-telemetry", "--no-shconf",
            "--file-prefix", f"{self.topology.prefix}-{name}", "--log-level", "error", *memory)
        wait_until(f"{name} forwards, its proxies are up",
                   lambda: self.services.is_director_ready(PROXIES, name) and ready(), 60, process)
        return process

    def start_forwarder(self, name):
        proxies = "\n".join(
            f'  - {{ name: {proxy}, address: "{addresses.v4(proxy)}:{CRTP_PORT}", '
            f'mac: "{addresses.mac(proxy)}", encapsulation: {self._encapsulation(proxy)} }}' for proxy in PROXIES)
        classifiers = "\n".join(
            f'  - {{ name: {classifier}, health: "{addresses.v4(classifier)}:{HEALTH_PORT}", '
            f'encapsulation: {self._encapsulation(classifier)}, check: {{ interval: 200ms }} }}'
            for classifier in self.classifiers)
        servers = "\n".join(f'  - {{ name: www{index}, address: "{endpoint(address, 80)}" }}'
                            for index, address in enumerate(FORWARDED))
        return self._start(name, "forwarder", f"""
proxies:
{proxies}
classifiers:
{classifiers}
virtual-servers:
{servers}
""", lambda: self.are_up(name, self.classifiers))

    def are_up(self, name, classifiers):
        """The forwarder finds these classifiers up, no others."""
        return {row["origin"] for row in self.services.ctl("origins", director=name) if row["up"]} == set(classifiers)

    def start_classifier(self, name):
        proxies = "\n".join(
            f'  - {{ name: {proxy}, address: "{addresses.v4(proxy)}:{CRTP_PORT}" }}' for proxy in PROXIES)
        check = "{ interval: 200ms }" if name == "k1" else "{ interval: 0 }"
        mac = "" if name == "k1" else f', mac: "{addresses.mac("origin")}"'
        servers = "\n".join(
            f'  - {{ name: www{index}, address: "{endpoint(address, 80)}", check: {check}, '
            f'origins: [{{ name: o{index}, address: "{endpoint(pool, POOL_PORT)}"{mac} }}] }}'
            for index, (address, pool) in enumerate(zip(FORWARDED, POOL)))
        vni = f", vni: {VNI}" if self.kind == "vxlan" else ""
        timeout = ", ".join(f"{key}: {value}" for key, value in PATIENT.items())
        return self._start(name, "classifier", f"""
metrics: {{ listen: "{addresses.v4(name)}:{HEALTH_PORT}" }}
timeout: {{ {timeout} }}
forwarders: {{ kind: {self.kind}, addresses: {[self._end(forwarder) for forwarder in FORWARDERS]}, gateway: "{addresses.mac("return")}"{vni} }}
proxies:
{proxies}
virtual-servers:
{servers}
rules: [{{ name: moving, ports: [80], application: [http-get], hosts: [{MOVING_HOST}], later-requests: move }}, {{ name: web, ports: [80], application: [http-get] }}]
""", lambda: all(row["up"] for row in self.services.ctl("origins", director=name)))

    # MARK: what they say

    def counters(self, name):
        total = {}
        for worker in self.services.ctl("status", director=name)["workers"]:
            for counter, value in list(worker["counters"].items()) + list(worker["gauges"].items()):
                total[counter] = total.get(counter, 0) + value
        return total

    def mapped(self, name):
        """Connections that a forwarder has a mapping for."""
        return self.counters(name)["committedFlows"]
