"""The configuration, changed while traffic runs."""

import os
import signal

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, scenarios, wait_until
from lab.scenarios import text_from
from lab.services import PATIENT
from lab.shell import CommandFailed


class Reload(LaboratoryCase):
    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def served_by(self, name="small.bin"):
        """Who serves a request of now, by the logs."""
        def lines():
            return {server: sum(f"/{name} " in line for line in self.services.access_log(server))
                    for server in ("origin", *PROXIES)}

        before = lines()
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}"], resolve())
        self.assertTrue(got.ok, got.error)

        def servers():
            return [server for server, count in lines().items() if count > before[server]]

        return wait_until("somebody has logged it", servers, 10)

    def test_back_and_forth_with_a_thousand_requests_in_flight(self):
        log = self.services.path("director.log")
        place = os.path.getsize(log)
        result = self.play(scenarios.reload)
        row = result["row"]
        self.assertEqual((row["servedBy"], row["failed"]), ("proxy", 0), result["proof"])
        self.assertGreaterEqual(row["inFlight"], 1000)
        self.assertEqual(text_from(log, place).count("proxy leaves"), 2)
        self.assertEqual({row["name"]: row["state"] for row in self.services.ctl("proxies")}, dict.fromkeys(PROXIES, "up"))

    def test_a_dry_run_shows_and_changes_nothing(self):
        before = self.services.ctl("proxies"), self.services.ctl("algorithm")
        self.services.timeout_options |= {"ceiling": "50ms"}
        self.services.director_proxies = PROXIES[:1]
        try:
            answer = self.services.reload("--dry-run")
        finally:
            self.services.timeout_options["ceiling"], self.services.director_proxies = PATIENT["ceiling"], ()
        self.assertFalse(answer["applied"])
        self.assertEqual([(change["kind"], change["key"]) for change in answer["changes"]],
                         [("changed", "timeout.ceiling"), ("removed", f"proxies.{PROXIES[1]}")])
        self.assertEqual([row["name"] for row in self.services.ctl("proxies")], [row["name"] for row in before[0]])
        self.assertEqual(self.services.reload()["changes"], [])

    def test_a_file_that_cannot_be_taken_changes_nothing(self):
        before = self.services.ctl("algorithm")
        for text, message in (
                ("rules: [}\n", "batond.yaml:1:"),
                (self.services.director_configuration().replace("proxies:\n", "proxeis:\n"), "unknown key 'proxeis'"),
                (self.services.director_configuration().replace(
                    "name: web, ", "name: web, proxies: [p9], "), "unknown proxy 'p9'"),
                (self.services.director_configuration().replace("flows: 65536", "flows: 131072"),
                 "only a restart can change workers.flows"),
                (self.services.director_configuration().replace("batond.sock", "other.sock"),
                 "only a restart can change control.socket")):
            self.services.write("batond.yaml", text)
            with self.assertRaisesRegex(CommandFailed, message):
                self.services.ctl("reload")
        os.remove(self.services.path("batond.yaml"))
        with self.assertRaisesRegex(CommandFailed, "cannot be opened"):
            self.services.ctl("reload")
        self.assertEqual(self.services.ctl("algorithm"), before)
        self.assertEqual([row["state"] for row in self.services.ctl("proxies")], ["up"] * len(PROXIES))
        self.assertIn(self.served_by()[0], PROXIES)
        self.assertEqual(self.services.reload()["changes"], [])

    def test_rules_decide_from_the_reload_on(self):
        rules = list(self.services.rules)
        self.assertIn(self.served_by()[0], PROXIES)
        try:
            self.services.rules = [rule.replace("name: web, ", "name: web, mode: off, ") for rule in rules]
            changes = self.services.reload()["changes"]
            self.assertEqual([(change["key"], change["from"], change["to"]) for change in changes],
                             [("rules.web.mode", "on", "off")])
            self.assertEqual(self.served_by(), ["origin"])
        finally:
            self.services.rules = rules
            self.services.reload()
        self.assertIn(self.served_by()[0], PROXIES)

    def test_a_connection_of_a_proxy_that_is_taken_away_goes_on(self):
        if "long.bin" not in os.listdir(self.laboratory.content.origin):
            self.laboratory.content.add("long.bin", 16 << 20, True)
        # From another host: what it has got is a file of its own.
        client = curl(self.laboratory, "far").start([f"http://{CACHED_HOST}/long.bin"], resolve(), ["--limit-rate", "8M"])
        wait_until("a part of it is there", lambda: client.body_size() > 1 << 20, 20)
        flows = {row["name"]: row["committedFlows"] for row in self.services.ctl("proxies")}
        holder = next(name for name, count in flows.items() if count)
        try:
            self.services.director_proxies = tuple(name for name in PROXIES if name != holder)
            self.services.reload()
            states = {row["name"]: row["state"] for row in self.services.ctl("proxies")}
            self.assertEqual(states[holder], "leaving")
            self.assertNotIn(holder, self.served_by())
            got = client.finish()
            self.assertTrue(got.ok, got.error)
            self.assertEqual(got.sha256, [scenarios.sha256_of(os.path.join(self.laboratory.content.origin, "long.bin"))])
        finally:
            self.services.director_proxies = ()
            self.services.reload()
        self.laboratory.wait_for_proxies()

    def test_sighup_reloads_and_says_so_in_the_log(self):
        log = self.services.path("director.log")
        place = os.path.getsize(log)
        self.services.timeout_options |= {"ceiling": "55ms"}
        try:
            self.services.write("batond.yaml", self.services.director_configuration())
            self.services.processes["director"].signal(signal.SIGHUP)
            wait_until("it has reloaded", lambda: "configuration reloaded changes=1" in text_from(log, place), 10)
            self.services.write("batond.yaml", "nonsense: 1\n")
            self.services.processes["director"].signal(signal.SIGHUP)
            wait_until("it says what is wrong", lambda: "unknown key 'nonsense'" in text_from(log, place), 10)
            wait_until("it stays", lambda: "the configuration stays as it is" in text_from(log, place), 10)
        finally:
            self.services.timeout_options["ceiling"] = PATIENT["ceiling"]
            self.services.reload()
