"""`batonctl capture` of real downloads, read by a real tshark with the dissector of the control channel."""

import json
import os
import re
import signal
import stat
import unittest

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, wait_until
from lab import topology
from lab.services import BINARIES, REPOSITORY
from lab.shell import CommandFailed, Process, run

DISSECTOR = os.path.join(REPOSITORY, "packaging", "wireshark", "crtp.lua")
with open(DISSECTOR) as file:
    MALFORMED = ["_ws.malformed"] + ["crtp." + name for name in re.findall(r'problem\("(malformed\.\w+)"', file.read())]


class Capture(LaboratoryCase):
    #: So that the dissector can read the bodies.
    crtp_options = {"protection": "authenticated"}

    @classmethod
    def start(cls):
        cls.services.crtp_options |= cls.crtp_options
        cls.services.agent_crtp_options = dict(cls.crtp_options)
        super().start()

    def begin(self, name, *options):
        """A capture that runs, and its file."""
        path = os.path.join(self.directory, name)
        before = self.services.counters()["captured"]
        process = Process(name, [os.path.join(BINARIES, "batonctl"), "capture", path, "--socket",
                                 self.services.path("batond.sock"), *options], path + ".log")
        wait_until("the capture has begun", lambda: os.path.exists(path) and os.path.getsize(path) > 0, process=process)
        return process, path, before

    def end(self, process):
        process.signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 0, process.tail())
        return process.tail()

    def read(self, path, *fields, display=None):
        """Each packet's values of the fields, as tshark has them."""
        command = ["tshark", "-n", "-r", path, "-X", f"lua_script:{DISSECTOR}", "-T", "fields", "-E", "separator=\x1f"]
        if display:
            command += ["-Y", display]
        for field in fields:
            command += ["-e", field]
        return [line.split("\x1f") for line in run(*command).splitlines()]

    def download(self, host=CACHED_HOST, name="small.bin"):
        got = curl(self.laboratory).get([f"http://{host}/{name}"], resolve())
        self.assertTrue(got.ok, got.error)

    def test_a_transfer_can_be_read_in_the_file(self):
        process, path, _ = self.begin("transfer.pcapng", "--client", topology.v4("client"), "--port", "80", "--crtp")
        self.download()
        wait_until("the connection is over", lambda: self.services.counters()["committedFlows"] == 0)
        summary = self.end(process)
        self.assertIn("none lost; ended on demand", summary)
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)

        # Both sides, and the channel, by name.
        packets = self.read(path, "frame.interface_name", "frame.comment", "frame.packet_flags_direction", "tcp.flags.str")
        self.assertEqual({row[0] for row in packets}, {"client", "server", "crtp"})
        comments = [row[1] for row in packets if row[0] != "crtp"]
        self.assertTrue(all(comments), packets)
        newest = self.services.ctl("transfers", "--limit", "1")[0]
        number, proxy = newest["transfer"], newest["proxy"]
        self.assertEqual(newest["state"], "committed")

        def comment(pattern):
            found = [text for text in comments if re.search(pattern, text)]
            self.assertTrue(found, f"{pattern} in {comments}")
            return found[0]

        comment(r"^to the origin; new, opening; flow 0\.")
        comment(rf"^held; opening > held; flow 0\.\d+\.\d+; transfer {number} {proxy}$")
        comment(r"^made by the director: originResetsSent; committed")
        comment(rf"^released to proxy {proxy}; committed; .*transfer {number} {proxy} committed after \d+ us$")
        comment(rf"^to the client; committed; .*transfer {number} ")
        comment(rf"^to proxy {proxy}; committed; .*transfer {number} ")
        order = [index for index, text in enumerate(comments) for word in ("held;", "made by", "released")
                 if text.startswith(word)]
        self.assertEqual(order, sorted(order))
        # What the director sends of its own accord is outbound, all else inbound.
        for interface, text, direction, flags in packets:
            if interface != "crtp":
                own = text.startswith(("made by", "released"))
                self.assertEqual(int(direction, 0), 2 if own else 1, text)

        # Nothing malformed, every checksum right: a capture's packets are whole.
        self.assertEqual(self.read(path, "frame.number", display=" || ".join(MALFORMED)), [])
        bad = "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
        checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
        self.assertEqual(run("tshark", "-n", "-r", path, *checks, "-Y", bad), "")

        # The dissector names the header's fields, and with `authenticated` the bodies'.
        header = ("crtp.type", "crtp.session", "crtp.sequence", "crtp.transaction", "crtp.attempt", "crtp.protection")
        frames = self.read(path, "_ws.col.Protocol", *header, display='frame.interface_name == "crtp"')
        self.assertTrue(frames)
        for frame in frames:
            self.assertTrue(frame[0].startswith("CRTP") and all(frame), frame)
        asked = self.read(path, "crtp.flow.client_port", "crtp.flow.server_port", "crtp.tlv.request",
                          display=f"crtp.transaction == {number} && crtp.tlv.request")
        # Twice when the first answer was slow.
        self.assertIn(len(asked), (1, 2))
        for _, port, request in asked:
            self.assertEqual(port, "80")
            self.assertIn(b"GET /small.bin HTTP/1.1", bytes.fromhex(request.replace(":", "")))

    def test_a_capture_ends_at_its_bounds(self):
        process, path, _ = self.begin("few.pcapng", "--packets", "5", "--snap", "64")
        self.download()
        self.assertEqual(process.wait(20), 0, process.tail())
        self.assertIn("ended after 5 packets", process.tail())
        rows = self.read(path, "frame.len", "frame.cap_len")
        self.assertEqual(len(rows), 5)
        self.assertTrue(all(int(kept) <= 64 for _, kept in rows))
        self.assertNothingHeld()
        self.assertConserved()

    def test_a_reload_does_not_disturb_it(self):
        process, path, _ = self.begin("reload.pcapng", "--client", topology.v4("client"), "--port", "80", "--rate", "50000")
        self.download()
        rules = list(self.services.rules)
        try:
            self.services.rules = [rule.replace("name: web, ", "name: web, mode: off, ") for rule in rules]
            self.assertTrue(self.services.reload()["applied"])
            self.download()
        finally:
            self.services.rules = rules
            self.services.reload()
        self.download()
        self.assertIn("none lost; ended on demand", self.end(process))
        requests = self.read(path, "frame.comment", display='frame.comment contains "released to"')
        self.assertEqual([comment.startswith("released to proxy p") for comment, in requests], [True, False, True], requests)

    def test_only_one_at_a_time_and_an_unread_one_ends(self):
        process, _, _ = self.begin("first.pcapng", "--client", "192.0.2.1")
        with self.assertRaisesRegex(CommandFailed, "capture [0-9]+ is under way, and there is only one at a time"):
            run(os.path.join(BINARIES, "batonctl"), "capture", "/dev/null", "--socket", self.services.path("batond.sock"))
        process.kill()
        second = os.path.join(self.directory, "second.pcapng")

        def begins():
            try:
                run(os.path.join(BINARIES, "batonctl"), "capture", second, "--seconds", "1", "--socket",
                    self.services.path("batond.sock"))
                return True
            except CommandFailed:
                return False

        wait_until("the capture that nobody reads is over", begins, 60)
        # A capture that is over costs nothing more: no packet is marked.
        before = self.services.counters()["captured"]
        self.download()
        self.assertEqual(self.services.counters()["captured"], before)

    def test_a_wrong_wish_is_told_so(self):
        for options, message in ((("--proxy", "p9"), "no proxy is named 'p9'"),
                                 (("--client", "10.0.0"), "'client' is an address or a prefix")):
            with self.assertRaisesRegex(CommandFailed, message):
                run(os.path.join(BINARIES, "batonctl"), "capture", os.path.join(self.directory, "none.pcapng"), *options,
                    "--socket", self.services.path("batond.sock"))


if __name__ == "__main__":
    unittest.main()
