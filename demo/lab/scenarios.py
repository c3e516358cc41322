"""One connection after another through a laboratory, each with its own way to be served, and the proof of who served it.

A scenario function gets the laboratory and returns what it expected; `Laboratory.play` wraps it with captures, logs and
the counts that every scenario owes.
"""

import datetime
import os
import re
import time
from collections import namedtuple

from . import topology as addresses
from . import datagrams
from .capture import HEADERS, WHOLE, Capture, ControlPackets, datagram_bytes
from .downloads import Curl, Download, segmented_get, sha256_of
from .distant import Distant
from .forwarding import FORWARDERS, Forwarding
from .load import Load
from .peers import Peers
from .services import (
    CACHED_HOST, CRTP_PORT, MOVING_HOST, MULTICAST_HOST, OBSERVED_HOST, ONE_WAY_HOST, ONE_WAY_RULE, ORIGIN_HOST, REPLAY_HOST,
    SHARED, Content, Services, peer_host)
from .shell import wait_until
from .stalling import StallingDownload
from .topology import PROXIES, Topology
from .witnesses import COMPLAINTS, GRAVE, complaints, expert_errors, new_complaints

MEBIBYTE = 1 << 20
SERVERS = ("origin", "p1", "p2", "distant")

#: `expected` is "proxy" or "origin": who was to serve it. `files` are the names of the files in the order of the bodies.
#: `load` is the summary of a `Load` instead of one client.
#: `reason` is for transfers that another director than the laboratory's has made.
Played = namedtuple("Played", "download files expected load reason", defaults=(None, None))


class Laboratory:
    """Topology, content and services of one demo or test class."""

    def __init__(self, directory, prefix="baton", relayed=("far",), queues=1, proxies=PROXIES):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.topology = Topology(directory, prefix, queues, relayed, proxies)
        self.content = Content(os.path.join(directory, "content"))
        self.services = Services(self.topology, directory, self.content)

    def serve_datagrams(self):
        """Before `up`: servers over UDP as well, and rules for them."""
        self.services.rules += datagrams.RULES
        self.services.sites_of = datagrams.sites

    @property
    def serves_datagrams(self):
        return self.services.sites_of is datagrams.sites

    def up(self, workers=1):
        self.up_without_agents()
        if self.serves_datagrams:
            datagrams.start(self.services)
        agents = {name: self.services.begin_agent(name) for name in self.topology.proxies}
        for name in agents:
            self.services.start_tls_server(name)
        for name, agent in agents.items():
            self.services.wait_for_agent(name, agent)
        self.services.start_director(workers)

    def up_without_agents(self):
        """Hosts, content and origin."""
        self.topology.up()
        self.content.add("small.bin", 256 << 10, cached=True)
        self.content.add("uncached.bin", 4 * MEBIBYTE, cached=False)
        for name in self.topology.proxies:
            self.content.add(f"only-{name}.bin", MEBIBYTE, cached=True, only=name)
        self.services.start_origin()

    def down(self):
        self.services.stop_all()
        self.topology.down()

    def restart_agents(self):
        for name in self.topology.proxies:
            if name in self.services.processes:
                self.services.processes.pop(name).stop()
            self.start_agent_anew(name)
        self.wait_for_proxies()

    def start_agent_anew(self, name):
        log = self.services.path(f"{name}.log")
        before = os.path.getsize(log)
        agent = self.services.start_agent(name)
        # The director may still take the dead agent for alive: the new one says when they have met.
        wait_until(f"the director has met the new {name}", lambda: "channel up" in text_from(log, before), 20, agent)

    def wait_for_proxies(self, names=None):
        wait_until("the proxies are up again", lambda: self.services.is_director_ready(names), 20,
                   self.services.processes["director"])

    # MARK: playing

    def play(self, name, scenario):
        """Runs a scenario between captures and returns its row of the closing table. What it says is `around` it is there
        before the captures begin, and after they end."""
        around = getattr(scenario, "around", None)
        if around is None:
            return self._play(name, scenario)
        with around(self) as surroundings:
            return self._play(name, lambda laboratory: scenario(laboratory, surroundings), scenario)

    def _play(self, name, body, scenario=None):
        scenario = scenario or body
        over_udp = getattr(scenario, "over_udp", False)
        logs = {server: self._log_lines(server) for server in SERVERS}
        places = {server: os.path.getsize(self.services.path(f"{log}.log"))
                  for server, log in (("director", "director"), ("p1", "p1"), ("p2", "p2"))}
        far = getattr(scenario, "client", "client") == "far"
        client = "far" if far else "client"
        devices = getattr(scenario, "devices", ("c0", "c1"))
        length = HEADERS if getattr(scenario, "is_long", False) else WHOLE
        captures = [Capture(self.topology, "client", device, self.services.path(f"{name}-{device}.pcap"),
                            "udp" if over_udp else "tcp", length) for device in devices]
        if far:
            captures.append(Capture(self.topology, "far", "eth0", self.services.path(f"{name}-far.pcap"), "tcp", length))
        before = complaints(self.topology, client)
        last = self._last_transfer()
        started = time.monotonic()
        wall = time.time()
        try:
            played = body(self)
        finally:
            took = time.monotonic() - started
            paths = [capture.stop() for capture in captures]
        row = {"name": name, "servedBy": "", "sha256Match": False, "clientControlPackets": -1,
               "tookMs": round(took * 1000), "reason": ""}
        ports = {80, 443, 8080}
        near = ControlPackets()
        for path in paths[:len(devices)]:
            near.read(path, ports)
        if over_udp:
            near.payload_by_mac = datagram_bytes(paths[:len(devices)], ports)
        own = ControlPackets().read(paths[-1], ports) if far else near
        if played.load:
            # Whoever serves a slow client probes its window, and on a busy machine a SYN comes again, or a FIN, which
            # is then acknowledged twice.
            usual = ("below the highest sent", "SYN again", "SYN/ACK again", "which had ended")
            own.findings = [finding for finding in own.findings if not any(what in finding for what in usual)]
        if getattr(scenario, "stalls", False):
            # A client that does not read gets window probes from whoever serves it.
            own.findings = [finding for finding in own.findings if "below the highest sent" not in finding]
        row["clientControlPackets"] = own.count
        expected = [sha256_of(os.path.join(self.content.origin, file)) for file in played.files]
        row["sha256Match"] = played.download.ok and played.download.sha256 == expected
        if played.load:
            row["servedBy"], proof = self._load_served_by(logs, played.load)
            row |= {"requests": played.load["requests"], "failed": played.load["failed"],
                    "inFlight": min(mark["inFlight"] for mark in played.load["marks"])}
        else:
            row["servedBy"], proof = self._served_by(near, logs, len(played.files), ", then " in played.expected)
            if isinstance(played.expected, tuple):
                row["servedBy"] = self._served_in_turn(near, logs, played)
        row["reason"] = played.reason or self._reason(last, text_from(self.services.path("director.log"), places["director"]))
        if isinstance(played.expected, tuple):
            served_as_expected = row["servedBy"] == " ".join(played.expected)
        else:
            served_as_expected = row["servedBy"] == played.expected or row["servedBy"] in ((*PROXIES, "distant", "proxy") if played.expected == "proxy" else ("origin",))
        problems = list(own.findings[:5])
        if not played.download.ok:
            problems.append(played.download.error)
        if not served_as_expected:
            problems.append(f"served by {row['servedBy']} instead of {played.expected}: {proof}")
        problems += new_complaints(
            before, complaints(self.topology, client), GRAVE if played.load else COMPLAINTS)
        problems += [line for path in paths[len(devices) if far else 0:] for line in expert_errors(path)[:5]]
        problems += self._left_behind()
        ok = row["sha256Match"] and row["clientControlPackets"] == 0 and not problems
        return {"row": row, "ok": ok, "problems": problems, "timeline": self._timeline(places, wall), "proof": proof}

    def _served_by(self, packets, before, requests, has_moved=False):
        """Who served, when access logs and source MACs say the same; otherwise both testimonies. `has_moved`: one began
        and another has logged it."""
        wait_until("the access logs have the requests", lambda: sum(
            self._log_lines(server) - before[server] for server in SERVERS) >= requests, 10)
        by_mac = {host: packets.payload_by_mac.get(bytes.fromhex(addresses.seen_mac(host).replace(":", "")), 0)
                  for host in SERVERS}
        lines = {server: self._log_lines(server) - before[server] for server in SERVERS}
        sending = [host for host, amount in by_mac.items() if amount > 0]
        proof = (f"log lines {', '.join(f'{s} {n}' for s, n in lines.items() if n) or 'none'}; "
                 f"bytes by source MAC {', '.join(f'{s} {n}' for s, n in by_mac.items() if n) or 'none'}")
        if len(sending) == 1 and lines[sending[0]] >= requests:
            return sending[0], proof
        if has_moved and len(sending) == 2 and sum(lines.values()) == requests:
            last = max(sending, key=lambda host: lines[host])
            return f"{next(host for host in sending if host != last)}, then {last}", proof
        # Several connections, and each of these proxies has answered as many as it says.
        if all(lines[host] and host in PROXIES for host in sending) and sum(lines.values()) == requests >= len(sending) > 1:
            return "proxy", proof
        return "unproven", proof

    def _served_in_turn(self, packets, before, played):
        """Who served each object of one connection: by the access log that has its name, and what each source MAC sent.
        What the origin has passes through the proxy that the connection was with."""
        def newest(server):
            # `before` counts the lines of all logs of a server.
            count = self._log_lines(server) - before[server]
            return self.services.access_log(server)[-count:] if count else []

        wait_until("the proxies' access logs have the requests", lambda: sum(
            len(newest(proxy)) for proxy in PROXIES) >= len(played.files), 10)
        new = {server: newest(server) for server in SERVERS}
        served, owed, last = [], {}, None
        for file in played.files:
            by = [proxy for proxy in PROXIES for line in new[proxy] if f"/{file} " in line and "by=document" in line]
            relayed = [proxy for proxy in PROXIES for line in new[proxy] if f"/{file} " in line and "by=origin" in line]
            if not by and relayed == [last] and any(f"/{file} " in line for line in new["origin"]):
                by, last = ["origin"], relayed[0]
            elif len(by) == 1 and not relayed:
                last = by[0]
            else:
                return f"unproven: {file} by {by} and {relayed}"
            served += by
            owed[last] = owed.get(last, 0) + os.path.getsize(os.path.join(self.content.origin, file))
        for host in SERVERS:
            sent = packets.payload_by_mac.get(bytes.fromhex(addresses.seen_mac(host).replace(":", "")), 0)
            if not owed.get(host, 0) <= sent <= owed.get(host, 0) * 1.01:
                return f"unproven: {host} sent {sent} bytes instead of {owed.get(host, 0)}"
        return " ".join(served)

    def _load_served_by(self, before, load):
        """The proxies together, when they have served most requests: on a machine that is busy with a thousand clients
        some answers come too late, and how many is no question of right and wrong."""
        def lines():
            return {server: self._log_lines(server) - before[server] for server in SERVERS}

        wait_until("the access logs have the requests", lambda: sum(lines().values()) >= load["requests"], 20)
        proof = (f"{load['requests']} requests, {load['failed']} failed, log lines "
                 + ", ".join(f"{server} {count}" for server, count in lines().items()) + "; in flight at each change "
                 + ", ".join(f"{mark['inFlight']} (served whole: {mark['served']})" for mark in load["marks"]))
        by_proxies = sum(lines()[name] for name in PROXIES)
        return "proxy" if 2 * by_proxies > load["requests"] else "origin", proof

    def _log_lines(self, server):
        """Requests that a server has answered so far, over TCP and over UDP."""
        return len(self.services.access_log(server)) + len(datagrams.requests(self.services, server))

    def _last_transfer(self):
        transfers = self.services.ctl("transfers", "--limit", "1")
        return transfers[0] if transfers else None

    def _reason(self, before, log):
        """What the director says of the scenario's last transfer, or what it heard of it when it was new itself."""
        last = self._last_transfer()
        if last and (not before or last["transfer"] != before["transfer"]):
            return last["reason"] or last["state"]
        announced = [proxy for proxy, flows in re.findall(r"flows announced proxy=(\S+) flows=(\d+)", log) if int(flows) > 0]
        if announced:
            earlier = "committed; " if "transfer committed" in log else ""
            return f"{earlier}announced by {announced[-1]} after the restart"
        return "nobody was asked"

    def _left_behind(self):
        """Holds that outlived their scenario."""
        try:
            wait_until("no hold is left", lambda: self.services.counters()["heldPackets"] == 0, 5)
            return []
        except Exception as error:  # noqa: BLE001 (reported in the table)
            return [str(error)]

    def _timeline(self, places, wall):
        """What the programs logged meanwhile: (milliseconds, program, line), in order."""
        events = []
        for program, offset in places.items():
            path = self.services.path(f"{program}.log")
            if os.path.getsize(path) < offset:
                offset = 0
            with open(path, errors="replace") as file:
                file.seek(offset)
                for line in file.read().splitlines():
                    stamp, _, rest = line.partition(" ")
                    try:
                        when = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
                    except ValueError:
                        continue
                    events.append(((when - wall) * 1000, program, rest))
        return sorted(events)


def text_from(path, offset):
    with open(path, errors="replace") as file:
        file.seek(offset)
        return file.read()


def resolve(address=None):
    address = address or addresses.v4("origin")
    hosts = (CACHED_HOST, ORIGIN_HOST, OBSERVED_HOST, MULTICAST_HOST, MOVING_HOST, ONE_WAY_HOST, REPLAY_HOST)
    return dict.fromkeys(hosts, address)


def curl(laboratory, host="client"):
    return Curl(laboratory.topology, laboratory.directory, host)


def together(downloads):
    """Several downloads as one."""
    errors = "; ".join(got.error for got in downloads if not got.ok)
    return Download(all(got.ok for got in downloads), downloads[0].status, [hash for got in downloads for hash in got.sha256],
                    sum(got.seconds for got in downloads), errors)


# MARK: the scenarios


def cached(laboratory):
    """An object that the proxies have: the connection moves, the origin never sees the request."""
    got = curl(laboratory).get([f"http://{CACHED_HOST}/cached.bin"], resolve())
    return Played(got, ["cached.bin"], "proxy")


def uncached(laboratory):
    """An object that only the origin has: NACK, and the held request goes on."""
    got = curl(laboratory).get([f"http://{CACHED_HOST}/uncached.bin"], resolve())
    return Played(got, ["uncached.bin"], "origin")


def late(laboratory):
    """The proxies are stopped in their tracks when the request comes: their answer is later than TO."""
    for name in PROXIES:
        laboratory.services.pause(name)
    try:
        got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
    finally:
        for name in PROXIES:
            laboratory.services.resume(name)
    laboratory.wait_for_proxies()
    return Played(got, ["small.bin"], "origin")


def dead(laboratory):
    """The agents are killed just before the request."""
    for name in PROXIES:
        laboratory.services.kill(name)
    try:
        got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
    finally:
        laboratory.restart_agents()
    return Played(got, ["small.bin"], "origin")


def keepalive(laboratory):
    """A cached and then an uncached object on one connection: the agent relays the second."""
    got = curl(laboratory).get(
        [f"http://{CACHED_HOST}/small.bin", f"http://{CACHED_HOST}/uncached.bin"], resolve())
    return Played(got, ["small.bin", "uncached.bin"], "proxy")


def split(laboratory):
    """A request head in three segments, the middle one first."""
    # So far that the client does not repeat what it has only just sent.
    laboratory.topology.impair("far", "--swap-first-payloads", "3", "--delay", "0.02")
    try:
        got = segmented_get(laboratory.topology, addresses.v4("origin"), CACHED_HOST, "/small.bin", [20, 30], client="far")
    finally:
        laboratory.topology.impair("far")
    return Played(got, ["small.bin"], "proxy")


split.client = "far"


def ipv6(laboratory):
    """The same over IPv6."""
    got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve(addresses.v6("origin")))
    return Played(got, ["small.bin"], "proxy")


def tls(laboratory):
    """A proxy with the certificate takes over at the ClientHello."""
    got = curl(laboratory).get([f"https://{CACHED_HOST}/small.bin"], resolve(),
                               ["--cacert", laboratory.services.path("tls.crt")])
    return Played(got, ["small.bin"], "proxy")


def asymmetric(laboratory):
    """The SYN/ACK and all that servers send travel another way; the options are muted."""
    got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve(),
                               ["--interface", addresses.ASYMMETRIC_CLIENT])
    return Played(got, ["small.bin"], "proxy")


def pmtu(laboratory):
    """The client's path becomes narrower in the middle of a download from a proxy, over IPv4 and over IPv6."""
    def narrowed(address):
        # The far wire's relay is slow enough for a "middle"; a slow client would be answered with window probes.
        client = curl(laboratory, "far").start([f"http://{CACHED_HOST}/narrow.bin"], resolve(address))
        wait_until("a part of the download is there", lambda: client.body_size() > MEBIBYTE, 20)
        laboratory.topology.narrow_far_path(1280)
        try:
            return client.finish()
        finally:
            laboratory.topology.narrow_far_path(1500)

    return Played(together([narrowed(address) for address in (addresses.v4("origin"), addresses.v6("origin"))]),
                  ["narrow.bin"] * 2, "proxy")


pmtu.client = "far"


def restart(laboratory):
    """batond is killed and started again during a 1 GiB download from a proxy."""
    client = curl(laboratory).start([f"http://{CACHED_HOST}/huge.bin"], resolve())
    wait_until("a part of the download is there", lambda: client.body_size() > 128 * MEBIBYTE, 60)
    laboratory.services.kill("director")
    laboratory.services.start_director()
    return Played(client.finish(), ["huge.bin"], "proxy")


restart.is_long = True


def retransfer(laboratory):
    """Three objects over one connection: of one proxy, of the other, and of the origin."""
    files = ["only-p1.bin", "only-p2.bin", "uncached.bin"]
    got = curl(laboratory).get([f"http://{MOVING_HOST}/{file}" for file in files], resolve())
    return Played(got, files, ("p1", "p2", "origin"))


def observe(laboratory):
    """A rule in mode observe: the proxies are asked, nothing is held, the origin serves."""
    got = curl(laboratory).get([f"http://{OBSERVED_HOST}:8080/small.bin"], resolve())
    return Played(got, ["small.bin"], "origin")


def under_load(laboratory, change, in_flight=1100):
    """Clients keep so many requests in flight while `change(load)` is made; it marks the moments that count."""
    if "slow.bin" not in os.listdir(laboratory.content.origin):
        # Larger than a server's socket buffer.
        laboratory.content.add("slow.bin", 128 << 10, cached=True)
    sha256 = sha256_of(os.path.join(laboratory.content.origin, "slow.bin"))
    load = Load(laboratory, addresses.v4("origin"), CACHED_HOST, "slow.bin", sha256, in_flight)
    try:
        change(load)
        summary = load.finish()
    except BaseException:
        load.kill()
        raise
    return of_load(summary, sha256, "slow.bin")


def of_load(summary, sha256, file):
    failed = "; ".join(failure["what"] for failure in summary["failures"][:3])
    error = f"{summary['failed']} of {summary['requests']} requests failed: {failed}" if summary["failed"] else ""
    return Played(Download(not error, "200", [sha256], 0, error), [file], "proxy", summary)


def rotate(laboratory):
    """The channels' keys are changed three times with 1,000 requests in flight."""
    def change(load):
        for number in range(max(laboratory.services.keys) + 1, max(laboratory.services.keys) + 4):
            before = load.mark(1000)
            answer = laboratory.services.rotate_keys(number)
            assert [channel["key"] for channel in answer["channels"]] == [number] * len(PROXIES), answer
            load.until_ended(before["ended"] + 300)

    return under_load(laboratory, change)


def multicast(laboratory):
    """All proxies are asked by one datagram to their group; the first that accepts serves, the others forget."""
    got = curl(laboratory).get([f"http://{MULTICAST_HOST}:8080/small.bin"], resolve())
    return Played(got, ["small.bin"], "proxy")


def reload(laboratory):
    """A proxy is taken away and brought back, rules come and go, by batonctl reload, with 1,000 requests in flight."""
    services = laboratory.services
    rules = list(services.rules)

    def change(load):
        for proxies, more in ((PROXIES[:1], ()), (PROXIES, ("{ name: more, ports: [8081], hosts: [more.example.org] }",)),
                              (PROXIES[1:], ()), (PROXIES, ())):
            before = load.mark(1000)
            services.director_proxies = proxies
            services.rules = list(more) + rules
            answer = services.reload()
            assert answer["applied"], answer
            wait_until("the proxies are as configured", lambda: services.is_director_ready(proxies), 20)
            load.until_ended(before["ended"] + 300)

    try:
        return under_load(laboratory, change)
    finally:
        services.director_proxies, services.rules = (), rules


def drain(laboratory):
    """A proxy is drained, set down, and brought back by batonctl proxy, with 1,000 requests in flight."""
    services, drained = laboratory.services, PROXIES[0]

    def row():
        return next(row for row in services.ctl("proxies") if row["name"] == drained)

    def change(load):
        for wish in ("drain", "down"):
            load.mark(1000)
            services.ctl("proxy", drained, wish)
            wait_until("nothing is asked of it any more", lambda: row()["pendingTransfers"] == 0, 10)
            answered = row()["acks"]
            load.until_ended(load.count()["ended"] + 300)
            assert row()["acks"] == answered, f"{drained} was asked although it is set {wish}"
            if wish == "drain":
                wait_until("its connections have ended", lambda: row()["committedFlows"] == 0, 30)
            load.mark(1000)
            services.ctl("proxy", drained, "up")
            wait_until("it is asked again", lambda: row()["acks"] > answered + 200, 30)

    try:
        return under_load(laboratory, change)
    finally:
        services.ctl("proxy", drained, "up")


def evacuate(laboratory, family=addresses.v4):
    """Fifty downloads under way go on at the other proxy: batonctl evacuate."""
    services, emptied, other, downloads = laboratory.services, *PROXIES[:2], 50
    if "long.bin" not in os.listdir(laboratory.content.origin):
        laboratory.content.add("long.bin", 4 * MEBIBYTE, cached=True)
    sha256 = sha256_of(os.path.join(laboratory.content.origin, "long.bin"))

    def row(name):
        return next(row for row in services.ctl("proxies") if row["name"] == name)

    wait_until("former connections have ended", lambda: row(emptied)["committedFlows"] == 0, 10)
    services.ctl("proxy", other, "drain")
    # A few more: on a busy machine some answers come too late.
    load = Load(laboratory, family("origin"), CACHED_HOST, "long.bin", sha256, downloads + 6, 3.0)
    try:
        load.mark(downloads)
        wait_until("one proxy has them all", lambda: row(emptied)["committedFlows"] >= downloads, 10)
        services.ctl("proxy", other, "up")
        answer = services.ctl("evacuate", emptied, "--timeout", "30")
        # Some may have ended meanwhile, none is left behind.
        assert answer["left"] == 0 and answer["moved"] >= downloads * 9 // 10, answer
        summary = load.finish()
    except BaseException:
        load.kill()
        raise
    finally:
        for name in (emptied, other):
            services.ctl("proxy", name, "up")
    return of_load(summary, sha256, "long.bin")


def evacuate_ipv6(laboratory):
    """The same over IPv6."""
    return evacuate(laboratory, addresses.v6)


#: On the way of a blob: a fifth is lost, of the rest every twentieth is spoilt, many overtake others. Keepalives are
#: spared, since a channel that falls silent is another thing.
LOSSY = ("--loss", "0.2", "--corrupt", "0.05", "--reorder", "0.2", "--spare-crtp", "5", "--spare-crtp", "6")


def blob_lossy(laboratory, family=addresses.v4):
    """A download moves with a mebibyte under way, on a channel that loses a fifth and spoils a twentieth of all frames."""
    services, emptied, other = laboratory.services, *PROXIES[:2]
    if "deep.bin" not in os.listdir(laboratory.content.origin):
        laboratory.content.add("deep.bin", 96 * MEBIBYTE, cached=True)

    def row(name):
        return next(row for row in services.ctl("proxies") if row["name"] == name)

    def unacknowledged():
        """Bytes in the emptied proxy's kernel for the client."""
        sockets = laboratory.topology.run(emptied, "ss", "-Htn", "state", "established", "sport", "=", ":80").split()
        return int(sockets[1]) if sockets else 0

    def has_moved():
        """An offer may come to nothing on such a channel. Then the proxy writes on until it is asked again, between two
        pieces of the file."""
        download.read(16 << 10)
        return row(emptied)["movedAway"] == moved + 1

    wait_until("former connections have ended", lambda: row(emptied)["committedFlows"] == 0, 10)
    services.ctl("proxy", other, "drain")
    download, evacuating = None, None
    try:
        # The kernel's buffers grow with the rate, so that there is much to take along once the client stops reading.
        download = StallingDownload(laboratory, family("origin"), CACHED_HOST, "deep.bin", 64 * MEBIBYTE)
        wait_until("much is under way", lambda: settled(unacknowledged) > MEBIBYTE, 10)
        services.ctl("proxy", other, "up")
        moved, log = row(emptied)["movedAway"], services.path(f"{other}.log")
        place = os.path.getsize(log)
        with laboratory.topology.interposed(*LOSSY, "--seed", "6"):
            evacuating = services.ctl_later("evacuate", emptied, "--timeout", "60")
            # In small steps, each when the kernels have come to rest, so that nearly a mebibyte is left.
            while (left := settled(unacknowledged)) > MEBIBYTE:
                download.read(min(64 << 10, left - MEBIBYTE))
            wait_until("it has moved", has_moved, 60)
            whole = download.rest()
        answer = evacuating()
        assert answer["left"] == 0, answer
        sizes = re.findall(r"adopted with what is under way bytes=(\d+)", text_from(log, place))
        assert sizes and int(sizes[-1]) > MEBIBYTE // 2, f"the blob was small: {sizes}"
    except BaseException:
        if download:
            download.kill()
        raise
    finally:
        for name in (emptied, other):
            services.ctl("proxy", name, "up")
    ok = " 200 " in whole["head"].split("\r\n")[0] + " "
    return Played(
        Download(ok, "200", [whole["sha256"]], 0, whole["head"]), ["deep.bin"], f"{emptied}, then {other}")


def settled(ask):
    """The answer, once it is the same twice."""
    while (first := ask()) != ask():
        pass
    return first


def blob_lossy_ipv6(laboratory):
    """The same over IPv6."""
    return blob_lossy(laboratory, addresses.v6)


for scenario in (blob_lossy, blob_lossy_ipv6):
    scenario.stalls = True

for scenario in (rotate, reload, drain, evacuate, evacuate_ipv6, blob_lossy, blob_lossy_ipv6):
    scenario.is_long = True


def tcp_channel(laboratory):
    """CRTP over TLS: the agents are restarted, the director connects anew, and the request is transferred."""
    services = laboratory.services

    def channels(transport):
        services.transports = dict.fromkeys(PROXIES, transport)
        answer = services.reload()
        assert answer["applied"], answer
        laboratory.wait_for_proxies()

    channels("tls")
    try:
        laboratory.restart_agents()
        for row in services.ctl("proxies"):
            assert row["transport"] == "tls" and row["connected"] and row["connects"] == 2, row
        got = curl(laboratory).get([f"http://{CACHED_HOST}/small.bin"], resolve())
    finally:
        channels("udp")
    return Played(got, ["small.bin"], "proxy")


tcp_channel.__name__ = "tcp-channel"


def both_families(laboratory, name, file="small.bin", options=()):
    """A download over IPv4 and one over IPv6."""
    both = [curl(laboratory).get([f"http://{name}/{file}"], resolve(address), options)
            for address in (addresses.v4("origin"), addresses.v6("origin"))]
    return together(both)


def handed_off(laboratory, file="small.bin"):
    """The same by the rule that asks nobody."""
    return both_families(laboratory, ONE_WAY_HOST, file)


def with_rule(laboratory, rule, change):
    """What `change()` gives while the director has one more rule, before all others."""
    services = laboratory.services
    rules = list(services.rules)
    services.rules = [rule] + rules
    try:
        assert services.reload()["applied"]
        return change()
    finally:
        services.rules = rules
        assert services.reload()["applied"]


def one_way(laboratory):
    """Nobody is asked: one datagram gives the proxy connection and request, over IPv4 and IPv6."""
    services = laboratory.services
    before = services.ctl("status")["transfers"]
    got = with_rule(laboratory, ONE_WAY_RULE, lambda: handed_off(laboratory))
    after = services.ctl("status")["transfers"]
    assert after["handedOff"] - before["handedOff"] == 2, after
    return Played(got, ["small.bin"] * 2, "proxy")


def lose_hand_offs(laboratory, amount=1):
    """Of HANDOFFs (type 20), at each proxy, the first ones are lost. Gives what ends that and says how many were."""
    topology = laboratory.topology
    lost = f"udp dport {CRTP_PORT} @th,64,16 0x1414 numgen inc mod 1000000 < {amount} counter drop"
    for name in topology.proxies:
        topology.run(name, "nft", "add table inet lossy; add chain inet lossy in "
                     "{ type filter hook input priority -200; }; " + f"add rule inet lossy in {lost}")

    def end():
        listed = [topology.run(name, "nft", "list", "table", "inet", "lossy") for name in topology.proxies]
        for name in topology.proxies:
            topology.run(name, "nft", "delete", "table", "inet", "lossy")
        return sum(int(count) for text in listed for count in re.findall(r"packets (\d+)", text))

    return end


def one_way_lost(laboratory):
    """The datagram is lost: the client's own repetition brings it again, over IPv4 and IPv6."""
    services = laboratory.services
    before = services.ctl("status")["transfers"]

    def change():
        end = lose_hand_offs(laboratory, 2)
        try:
            return handed_off(laboratory)
        finally:
            lost.append(end())

    lost = []
    got = with_rule(laboratory, ONE_WAY_RULE, change)
    after = services.ctl("status")["transfers"]
    assert lost == [2] and after["handedOffAgain"] - before["handedOffAgain"] >= 2, (lost, after)
    return Played(got, ["small.bin"] * 2, "proxy")


for scenario in (one_way, one_way_lost):
    scenario.__name__ = scenario.__name__.replace("_", "-")


REPLAY_RULE = f"{{ name: replay, ports: [80], application: [http-get], hosts: [{REPLAY_HOST}], proxies: [p1] }}"


def replay_nginx(laboratory, file="huge.bin"):
    """An nginx that knows nothing of all this gets the connections, over IPv4 and IPv6: 1 GiB each, by replayed handshakes."""
    services = laboratory.services
    services.start_replayed_server("p1")
    services.attach("p1")
    try:
        got = with_rule(laboratory, REPLAY_RULE, lambda: both_families(laboratory, REPLAY_HOST, file))
    finally:
        services.detach("p1")
        services.processes.pop("p1-web").stop()
    return Played(got, [file] * 2, "proxy")


replay_nginx.__name__ = "replay-nginx"
replay_nginx.is_long = True


def peers(laboratory):
    """Two servers behind one address: a connection lands on either, and moves to the one that has the content. The fabric
    is told in mid-download, or not at all. Over IPv4 and IPv6."""
    downloads, files = [], []

    def get(name, told=None):
        for address in SHARED:
            client = curl(laboratory).start(
                [f"http://{peer_host(name)}/only-{name}.bin"], {peer_host(name): address.partition("/")[0]},
                ["--limit-rate", "4M"])
            if told:
                wait_until("the download has begun", lambda: client.body_size() > 0, 10)
                pair.land(told)
            downloads.append(client.finish())
            files.append(f"only-{name}.bin")
            if told:
                pair.land(PROXIES[0])

    with Peers(laboratory) as pair:
        get("p1")
        get("p2")
        get("p2", told="p2")
        pair.land("p2")
        get("p1")
        committed = {name: pair.status(name)["transfers"]["committed"] for name in PROXIES}
    assert committed == {"p1": 4, "p2": 2}, committed
    return Played(together(downloads), files, "proxy", reason="committed by its peer")


def forwarder(laboratory, forwarding):
    """Two forwarders before a classifier, and proxies that answer the client directly: requests over IPv4 and IPv6, and in
    the middle of a large download its forwarder is killed."""
    downloads, files = [], []

    def get(name, address, options=()):
        files.append(name)
        return curl(laboratory).start([f"http://{CACHED_HOST}/{name}"], resolve(address), options)

    for address in 3 * addresses.FORWARDED:
        downloads.append(get("small.bin", address).finish())
    client = get("huge.bin", addresses.FORWARDED[0])
    wait_until("the download has begun", lambda: client.body_size() > MEBIBYTE, 10)
    wait_until("both forwarders have its mapping", lambda: min(map(forwarding.mapped, FORWARDERS)) > 0, 10)
    through = forwarding.counters("f1")["encapsulated"]
    laboratory.services.kill("f1")
    forwarding.land("f2")
    downloads.append(client.finish())
    after = forwarding.counters("f2")
    assert through > 100 and after["encapsulated"] > 100, (through, after)
    return Played(together(downloads), files, "proxy", reason="forwarder killed")


forwarder.around = Forwarding
forwarder.devices = ("c1", "cf1", "cf2")
forwarder.is_long = True


def encapsulated(laboratory, kind, outer):
    with Distant(laboratory, kind, outer):
        before = laboratory.services.counters()["encapsulated"]
        got = both_families(laboratory, CACHED_HOST)
        after = laboratory.services.counters()
    # Request, acknowledgements and FIN of each connection, and nothing that was too long.
    assert after["encapsulated"] - before > 4 and after["droppedTooBig"] == 0, after
    return Played(got, ["small.bin"] * 2, "proxy")


def ipip(laboratory):
    """A proxy behind a router: the client's IPv4 and IPv6 packets go there inside others of IPv4."""
    return encapsulated(laboratory, "ipip", 4)


def gue(laboratory):
    """The same by generic UDP encapsulation, over IPv6."""
    return encapsulated(laboratory, "gue", 6)


def vxlan(laboratory):
    """The same by VXLAN, over IPv4."""
    return encapsulated(laboratory, "vxlan", 4)


def quic_sni(laboratory):
    """HTTP/3 for a name that the proxies have; in the middle the client goes on from another port."""
    got, told = datagrams.get(laboratory.services, CACHED_HOST, "/small.bin", rebind_after=64 << 10)
    if got.ok and len(told["ports"]) != 2:
        got = got._replace(ok=False, error=f"the client has kept its port: {told}")
    return Played(got, ["small.bin"], "proxy")


def quic_origin(laboratory):
    """HTTP/3 for another name at the same address: the origin's."""
    got, _ = datagrams.get(laboratory.services, ORIGIN_HOST, "/small.bin")
    return Played(got, ["small.bin"], "origin")


def wait_for_origins(laboratory):
    """The virtual servers' origins have answered their first checks."""
    wait_until("the origins are up", lambda: all(
        origin["up"] for origin in laboratory.services.ctl("origins")), 20)


def virtual(laboratory, address, name, expected):
    wait_for_origins(laboratory)
    got = curl(laboratory).get([f"http://{CACHED_HOST}/{name}"], resolve(address))
    return Played(got, [name], expected)


def symmetric(laboratory):
    """The director answers the SYN itself; a proxy has the object and takes the connection over."""
    return virtual(laboratory, addresses.VIRTUAL_SERVERS[0], "cached.bin", "proxy")


def symmetric_ipv6(laboratory):
    """The same over IPv6."""
    return virtual(laboratory, addresses.VIRTUAL_SERVERS[1], "small.bin", "proxy")


def symmetric_nack(laboratory):
    """No proxy has the object: an origin of the pool gets the connection, translated from then on."""
    return virtual(laboratory, addresses.VIRTUAL_SERVERS[0], "uncached.bin", "origin")


def symmetric_nack_ipv6(laboratory):
    """The same over IPv6."""
    return virtual(laboratory, addresses.VIRTUAL_SERVERS[1], "uncached.bin", "origin")


for scenario in (symmetric_ipv6, symmetric_nack, symmetric_nack_ipv6, evacuate_ipv6, blob_lossy, blob_lossy_ipv6):
    scenario.__name__ = scenario.__name__.replace("_", "-")

for scenario in (quic_sni, quic_origin):
    scenario.over_udp = True
    scenario.__name__ = scenario.__name__.replace("_", "-")


#: In the order of the demo.
ALL = [cached, uncached, late, dead, keepalive, split, ipv6, tls, asymmetric, pmtu, restart, retransfer, observe,
       multicast, one_way, one_way_lost, rotate, reload, drain, evacuate, evacuate_ipv6, blob_lossy,
       blob_lossy_ipv6, tcp_channel, quic_sni, quic_origin, symmetric,
       symmetric_ipv6, symmetric_nack, symmetric_nack_ipv6, replay_nginx, peers, ipip, gue, vxlan,
       forwarder]
