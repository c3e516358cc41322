"""Proxies beyond layer 2: clients' packets go there inside others, and whoever sends too long ones is told."""

from .laboratory_case import LaboratoryCase, run, topology, wait_until
from lab.capture import Capture
from lab.distant import VNI, Distant
from lab.scenarios import CACHED_HOST, Played, both_families, together

#: A request of several segments; the rules' origins take such a head.
LONG = ("--header", f"X-Padding: {'x' * 4000}")


class Encapsulation(LaboratoryCase):
    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def encapsulated(self, kind, outer):
        """The scenario, with what the routers on the way see."""
        def captured(laboratory):
            with Distant(laboratory, kind, outer):
                capture = Capture(self.topology, "router", "r1", path, "net 10.3.0.0/24 or net fd00:bb::/64", 2000)
                try:
                    got = both_families(laboratory, CACHED_HOST)
                finally:
                    capture.stop()
            return Played(got, ["small.bin"] * 2, "proxy")

        name = f"{kind}-{outer}"
        path = self.services.path(f"{name}-outer.pcap")
        with self.assertClientSeesNothing():
            result = self.play(captured, name)
        self.assertEqual(result["row"]["clientControlPackets"], 0)
        self.assertOuterPacketsAreRight(path, kind, outer)

    def assertOuterPacketsAreRight(self, path, kind, outer):
        """By tshark's account: every outer packet is whole and has right checksums, and so has what is in it."""
        options = ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]
        source = f"ip.src == {topology.OWN_ADDRESS}" if outer == 4 else f"ipv6.src == {topology.OWN_ADDRESS_V6}"
        number = "ip.proto" if outer == 4 else "ipv6.nxt"
        carrier = {"ipip": f"({number} == 4 || {number} == 41)", "gue": "udp.dstport == 6080",
                   "vxlan": f"vxlan.vni == {VNI}"}[kind]
        # Of GUE it knows the port alone.
        inner = "" if kind == "gue" else " && tcp.port == 80"
        count = len(run("tshark", "-r", path, *options, "-Y", f"{source} && {carrier}{inner}").splitlines())
        self.assertGreater(count, 4)
        wrong = ("_ws.expert.severity >= 8388608 || ip.checksum.status == 0 || udp.checksum.status == 0 || "
                 "_ws.malformed || tcp.checksum.status == 0 && !(tcp.checksum == 0xffff)")
        self.assertEqual(run("tshark", "-r", path, *options, "-Y", f"{source} && ({wrong})"), "")

    def test_ipip_over_ipv4(self):
        self.encapsulated("ipip", 4)

    def test_ipip_over_ipv6(self):
        self.encapsulated("ipip", 6)

    def test_gue_over_ipv4(self):
        self.encapsulated("gue", 4)

    def test_gue_over_ipv6(self):
        self.encapsulated("gue", 6)

    def test_vxlan_over_ipv4(self):
        self.encapsulated("vxlan", 4)

    def test_vxlan_over_ipv6(self):
        self.encapsulated("vxlan", 6)

    def narrowed(self, outer):
        """A router behind the first one takes only 1,400 bytes, which nobody has been told."""
        def told(laboratory):
            with Distant(laboratory, "gue", outer) as distant:
                distant.narrow(1400)
                before = self.services.counters()
                first = both_families(laboratory, CACHED_HOST, options=LONG)
                self.after = self.services.counters()
                again = both_families(laboratory, CACHED_HOST, options=LONG)
                self.last = self.services.counters()
                self.before = before
            return Played(together([first, again]), ["small.bin"] * 4, "proxy")

        result = self.play(told, f"narrowed-{outer}")
        self.assertEqual(result["row"]["clientControlPackets"], 0)
        self.assertGreater(self.after["droppedTunnelError"], self.before["droppedTunnelError"])
        self.assertGreater(self.after["tooBigAnswered"], self.before["tooBigAnswered"])
        # Later handshakes say what fits, so nothing is too long any more.
        self.assertEqual(self.last["droppedTooBig"], self.after["droppedTooBig"])
        with open(self.services.path("director.log")) as log:
            lines = [line for line in log if "path to proxy is narrower" in line]
        overhead = {4: 32, 6: 52}[outer]
        self.assertTrue(any(f"mtu=1400 inner={1400 - overhead}" in line for line in lines), lines)

    def test_a_narrower_path_over_ipv4(self):
        self.narrowed(4)

    def test_a_narrower_path_over_ipv6(self):
        self.narrowed(6)

    def test_strangers_are_not_heard(self):
        """What does not come from a director goes nowhere; a director's next packet does."""
        forge = ("import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                 f"s.sendto(bytes([0, 4, 0, 0]) + bytes(40), ('{topology.v4('distant')}', 6080))")

        def attacked(laboratory):
            with Distant(laboratory, "gue"):
                self.topology.run("origin", "python3", "-c", forge)
                wait_until("the agent says so", lambda: "strangers=1" in self.log("distant"), 10)
                return Played(both_families(laboratory, CACHED_HOST), ["small.bin"] * 2, "proxy")

        self.play(attacked, "strangers")

    def log(self, name):
        with open(self.services.path(f"{name}.log")) as file:
            return file.read()
