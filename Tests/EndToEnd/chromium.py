"""A headless Chromium, driven by its DevTools protocol over a pair of pipes."""

import base64
import itertools
import json
import os
import select
import signal
import subprocess
import tempfile
import time


class Chromium:
    """`inside`: the words before the command line, such as `ip netns exec NAME`."""

    def __init__(self, inside=(), width=1440, height=1000):
        self._profile = tempfile.TemporaryDirectory(prefix="baton-chromium-")
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        script = f"exec 3<&{to_browser} 4>&{from_browser}; exec \"$@\""
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--disable-background-networking", "--disable-component-update", "--no-first-run", "--hide-scrollbars",
                   "--force-color-profile=srgb", "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}",
                   f"--window-size={width},{height}", "about:blank"]
        self._process = subprocess.Popen(
            [*inside, "bash", "-c", script, "bash", *command], pass_fds=(to_browser, from_browser), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"HOME": self._profile.name})
        os.close(to_browser)
        os.close(from_browser)
        self._numbers = itertools.count(1)
        self._buffer = b""
        #: Events in the order in which they came.
        self.events = []
        target = next(target for target in self.command("Target.getTargets")["targetInfos"] if target["type"] == "page")
        self._session = self.command(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.page(domain + ".enable")
        self.size(width, height)

    def close(self):
        # The browser's children are of its group.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(20)
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    # MARK: the protocol

    def _message(self, seconds):
        deadline = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self._read, 1 << 20) if ready else b""
            if not chunk:
                raise AssertionError("the browser says nothing" if not ready else "the browser has ended")
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def command(self, method, session=None, **parameters):
        number = next(self._numbers)
        request = {"id": number, "method": method, "params": parameters}
        if session:
            request["sessionId"] = session
        os.write(self._write, json.dumps(request).encode() + b"\0")
        while True:
            message = self._message(60)
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def page(self, method, **parameters):
        return self.command(method, self._session, **parameters)

    # MARK: a page

    def open(self, url):
        self.page("Page.navigate", url=url)

    def run(self, expression):
        """The value of a JavaScript expression, by JSON."""
        outcome = self.page("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in outcome:
            raise AssertionError(f"{expression}: {outcome['exceptionDetails']}")
        return outcome["result"].get("value")

    def wait_for(self, expression, seconds=20):
        deadline = time.monotonic() + seconds
        while not self.run(f"!!({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {expression}\n{self.run('document.body.innerText')}")
            time.sleep(0.05)

    def scheme(self, name):
        """`light` or `dark`."""
        self.page("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def size(self, width, height, scale=1):
        self.page("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def press(self, key, code=None, text=None):
        codes = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowRight": 39, " ": 32}
        options = {"key": key, "code": code or key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        self.page("Input.dispatchKeyEvent", type="keyDown", **options, **({"text": text} if text else {}))
        self.page("Input.dispatchKeyEvent", type="keyUp", **options)

    def screenshot(self, path):
        """What the window shows."""
        picture = self.page("Page.captureScreenshot", format="png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def complaints(self):
        """What scripts, policy and network had to complain of."""
        self.run("0")
        found = []
        for event in self.events:
            method, parameters = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(parameters["exceptionDetails"]))
            elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"] + " " + parameters["entry"].get("url", ""))
            elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
                found.append(str(parameters["args"]))
        return found

    def requested(self):
        """Every address that was asked for."""
        return [event["params"]["request"]["url"] for event in self.events
                if event.get("method") == "Network.requestWillBeSent"]
