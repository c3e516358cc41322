"""The director's page in a real Chromium, over a running director with two proxies and real traffic."""

import os
import threading
import time
import unittest

from .chromium import Chromium
from .laboratory_case import CACHED_HOST, LaboratoryCase, curl, resolve, wait_until
from lab import topology
from lab.services import REPOSITORY
from lab.shell import run

LISTEN = "127.0.0.1:9480"
DOCS = os.path.join(REPOSITORY, "docs")
#: With a value, the pictures in docs/ are made anew.
PICTURES = bool(os.environ.get("BATON_PICTURES"))


class Page(LaboratoryCase):
    director_options = {"page": f"{{ listen: '{LISTEN}' }}"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            cls.topology.run("director", "ip", "link", "set", "lo", "up")
            cls.browser = Chromium(cls.topology.inside("director"), height=1240)
        except BaseException:
            super().tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        super().tearDownClass()

    def setUp(self):
        self.browser.events.clear()
        self.browser.size(1440, 1240)

    def open(self, scheme="light"):
        self.browser.scheme(scheme)
        self.browser.open(f"http://{LISTEN}/")
        self.browser.wait_for("document.querySelector('#name')?.textContent === 'director'")

    def download(self, name="small.bin", host=CACHED_HOST):
        got = curl(self.laboratory).get([f"http://{host}/{name}"], resolve())
        self.assertTrue(got.ok, got.error)

    def text(self, selector):
        return self.browser.run(f"document.querySelector({selector!r})?.innerText ?? ''")

    def test_a_transfer_appears(self):
        self.open()
        self.download()
        newest = self.services.ctl("transfers", "--limit", "1")[0]
        row = f"[...document.querySelectorAll('#rows tbody tr')].find(row => row.innerText.includes('{newest['transfer']}'))"
        self.browser.wait_for(row)
        shown = self.browser.run(row + ".innerText")
        for part in ("committed", newest["proxy"], newest["flow"], "/small.bin", "web"):
            self.assertIn(part, shown)
        timeline = self.browser.run(row + ".querySelector('.timeline').getAttribute('aria-label')")
        self.assertRegex(timeline, r"held at 0, answered after [0-9.]+ (µs|ms), decided after [0-9.]+ (µs|ms)")
        self.assertGreater(newest["answeredMicroseconds"], 0)
        self.assertLessEqual(newest["answeredMicroseconds"], newest["tookMicroseconds"])
        self.assertIn("2 of 2 up", self.text("#proxies-note"))
        self.assertEqual(self.text("#state"), "Forwarding")
        self.assertEqual(self.browser.complaints(), [])
        # Nothing but the page and what it polls, from this director.
        self.assertEqual({url.split("?")[0] for url in self.browser.requested()},
                         {f"http://{LISTEN}/", f"http://{LISTEN}/data.json"})

    def test_the_keyboard_reaches_everything(self):
        self.download()
        self.open()
        self.browser.wait_for("document.querySelectorAll('#rows tbody tr').length > 0")
        seen = []
        for _ in range(16):
            self.browser.press("Tab")
            seen.append(self.browser.run(
                "document.activeElement.id || document.activeElement.name || document.activeElement.className"
                " || document.activeElement.parentElement.id"))
            outline = self.browser.run("(() => { const a = document.activeElement, f = a.closest('fieldset');"
                                       " return getComputedStyle(f || a).outlineStyle })()")
            if self.browser.run("document.activeElement !== document.body"):
                self.assertEqual(outline, "solid", seen)
        order = ["skip", "pause", "topology", "chart-transfers", "chart-holds", "chart-waits", "chart-packets", "proxies",
                 "which", "filter", "rows"]
        self.assertEqual([name for name in seen if name in order][:len(order)], order)
        # A chart that has the focus is read by the arrow keys, aloud as well.
        self.browser.run("document.querySelector('#chart-transfers [tabindex]').focus()")
        self.browser.wait_for("document.querySelectorAll('#chart-transfers path').length > 0", 10)
        self.browser.press("ArrowLeft")
        self.browser.wait_for("document.querySelector('#chart-transfers [aria-live]').textContent.includes('to proxies')")
        # The filter by its key, then what it leaves.
        self.browser.run("document.activeElement.blur()")
        self.browser.press("/", "Slash", "/")
        self.browser.wait_for("document.activeElement.id === 'filter'")
        self.browser.page("Input.insertText", text="no-such-thing")
        self.browser.wait_for("document.querySelector('#rows').innerText.includes('No transfer matches')")

    def test_every_control_has_a_name(self):
        self.open()
        nodes = self.browser.page("Accessibility.getFullAXTree")["nodes"]
        for node in nodes:
            role, name = node.get("role", {}).get("value"), node.get("name", {}).get("value", "")
            if not node.get("ignored") and role in ("button", "radio", "searchbox", "link", "img", "image", "region", "table"):
                self.assertTrue(name.strip(), f"{role} without a name: {node}")

    def test_it_fits_a_telephone(self):
        self.browser.size(390, 844)
        self.open()
        self.browser.wait_for("document.querySelectorAll('.figure').length === 5")
        self.assertLessEqual(self.browser.run("document.documentElement.scrollWidth"), 390)

    def test_what_clients_send_is_text(self):
        """A path full of markup is shown, not obeyed."""
        run(*self.topology.inside("client", "curl", "--silent", "--globoff", "--path-as-is", "--output", "/dev/null",
                                  "--resolve", f"{CACHED_HOST}:80:{topology.v4('origin')}",
                                  f"http://{CACHED_HOST}/<img/src=x/onerror=document.title='taken'>"), check=False)
        self.open()
        self.download()
        self.browser.wait_for("document.querySelectorAll('#rows tbody tr').length > 0")
        self.browser.wait_for("[...document.querySelectorAll('#rows td')].some(cell => cell.textContent.includes('onerror'))")
        self.assertEqual(self.browser.run("document.querySelectorAll('img').length"), 0)
        self.assertIn("director", self.browser.run("document.title"))

    def test_a_silent_director_is_said_to_be_silent(self):
        self.open()
        self.browser.wait_for("document.querySelectorAll('#proxies tbody tr').length === 2")
        self.services.pause("director")
        try:
            self.browser.wait_for("document.querySelector('#state').textContent === 'Stale'", 30)
            self.assertRegex(self.text("#banner"), r"^The director does not answer: .* What follows is from \d\d:\d\d:\d\d")
            self.assertEqual(self.browser.run("getComputedStyle(document.querySelector('#banner')).display"), "block")
            # The figures stay, marked as old.
            self.assertTrue(self.browser.run("document.querySelector('main').classList.contains('stale')"))
            self.assertEqual(self.browser.run("document.querySelectorAll('#proxies tbody tr').length"), 2)
        finally:
            self.services.resume("director")
        self.browser.wait_for("document.querySelector('#state').textContent === 'Forwarding'", 30)
        self.assertEqual(self.text("#banner"), "")

    def test_bypass_is_said(self):
        self.open()
        self.services.ctl("bypass", "on")
        try:
            self.browser.wait_for("document.querySelector('#state').textContent === 'Bypassed'")
            self.assertIn("Bypass is on", self.text("#banner"))
        finally:
            self.services.ctl("bypass", "off")
        self.browser.wait_for("document.querySelector('#state').textContent === 'Forwarding'")

    def test_the_text_can_be_read_in_both_schemes(self):
        """WCAG's contrast of every text on what lies behind it: 4.5 at least."""
        for scheme in ("light", "dark"):
            self.open(scheme)
            self.download()
            self.browser.wait_for("document.querySelectorAll('#rows tbody tr').length > 0")
            weakest = self.browser.run(CONTRAST)
            self.assertGreaterEqual(weakest["ratio"], 4.5, f"{scheme}: {weakest}")

    def test_pictures(self):
        """Downloads for a while, seen light and dark: the pictures in docs/, with BATON_PICTURES=1."""
        stop = threading.Event()
        wishes = [("small.bin", CACHED_HOST), ("small.bin", CACHED_HOST), ("uncached.bin", CACHED_HOST)]

        def load(number):
            from lab.downloads import Curl
            place = os.path.join(self.directory, f"load{number}")
            os.makedirs(place, exist_ok=True)
            client, turn = Curl(self.topology, place), number
            while not stop.is_set():
                turn += 1
                name, host = wishes[turn % len(wishes)]
                client.get([f"http://{host}/{name}"], resolve())
                # Not even, as traffic is.
                stop.wait(0.02 + 0.1 * (1 + turn % 5) * (1 + (turn // 40) % 3) / 3)

        loads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
        for thread in loads:
            thread.start()
        try:
            self.open()
            wanted = 180 if PICTURES else 5
            self.browser.wait_for(f"data && data.history.length > {wanted} && data.history.at(-1).committed > 0", wanted + 60)
            for scheme in ("light", "dark"):
                self.browser.scheme(scheme)
                time.sleep(1.1)
                self.browser.screenshot(os.path.join(DOCS if PICTURES else self.directory, f"dashboard-{scheme}.png"))
            self.assertTrue(self.browser.run("data.history.at(-1).proxies.length === 2"))
        finally:
            stop.set()
            for thread in loads:
                thread.join(30)
        self.assertEqual(self.browser.complaints(), [])
        self.assertConserved()


#: The text with the weakest contrast: colours as computed, backgrounds by the nearest ancestor that has one.
CONTRAST = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = color => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = color => { const [r, g, b] = color.slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const ground = element => { const chain = []; for (let e = element; e; e = e.parentElement) chain.unshift(e);
    return chain.reduce((below, e) => over(rgba(getComputedStyle(e).backgroundColor), below), [255, 255, 255, 1]); };
  let weakest = { ratio: 99 };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, style = getComputedStyle(element);
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility() || element.closest("script, .spoken, .skip, .tip")) continue;
    const box = element.closest("svg .node")?.querySelector("rect");
    const fill = box ? getComputedStyle(box).fill : "none";
    const below = box && fill !== "none" ? over(rgba(fill), ground(element)) : ground(element);
    const front = rgba(element instanceof SVGElement ? style.fill : style.color);
    front[3] *= Number(style.opacity);
    const [a, b] = [light(over(front, below)), light(below)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < weakest.ratio) weakest = { ratio, text: walker.currentNode.textContent, color: style.color, fill: style.fill };
  }
  return weakest;
})()"""


if __name__ == "__main__":
    unittest.main()
