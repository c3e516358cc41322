"""Two servers behind one address, each with content of its own and with a director between its network and itself. A
connection lands on either, as the fabric likes, and moves when the other one has what it asks for."""

from . import topology as addresses
from .services import CRTP_PORT, PEER_PORT, SHARED, endpoint, peer_host
from .topology import PROXIES


class Peers:
    """While it is entered, both proxies are peers. The fabric is the client's route to their address."""

    def __init__(self, laboratory):
        self.laboratory = laboratory
        self.topology = laboratory.topology
        self.services = laboratory.services

    def __enter__(self):
        try:
            self.share()
            for name in PROXIES:
                self.attach(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            for name in PROXIES:
                if f"{name}-host" in self.services.processes:
                    self.services.detach(name)
        finally:
            self.unshare()

    def share(self):
        """The address, for which no host speaks on the wire, and on each host an nginx that listens there and at its own."""
        for name in PROXIES:
            for key in ("arp_ignore=1", "arp_announce=2"):
                self.topology.run(name, "sysctl", "-qw", f"net.ipv4.conf.all.{key}")
            for address in SHARED:
                self.topology.run(name, "ip", "address", "add", address, "dev", "lo")
            own = (addresses.v4(name), addresses.v6(name))
            listen = [f"listen {endpoint(address, port)} backlog=4096;"
                      for found, port in ((SHARED, 80), (own, PEER_PORT)) for address in found]
            self.services.start_nginx(f"{name}-peer", name, self.laboratory.content.own(name), listen,
                                      self.services.path(f"{name}-access.log"))
            # The kernel takes no gateway that another interface leads to.
            self.topology.run("client", "ip", "route", "add", addresses.v6(name), "dev", "c1")
        self.land(PROXIES[0])

    def unshare(self):
        for name in PROXIES:
            if f"{name}-peer" in self.services.processes:
                self.services.processes.pop(f"{name}-peer").stop()
            for address in SHARED:
                self.topology.run(name, "ip", "address", "flush", "to", address, "dev", "lo", check=False)
        for address in (*SHARED, *map(addresses.v6, PROXIES)):
            self.topology.run("client", "ip", "route", "del", address, check=False)

    def attach(self, name):
        """The director on a host: what another one has goes there."""
        others = [other for other in PROXIES if other != name]
        proxies = "\n".join(
            f'  - {{ name: {other}, address: "{addresses.v4(other)}:{CRTP_PORT}" }}' for other in others)
        rules = ", ".join(
            f"{{ name: {other}, servers: [{', '.join(SHARED)}], ports: [80], application: [http-get], "
            f"hosts: [{peer_host(other)}], proxies: [{other}] }}" for other in others)
        self.services.attach(name, f"""
crtp: {{ listen: "{addresses.v4(name)}:0", keys: {{ {self.services.key_table()} }}, current-key: {self.services.crtp_options.get("current-key", 1)} }}
proxies:
{proxies}
rules: [{rules}]
""", peers=others)

    def land(self, name, shared=SHARED):
        """The fabric sends every packet of the shared address, or one family's, to this host from now on."""
        for address in shared:
            family = addresses.v6 if ":" in address else addresses.v4
            self.topology.run("client", "ip", "route", "replace", address, "via", family(name), "dev", "c1",
                              "src", family("return"), *([] if ":" in address else ["onlink"]))

    def status(self, name):
        return self.services.ctl("status", director=f"{name}-host")
