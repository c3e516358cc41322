"""The machine: what it is, and its hugepages."""

import os
import platform
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(ROOT, "hugepages")
PAGE = 2 << 20
#: What EAL, its rings and the drivers want besides, bytes; and some for others who begin in the meantime.
BASE = 768 << 20


class Hugepages:
    """As many free 2 MiB pages as the rows want, on the measured CPU's node; afterwards as many as before."""

    def __init__(self, wanted_bytes, cpu):
        self._wanted = -(-(wanted_bytes + BASE) // PAGE)
        self._added = 0
        node = re.search(r"node(\d+)", " ".join(os.listdir(f"/sys/devices/system/cpu/cpu{cpu}")))
        self._where = ["--node", node.group(1) if node else "0", "--size", "2M"]

    def __enter__(self):
        _, free, ours = self._status()
        # Pages that are free already, whoever asked for them, are as good.
        missing = self._wanted - free
        if missing > 0:
            self._added = missing
            try:
                self._call("reserve.sh", "--pages", str(ours + missing))
            except subprocess.CalledProcessError as error:
                self._added = self._status()[2] - ours
                self.__exit__()
                raise MemoryError(f"{self._wanted} free hugepages of 2 MiB wanted: {error.stderr}") from error
        return self

    def __exit__(self, *_):
        if self._added > 0:
            self._call("release.sh", "--pages", str(self._added))

    @property
    def added(self):
        """Pages that were reserved for this, to be given back."""
        return self._added

    def _status(self):
        """Pages in all, free ones, and those that the scripts took."""
        return tuple(map(int, self._call("status.sh").splitlines()[1].split()[2:5]))

    def _call(self, script, *arguments):
        command = [os.path.join(SCRIPTS, script), *self._where, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _memory_line(name):
    with open("/proc/meminfo") as file:
        return re.search(rf"^{name}:\s+(\d+)", file.read(), re.MULTILINE).group(1)


def _first_line(*command):
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError:
        return ""
    return (result.stdout or result.stderr).splitlines()[0] if result.stdout or result.stderr else ""


def description():
    """What a reader must know of the machine to compare figures."""
    with open("/proc/cpuinfo") as file:
        information = file.read()
    caches = {}
    base = "/sys/devices/system/cpu/cpu0/cache"
    for index in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        if index.startswith("index"):
            level, kind, size = (_read(f"{base}/{index}/{name}") for name in ("level", "type", "size"))
            caches[f"L{level} {kind.lower()}"] = size
    return {
        "cpu": re.search(r"^model name\s*: (.*)$", information, re.MULTILINE).group(1),
        "cpus": os.cpu_count(),
        "caches": caches,
        "hypervisor": "hypervisor" in information,
        "kernel": platform.release(),
        "memoryKiB": int(_memory_line("MemTotal")),
        "hugepages": int(_memory_line("HugePages_Total")),
        "transparentHugepages": _read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "dpdk": _first_line("pkg-config", "--modversion", "libdpdk"),
        "swift": _first_line("swift", "--version"),
        "cc": _first_line("cc", "--version"),
    }


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
