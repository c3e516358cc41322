"""Later requests on a connection that is the origin's, with a real server, its lengths and its chunks."""

import hashlib
import http.client
import os
import socket
import unittest

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, scenarios, topology
from .second_agent import made_at

RULE = "{ name: web, ports: [80], application: [http-get], %s }"


class FollowOrigin(LaboratoryCase):
    rules = [RULE % "follow-origin: true"]

    def connection(self):
        connection = made_at(self.topology, "client", lambda: socket.create_connection((topology.v4("origin"), 80), 30))
        self.addCleanup(connection.close)
        return connection

    def get(self, connection, name, method="GET"):
        """Who served it: the access log that has its line."""
        before = {server: len(self.services.access_log(server)) for server in (*PROXIES, "origin")}
        connection.sendall(f"{method} /{name} HTTP/1.1\r\nHost: {CACHED_HOST}\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        body = response.read()
        path = os.path.join(self.laboratory.content.origin, name)
        if method == "GET" and os.path.isfile(path):
            self.assertEqual(hashlib.sha256(body).hexdigest(), scenarios.sha256_of(path), name)
        served = lambda: [server for server, count in before.items()  # noqa: E731
                          if any(f"/{name} " in line for line in self.services.access_log(server)[count:])]
        scenarios.wait_until("somebody has written it down", served, 10)
        return served()

    def test_a_later_request_goes_to_a_proxy(self):
        connection = self.connection()
        self.assertEqual(self.get(connection, "uncached.bin"), ["origin"])
        self.assertEqual(self.get(connection, "uncached.bin", "HEAD"), ["origin"])
        self.assertEqual(self.get(connection, "nothing-there"), ["origin"])
        self.assertIn(self.get(connection, "small.bin"), [["p1"], ["p2"]])
        self.assertEqual(self.services.counters()["answersUnclear"], 0)
        self.assertNothingHeld()
        self.assertConserved()

    def test_two_at_once_stay_where_they_are(self):
        connection = self.connection()
        request = f"GET /uncached.bin HTTP/1.1\r\nHost: {CACHED_HOST}\r\n\r\n".encode()
        connection.sendall(request + request)
        stream = connection.makefile("rb")
        for _ in range(2):
            self.assertIn(b"200", stream.readline())
            fields = http.client.parse_headers(stream)
            digest = hashlib.sha256(stream.read(int(fields["Content-Length"]))).hexdigest()
            self.assertEqual(digest, scenarios.sha256_of(f"{self.laboratory.content.origin}/uncached.bin"))
        self.assertEqual(self.get(connection, "small.bin"), ["origin"])


class Impaired(LaboratoryCase):
    relayed = ("far", "client")
    rules = [RULE % "follow-origin: true"]

    def test_whatever_the_clients_leg_loses_repeats_and_reorders(self):
        """To and fro between what the proxies have and what they lack, byte for byte."""
        names = ["uncached.bin", "small.bin", "uncached.bin", "small.bin"]
        expected = [scenarios.sha256_of(f"{self.laboratory.content.origin}/{name}") for name in names]
        self.topology.impair("client", "--loss", "0.05", "--duplicate", "0.1", "--reorder", "0.05", "--seed", "3")
        try:
            for _ in range(8):
                got = curl(self.laboratory).get([f"http://{CACHED_HOST}/{name}" for name in names], resolve(), seconds=60)
                self.assertTrue(got.ok, got.error)
                self.assertEqual(got.sha256, expected)
        finally:
            self.topology.impair("client")
        self.assertGreater(self.services.counters()["answersFollowed"], 0, "no answer was followed")
        self.assertNothingHeld()
        self.assertConserved()


class NotAsked(FollowOrigin):
    """Without the key a connection that is the origin's stays so."""
    rules = [RULE % "follow-origin: false"]

    def test_a_later_request_goes_to_a_proxy(self):
        connection = self.connection()
        self.assertEqual(self.get(connection, "uncached.bin"), ["origin"])
        self.assertEqual(self.get(connection, "small.bin"), ["origin"])
        self.assertEqual(self.services.counters()["answersFollowed"], 0)


if __name__ == "__main__":
    unittest.main()
