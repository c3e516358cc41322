"""The programs of a laboratory: nginx as origin, batond as director, baton-agent as proxies."""

import json
import os
import pwd
import secrets
import signal
import subprocess

from . import topology as addresses
from .authority import Authority
from .shell import CommandFailed, Process, run, wait_until

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARIES = os.environ.get("BATON_BINARIES", os.path.join(REPOSITORY, ".build", "release"))

#: What the origin calls itself; each is a name in its certificate as well.
CACHED_HOST = "cached.example.org"
ORIGIN_HOST = "origin.example.org"
OBSERVED_HOST = "observed.example.org"
MULTICAST_HOST = "multicast.example.org"
#: Its objects lie on different proxies, and connections move between them.
MOVING_HOST = "moving.example.org"
#: Its connections are handed off: no proxy is asked.
ONE_WAY_HOST = "one-way.example.org"
#: Its connections a proxy's nginx gets by replay, and nobody else.
REPLAY_HOST = "replay.example.org"
CRTP_PORT = 7443
#: Channels over TLS are accepted at the same port, those over bare TCP and over HTTP at the next ones.
TCP_PORT = CRTP_PORT + 1
HTTP_PORT = CRTP_PORT + 2
#: The agents listen to both; the director asks by the first.
#: Where the origin serves as one of a virtual server's pool.
POOL_PORT = 8081
#: Where a proxy's nginx listens that gets connections by replay.
REPLAY_PORT = 8082
#: The same of those that come to an address that two of them share.
PEER_PORT = 8083
SHARED = ("10.0.0.70/32", "fd00:ba::70/128")
GROUPS = (f"239.192.0.1:{CRTP_PORT}", f"[ff15::ba70]:{CRTP_PORT}")

#: One machine is all hosts here, and late now and then: a head may be incomplete, and two proxies can be asked, for nearly
#: all the time that there is.
PATIENT = {"floor": "25ms", "initial": "25ms", "ceiling": "32ms"}
INCOMPLETE_HEAD = "30ms"
#: Where nobody else has the content, and only one is asked.
MOST_PATIENT = {"floor": "60ms", "initial": "60ms", "ceiling": "64ms"}

ONE_WAY_RULE = (f"{{ name: one-way, ports: [80], application: [http-get], hosts: [{ONE_WAY_HOST}], "
                "algorithm: application-hash, handoff: one-way }")

RULES = (
    f"{{ name: asymmetric, clients: [{addresses.ASYMMETRIC_CLIENT}/32], ports: [80], application: [http-get], "
    "asymmetric: true }",
    f"{{ name: observed, ports: [8080], application: [http-get], mode: observe, hosts: [{OBSERVED_HOST}] }}",
    f"{{ name: multicast, ports: [8080], application: [http-get], hosts: [{MULTICAST_HOST}], algorithm: multicast }}",
    f"{{ name: moving, ports: [80], application: [http-get], hosts: [{MOVING_HOST}], later-requests: move }}",
    "{ name: web, ports: [80], application: [http-get] }",
    "{ name: tls, ports: [443], application: [tls] }",
)


def peer_host(name):
    """What a proxy calls its own content, behind the shared address."""
    return f"{name}.peers.example.org"


def endpoint(address, port):
    address = address.partition("/")[0]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Content:
    """Files that origin and proxies serve, made once for a laboratory. The name says who has a file."""

    def __init__(self, directory):
        self.directory = directory
        self.origin = os.path.join(directory, "origin")
        self.proxy = os.path.join(directory, "proxy")
        os.makedirs(self.origin, exist_ok=True)
        os.makedirs(self.proxy, exist_ok=True)

    def own(self, proxy):
        """Where files lie that this proxy alone has."""
        path = os.path.join(self.directory, f"only-{proxy}")
        os.makedirs(path, exist_ok=True)
        return path

    def add(self, name, size, cached, only=None):
        """A file of `size` random bytes at the origin and, when `cached`, the same one at the proxies, or at one."""
        path = os.path.join(self.origin, name)
        with open(path, "wb") as file:
            remaining = size
            while remaining > 0:
                block = secrets.token_bytes(min(remaining, 1 << 24))
                file.write(block)
                remaining -= len(block)
        os.chmod(path, 0o644)
        if cached:
            link = os.path.join(self.own(only) if only else self.proxy, name)
            if os.path.exists(link):
                os.remove(link)
            os.link(path, link)
        return path


class Services:
    """Starts, stops and asks the programs; all their files lie in `directory`."""

    def __init__(self, topology, directory, content):
        self.topology = topology
        self.directory = directory
        self.content = content
        self.processes = {}
        #: More keys of the director's `workers` section.
        self.worker_options = {}
        #: The director's rules and routes, entries in YAML.
        self.rules = list(RULES)
        self.routes = []
        #: More keys of a proxy's entry in the director's configuration, by its name.
        self.proxy_options = {}
        #: More keys of an agent's configuration, by its name, and more entries of all catalogues.
        self.agent_options = {}
        self.sites = []
        #: More entries of one agent's catalogue: a function of its name.
        self.sites_of = lambda name: ()
        #: Words before an agent's command line, by its name.
        self.agent_wrappers = {}
        #: Document roots of agents that do not have the proxies' content.
        self.roots = {}
        #: Everybody's key files by number, more keys of the director's `crtp` section and the agents', and more sections.
        self.keys = {}
        self.crtp_options = {"multicast": f'{{ group: "{GROUPS[0]}", interface: dm }}'}
        #: Where the director's CRTP socket is bound.
        self.crtp_listen = f"{addresses.v4('director')}:0"
        self.agent_crtp_options = {}
        self.director_options = {}
        #: The director's `timeout` section.
        self.timeout_options = dict(PATIENT)
        #: More arguments of the director's EAL.
        self.eal_options = ["--no-telemetry"]
        self.add_key(1)
        #: Names of the director's proxies, when they are not all there are.
        self.director_proxies = ()
        #: Of the director that was started last.
        self.workers = 1
        #: What carries the channels: "udp", "tcp", "tls" or "http" by proxy; UDP where none is said.
        self.transports = {}
        self.authority = Authority(directory)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def key_table(self):
        return ", ".join(f"{number}: {path}" for number, path in self.keys.items())

    def add_key(self, number):
        """A new key in a file of its own, known to programs that read their configuration from now on."""
        path = self.keys[number] = self.path(f"key{number}")
        with open(path, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
        # Agents read it again when they have become nobody.
        os.chown(path, 0, pwd.getpwnam("nobody").pw_gid)
        os.chmod(path, 0o640)
        return path

    def start(self, name, host, *command):
        process = Process(name, self.topology.inside(host, *command), self.path(f"{name}.log"))
        self.processes[name] = process
        return process

    def stop_all(self):
        if "director" in self.processes:
            self.processes.pop("director").stop()
        for process in self.processes.values():
            process.end()
        for process in self.processes.values():
            process.stop()
        self.processes.clear()

    # MARK: origin

    def make_certificate(self):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", self.path("tls.key"), "-out", self.path("tls.crt"), "-subj", "/CN=Baton demo",
            "-addext", f"subjectAltName=DNS:{CACHED_HOST},DNS:{ORIGIN_HOST}")

    def start_nginx(self, name, host, root, listen, log):
        """A real nginx; `listen` are lines of its configuration."""
        os.makedirs(self.path(name), exist_ok=True)
        configuration = self.write(f"{name}.conf", f"""
daemon off; worker_processes 1; user root; pid {self.path(name)}/nginx.pid;
error_log {self.path(name)}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  sendfile on; tcp_nopush on; default_type application/octet-stream;
  keepalive_requests 100000; keepalive_timeout 75s;
  large_client_header_buffers 8 64k;
  client_body_temp_path {self.path(name)}/body; proxy_temp_path {self.path(name)}/proxy;
  fastcgi_temp_path {self.path(name)}/fastcgi; uwsgi_temp_path {self.path(name)}/uwsgi; scgi_temp_path {self.path(name)}/scgi;
  log_format served '$remote_addr $remote_port "$request" $status $body_bytes_sent';
  access_log {log} served;
  ssl_certificate {self.path('tls.crt')}; ssl_certificate_key {self.path('tls.key')};
  server {{
    {' '.join(listen)}
    root {root};
    location /echo {{ return 200 "origin\\n"; }}
  }}
}}
""")
        process = self.start(name, host, "nginx", "-c", configuration, "-p", self.path(name))
        wait_until(f"{name} writes its pid", lambda: os.path.exists(f"{self.path(name)}/nginx.pid"), process=process)
        return process

    def start_origin(self):
        if not os.path.exists(self.path("tls.crt")):
            self.make_certificate()
        ports = [f"listen {port} backlog=4096; listen [::]:{port} backlog=4096;" for port in (80, 8080, POOL_PORT)]
        ports += ["listen 443 ssl; listen [::]:443 ssl;"]
        self.start_nginx("origin", "origin", self.content.origin, ports, self.path("origin-access.log"))

    def start_tls_server(self, name):
        """The server with the certificate on a proxy, to which its agent relays adopted TLS connections."""
        listen = ["listen 127.0.0.1:8443 ssl proxy_protocol;"]
        self.start_nginx(f"{name}-tls", name, self.content.proxy, listen, self.path(f"{name}-tls-access.log"))

    def start_replayed_server(self, name):
        """An nginx on a proxy, like any other: it knows of no agent."""
        listen = [f"listen {REPLAY_PORT} backlog=4096; listen [::]:{REPLAY_PORT} backlog=4096;"]
        self.start_nginx(f"{name}-web", name, self.content.proxy, listen, self.path(f"{name}-access.log"))

    def attach(self, name, sections="", peers=()):
        """A director on a proxy's own host stands between that and the network from now on. `sections`: more of its
        configuration; `peers`: its proxies."""
        log = os.path.getsize(self.path(f"{name}.log"))
        configuration = self.write(f"{name}-host.yaml", f"""
name: {name}-host
log-lines-per-second: 100000
host: {{ agent: {self.path(f"{name}.yaml")} }}
workers: {{ incomplete-head: {INCOMPLETE_HEAD}, lifetimes: {{ closed: 1s }} }}
timeout: {{ {", ".join(f"{key}: {value}" for key, value in MOST_PATIENT.items())} }}
control: {{ socket: {self.path(f"{name}-host.sock")} }}
{sections}""")
        memory = ["--in-memory", "--socket-mem", "128"] if free_hugepages() >= 96 else ["--no-huge", "-m", "192"]
        cpus = os.cpu_count() or 1
        process = self.start(
            f"{name}-host", name, os.path.join(BINARIES, "batond"), "--config", configuration, "--",
            "--lcores", f"0@0,1@{cpus - 1}", "--no-pci", "--no-telemetry", "--no-shconf",
            "--file-prefix", f"{self.topology.prefix}-{name}", "--log-level", "error", *memory)
        wait_until("the director is attached, and the agent knows", lambda: "attached" in process.tail()
                   and self.is_replayer_connected(name, log), 20, process)
        wait_until("its peers are up", lambda: self.is_director_ready(peers, f"{name}-host"), 20, process)
        return process

    def is_replayer_connected(self, name, since=0):
        with open(self.path(f"{name}.log"), errors="replace") as file:
            file.seek(since)
            told = [line for line in file if "replayer connected" in line or "replayer gone" in line]
        return bool(told) and "connected" in told[-1]

    def detach(self, name):
        """The host gets its interface back, once nobody's connection needs the director."""
        self.processes.pop(f"{name}-host").stop()

    # MARK: agents

    def agent_configuration(self, name):
        def origins(*ports):
            return [f"{address}:{port}" for port in ports
                    for address in (addresses.v4("origin"), f"[{addresses.v6('origin')}]")]

        virtual = [endpoint(address, 80) for address in (*addresses.VIRTUAL_SERVERS, *addresses.FORWARDED)]
        relays = [f'{{ address: "{dialled}", server: "{endpoint(server, POOL_PORT)}" }}'
                  for dialled, server in zip(virtual, 2 * (addresses.v4("origin"), addresses.v6("origin")))]
        own = (addresses.v4(name), addresses.v6(name))
        origin = (addresses.v4("origin"), addresses.v6("origin"))
        replays = "\n".join(
            f'  - {{ origins: ["{endpoint(dialled, 80)}"], hosts: [{host}], replay: "{endpoint(server, port)}" }}'
            for dialled, host, port in ((origin, REPLAY_HOST, REPLAY_PORT), (SHARED, peer_host(name), PEER_PORT))
            for dialled, server in zip(dialled, own))
        options = "\n".join(f"{key}: {value}" for key, value in self.agent_options.get(name, {}).items())
        crtp = "\n".join(f"  {key}: {value}" for key, value in self.agent_crtp_options.items())
        sites = "\n".join(f"  - {site}" for site in [*self.sites, *self.sites_of(name)])
        return f"""
name: {name}
interface: eth0
{options}
user: nobody
crtp:
  listen: ["{addresses.v4(name)}:{CRTP_PORT}"]
  tcp: ["{addresses.v4(name)}:{TCP_PORT}"]
  http: ["{addresses.v4(name)}:{HTTP_PORT}"]
  tls: {{ listen: ["{addresses.v4(name)}:{CRTP_PORT}"], certificate: {self.authority.certificate(name)}, key: {self.authority.key(name)}, client-ca: {self.authority.file} }}
  directors: [{", ".join(f'"{address}"' for address in self.directors())}]
  groups: {json.dumps(GROUPS)}
  keys: {{ {self.key_table()} }}
{crtp}
access-log: {self.path(f'{name}-access.log')}
log: {{ lines-per-second: 100000 }}
serving:
  origins: [{", ".join(relays)}]
replay: {{ socket: {self.path(f"{name}-replay.sock")} }}
catalogue:
  - {{ origins: {json.dumps(origins(80, 8080) + virtual)}, hosts: [{CACHED_HOST}, {OBSERVED_HOST}, {MULTICAST_HOST}, {ONE_WAY_HOST}], root: {self.roots.get(name, self.content.proxy)} }}
  - {{ origins: {json.dumps(origins(80) + virtual)}, hosts: [{MOVING_HOST}], root: {self.content.own(name)} }}
  - {{ origins: {json.dumps(origins(443))}, hosts: [{CACHED_HOST}], relay: "127.0.0.1:8443", tls: true, proxy-protocol: true }}
{replays}
{sites}
"""

    def directors(self):
        """Who may ask agents."""
        hosts = [addresses.v4(name) for name in self.topology.proxies]
        forwarding = [addresses.v4(name) for name in addresses.TUNNELS]
        forwarding += [address for ends in addresses.TUNNELS.values() for address in ends]
        return [addresses.v4("director"), addresses.OWN_ADDRESS, addresses.v6("director"), addresses.OWN_ADDRESS_V6, *hosts,
                *forwarding]

    def start_agent(self, name):
        process = self.begin_agent(name)
        self.wait_for_agent(name, process)
        return process

    def begin_agent(self, name):
        configuration = self.write(f"{name}.yaml", self.agent_configuration(name))
        command = [*self.agent_wrappers.get(name, ()), os.path.join(BINARIES, "baton-agent")]
        return self.start(name, name, *command, "--config", configuration)

    def succeed_agent(self, name):
        """Starts a successor of the agent that runs there; gives the process that it succeeds."""
        old, begun = self.processes[name], os.path.getsize(self.path(f"{name}.log"))

        def is_succeeded():
            with open(self.path(f"{name}.log"), errors="replace") as log:
                log.seek(begun)
                return "succeeded by another" in log.read()

        successor = self.start(name, name, os.path.join(BINARIES, "baton-agent"), "--config", self.path(f"{name}.yaml"),
                               "--take-over")
        wait_until(f"{name} has a successor", is_succeeded, 20, successor)
        return old

    def wait_for_agent(self, name, process):
        wait_until(
            f"{name} listens for CRTP",
            lambda: f":{CRTP_PORT}" in self.topology.run(name, "ss", "-Hlun"), process=process)

    def give_keys_to_agents(self):
        """Agents that run read their configuration's keys again; waits until the director has heard of it."""
        running = [name for name in self.topology.proxies if name in self.processes]
        for name in running:
            self.write(f"{name}.yaml", self.agent_configuration(name))
            self.processes[name].signal(signal.SIGHUP)
        wait_until("the agents hold the keys", lambda: all(
            channel["held"] == sorted(self.keys) for channel in self.ctl("keys")["channels"] if channel["proxy"] in running))

    def rotate_keys(self, number):
        """All that an operator does to bring key `number` into use and to take the others away. What `keys` says then."""
        self.add_key(number)
        self.give_keys_to_agents()
        self.write("batond.yaml", self.director_configuration(self.workers))
        self.ctl("keys", "rotate", "--to", str(number))
        self.crtp_options["current-key"] = number
        self.keys = {number: self.keys[number]}
        self.write("batond.yaml", self.director_configuration(self.workers))
        answer = self.ctl("keys", "rotate", "--to", str(number))
        self.give_keys_to_agents()
        return answer

    def reload(self, *options):
        """The director's file as it would be written now, taken while it runs; what changed."""
        self.write("batond.yaml", self.director_configuration(self.workers))
        return self.ctl("reload", *options)

    # MARK: director

    def director_configuration(self, workers=1):
        options = "".join(
            f", {key}: {value}" for key, value in ({"incomplete-head": INCOMPLETE_HEAD} | self.worker_options).items())
        if workers == 1:
            clients, servers = ["net_af_xdp0,iface=dc"], ["net_af_xdp1,iface=ds"]
        else:
            # The kernel spreads a flow over the queues by its hash; batond has another, so half of all is handed over.
            clients = [f"net_af_packet0,iface=dc,qpairs={workers}"]
            servers = [f"net_af_packet1,iface=ds,qpairs={workers}"]
        crtp = "\n".join(f"  {key}: {value}" for key, value in ({"current-key": 1} | self.crtp_options).items())
        sections = "\n".join(f"{key}: {value}" for key, value in self.director_options.items())
        timeout = "".join(f"  {key}: {value}\n" for key, value in self.timeout_options.items())
        proxies = "\n".join(self._proxy_entry(name) for name in self.director_proxies or self.topology.proxies)
        return f"""
name: director
log-lines-per-second: 100000
ports:
  client: {json.dumps(clients)}
  server: {json.dumps(servers)}
  queues: {workers}
workers: {{ count: {workers}, flows: 65536, idle: adaptive{options} }}
crtp:
  listen: {self.crtp_listen}
  keys: {{ {self.key_table()} }}
{self.tls_entry()}
{crtp}
timeout:
{timeout}{sections}
proxies:
{proxies}
virtual-servers:
{self.virtual_servers()}
rules: [{", ".join(self.rules)}]
routes: [{", ".join(self.routes)}]
control: {{ socket: {self.path('batond.sock')} }}
"""

    def virtual_servers(self):
        """The director's own addresses; their pools are the origin, at a port of its own."""
        return "\n".join(
            f'  - {{ name: {name}, address: "{endpoint(address, 80)}", check: {{ interval: 250ms }}, '
            f'origins: [{{ name: {name}-origin, address: "{endpoint(origin, POOL_PORT)}" }}] }}'
            for name, address, origin in zip(("www", "www6"), addresses.VIRTUAL_SERVERS,
                                             (addresses.v4("origin"), addresses.v6("origin"))))

    def _proxy_entry(self, name):
        transport = self.transports.get(name, "udp")
        options = {} if transport == "udp" else {"transport": transport}
        if transport == "tls":
            options["server-name"] = f"{name}.baton.example"
        options = "".join(f", {key}: {value}" for key, value in (options | self.proxy_options.get(name, {})).items())
        port = {"tcp": TCP_PORT, "http": HTTP_PORT}.get(transport, CRTP_PORT)
        return f'  - {{ name: {name}, address: "{addresses.v4(name)}:{port}"{options} }}'

    def tls_entry(self):
        """What the director trusts and shows, when there is a channel over TLS."""
        if "tls" not in self.transports.values():
            return ""
        own = f"certificate: {self.authority.certificate('director')}, key: {self.authority.key('director')}"
        return f"  tls: {{ ca: {self.authority.file}, {own} }}"

    def start_director(self, workers=1, wait_for=None):
        self.workers = workers
        configuration = self.write("batond.yaml", self.director_configuration(workers))
        cpus = os.cpu_count() or 1
        lcores = ",".join(f"{index}@{min(index, cpus - 1) if index else 0}" for index in range(workers + 1))
        memory = ["--in-memory", "--socket-mem", "192"] if free_hugepages() >= 128 else ["--no-huge", "-m", "192"]
        process = self.start(
            "director", "director", os.path.join(BINARIES, "batond"), "--config", configuration, "--",
            "--lcores", lcores, "--no-pci", *self.eal_options, "--no-shconf", "--file-prefix", self.topology.prefix,
            "--log-level", "error", *memory)
        wait_until("batond forwards, its proxies are up", lambda: self.is_director_ready(wait_for), 20, process)
        return process

    def is_director_ready(self, wait_for=None, director="batond"):
        """batond answers, and knows of these proxies (or all) and of the flows that they have."""
        try:
            proxies = {row["name"]: row["state"] for row in self.ctl("proxies", director=director) if row["state"] != "leaving"}
            isRecovering = self.ctl("status", director=director)["recovering"]
        except (CommandFailed, ValueError):
            return False
        wanted = self.topology.proxies if wait_for is None else wait_for
        return all(proxies.get(name) == "up" for name in wanted) and not isRecovering

    def ctl(self, *arguments, director="batond"):
        """batonctl's answer as a value."""
        return json.loads(
            run(os.path.join(BINARIES, "batonctl"), *arguments, "--socket", self.path(f"{director}.sock"), "--json"))

    def ctl_later(self, *arguments):
        """The same of a command that waits: begins it, and gives what waits for its answer."""
        command = [os.path.join(BINARIES, "batonctl"), *arguments, "--socket", self.path("batond.sock"), "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return lambda: json.loads(process.communicate(timeout=90)[0])

    def counters(self):
        """All workers' counters and gauges, summed."""
        total = {}
        for worker in self.ctl("status")["workers"]:
            for name, value in list(worker["counters"].items()) + list(worker["gauges"].items()):
                total[name] = total.get(name, 0) + value
        return total

    def pause(self, name):
        self.processes[name].signal(signal.SIGSTOP)

    def resume(self, name):
        self.processes[name].signal(signal.SIGCONT)

    def kill(self, name):
        self.processes.pop(name).kill()

    def access_log(self, name):
        """Lines of an access log so far: `origin`, `p1`, `p2`, `p1-tls`."""
        path = self.path(f"{name}-access.log")
        if not os.path.exists(path):
            return []
        with open(path, errors="replace") as file:
            return file.read().splitlines()


def free_hugepages():
    try:
        with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") as file:
            return int(file.read())
    except OSError:
        return 0
