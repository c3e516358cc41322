"""Commands and background processes, inside a host's network namespace or outside."""

import os
import signal
import subprocess
import time


class CommandFailed(Exception):
    pass


def run(*command, check=True, timeout=60, input=None):
    """Runs a command to its end and returns its output. Raises CommandFailed with what it printed."""
    result = subprocess.run(
        [str(word) for word in command], text=True, capture_output=True, timeout=timeout, input=input
    )
    if check and result.returncode != 0:
        raise CommandFailed(
            f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        )
    return result.stdout


def wait_until(what, condition, seconds=10.0, process=None):
    """Polls `condition` until it is true; an error that names `what` after `seconds`, or when `process` ends."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if process is not None and process.poll() is not None:
            raise CommandFailed(f"{process.name} ended while waiting for: {what}\n{process.tail()}")
        if time.monotonic() > deadline:
            raise CommandFailed(f"not within {seconds:g} s: {what}" + (f"\n{process.tail()}" if process else ""))
        time.sleep(0.01)


class Process:
    """A background process whose output goes to a file."""

    def __init__(self, name, command, log, cwd=None):
        self.name = name
        self.log = log
        self._is_asked = False
        self._file = open(log, "ab", buffering=0)
        self._popen = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
        )

    @property
    def pid(self):
        return self._popen.pid

    def poll(self):
        return self._popen.poll()

    def tail(self, lines=30):
        with open(self.log, errors="replace") as file:
            return "".join(file.readlines()[-lines:])

    def signal(self, number):
        """To the whole process group: `ip netns exec` replaces itself, but helpers of the program count too."""
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        """As a crash would: no chance to clean up."""
        self.signal(signal.SIGKILL)
        self._popen.wait(10)
        self._file.close()

    def end(self):
        """Asks the process to end, once: an agent that is asked again ends at once."""
        if self.poll() is None and not self._is_asked:
            self._is_asked = True
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)

    def stop(self, seconds=10):
        """Asks the process to end; kills it when it does not."""
        if self.poll() is None:
            self.end()
            try:
                self._popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._file.close()
        return self._popen.returncode

    def wait(self, seconds):
        """Waits for the end and returns the exit code; subprocess.TimeoutExpired when it does not come."""
        code = self._popen.wait(seconds)
        self._file.close()
        return code
