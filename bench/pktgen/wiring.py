"""Where frames run: the ports of the device under test and of the generator, and which CPU runs what."""

import os
import re
from dataclasses import dataclass

PCI_ADDRESS = re.compile(r"(?:[0-9a-fA-F]{4}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]")


@dataclass(frozen=True)
class CPUs:
    """Which CPU runs what. The device's worker never shares its own; with two CPUs everything else shares the other."""

    control: int
    worker: int
    transmit: int
    #: The same as `transmit` when the generator has one CPU for both.
    receive: int

    @staticmethod
    def of(text=None):
        """From `CONTROL,WORKER,TRANSMIT[,RECEIVE]`, or as many as the machine has."""
        if text:
            numbers = [int(word) for word in text.split(",")]
            if not 3 <= len(numbers) <= 4:
                raise ValueError("--cpus takes three or four numbers: control, worker, transmit and perhaps receive")
            return CPUs(*numbers[:3], numbers[-1])
        available = sorted(os.sched_getaffinity(0))
        if len(available) < 2:
            raise ValueError("two CPUs are needed: one for Baton's worker, one for everything else")
        control, worker = available[:2]
        transmit = available[2] if len(available) > 2 else control
        return CPUs(control, worker, transmit, available[3] if len(available) > 3 else transmit)

    def device_lcores(self):
        return f"0@{self.control},1@{self.worker}"

    def generator_lcores(self):
        return f"0@{self.transmit}" + (f",1@{self.receive}" if self.receive != self.transmit else "")

    def text(self):
        generator = f"generator {self.transmit}"
        generator += f", sink {self.receive}" if self.receive != self.transmit else " (sends and receives by turns)"
        return f"worker alone on CPU {self.worker}; control {self.control}; {generator}"


class Memif:
    """Two shared-memory links on one machine. The device waits to be called; the generator calls, and so decides how
    large the rings are."""

    kind = "memif"

    def __init__(self, directory, ring):
        self._directory = directory
        self._ring = ring

    def _port(self, number, side, role, directory=None):
        path = os.path.join(directory or self._directory, f"{side}.sock")
        return f"net_memif{number},role={role},socket={path},socket-abstract=no,rsize={self._ring}"

    def device_ports(self):
        """The device's ports, as `ports` in batond's configuration takes them."""
        return self._port(0, "client", "server"), self._port(1, "server", "server")

    def device_arguments(self):
        """EAL's arguments about devices, for a program that attaches its ports itself."""
        return ["--no-pci"]

    def generator_arguments(self):
        return ["--no-pci", f"--vdev={self._port(0, 'client', 'client')}", f"--vdev={self._port(1, 'server', 'client')}"]

    def loop_arguments(self):
        """The generator's two ports, connected with one another."""
        # The same socket by another name: memif lets no process have both ends of one.
        again = os.path.join(self._directory, "again")
        return ["--no-pci", f"--vdev={self._port(0, 'loop', 'client', again)}", f"--vdev={self._port(1, 'loop', 'server')}"]

    def make(self):
        """The directory of the sockets."""
        os.mkdir(self._directory)
        os.symlink(self._directory, os.path.join(self._directory, "again"))

    def text(self):
        return f"memif, rings of {1 << self._ring}"


class Physical:
    """Two ports of the device by PCI address, each with a cable to a port of the generator."""

    kind = "pci"

    def __init__(self, client, server, generator):
        for address in filter(None, (client, server, *generator)):
            if not PCI_ADDRESS.fullmatch(address):
                raise ValueError(f"'{address}' is no PCI address such as 0000:01:00.0")
        if len(generator) != 2 or bool(client) != bool(server):
            raise ValueError("two ports of the generator are needed, and two of the device or none")
        self._device = (client, server) if client else ()
        self._generator = tuple(generator)

    def make(self):
        """Ports need nothing made."""

    def device_ports(self):
        """The device's ports; none when it runs on another machine."""
        return self._device

    def device_arguments(self):
        return [word for address in self._device for word in ("-a", address)]

    def generator_arguments(self):
        return [word for address in self._generator for word in ("-a", address)]

    def text(self):
        return "physical ports " + " ".join(self._device + self._generator)
