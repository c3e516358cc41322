"""Keys that change while traffic runs: on real agents under load, and on the agent that was written from the page."""

import os

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, scenarios
from .second_agent import SecondAgentCase, crtp, read_key, wait_until
from lab.scenarios import text_from
from lab.shell import CommandFailed


class Rotation(LaboratoryCase):
    def tearDown(self):
        self.assertNothingHeld()
        self.assertConserved()

    def test_keys_are_rotated_three_times_with_a_thousand_requests_in_flight(self):
        result = self.play(scenarios.rotate)
        row = result["row"]
        self.assertEqual((row["servedBy"], row["failed"]), ("proxy", 0), result["proof"])
        self.assertGreaterEqual(row["inFlight"], 1000)
        log = text_from(self.services.path("director.log"), 0)
        self.assertNotIn("proxy down", log)
        # Each rotation, and the old key's end.
        self.assertEqual(log.count("keys changed"), 6)

    def test_a_key_that_an_agent_lacks_is_refused_and_nothing_changes(self):
        before = self.services.ctl("keys")
        self.services.add_key(200)
        self.services.write("batond.yaml", self.services.director_configuration())
        with self.assertRaisesRegex(CommandFailed, "key 200 is not held by p1, p2"):
            self.services.ctl("keys", "rotate", "--to", "200")
        with self.assertRaisesRegex(CommandFailed, "has no key 9 "):
            self.services.ctl("keys", "rotate", "--to", "9")
        self.assertEqual(self.services.ctl("keys"), before)

    def test_a_bad_key_file_is_told_by_file_and_line_and_nothing_changes(self):
        before = self.services.ctl("keys")
        self.services.add_key(201)
        os.chmod(self.services.path("key201"), 0o644)
        self.services.write("batond.yaml", self.services.director_configuration())
        try:
            with self.assertRaisesRegex(CommandFailed, r"batond\.yaml:\d+:\d+: key file .*key201 can be read"):
                self.services.ctl("keys", "rotate")
            self.assertEqual(self.services.ctl("keys"), before)
            # The agents read theirs with their own user's rights: they keep what they have.
            os.chmod(self.services.path("key201"), 0o600)
            for name in PROXIES:
                self.services.write(f"{name}.yaml", self.services.agent_configuration(name))
                log = self.services.path(f"{name}.log")
                self.services.processes[name].signal(1)
                wait_until(f"{name} refuses the keys", lambda: "the keys stay as they are" in text_from(log, 0))
        finally:
            del self.services.keys[201]
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
        self.assertTrue(got.ok, got.error)


class SecondAgentsRotation(SecondAgentCase):
    """Tests/Agent/crtp_agent.py holds other keys while it runs."""

    def test_it_is_rotated_twice_and_never_goes_down(self):
        keys = dict(self.agent.keys)
        for number, former in ((2, 1), (3, 2)):
            if number not in keys:
                self.services.add_key(number)
                keys[number] = read_key(self.services.path(f"key{number}"))
            self.host.tell(lambda agent, now: agent.hold(keys))
            wait_until("the director knows of it", lambda: self.channel()["held"] == sorted(keys))
            self.services.write("batond.yaml", self.services.director_configuration())
            self.services.ctl("keys", "rotate")
            self.assertEqual(self.channel()["key"], number)
            self.assertEqual(self.session.key_id, number)
            _, counted = self.play_from_origin(f"key-{number}", asked=1)
            self.assertEqual(counted["nacks"], 1)
            del keys[former]
            del self.services.keys[former]
            self.services.crtp_options["current-key"] = number
            self.host.tell(lambda agent, now: agent.hold(keys))
            wait_until("the old key is gone", lambda: self.channel()["held"] == sorted(keys))
            self.play_from_origin(f"key-{number}-alone", asked=1)
        self.assertNotIn("proxy down", text_from(self.services.path("director.log"), 0))
        self.assertEqual(self.session.protection, crtp.SEALED)

    def channel(self):
        return next(row for row in self.services.ctl("keys")["channels"] if row["proxy"] == "p1")
