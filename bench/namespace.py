"""Network namespaces of a measurement, and what runs in them."""

import json
import os
import signal
import subprocess
import tempfile
import time

import ports


class CommandFailed(Exception):
    pass


def call(*command, text=None):
    """Runs a command to its end; gives its output."""
    result = subprocess.run(command, capture_output=True, text=True, input=text)
    if result.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: {result.stderr}")
    return result.stdout


class Namespace:
    """A network namespace, from `with` to its end."""

    def __init__(self, name):
        self.name = f"{name}-{os.getpid()}"
        self.prefix = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        call("ip", "netns", "add", self.name)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], check=False)

    def run(self, *command, text=None):
        return call(*self.prefix, *command, text=text)

    def raise_up(self, interface):
        """Up, and without IPv6, whose own packets nobody wants to count."""
        self.run("sysctl", "-qw", f"net.ipv6.conf.{interface}.disable_ipv6=1")
        self.run("ip", "link", "set", interface, "up")

    def write(self, path, value):
        """Into sysfs, which shows each namespace its own interfaces."""
        self.run("tee", path, text=str(value))

    def packets(self, interface):
        """(sent, received) so far."""
        [link] = json.loads(call("ip", "-n", self.name, "-s", "-j", "link", "show", "dev", interface))
        return link["stats64"]["tx"]["packets"], link["stats64"]["rx"]["packets"]


class Director:
    """A whole `batond` in a namespace, from `with`, which waits until it answers, to its end. Its worker has the measured
    CPU. `programs` is where it lies, `configuration` its file, but for `control`."""

    def __init__(self, programs, namespace, configuration):
        self._programs = programs
        self._namespace = namespace
        self._configuration = configuration

    def __enter__(self):
        self._place = tempfile.TemporaryDirectory(prefix="baton-bench-")
        file, control, self._log = (os.path.join(self._place.name, name) for name in ("batond.yaml", "batond.sock", "log"))
        with open(file, "w") as output:
            output.write(f"{self._configuration}control: {{ socket: {control} }}\n")
        command = [os.path.join(self._programs, "batond"), "--config", file, "--"]
        command += [*ports.environment(self._namespace.name), "--no-telemetry"]
        with open(self._log, "w") as output:
            self._process = subprocess.Popen([*self._namespace.prefix, *command], stdout=output, stderr=output)
        try:
            self._wait(control)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait(self, control):
        deadline = time.monotonic() + 30
        while not os.path.exists(control):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"batond does not start: {self.log}")
            time.sleep(0.05)

    @property
    def log(self):
        """The end of what it has said."""
        with open(self._log, errors="replace") as file:
            return file.read()[-2_000:]

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)
        self._place.cleanup()
