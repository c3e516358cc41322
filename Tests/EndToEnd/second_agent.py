"""A laboratory in which p1's agent is Tests/Agent/crtp_agent.py, on a thread of the test. Nobody is at p2."""

import ctypes
import os
import sys
import threading

from .laboratory_case import CACHED_HOST, PROXIES, LaboratoryCase, curl, resolve, topology, wait_until
from lab.scenarios import Played
from lab.services import CRTP_PORT

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Agent"))

import crtp_frames as crtp  # noqa: E402
from crtp_agent import ACCEPTED, Agent, Host, Nack, bound, read_key  # noqa: E402, F401

CLONE_NEWNET = 0x40000000


def endpoint_at(laboratory_topology, host, address):
    """A UDP socket on a host, for this process."""
    return made_at(laboratory_topology, host, lambda: bound(address))


def made_at(laboratory_topology, host, make):
    """What `make` makes on a host, for this process: a namespace is a thread's, and a socket stays in the one it was
    made in."""
    made = []

    def enter():
        with open(f"/run/netns/{laboratory_topology.host(host)}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                made.append(make())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not made:
        raise OSError(ctypes.get_errno(), f"no socket on {host}")
    return made[0]


class Recorder(Host):
    """Keeps the datagrams that its agent was given and those that it sent."""

    def __init__(self, agent, endpoint):
        super().__init__(agent, endpoint)
        self.given, self.sent = [], []
        #: (type, fate) of each datagram that was not accepted.
        self.turned_down = []
        receive = agent.receive

        def recorded(frame, source, now):
            self.given.append(frame)
            before = dict(agent.counters)
            answers = receive(frame, source, now)
            fate = next(fate for fate in before if agent.counters[fate] > before[fate])
            if fate != "accepted":
                self.turned_down.append((frame[1], fate))
            return answers

        agent.receive = recorded

    def send(self, frame, address):
        self.sent.append(frame)
        super().send(frame, address)


class SecondAgentCase(LaboratoryCase):
    #: More than the tests take: what goes down earlier has not gone down by silence. And p1 is asked each time.
    crtp_options = {"detect-multiplier": 100, "refusal-lifetime": "0s", "set-aside-after": 0}
    #: As long as can be configured: nothing here is to be late but what is meant to be.
    worker_options = {"incomplete-head": "20ms"}
    timeout_options = {"floor": "79ms", "initial": "79ms", "ceiling": "79ms"}

    @classmethod
    def start(cls):
        cls.host = None
        cls.services.add_key(2)
        cls.laboratory.up_without_agents()
        for name in PROXIES:
            cls.services.write(f"{name}.log", "")
        cls.start_second_agent()
        cls.start_director()

    @classmethod
    def start_second_agent(cls):
        cls.answer = Nack(crtp.NOT_FOUND)
        cls.asked = []
        keys = {number: read_key(path) for number, path in cls.services.keys.items()}
        cls.agent = Agent(keys, cls.policy, "p1", mac=bytes.fromhex(topology.mac("p1").replace(":", "")))
        cls.host = Recorder(cls.agent, endpoint_at(cls.topology, "p1", f"{topology.v4('p1')}:{CRTP_PORT}"))
        cls.host.start()

    @classmethod
    def policy(cls, asked):
        cls.asked.append(asked)
        return cls.answer

    @classmethod
    def start_director(cls):
        cls.services.start_director(cls.workers, ["p1"])

    @classmethod
    def tearDownClass(cls):
        if getattr(cls, "host", None):
            cls.host.stop()
        super().tearDownClass()

    def setUp(self):
        type(self).answer = Nack(crtp.NOT_FOUND)

    def proxy(self):
        """The director's word on p1."""
        return next(row for row in self.services.ctl("proxies") if row["name"] == "p1")

    def crtp_counters(self):
        return self.services.ctl("status")["crtp"]

    @property
    def session(self):
        """The session in force with the director of today: each start of a director is another one to an agent."""
        sessions = [director.in_force for director in list(self.agent.directors.values()) if director.in_force]
        return max(sessions, key=lambda session: session.heard)

    def wait_for_state(self, *states):
        wait_until(f"p1 is {' or '.join(states)}", lambda: self.proxy()["state"] in states, 20,
                   self.services.processes["director"])

    def play_from_origin(self, name, asked):
        """A request that the origin serves; how often the agent was asked, and how the director counted that."""
        def small(laboratory):
            return Played(curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve()), ["small.bin"], "origin")

        before, asked_before = self.proxy(), len(self.asked)
        result = self.play(small, name)
        # A TRANSFER may come a second time.
        self.assertEqual(len({ask.transaction for ask in self.asked[asked_before:]}), asked)
        after = self.proxy()
        return result["row"]["reason"], {count: after[count] - before[count] for count in ("acks", "nacks", "timeouts")}
