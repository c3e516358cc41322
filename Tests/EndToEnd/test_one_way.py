"""Connections that a proxy gets without being asked, by one datagram, over IPv4 and IPv6."""

import sys

from .laboratory_case import LaboratoryCase, scenarios, topology, wait_until
from lab.scenarios import Played, curl, handed_off, lose_hand_offs, resolve, together
from lab.services import ONE_WAY_HOST, ONE_WAY_RULE, RULES

#: A client that lets the server close first, and has nothing left then.
UNTIL_THE_END = """
import socket, sys
address, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = socket.create_connection((address, 80), source_address=("::" if ":" in address else "", port))
connection.sendall(f"GET /small.bin HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n".encode())
while connection.recv(1 << 16):
    pass
"""


class OneWay(LaboratoryCase):
    rules = (ONE_WAY_RULE,) + RULES
    files = {"other.bin": (100_000, False)}

    def transfers(self):
        return self.services.ctl("status")["transfers"]

    def asked(self):
        return sum(row["acks"] + row["nacks"] + row["timeouts"] for row in self.services.ctl("proxies"))

    def assertForgotten(self):
        """Both ends know that it is over."""
        wait_until("no agent has a connection", lambda: all(
            row["connections"] == 0 and row["committedFlows"] == 0 for row in self.services.ctl("proxies")), 10)

    def tearDown(self):
        self.assertForgotten()
        self.assertNothingHeld()
        self.assertConserved()

    def test_nobody_is_asked(self):
        before, asked = self.transfers(), self.asked()
        with self.assertClientSeesNothing():
            result = self.play(lambda laboratory: Played(handed_off(laboratory), ["small.bin"] * 2, "proxy"), "one-way")
        self.assertEqual(result["row"]["clientControlPackets"], 0)
        after = self.transfers()
        self.assertEqual((after["handedOff"] - before["handedOff"], after["committed"] - before["committed"]), (2, 2))
        self.assertEqual(self.asked(), asked)

    def test_what_the_proxy_lacks_it_relays(self):
        def relayed():
            return sum("/other.bin " in line and "by=origin" in line
                       for proxy in self.proxies for line in self.services.access_log(proxy))

        asked, before = self.asked(), relayed()
        self.play(lambda laboratory: Played(handed_off(laboratory, "other.bin"), ["other.bin"] * 2, "proxy"), "lacking")
        self.assertEqual(self.asked(), asked)
        self.assertEqual(relayed() - before, 2)

    def test_the_connection_goes_on_afterwards(self):
        def twice(laboratory):
            urls = [f"http://{ONE_WAY_HOST}/{name}" for name in ("small.bin", "other.bin", "small.bin")]
            got = curl(laboratory).get(urls, resolve(topology.v6("origin")))
            return Played(got, ["small.bin", "other.bin", "small.bin"], "proxy")

        before = self.transfers()
        self.play(twice, "kept")
        self.assertEqual(self.transfers()["handedOff"] - before["handedOff"], 1)

    def test_a_lost_datagram_is_healed_by_the_clients_repetition(self):
        before = self.transfers()
        with self.assertClientSeesNothing():
            result = self.play(self.losing(2), "lost")
        self.assertEqual(result["row"]["clientControlPackets"], 0)
        after = self.transfers()
        self.assertEqual(after["handedOff"] - before["handedOff"], 2)
        self.assertGreaterEqual(after["handedOffAgain"] - before["handedOffAgain"], 2)
        self.assertEqual(after["cancelled"], before["cancelled"])

    def test_what_is_left_of_a_former_connection_is_mute(self):
        """The client's port had a connection with the same proxy, which has it in TIME_WAIT and gets the segments first."""
        ends = ((topology.v4("origin"), 41000), (topology.v6("origin"), 41001))

        def again(laboratory):
            return together([curl(laboratory).get([f"http://{ONE_WAY_HOST}/small.bin"], resolve(address),
                                                  ["--local-port", str(port)]) for address, port in ends])

        for address, port in ends:
            self.topology.run("client", sys.executable, "-c", UNTIL_THE_END, address, ONE_WAY_HOST, port)
        remains = [self.topology.run(name, "ss", "-Htan", "state", "time-wait", "dport", "=", "41000", "or", "dport", "=", "41001")
                   for name in self.proxies]
        self.assertEqual(sum(text.count(":4100") for text in remains), 2, remains)
        with self.assertClientSeesNothing():
            self.play(self.losing(2, again), "remains")

    def losing(self, amount, get=handed_off):
        def play(laboratory):
            end = lose_hand_offs(laboratory, amount)
            try:
                got = get(laboratory)
            finally:
                lost = end()
            self.assertEqual(lost, amount)
            return Played(got, ["small.bin"] * 2, "proxy")
        return play


class Stopped(OneWay):
    """An agent that is late takes what has waited for it, copies included, and serves it once."""

    crtp_options = {"detect-multiplier": 100}
    test_nobody_is_asked = test_what_the_proxy_lacks_it_relays = None
    test_the_connection_goes_on_afterwards = test_a_lost_datagram_is_healed_by_the_clients_repetition = None
    test_what_is_left_of_a_former_connection_is_mute = None

    def test_copies_are_one_connection(self):
        def stopped(laboratory):
            before = self.transfers()
            for proxy in self.proxies:
                laboratory.services.pause(proxy)
            client = curl(laboratory).start([f"http://{ONE_WAY_HOST}/small.bin"], resolve())
            try:
                wait_until("the client has repeated its request twice", lambda: self.transfers()[
                    "handedOffAgain"] - before["handedOffAgain"] >= 2, 20)
            finally:
                for proxy in self.proxies:
                    laboratory.services.resume(proxy)
            return Played(client.finish(), ["small.bin"], "proxy")

        self.play(stopped, "stopped")
        lines = [line for proxy in self.proxies for line in self.services.access_log(proxy) if "/small.bin " in line]
        self.assertEqual(len(lines), 1)
