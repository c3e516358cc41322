"""Rules 7 and 8: what an agent's host must never send."""

import socket

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, topology, wait_until
from lab.capture import Capture, read_segments

ACK, TERMINATE = 17, 21


class Silence(LaboratoryCase):
    relayed = ("far", "crtp")

    def test_rule7_agents_killed_with_uncommitted_adoptions_send_nothing(self):
        """The director's ears are shut for ACK, its mouth for TERMINATE: adoptions stay uncommitted. Then the agents die."""
        captures = [Capture(self.topology, name, "eth0", self.services.path(f"killed-{name}.pcap"), "tcp") for name in PROXIES]
        adopted = {name: 0 for name in PROXIES}
        self.topology.impair("crtp", "--drop-crtp", str(ACK), "--drop-crtp", str(TERMINATE))
        try:
            for _ in range(4):
                got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
                self.assertTrue(got.ok, got.error)
            for name in PROXIES:
                adopted[name] = len(self.topology.run(name, "ss", "-Htn", "state", "established",
                                                      "( sport = :80 )").splitlines())
            self.assertGreater(sum(adopted.values()), 0, "nothing was adopted: the test tests nothing")
            for name in PROXIES:
                self.services.kill(name)
                wait_until(f"the kernel has closed {name}'s sockets", lambda: not self.topology.run(
                    name, "ss", "-Htn", "state", "established", "( sport = :80 )"), 10)
        finally:
            self.topology.impair("crtp")
            paths = [capture.stop() for capture in captures]
            self.laboratory.restart_agents()
        origin = socket.inet_aton(topology.v4("origin"))
        for path in paths:
            self.assertEqual([s for s in read_segments(path) if s.source[0] == origin], [])

    def test_rule8_only_the_origin_answers_for_its_address(self):
        """ARP and ND for the origin's address yield the origin's MAC alone."""
        path = self.services.path("neighbours.pcap")
        capture = Capture(self.topology, "client", "c0", path, "arp or icmp6")
        self.topology.run("client", "ip", "neigh", "flush", "all")
        for address in (topology.v4("origin"), topology.v6("origin")):
            got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve(address))
            self.assertTrue(got.ok, got.error)
        for address in (topology.v4("origin"), topology.v6("origin")):
            known = self.topology.run("client", "ip", "neigh", "show", address, "dev", "c0")
            self.assertIn(topology.mac("origin"), known)
        capture.stop()
        answers = neighbour_answers(path, topology.v4("origin"), topology.v6("origin"))
        self.assertEqual(answers, {topology.mac("origin")})


def neighbour_answers(path, v4, v6):
    """MACs that ARP replies and neighbour advertisements for these addresses named."""
    v4, v6 = socket.inet_aton(v4), socket.inet_pton(socket.AF_INET6, v6)
    with open(path, "rb") as file:
        data = file.read()
    found, offset = set(), 24
    while offset + 16 <= len(data):
        length = int.from_bytes(data[offset + 8 : offset + 12], "little")
        frame = data[offset + 16 : offset + 16 + length]
        offset += 16 + length
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\x00\x02" and frame[28:32] == v4:
            found.add(frame[22:28].hex(":"))
        if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] == 136 and frame[62:78] == v6:
            found.add(frame[6:12].hex(":"))
    return found
