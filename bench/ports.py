"""The two ports that every program of the bench is given, and EAL's arguments.

Port 0 is net_pcap with `infinite_rx=1`: when its queue is set up it reads the whole capture into mbufs, one each, and
then copies one after another into a fresh mbuf, for ever. Port 1 is net_null with `no-rx=1`: it receives nothing. Both
discard, and count, what they transmit. So a packet's cost includes one copy, one allocation and one release, the same
for every program.
"""

#: Mbufs besides the capture's own: caches, bursts under way.
SPARE_PACKETS = 8192

#: Bytes of hugepages that a packet of the capture takes: a pool element with 2 KiB of room, and its place in the rings.
BYTES_PER_PACKET = 2600

#: The measured lcore's CPU; everything else happens on the other one.
MEASURED_CPU = 1


def devices(capture):
    """EAL's arguments for the two ports."""
    return [f"--vdev=net_pcap0,rx_pcap={capture},infinite_rx=1", "--vdev=net_null0,no-rx=1"]


def environment(prefix, lcores=f"0@0,1@{MEASURED_CPU}"):
    """EAL's arguments that all programs have in common. Memory is the process's own, on hugepages."""
    return ["--lcores", lcores, "--in-memory", "--no-pci", "--file-prefix", prefix, "--log-level", "lib.eal:4"]


def alone():
    """A program's only lcore is the measured one."""
    return f"{MEASURED_CPU}@{MEASURED_CPU}"
