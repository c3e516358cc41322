"""Hosts and wires.

        far ──[far]── client ──[client]── director ──[server]── fabric ┬─ origin
                         │ (c0)         (dc)     (ds)                  ├─ p1
                         │                  director's own (dm)─[crtp]─┼─ p2
                         │                                             └─ p3, where a test wants it
                         └───── (c1, the way back of asymmetric routes)┘

Where a scenario wants them, forwarders and classifiers are beside all that (`forwarding`), and `router` is another host of the fabric, with `distant` behind it: a proxy beyond layer 2.

`fabric` is a layer-2 switch. `far` is a client behind a router (`client` forwards for it). A wire in brackets is a veth
pair or, when it is one of `relayed`, two with a relay between them that can lose, repeat, delay and reorder.
"""

import contextlib
import os
import sys

from . import impairment
from .shell import Process, run, wait_until

HOSTS = ("far", "client", "director", "fabric", "origin")

#: Of every laboratory that does not ask for others.
PROXIES = ("p1", "p2")

WIRES = ("far", "client", "server", "crtp")

#: Last byte of each host's addresses, 10.0.0.N and fd00:ba::N.
NUMBERS = {"director": 2, "p1": 11, "p2": 12, "p3": 13, "router": 20, "distant": 21, "f1": 31, "f2": 32, "k1": 41,
           "k2": 42, "origin": 80, "client": 100, "return": 101}
#: Of the director where its channel goes by the servers' port, and where tunnels begin: no kernel has them.
OWN_ADDRESS = "10.0.0.3"
OWN_ADDRESS_V6 = "fd00:ba::3"
#: Addresses of the director's own on the clients' side: a virtual server of each family.
VIRTUAL_SERVERS = ("10.0.0.90", "fd00:ba::90")
#: Addresses that forwarders answer for, and where the tunnels of forwarders and classifiers end: no kernel has them.
FORWARDED = ("10.0.0.95", "fd00:ba::95")
TUNNELS = {name: (f"10.0.0.{number}", f"fd00:ba::{number}")
           for name, number in (("f1", 36), ("f2", 37), ("k1", 46), ("k2", 47))}
ASYMMETRIC_CLIENT = "10.1.0.100"
FAR_CLIENT = "10.2.0.100"
FAR_CLIENT_V6 = "fd00:bc::100"


def v4(host):
    return f"10.{3 if host == 'distant' else 0}.0.{NUMBERS[host]}"


def v6(host):
    return f"fd00:{'bb' if host == 'distant' else 'ba'}::{NUMBERS[host]}"


def mac(host):
    return f"02:ba:70:00:00:{NUMBERS[host]:02x}"


def seen_mac(host):
    """The source of its frames on the fabric."""
    return mac("router" if host == "distant" else host)


class Topology:
    """Makes the hosts at `up()`, removes them at `down()`. `prefix` keeps two laboratories apart."""

    def __init__(self, directory, prefix="baton", queues=1, relayed=("far",), proxies=PROXIES):
        self.directory = directory
        self.prefix = prefix
        self.queues = queues
        #: Wires that get a relay: "far", "client", "server", "crtp".
        self.relayed = set(relayed)
        self.proxies = proxies
        self._relays = {}

    def _hosts(self):
        return HOSTS + self.proxies + tuple(f"wire-{wire}" for wire in WIRES)

    def _servers(self):
        return ("origin", *self.proxies)

    def host(self, name):
        return f"{self.prefix}-{name}"

    def inside(self, name, *command):
        """The command line that runs `command` on a host."""
        return ["ip", "netns", "exec", self.host(name), *command]

    def run(self, name, *command, **options):
        return run(*self.inside(name, *command), **options)

    def up(self):
        self.down()
        for name in self._hosts():
            self._make(name)
        self.run("fabric", "ip", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.run("fabric", "ip", "link", "set", "br0", "up")

        self._wire("client", "c0", "director", "dc", self.queues, "client")
        self._wire("fabric", "f-ds", "director", "ds", self.queues, "server")
        self._wire("fabric", "f-dm", "director", "dm", 1, "crtp")
        for name in self._servers():
            self._wire(name, "eth0", "fabric", f"f-{name}")
        self._wire("client", "c1", "fabric", "f-c1")
        for name in ("ds", "dm", "c1", *self._servers()):
            self.run("fabric", "ip", "link", "set", f"f-{name}", "master", "br0")

        # The director's two ports belong to batond: its kernel must not speak on them.
        for port in ("dc", "ds"):
            self._sysctl("director", f"net.ipv6.conf.{port}.disable_ipv6", 1)
        for name, device in (("client", "c0"), ("director", "dm"), *((name, "eth0") for name in self._servers())):
            self._address(name, device, NUMBERS[name])
        self._asymmetric_routes()
        self._far_client()

    def _make(self, name):
        """A host without wires."""
        run("ip", "netns", "add", self.host(name))
        self.run(name, "ip", "link", "set", "lo", "up")
        off = ["ipv4.conf.all.forwarding", "ipv6.conf.all.forwarding"]
        for scope in ("all", "default"):
            off += [f"ipv4.conf.{scope}.rp_filter", f"ipv6.conf.{scope}.accept_dad", f"ipv6.conf.{scope}.accept_ra",
                    f"ipv6.conf.{scope}.router_solicitations"]
        # At once: a laboratory has a dozen hosts, and a test run dozens of laboratories.
        self.run(name, "sysctl", "-qw", *(f"net.{key}=0" for key in off))

    def _asymmetric_routes(self):
        """The client's second address: out by the director, back by c1."""
        self._address("client", "c1", NUMBERS["return"], length=(32, 128))
        self.run("client", "ip", "addr", "add", f"{ASYMMETRIC_CLIENT}/32", "dev", "c0")
        self._sysctl("client", "net.ipv4.conf.all.arp_ignore", 1)
        for name in self._servers():
            self.run(name, "ip", "route", "add", f"{v4('return')}/32", "dev", "eth0")
            self.run(name, "ip", "route", "add", f"{ASYMMETRIC_CLIENT}/32", "via", v4("return"))

    def _far_client(self):
        """A client one router away, so that a path can become narrower behind the director's back."""
        self._wire("far", "eth0", "client", "c2", 1, "far")
        self.run("client", "ip", "addr", "add", "10.2.0.1/24", "dev", "c2")
        self.run("far", "ip", "addr", "add", f"{FAR_CLIENT}/24", "dev", "eth0")
        self.run("far", "ip", "route", "add", "default", "via", "10.2.0.1")
        self._sysctl("client", "net.ipv4.conf.all.forwarding", 1)
        self.run("client", "ip", "addr", "add", "fd00:bc::1/64", "dev", "c2", "nodad")
        self.run("far", "ip", "addr", "add", f"{FAR_CLIENT_V6}/64", "dev", "eth0", "nodad")
        self.run("far", "ip", "-6", "route", "add", "default", "via", "fd00:bc::1")
        self._sysctl("client", "net.ipv6.conf.all.forwarding", 1)
        for name in self._servers():
            self._route_to_far(name)

    def _route_to_far(self, name):
        self.run(name, "ip", "route", "add", "10.2.0.0/24", "via", v4("client"))
        self.run(name, "ip", "-6", "route", "add", "fd00:bc::/64", "via", v6("client"))

    def add_distant(self):
        """A proxy behind a router: layer 2 ends there."""
        for name in ("router", "distant"):
            self._make(name)
        self._wire("router", "r0", "fabric", "f-router")
        self._wire("router", "r1", "distant", "eth0")
        self.run("fabric", "ip", "link", "set", "f-router", "master", "br0")
        self._address("router", "r0", NUMBERS["router"])
        for host, device, number in (("router", "r1", 1), ("distant", "eth0", NUMBERS["distant"])):
            self.run(host, "ip", "addr", "add", f"10.3.0.{number}/24", "dev", device)
            self.run(host, "ip", "addr", "add", f"fd00:bb::{number}/64", "dev", device, "nodad")
        for family in ("ipv4", "ipv6"):
            self._sysctl("router", f"net.{family}.conf.all.forwarding", 1)
        self.run("distant", "ip", "route", "add", "default", "via", "10.3.0.1")
        self.run("distant", "ip", "-6", "route", "add", "default", "via", "fd00:bb::1")
        self._route_to_far("router")
        for name in ("director", "origin"):
            self.run(name, "ip", "route", "add", "10.3.0.0/24", "via", v4("router"))
            self.run(name, "ip", "-6", "route", "add", "fd00:bb::/64", "via", v6("router"))

    def add(self, name):
        """A host without wires, for those who lay them themselves."""
        self._make(name)

    def wire(self, left, left_device, right, right_device):
        self._wire(left, left_device, right, right_device)

    def sysctl(self, name, key, value):
        self._sysctl(name, key, value)

    def address(self, name, device, number):
        """The host's own of both families, with an Ethernet address to match."""
        self._address(name, device, number)

    def remove(self, name):
        run("ip", "netns", "del", self.host(name), check=False)

    def remove_distant(self):
        for name in ("director", "origin"):
            self.run(name, "ip", "route", "del", "10.3.0.0/24", check=False)
            self.run(name, "ip", "-6", "route", "del", "fd00:bb::/64", check=False)
        for name in ("router", "distant"):
            run("ip", "netns", "del", self.host(name), check=False)

    def narrow_distant_path(self, mtu):
        """The link behind the router takes only `mtu` bytes from now on."""
        self.run("distant", "ip", "link", "set", "eth0", "mtu", mtu)
        self.run("router", "ip", "link", "set", "r1", "mtu", mtu)

    def _sysctl(self, name, key, value):
        self.run(name, "sysctl", "-qw", f"{key}={value}")

    def _wire(self, left, left_device, right, right_device, queues=1, name=None):
        """A veth pair, or two with a relay between them. Frames from `left` are the relay's first direction."""
        if name in self.relayed:
            middle = f"wire-{name}"
            self._wire(left, left_device, middle, "left", queues)
            self._wire(middle, "right", right, right_device, queues)
            self.impair(name)
            return
        many = ["numrxqueues", str(queues), "numtxqueues", str(queues)] if queues > 1 else []
        run("ip", "link", "add", left_device, *many, "netns", self.host(left), "type", "veth",
            "peer", "name", right_device, *many, "netns", self.host(right))
        for host, device in ((left, left_device), (right, right_device)):
            # Without this, packets carry partial checksums and 64 KiB frames, which no wire does.
            self.run(host, "ethtool", "-K", device, "tx", "off", "rx", "off", "tso", "off", "gso", "off", "gro", "off",
                     check=False)
            self.run(host, "ip", "link", "set", device, "up")

    def impair(self, wire, *faults):
        """Gives a relayed wire new faults (options of `impairment.py`), none without any."""
        if wire in self._relays:
            self._relays.pop(wire).stop()
        log = os.path.join(self.directory, f"wire-{wire}.log")
        if os.path.exists(log):
            os.remove(log)
        command = [sys.executable, impairment.__file__, "left", "right", *faults]
        relay = Process(f"wire-{wire}", self.inside(f"wire-{wire}", *command), log)
        wait_until(f"the relay of wire {wire} is ready", lambda: "ready" in relay.tail(), process=relay)
        self._relays[wire] = relay

    @contextlib.contextmanager
    def interposed(self, *faults):
        """Puts a relay with faults into the wire of the director's channel, while it is used; neither end notices more."""
        self.run("fabric", "ip", "link", "set", "f-dm", "nomaster")
        self._move_end("fabric", "f-dm", "wire-crtp", "right")
        try:
            self._wire("wire-crtp", "left", "fabric", "f-dm")
            self.run("fabric", "ip", "link", "set", "f-dm", "master", "br0")
            self.impair("crtp", *faults)
            yield
        finally:
            if "crtp" in self._relays:
                self._relays.pop("crtp").stop()
            self.run("wire-crtp", "ip", "link", "del", "left", check=False)
            self._move_end("wire-crtp", "right", "fabric", "f-dm")
            self.run("fabric", "ip", "link", "set", "f-dm", "master", "br0")

    def _move_end(self, host, device, other, name):
        self.run(host, "ip", "link", "set", device, "netns", self.host(other), "name", name)
        self.run(other, "ip", "link", "set", name, "up")

    def _address(self, name, device, number, length=(24, 64)):
        self.run(name, "ip", "-batch", "-", input=f"""
link set {device} address 02:ba:70:00:00:{number:02x}
addr add 10.0.0.{number}/{length[0]} dev {device}
addr add fd00:ba::{number}/{length[1]} dev {device} nodad
""")

    def narrow_far_path(self, mtu):
        """The link behind the client-side router takes only `mtu` bytes from now on."""
        self.run("client", "ip", "link", "set", "c2", "mtu", mtu)

    def down(self):
        """Removes the hosts with all that runs in them. Harmless when there is nothing."""
        for relay in self._relays.values():
            relay.stop()
        self._relays.clear()
        present = set(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else set()
        # Those of any laboratory with this prefix: the one before may have had more proxies.
        for host in sorted(present & {self.host(name) for name in (*self._hosts(), *NUMBERS)}):
            for pid in run("ip", "netns", "pids", host, check=False).split():
                try:
                    os.kill(int(pid), 9)
                except ProcessLookupError:
                    pass
            run("ip", "netns", "del", host, check=False)
