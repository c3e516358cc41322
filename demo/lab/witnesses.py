"""Who else would have noticed that something was wrong with a client's connections: its kernel, and Wireshark's experts."""

from .shell import run

#: A client's kernel counts these when something that it was sent did not fit.
COMPLAINTS = ("InCsumErrors", "PAWSEstab", "TCPChallengeACK", "TSEcrRejected", "TCPSACKDiscard", "TCPSYNChallenge")
#: Errors, not warnings: a busy machine loses a segment now and then. Kernels write a checksum of 0 as 0xFFFF.
ERRORS = ("(_ws.expert.severity >= 8388608 || tcp.checksum.status == 0 || udp.checksum.status == 0 || "
          "ip.checksum.status == 0) && !(tcp.checksum == 0xffff)")
#: Of those, what a busy machine cannot bring about: the others count a SYN/ACK or a FIN that comes again.
GRAVE = ("InCsumErrors",)
#: Of a long capture so many packets are enough: the kernel counts wrong checksums to the end.
PACKETS = 100_000


def complaints(topology, host):
    """What a host's kernel has counted so far, by name."""
    lines = topology.run(host, "cat", "/proc/net/netstat", "/proc/net/snmp").splitlines()
    found = {}
    for names, values in zip(lines[::2], lines[1::2]):
        found |= {name: int(value) for name, value in zip(names.split()[1:], values.split()[1:]) if name in COMPLAINTS}
    return found


def new_complaints(before, after, names=COMPLAINTS):
    """One line for each counter that has grown."""
    return [f"the client's kernel: {name} {after[name] - count}" for name, count in before.items()
            if name in names and after[name] > count]


def expert_errors(path):
    """tshark's lines about packets of a capture that are wrong. What TCP carries is random bytes, and no matter here."""
    contents = [word for port in (80, 443, 8080) for word in ("-d", f"tcp.port=={port},data")]
    found = run("tshark", "-r", path, "-c", str(PACKETS), *contents, "-o", "tcp.check_checksum:TRUE",
                "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", ERRORS)
    return [f"tshark: {line.strip()}" for line in found.splitlines()]
