"""Services over UDP, and their clients: HTTP/3 by aioquic, DNS by dnsmasq and dig.

Each proxy has servers of its own, bound to its own address; its agent's packet filter gives them what comes for the
origin.
"""

import json
import os
import time

from . import topology as addresses
from .downloads import Download
from .services import CACHED_HOST, ORIGIN_HOST, REPOSITORY
from .shell import CommandFailed, run, wait_until
from .topology import PROXIES

HERE = os.path.dirname(os.path.abspath(__file__))
#: Made by `make`, from demo/requirements.txt.
PYTHON = os.path.join(REPOSITORY, ".build", "python", "bin", "python")

#: What DNS says of a name, by who says it.
ANSWERS = {"origin": "192.0.2.80", "p1": "192.0.2.11", "p2": "192.0.2.12"}
QUIC_PORT, DNS_PORT = 4433, 5353

RULES = (
    f"{{ name: quic, ports: [443], application: [quic], hosts: [{CACHED_HOST}] }}",
    f"{{ name: dns, ports: [53], application: [dns], hosts: [{CACHED_HOST}] }}",
)


def sites(name):
    """Entries of a proxy's catalogue, of either family."""
    for origin, own in ((addresses.v4("origin"), addresses.v4(name)),
                        (f"[{addresses.v6('origin')}]", f"[{addresses.v6(name)}]")):
        for port, server in ((443, QUIC_PORT), (53, DNS_PORT)):
            yield f'{{ origins: ["{origin}:{port}"], hosts: [{CACHED_HOST}], udp-server: "{own}:{server}" }}'


def start_quic_server(services, name, port, root):
    log = services.path(f"{name}-quic-access.log")
    process = services.start(
        f"{name}-quic", name, PYTHON, os.path.join(HERE, "quic_server.py"), "--address", "::", "--port", port,
        "--certificate", services.path("tls.crt"), "--key", services.path("tls.key"), "--root", root, "--log", log,
        "--name", name)
    wait_until(f"the HTTP/3 server of {name} is ready", lambda: "ready" in process.tail(), process=process)


def start_dns_server(services, name, port):
    process = services.start(
        f"{name}-dns", name, "dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--user=root", "--pid-file",
        f"--port={port}", "--conf-file=/dev/null", f"--address=/#/{ANSWERS[name]}", "--log-queries")
    wait_until(f"the DNS server of {name} is ready",
               lambda: f":{port}" in services.topology.run(name, "ss", "-Hlun"), process=process)


def start(services):
    """Servers at the origin and the proxies. The origin's certificate must have been made."""
    if not os.path.exists(PYTHON):
        raise CommandFailed(f"there is no {PYTHON}: make .build/python/ready")
    start_quic_server(services, "origin", 443, services.content.origin)
    start_dns_server(services, "origin", 53)
    for name in PROXIES:
        start_quic_server(services, name, QUIC_PORT, services.content.proxy)
        start_dns_server(services, name, DNS_PORT)


def requests(services, name):
    """Lines of an HTTP/3 server's log."""
    path = services.path(f"{name}-quic-access.log")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return file.read().splitlines()


def get(services, host, path, address=None, **options):
    """One download over HTTP/3: (Download, what the client told)."""
    words = [word for name, value in options.items()
             for word in ([f"--{name.replace('_', '-')}"] + ([] if value is True else [value]))]
    started = time.monotonic()
    try:
        told = json.loads(services.topology.run(
            "client", PYTHON, os.path.join(HERE, "quic_client.py"), "--address", address or addresses.v4("origin"),
            "--host", host, "--path", path, "--authority", services.path("tls.crt"), *words))
        return Download(told["status"] == "200", told["status"], [told["sha256"]], told["seconds"], ""), told
    except CommandFailed as error:
        return Download(False, "", [""], time.monotonic() - started, str(error)), {"server": "", "ports": []}


def resolve(services, name, address=None, kind="A"):
    """What dig gets to hear, in one line."""
    return run(*services.topology.inside(
        "client", "dig", f"@{address or addresses.v4('origin')}", "+short", "+tries=1", "+time=3", kind, name)).strip()


__all__ = ["ANSWERS", "CACHED_HOST", "ORIGIN_HOST", "RULES", "get", "requests", "resolve", "sites", "start"]
