"""A proxy beyond layer 2: the director's packets to it go inside others, by a router that knows nothing of them."""

from . import topology as addresses
from .shell import wait_until

NAME = "distant"
VNI = 7270


class Distant:
    """While it is entered, the laboratory's director has this one proxy, reached by `kind` over IPv4 or IPv6 (`outer`)."""

    def __init__(self, laboratory, kind, outer=4, mtu=1500):
        self.laboratory = laboratory
        address, self.source = ((addresses.v4(NAME), addresses.OWN_ADDRESS) if outer == 4 else
                                (addresses.v6(NAME), addresses.OWN_ADDRESS_V6))
        vni = f", vni: {VNI}" if kind == "vxlan" else ""
        self.agent = {"encapsulation": f'{{ kind: {kind}, addresses: ["{address}"]{vni} }}'}
        self.director = {
            "mac": f'"{addresses.mac("router")}"',
            "encapsulation": f'{{ kind: {kind}, address: "{address}", source: "{self.source}", mtu: {mtu}{vni} }}'}

    def __enter__(self):
        services = self.laboratory.services
        self.laboratory.topology.add_distant()
        services.agent_options = {**services.agent_options, NAME: self.agent}
        services.proxy_options = {**services.proxy_options, NAME: self.director}
        self.before = services.director_proxies
        try:
            services.start_agent(NAME)
            self._give((NAME,))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        services = self.laboratory.services
        try:
            self._give(self.before)
        finally:
            if NAME in services.processes:
                services.processes.pop(NAME).stop()
            self.laboratory.topology.remove_distant()
            for options in (services.agent_options, services.proxy_options):
                options.pop(NAME)

    def _give(self, names):
        """The director has these proxies, no others."""
        services = self.laboratory.services
        services.director_proxies = names
        answer = services.reload()
        assert answer["applied"], answer
        wait_until("the proxies are as configured", lambda: services.is_director_ready(names), 20)

    def narrow(self, mtu):
        self.laboratory.topology.narrow_distant_path(mtu)
