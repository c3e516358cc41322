"""A real Prometheus server scrapes a director, and knows its alerts."""

import json
import os
import re
import unittest
import urllib.parse

from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, wait_until
from lab.shell import CommandFailed, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ALERTS = os.path.join(ROOT, "packaging", "prometheus", "alerts.yml")
DASHBOARD = os.path.join(ROOT, "packaging", "grafana", "baton.json")
LISTEN, SERVER = "127.0.0.1:9464", "127.0.0.1:9465"


class Metrics(LaboratoryCase):
    director_options = {"metrics": f"{{ listen: '{LISTEN}' }}"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.topology.run("director", "ip", "link", "set", "lo", "up")
            configuration = cls.services.write("prometheus.yml", f"""
global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}
rule_files: ["{ALERTS}"]
scrape_configs: [{{ job_name: baton, static_configs: [{{ targets: ["{LISTEN}"] }}] }}]
""")
            cls.services.start(
                "prometheus", "director", "prometheus", "--config.file", configuration, "--storage.tsdb.path",
                cls.services.path("prometheus"), "--web.listen-address", SERVER)
            wait_until("Prometheus has scraped", lambda: cls.value("up") == 1, 60, cls.services.processes["prometheus"])
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def get(cls, path):
        try:
            text = run(*cls.topology.inside("director", "curl", "--silent", "--max-time", "2", f"http://{SERVER}{path}"))
            return json.loads(text)["data"]
        except Exception:
            return None

    @classmethod
    def value(cls, expression):
        """The only value of an instant query."""
        data = cls.get("/api/v1/query?query=" + urllib.parse.quote(expression))
        return float(data["result"][0]["value"][1]) if data and len(data["result"]) == 1 else None

    def test_a_transfer_appears_in_the_server(self):
        self.assertEqual(self.value("sum(baton_proxy_up)"), 2)
        before = self.value('baton_transfers_total{ending="committed"}')
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
        self.assertTrue(got.ok, got.error)
        wait_until("it is counted", lambda: self.value('baton_transfers_total{ending="committed"}') == before + 1, 20)
        self.assertGreater(self.value("sum(baton_worker_received_from_clients_total)"), 0)
        self.assertGreaterEqual(self.value("baton_transfer_decision_seconds_count"), 1)
        self.assertLess(
            self.value("histogram_quantile(0.5, sum by (le) (baton_transfer_decision_seconds_bucket))"), 0.1)

    def test_rules_and_proxies_have_their_own(self):
        got = curl(self.laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
        self.assertTrue(got.ok, got.error)
        wait_until("the rule has it", lambda: (self.value(
            'sum(baton_rule_transfers_total{rule="web",ending="committed"})') or 0) >= 1, 20)
        # One sample in the adoption histogram for each acceptance that came in time.
        accepted = self.value("sum(baton_proxy_acks_total) - sum(baton_proxy_late_acks_total)")
        wait_until("the histogram has them", lambda: self.value("sum(baton_proxy_adoption_seconds_count)") == accepted, 20)
        self.assertLess(self.value("sum(baton_proxy_adoption_seconds_sum) / sum(baton_proxy_adoption_seconds_count)"), 0.1)

    def test_the_dashboards_queries_are_answered(self):
        with open(DASHBOARD) as file:
            dashboard = json.load(file)
        known = {row["__name__"] for row in self.get("/api/v1/series?match[]=" + urllib.parse.quote('{job="baton"}'))}
        wait_until("there are rates", lambda: self.value(
            "sum(rate(baton_worker_received_from_clients_total[10s]))") is not None, 20)
        asked = 0
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "10s").replace("$instance", ".*")
                with self.subTest(panel["title"], expression=expression):
                    self.assertNotIn("$", expression)
                    answer = self.get("/api/v1/query?query=" + urllib.parse.quote(expression))
                    self.assertIsNotNone(answer, "Prometheus refuses it")
                    for name in re.findall(r"baton_[a-z_]+", re.sub(r'"[^"]*"', "", expression)):
                        self.assertIn(name, known)
                    # What shows only what is not zero may show nothing.
                    if "> 0" not in expression:
                        self.assertTrue(answer["result"])
                    asked += 1
        self.assertGreater(asked, 20)
        variables = {entry["name"]: entry for entry in dashboard["templating"]["list"]}
        self.assertIn("baton_build_info", variables["instance"]["definition"])
        self.assertIn("baton_build_info", known)

    def test_health_is_served(self):
        def ask(path, seconds=10):
            text = run(*self.topology.inside(
                "director", "curl", "--silent", "--max-time", str(seconds), "--write-out", "\n%{http_code}", f"http://{LISTEN}{path}"))
            body, _, code = text.rpartition("\n")
            return int(code), body

        for path in ("/live", "/ready"):
            code, body = ask(path)
            self.assertEqual((code, json.loads(body)["ok"]), (200, True))
        self.services.pause("director")
        try:
            # The whole process stands still: not even its threads answer.
            with self.assertRaises(CommandFailed):
                ask("/live", 2)
        finally:
            self.services.resume("director")
        wait_until("it lives again", lambda: ask("/live")[0] == 200, 20)

    def test_the_target_is_read_without_complaint(self):
        target, = self.get("/api/v1/targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))

    def test_the_alerts_are_rules_of_known_metrics(self):
        run("promtool", "check", "rules", ALERTS)
        group, = self.get("/api/v1/rules")["groups"]
        for rule in group["rules"]:
            self.assertIn(rule["health"], ("ok", "unknown"), rule)
        known = {row["__name__"] for row in self.get("/api/v1/series?match[]=" + urllib.parse.quote('{job="baton"}'))}
        for rule in group["rules"]:
            names = set(re.findall(r"baton_[a-z_]+", rule["query"]))
            self.assertTrue(names or "up{" in rule["query"], rule["query"])
            self.assertLessEqual(names, known, rule["name"])


if __name__ == "__main__":
    unittest.main()
