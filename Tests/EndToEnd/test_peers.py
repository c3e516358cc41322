"""Two servers behind one address with a director on each of them: what the scenario `peers` does not show."""

from .laboratory_case import LaboratoryCase, topology, wait_until
from lab.peers import Peers
from lab.services import SHARED, peer_host
from lab.topology import PROXIES


class ComesAndGoes(LaboratoryCase):
    files = {f"half-{name}.bin": (512 << 10, True, name) for name in PROXIES}

    pair = None

    @classmethod
    def start(cls):
        super().start()
        cls.pair = Peers(cls.laboratory)
        cls.pair.share()

    @classmethod
    def tearDownClass(cls):
        if cls.pair:
            cls.pair.__exit__()
        super().tearDownClass()

    def begin(self, content, shared, query):
        """Downloads of what one host has, by connections that land where their family lands."""
        address = shared.partition("/")[0]
        host = peer_host(content)
        return self.start_slow(
            f"half-{content}.bin", 20, f"http://{host}/half-{content}.bin?{query}=", "--resolve", f"{host}:80:{address}")

    def served(self, name, query):
        return sum(f"?{query}=" in line for line in self.services.access_log(name))

    def test_nobody_notices(self):
        """Both directors attached under downloads of the hosts' own, detached under those and others that have moved."""
        for name, shared in zip(PROXIES, SHARED):
            self.pair.land(name, [shared])
        running = [self.begin(name, shared, "own") for name, shared in zip(PROXIES, SHARED)]
        for name in PROXIES:
            self.pair.attach(name)
        running += [self.begin(name, shared, "moved") for name, shared in zip(PROXIES[::-1], SHARED)]
        moved = [self.pair.status(name)["transfers"]["committed"] for name in PROXIES]
        self.assertEqual(moved, [20, 20])
        directors = [self.services.processes.pop(f"{name}-host") for name in PROXIES]
        for director in directors:
            director.signal(15)
            wait_until("it drains", lambda: "draining" in director.tail(), 10, director)
        # Meanwhile a connection stays where it lands.
        running.append(self.begin(PROXIES[0], SHARED[0], "meanwhile"))
        for finish in running:
            finish()
        for name, director in zip(PROXIES, directors):
            self.assertEqual(director.wait(30), 0, director.tail())
            self.assertIn("detached", director.tail())
            found = self.topology.run(name, "ip", "address", "show", "dev", "eth0")
            self.assertIn(topology.v4(name) + "/24", found)
            self.assertIn(topology.v6(name) + "/64", found)
            self.assertEqual([self.served(name, query) for query in ("own", "moved")], [20, 20])
        self.begin(PROXIES[1], SHARED[1], "afterwards")()
