"""Programs of a measurement: none of them outlives it, however it ends."""

import os
import select
import signal
import subprocess
import tempfile
import time

import machine


#: Programs of a measurement go before others on the same CPUs: a worker that stands still for 5 ms loses frames.
NICE = -20


class ProgramFailed(Exception):
    pass


class Program:
    """A background program. The kernel kills it when this process dies."""

    def __init__(self, name, command, log, talks=False):
        self.name = name
        self.log = log
        self._talks = talks
        with open(log, "w") as output:
            # testpmd ends when its standard input does.
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if talks else output, stderr=output, start_new_session=True,
            )
        self._go_before_others()

    def _go_before_others(self):
        """A session of its own is a group of the scheduler, where there are such; nice values then count for groups."""
        try:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)
            with open(f"/proc/{self._process.pid}/autogroup", "w") as file:
                file.write(str(NICE))
        except OSError:
            # Not root, or no such groups.
            pass

    @property
    def pid(self):
        return self._process.pid

    def is_running(self):
        return self._process.poll() is None

    def tail(self, lines=20):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def failed(self, what):
        return ProgramFailed(f"{self.name} {what}:\n{self.tail()}")

    def thread(self, ending):
        """The identifier of its thread whose name ends so."""
        directory = f"/proc/{self._process.pid}/task"
        for thread in os.listdir(directory):
            with open(f"{directory}/{thread}/comm") as file:
                if file.read().strip().endswith(ending):
                    return int(thread)
        raise self.failed(f"has no thread {ending}")

    def seconds_kept_waiting(self, thread):
        """How long a thread that could have run was kept from it by others on its CPU, as the kernel counts it."""
        with open(f"/proc/{self._process.pid}/task/{thread}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9

    def say(self, line):
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self.failed("has ended") from None

    def hear(self, patience):
        """The next line that it prints."""
        return self.hear_from(self._process.stdout.fileno(), patience)

    def hear_from(self, descriptor, patience):
        """The next line that it writes to a pipe. Byte for byte: select would not see what lies in a buffer."""
        deadline = time.monotonic() + patience
        line = b""
        while not line.endswith(b"\n"):
            # A named pipe that we hold open ourselves does not end with the program.
            ready = select.select([descriptor], [], [], 0.2)[0]
            if not ready and (time.monotonic() > deadline or not self.is_running()):
                raise self.failed(f"has not answered within {patience:.0f} s" if self.is_running() else "has ended")
            byte = os.read(descriptor, 1) if ready else b""
            if ready and not byte:
                raise self.failed("has ended")
            line += byte
        return line.decode(errors="replace")

    def wait_until(self, what, condition, patience=30):
        deadline = time.monotonic() + patience
        while not condition():
            if not self.is_running():
                raise self.failed(f"ended while waiting until {what}")
            if time.monotonic() > deadline:
                raise self.failed(f"does not come so far that {what}")
            time.sleep(0.05)

    def stop(self):
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdin.close()
        if self._talks:
            self._process.stdout.close()


class Guard:
    """Tidies up in place of a measurement that was killed without a chance to do so itself: a shell that waits for the
    end of a pipe. By then the kernel has killed the programs; their hugepages are given back, their files removed."""

    SCRIPT = 'read -r done && exit; sleep 1; [ "$1" -eq 0 ] || "$2" --size 2M --pages "$1"; shift 2; rm -rf "$@"'

    def __init__(self, pages, paths):
        command = ["sh", "-c", self.SCRIPT, "guard", str(pages), os.path.join(machine.SCRIPTS, "release.sh"), *paths]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def dismiss(self):
        self._process.stdin.write(b"done\n")
        self._process.stdin.close()
        self._process.wait()


class Workplace:
    """Hugepages and a directory for sockets, both given back at the end, whatever the end is."""

    def __init__(self, bytes_wanted, cpu):
        self._hugepages = machine.Hugepages(bytes_wanted, cpu)
        #: EAL's prefix for files of this measurement's programs.
        self.prefix = f"pktgen-{os.getpid()}"

    def __enter__(self):
        # A socket's path is short: not in the repository.
        self.directory = tempfile.mkdtemp(prefix="baton-pktgen-")
        self._hugepages.__enter__()
        # In EAL's directories nothing but sockets is left.
        self._paths = [self.directory, *(f"/var/run/dpdk/{self.prefix}-{name}" for name in ("device", "generator"))]
        self._guard = Guard(self._hugepages.added, self._paths)
        return self

    def __exit__(self, *_):
        subprocess.run(["rm", "-rf", *self._paths], check=False)
        self._hugepages.__exit__()
        self._guard.dismiss()
