"""SMTP: the origin greets, the client's EHLO is what a proxy takes over."""

import hashlib
import json
import os
import sys

from .laboratory_case import PROXIES, LaboratoryCase, scenarios, topology, wait_until
from lab.capture import Capture, ControlPackets

HERE = os.path.dirname(os.path.abspath(__file__))

#: Sends one message of many lines, and tells what the server said.
SENDER = r'''
import hashlib, json, random, smtplib, sys
address, port, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
text = "".join("%064x\r\n" % random.Random(seed).getrandbits(250 + line % 6) for line in range(4000)) + ".dotted\r\n"
client = smtplib.SMTP(timeout=30)
greeting = client.connect(address, port)
ehlo = client.ehlo("client.example.org")
refused = client.sendmail("from@example.org", ["to@example.org"], text)
bye = client.quit()
print(json.dumps({"greeting": greeting[1].decode(), "ehlo": [ehlo[0], ehlo[1].decode()], "refused": refused,
                  "bye": [bye[0], bye[1].decode()], "sha256": hashlib.sha256(text.encode()).hexdigest()}))
'''


class Mail(LaboratoryCase):
    rules = ("{ name: mail, ports: [25, 26], application: [smtp] }",)
    sites = (f'{{ origins: ["{topology.v4("origin")}:25", "[{topology.v6("origin")}]:25", "{topology.v4("origin")}:26"], '
             'relay: "127.0.0.1:2525" }',)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            # 26 greets in two lines.
            for name, host, address, port, lines in (
                    ("origin", "origin", "", 25, 1), ("origin-verbose", "origin", "", 26, 2),
                    ("p1", "p1", "127.0.0.1", 2525, 1), ("p2", "p2", "127.0.0.1", 2525, 1)):
                server = cls.services.start(f"{name}-mail", host, sys.executable, os.path.join(HERE, "smtp_server.py"),
                                            name, address, port, cls.services.path(f"{name}-mail-access.log"), lines)
                wait_until(f"the mail server of {name} is ready", lambda: "ready" in server.tail(), process=server)
        except BaseException:
            cls.tearDownClass()
            raise

    def messages(self):
        return {name: self.services.access_log(f"{name}-mail") for name in ("origin", "origin-verbose") + PROXIES}

    def send(self, address, port=25, seed=1):
        """(what the client saw, who took the message)"""
        before = {name: len(lines) for name, lines in self.messages().items()}
        capture = Capture(self.topology, "client", "c0", self.services.path("mail.pcap"))
        try:
            told = json.loads(self.topology.run("client", sys.executable, "-c", SENDER, address, port, seed, timeout=60))
        finally:
            path = capture.stop()
        self.assertEqual(ControlPackets().read(path, {port}).findings, [])
        taken = [line.split() for name, lines in self.messages().items() for line in lines[before[name]:]]
        self.assertEqual(len(taken), 1, taken)
        name, sender, recipient, digest = taken[0]
        self.assertEqual((sender, recipient, digest), ("<from@example.org>", "<to@example.org>", told["sha256"]))
        self.assertEqual(told["ehlo"][0], 250, told)
        self.assertNothingHeld()
        self.assertConserved()
        return told, name

    def test_a_proxy_takes_over_at_ehlo_in_either_family(self):
        for seed, address in enumerate((topology.v4("origin"), topology.v6("origin"))):
            told, server = self.send(address, seed=seed)
            self.assertEqual(told["greeting"], "origin ESMTP")
            self.assertIn(server, PROXIES)
            self.assertTrue(told["ehlo"][1].startswith(f"{server} greets client.example.org"), told)
            self.assertEqual(told["bye"], [221, f"{server} closes"])

    def test_without_agents_the_origin_goes_on(self):
        for name in PROXIES:
            self.services.kill(name)
        try:
            told, server = self.send(topology.v4("origin"))
        finally:
            self.laboratory.restart_agents()
        self.assertEqual(server, "origin")
        self.assertTrue(told["ehlo"][1].startswith("origin greets"), told)

    def test_a_greeting_of_several_lines_is_left_to_the_origin(self):
        _, server = self.send(topology.v4("origin"), 26)
        self.assertEqual(server, "origin-verbose")
