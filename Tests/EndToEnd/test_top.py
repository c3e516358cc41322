"""`batonctl top` on a real terminal (tmux) against a running director, and as text and JSON."""

import json
import os
import shlex
import subprocess
import time

from .held_open import held_open
from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, topology, wait_until
from lab.services import BINARIES


class Screen:
    """A terminal of tmux, on a server of its own."""

    def __init__(self, name, width, height):
        self._server = name
        self.tmux("new-session", "-d", "-s", "top", "-x", str(width), "-y", str(height), "sh")

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-L", self._server, "-f", "/dev/null", *arguments], check=True,
                              capture_output=True, text=True).stdout

    def type(self, *keys):
        self.tmux("send-keys", "-t", "top", *keys)

    def show(self):
        return self.tmux("capture-pane", "-p", "-t", "top")

    def resize(self, width, height):
        self.tmux("resize-window", "-t", "top", "-x", str(width), "-y", str(height))

    def close(self):
        self.tmux("kill-server")


class Top(LaboratoryCase):
    files = {"cached.bin": (20_000, True), "origin.bin": (20_000, False)}

    @property
    def command(self):
        return [os.path.join(BINARIES, "batonctl"), "--socket", self.services.path("batond.sock"), "top"]

    def screen(self, width=100, height=30):
        screen = Screen(f"baton-{os.getpid()}-{self._testMethodName[:20]}", width, height)
        self.addCleanup(screen.close)
        return screen

    def start_top(self, screen, *arguments):
        screen.type(shlex.join([*self.command, "--interval", "200ms", *arguments]), "Enter")
        wait_until("top shows its tables", lambda: "PROXY" in screen.show() and "q quit" in screen.show(), 10)

    def test_screen_keys_and_size(self):
        screen = self.screen()
        self.start_top(screen)
        with held_open(self.topology, topology.v4("origin"), CACHED_HOST, "/cached.bin", 4):
            wait_until("transfers are shown", lambda: "committed" in screen.show(), 10)
            wait_until("flows are shown", lambda: "flows 4" in screen.show(), 10)
        shown = screen.show().splitlines()
        for title in ("PORT", "WORKER", "PROXY"):
            self.assertTrue(any(line.startswith(title) or title in line for line in shown), shown)
        self.assertTrue(any(line.startswith("net_af_xdp0") and " up " in line for line in shown), shown)
        self.assertEqual(len([line for line in shown if line.startswith(("p1 ", "p2 "))]), 2, shown)
        # Sorted by another column.
        screen.type("Right", "Right")
        wait_until("the column is marked", lambda: "CONNS-" in screen.show(), 5)
        screen.type("r")
        wait_until("turned round", lambda: "CONNS+" in screen.show(), 5)
        # Smaller, and larger again: everything is laid out anew.
        screen.resize(50, 8)
        wait_until("eight lines", lambda: screen.show().rstrip("\n").split("\n")[-1].startswith("q quit"), 5)
        self.assertLessEqual(max(len(line) for line in screen.show().splitlines()), 50)
        self.assertNotIn("PROXY ", "\n".join(screen.show().splitlines()[3:]))
        for _ in range(12):
            screen.type("Down")
        wait_until("the last proxy is scrolled to", lambda: any(
            line.startswith("p2 ") for line in screen.show().splitlines()), 5)
        screen.resize(120, 40)
        wait_until("all is there", lambda: "PORT" in screen.show() and "CONNS+" in screen.show(), 5)
        screen.type("q")
        self.assertRestored(screen)

    def assertRestored(self, screen):
        """The shell's own screen is back, its cursor too, and what is typed is seen."""
        wait_until("top has gone", lambda: "q quit" not in screen.show(), 10)
        self.assertEqual(screen.tmux("display", "-p", "-t", "top", "#{alternate_on} #{cursor_flag}").strip(), "0 1")
        screen.type("echo $((40+2))", "Enter")
        wait_until("what is typed is echoed", lambda: "echo $((40+2))" in screen.show() and "\n42" in screen.show(), 20)

    def test_every_end_gives_the_terminal_back(self):
        for way in ("C-c", "TERM", "HUP"):
            with self.subTest(way):
                screen = Screen(f"baton-{os.getpid()}-{way}", 90, 20)
                try:
                    self.start_top(screen)
                    self.assertEqual(screen.tmux("display", "-p", "-t", "top", "#{alternate_on}").strip(), "1")
                    if way == "C-c":
                        screen.type("C-c")
                    else:
                        shell = screen.tmux("display", "-p", "-t", "top", "#{pane_pid}").strip()
                        child = subprocess.run(["pgrep", "-P", shell], capture_output=True, text=True).stdout.split()[0]
                        subprocess.run(["kill", f"-{way}", child], check=True)
                    self.assertRestored(screen)
                finally:
                    screen.close()

    def test_colours_only_where_they_are_wanted(self):
        for variables, coloured in (("", True), ("NO_COLOR=1", False)):
            screen = Screen(f"baton-{os.getpid()}-c{coloured}", 90, 20)
            try:
                screen.type(f"export {variables or 'A=1'}", "Enter")
                self.start_top(screen)
                escaped = screen.tmux("capture-pane", "-e", "-p", "-t", "top")
                self.assertEqual("\x1b[1m" in escaped, coloured)
            finally:
                screen.close()

    def test_a_director_that_starts_anew_is_found_again(self):
        screen = self.screen(100, 30)
        self.start_top(screen)
        self.services.processes["director"].stop()
        wait_until("top says so", lambda: "start" in screen.show().rstrip("\n").split("\n")[-1], 10)
        self.services.start_director()
        wait_until("top is well again", lambda: "q quit" in screen.show(), 20)
        screen.type("q")
        self.assertRestored(screen)

    def test_text_and_json(self):
        once = subprocess.run([*self.command, "--once", "--interval", "100ms"], capture_output=True, text=True)
        self.assertEqual(once.returncode, 0, once.stderr)
        self.assertNotIn("\x1b", once.stdout)
        self.assertIn("PROXY", once.stdout)
        with subprocess.Popen([*self.command, "--json", "--interval", "200ms"], stdout=subprocess.PIPE, text=True) as top:
            # From here on it misses nothing.
            json.loads(top.stdout.readline())
            for _ in range(3):
                self.assertTrue(curl(self.laboratory).get([f"http://{CACHED_HOST}/cached.bin"], resolve()).ok)
            committed, deadline = 0.0, time.monotonic() + 10
            while committed < 2.5 and time.monotonic() < deadline:
                report = json.loads(top.stdout.readline())
                committed += report["transfersPerSecond"]["committed"] * report["intervalSeconds"]
            top.terminate()
        self.assertGreaterEqual(round(committed), 2)
        self.assertEqual([proxy["proxy"] for proxy in report["proxies"]], ["p1", "p2"])
        self.assertEqual({port["side"] for port in report["ports"]}, {"client", "server"})
        self.assertGreaterEqual(report["workers"][0]["busyShare"], 0)
