"""CRTP over TCP and TLS between real directors and agents: what it carries, who is refused, and how it comes back."""

import ctypes
import os
import socket
import threading

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, topology, wait_until
from lab.authority import Authority
from lab.load import Load
from lab.scenarios import Played, sha256_of, text_from
from lab.services import BINARIES, TCP_PORT
from lab.shell import run
from .second_agent import CLONE_NEWNET


class Channel(LaboratoryCase):
    def use(self, transports):
        """The director reaches its proxies so from now on."""
        self.services.transports = transports
        answer = self.services.reload()
        self.assertTrue(answer["applied"], answer)

    def use_and_wait(self, transports):
        self.use(transports)
        self.laboratory.wait_for_proxies()

    def row(self, name="p1"):
        return next(row for row in self.services.ctl("proxies") if row["name"] == name and row["state"] != "leaving")

    def log(self):
        return text_from(self.services.path("director.log"), self.began)

    def setUp(self):
        self.began = os.path.getsize(self.services.path("director.log"))

    def tearDown(self):
        self.assertIsNone(self.services.processes["director"].poll())
        self.assertNothingHeld()
        self.assertConserved()

    def served_by(self, expected, name):
        def scenario(laboratory):
            got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
            return Played(got, ["small.bin"], expected)

        return self.play(scenario, name)

    def on_host(self, host, make):
        """What `make()` returns, called in a host's namespace: a socket stays in the one it was made in."""
        made = []

        def there():
            with open(f"/run/netns/{self.topology.host(host)}") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(make())

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        return made[0]


class Transports(Channel):
    def test_transfers_over_tcp(self):
        self.use_and_wait(dict.fromkeys(PROXIES, "tcp"))
        before = self.row()["undelivered"]
        self.served_by("proxy", "over-tcp")
        row = self.row()
        self.assertEqual((row["transport"], row["connected"], row["undelivered"]), ("tcp", True, before))

    def test_transfers_over_tls(self):
        self.use_and_wait(dict.fromkeys(PROXIES, "tls"))
        before = self.row()["undelivered"]
        self.served_by("proxy", "over-tls")
        row = self.row()
        self.assertEqual((row["transport"], row["connected"], row["undelivered"]), ("tls", True, before))

    def test_transfers_over_http(self):
        self.use_and_wait(dict.fromkeys(PROXIES, "http"))
        before = self.row()["undelivered"]
        for number in range(3):
            self.served_by("proxy", f"over-http-{number}")
        row = self.row()
        self.assertEqual((row["transport"], row["connected"], row["undelivered"]), ("http", True, before))

    def test_one_proxy_over_tls_the_other_over_udp(self):
        self.use_and_wait({"p1": "tls"})
        self.assertEqual([row["transport"] for row in self.services.ctl("proxies") if row["state"] == "up"], ["tls", "udp"])
        self.served_by("proxy", "mixed")

    def test_a_tls_certificate_of_another_authority_is_refused_and_the_origin_serves(self):
        # Other files count from the next connection on.
        self.use_and_wait({})
        own = self.services.authority
        self.services.authority = Authority(self.directory, "others")
        try:
            self.use(dict.fromkeys(PROXIES, "tls"))
            wait_until("both are refused", lambda: all(
                row["state"] == "connecting" and row["connectionEnds"].get("tls", 0) > 1
                for row in self.services.ctl("proxies") if row["state"] != "leaving"), 20)
            self.assertRegex(self.log(), r"warning proxy cannot be connected proxy=p1 .*transport=tls reason=tls "
                             r'detail="the peer.s certificate is not from the CA that is trusted here" again_in_ms=\d+')
            self.served_by("origin", "refused")
        finally:
            self.services.authority = own
        self.use_and_wait(dict.fromkeys(PROXIES, "tls"))
        self.served_by("proxy", "accepted-again")

    def test_a_director_without_a_certificate_is_refused_by_the_agent(self):
        """The agents want one of their own authority's."""
        self.use_and_wait({})
        whole = self.services.tls_entry
        self.services.tls_entry = lambda: f"  tls: {{ ca: {self.services.authority.file} }}"
        try:
            self.use(dict.fromkeys(PROXIES, "tls"))
            wait_until("both have refused", lambda: all(
                row["connectionEnds"].get("tls", 0) > 1 and row["state"] != "up"
                for row in self.services.ctl("proxies") if row["state"] != "leaving"), 20)
            self.assertIn("the peer wants a certificate", self.log())
            self.served_by("origin", "uncertified")
        finally:
            self.services.tls_entry = whole
        self.use_and_wait(dict.fromkeys(PROXIES, "tls"))

    def test_the_table_of_proxies_tells_the_transport(self):
        self.use_and_wait({"p1": "tls"})
        table = run(os.path.join(BINARIES, "batonctl"), "proxies", "--socket", self.services.path("batond.sock"))
        self.assertRegex(table, rf"p1 +{topology.v4('p1')}:7443 tls +up")
        self.assertRegex(table, rf"p2 +{topology.v4('p2')}:7443 +up")


class Losses(Channel):
    crtp_options = {"keepalive": "200ms"}

    def test_an_agent_is_killed_and_restarted_under_load_and_transfers_resume(self):
        self.use_and_wait({"p1": "tls", "p2": "tls"})
        self.services.ctl("proxy", "p2", "down")
        sha256 = sha256_of(os.path.join(self.laboratory.content.origin, "small.bin"))
        load = Load(self.laboratory, topology.v4("origin"), CACHED_HOST, "small.bin", sha256, in_flight=40, seconds=0.5)
        try:
            load.until_ended(100)
            self.services.kill("p1")
            wait_until("the director has lost it", lambda: self.row()["state"] == "connecting")
            ended, acks = load.count()["ended"], self.row()["acks"]
            # Those that the dead agent had are lost; what comes now is the origin's.
            load.until_ended(ended + 200)
            self.assertEqual(self.row()["acks"], acks)
            self.services.start_agent("p1")
            wait_until("transfers resume", lambda: self.row()["acks"] > acks + 100, 30)
            summary = load.finish()
        except BaseException:
            load.kill()
            raise
        finally:
            self.services.ctl("proxy", "p2", "up")
        self.assertLessEqual(summary["failed"], 40, summary["failures"][:5])
        self.assertRegex(self.log(), r"proxy connection lost proxy=p1 .*reason=closed .*again_in_ms=\d+")
        self.assertRegex(self.log(), r"proxy connected proxy=p1 transport=tls")
        self.assertGreater(self.row()["connects"], 1)

    def test_an_agent_over_http_is_killed_and_comes_back(self):
        self.use_and_wait({"p1": "http", "p2": "http"})
        self.services.ctl("proxy", "p2", "down")
        try:
            self.services.kill("p1")
            wait_until("the director has lost it", lambda: self.row()["state"] == "connecting")
            self.served_by("origin", "http-killed")
            self.services.start_agent("p1")
            wait_until("it is back", lambda: self.row()["state"] == "up", 20)
            self.served_by("proxy", "http-back")
        finally:
            self.services.ctl("proxy", "p2", "up")

    def test_an_agent_that_stops_reading_is_left_and_comes_back(self):
        self.use_and_wait({"p1": "tcp", "p2": "tcp"})
        self.services.ctl("proxy", "p2", "down")
        try:
            self.services.pause("p1")
            self.served_by("origin", "frozen")
            wait_until("silence ends the connection", lambda: self.row()["connectionEnds"].get("silent", 0) > 0, 20)
            self.assertIn("reason=silent", self.log())
            self.services.resume("p1")
            wait_until("it is back", lambda: self.row()["state"] == "up", 20)
            self.served_by("proxy", "thawed")
        finally:
            self.services.resume("p1")
            self.services.ctl("proxy", "p2", "up")

    def test_a_peer_that_never_reads_and_one_that_sends_garbage_harm_nobody(self):
        self.use_and_wait({"p2": "tls"})
        self.services.processes.pop("p1").stop()
        listener = self.on_host("p1", lambda: socket.create_server((topology.v4("p1"), TCP_PORT)))
        listener.settimeout(20)
        try:
            self.use({"p1": "tcp", "p2": "tls"})
            deaf, _ = listener.accept()
            wait_until("it is connected and says nothing", lambda: (
                self.row()["state"], self.row()["connected"]) == ("initiating", True))
            self.served_by("proxy", "beside-a-deaf-peer")
            deaf.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            wait_until("garbage ends the connection", lambda: self.row()["connectionEnds"].get("badFrame", 0) == 1)
            self.assertRegex(self.log(), "proxy connection lost proxy=p1 .*reason=badFrame")
            deaf.close()
            forger, _ = listener.accept()
            frame = bytes([0x14, 17, 0, 0, 0, 48, 1, 2]) + bytes(40)
            forger.sendall(frame * 16)
            wait_until("forged frames end the connection", lambda: self.row()["connectionEnds"].get("unauthenticated", 0) == 1)
            self.served_by("proxy", "beside-a-forger")
            forger.close()
        finally:
            listener.close()
            self.services.start_agent("p1")
            self.use_and_wait({"p2": "tls"})

    def test_a_stranger_at_the_agents_port_changes_nothing(self):
        """From the director's host, whose address the agents admit."""
        self.use_and_wait({"p1": "tcp", "p2": "tcp"})
        connects = self.row()["connects"]
        strangers = [self.on_host("director", lambda: socket.create_connection((topology.v4("p1"), TCP_PORT), 10))
                     for _ in range(20)]
        for stranger in strangers:
            stranger.settimeout(20)
            stranger.sendall(bytes([0x14, 1, 0, 0, 0, 48, 1, 1]) + bytes(40))
        self.served_by("proxy", "among-strangers")
        for stranger in strangers:
            stranger.sendall((bytes([0x14, 1, 0, 0, 0, 48, 1, 1]) + bytes(40)) * 16)
            try:
                self.assertEqual(stranger.recv(1), b"")
            except ConnectionResetError:
                pass
            stranger.close()
        self.assertEqual(self.row()["connects"], connects)

    def test_an_agent_that_is_succeeded_is_connected_anew(self):
        self.use_and_wait({"p1": "tls", "p2": "tls"})
        former = self.services.processes["p1"]
        before = self.row()["connects"]
        successor = self.services.start(
            "p1", "p1", os.path.join(BINARIES, "baton-agent"), "--config",
            self.services.path("p1.yaml"), "--take-over")
        wait_until("the former agent has ended", lambda: former.poll() is not None, 30, successor)
        former.stop()
        wait_until("the successor is connected", lambda: (
            self.row()["state"] == "up" and self.row()["connects"] > before), 20, successor)
        self.services.ctl("proxy", "p2", "down")
        try:
            self.served_by("proxy", "succeeded")
        finally:
            self.services.ctl("proxy", "p2", "up")
