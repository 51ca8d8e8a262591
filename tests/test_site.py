"""The built pages, opened in a browser: SKVIT_SITE=FOLDER pytest -m site."""

import os
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

pytestmark = pytest.mark.site

EXAMPLES = Path(__file__).parent.parent / "examples"
PHONE, DESK = 375, 1280
# The least contrast of text that the Web Content Accessibility Guidelines allow.
LEAST_CONTRAST = 4.5
SCHEMES = ["light", "dark"]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    # What a page asks of any other machine fails, and shows as an error.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

FACTS = """
const pictures = [...document.images];
return {
  ids: [...document.querySelectorAll("[id]")].map(element => element.id),
  links: [...document.querySelectorAll("a[href]")].map(link => link.href),
  pictures: pictures.map(picture => [picture.getAttribute("src"), picture.alt]),
};
"""
# What has to be moved sideways to be read, other than code and tables.
WIDE = """
const root = document.documentElement;
const moving = ["auto", "scroll"];
const moves = element => moving.includes(getComputedStyle(element).overflowX);
return [root, ...document.querySelectorAll("body *:not(pre, .table-wrapper)")]
  .filter(element => element.scrollWidth > element.clientWidth)
  .filter(element => element === root || moves(element))
  .map(element => `${element.tagName} ${element.className}: ${element.scrollWidth}`);
"""
# Contrast of each piece of visible text with what lies behind it, where it is too low.
# Colours are read back from a canvas, whatever notation the style sheet has them in.
FAINT = """
const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const known = new Map();
function rgba(colour) {
  if (!known.has(colour)) {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    known.set(colour, [...context.getImageData(0, 0, 1, 1).data].map(v => v / 255));
  }
  return known.get(colour);
}
const mix = (share, front, back) => share * front + (1 - share) * back;
const over = (front, back) => back.map((v, i) => mix(front[3], front[i], v));
function ground(element) {
  const colour = rgba(getComputedStyle(element).backgroundColor);
  if (colour[3] === 1) return colour.slice(0, 3);
  const parent = element.parentElement;
  return over(colour, parent ? ground(parent) : [1, 1, 1]);
}
const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) =>
  0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
function contrast(element) {
  const back = ground(element);
  const front = over(rgba(getComputedStyle(element).color), back);
  const [low, high] = [luminance(front), luminance(back)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const faint = [];
while (texts.nextNode()) {
  const text = texts.currentNode.data.trim();
  const element = texts.currentNode.parentElement;
  if (!text || !element.checkVisibility({visibilityProperty: true})) continue;
  const ratio = contrast(element);
  if (ratio < arguments[0]) faint.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return faint;
"""


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing: a missing file is seen in the browser."""


@pytest.fixture(scope="module")
def site():
    """Folder that sphinx-build wrote."""
    folder = os.environ.get("SKVIT_SITE")
    if not folder or not Path(folder, "index.html").is_file():
        pytest.fail("Expected SKVIT_SITE to name the built pages' folder")
    return Path(folder).resolve()


@pytest.fixture(scope="module")
def address(site):
    """Where the pages are served."""
    handler = partial(QuietHandler, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium without a window, and without a network."""
    from selenium import webdriver

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.fail("Expected chromium and chromedriver on the PATH; install them")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=driver)
    with webdriver.Chrome(options=options, service=service) as chrome:
        yield chrome


def set_width(browser, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def set_scheme(browser, scheme):
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def wide_elements(browser, width):
    set_width(browser, width)
    return browser.execute_script(WIDE)


def faint_texts(browser, scheme):
    set_scheme(browser, scheme)
    return browser.execute_script(FAINT, LEAST_CONTRAST)


def errors(browser):
    """Messages of the console since it was last asked."""
    log = browser.get_log("browser")
    return [entry["message"] for entry in log if entry["level"] == "SEVERE"]


@pytest.fixture(scope="module")
def visits(site, address, browser):
    """What was seen on each page, by its path in the site."""
    seen = {}
    for path in sorted(site.rglob("*.html")):
        page = path.relative_to(site).as_posix()
        browser.get(address + page)
        seen[page] = browser.execute_script(FACTS) | {
            "wide": {width: wide_elements(browser, width) for width in (DESK, PHONE)},
            "faint": {scheme: faint_texts(browser, scheme) for scheme in SCHEMES},
            "errors": errors(browser),
        }
    return seen


def findings(visits, look):
    """What a look at each page finds, of the pages where it finds something."""
    found = {page: look(visit) for page, visit in visits.items()}
    return {page: value for page, value in found.items() if value}


def test_consoles_show_no_errors(visits):
    assert not findings(visits, lambda visit: visit["errors"])


def test_links_within_the_site_lead_somewhere(visits, site, address):
    def leads_nowhere(link):
        path, fragment = urldefrag(unquote(link.removeprefix(address)))
        page = path.partition("?")[0] or "index.html"
        known = visits.get(page, {"ids": [""]})["ids"]
        return not (site / page).is_file() or (fragment and fragment not in known)

    def lost(visit):
        inner = {link for link in visit["links"] if link.startswith(address)}
        return sorted(filter(leads_nowhere, inner))

    assert not findings(visits, lost)


def test_pictures_have_alternative_text(visits):
    def untold(visit):
        """Pictures without words, or told by a part of their file's name."""
        told = {source: alt.replace(" ", "_") for source, alt in visit["pictures"]}
        return [source for source, alt in told.items() if alt in source]

    assert any(visit["pictures"] for visit in visits.values())
    assert not findings(visits, untold)


def test_scripts_of_the_gallery_take_less_than_a_minute(site):
    scripts = {path.stem for path in EXAMPLES.glob("plot_*.py")}
    pages = {path.stem: path for path in site.glob("auto_examples/plot_*.html")}
    assert set(pages) == scripts
    for name, path in pages.items():
        text = path.read_text(encoding="utf-8")
        times = re.findall(r"\((\d+) minutes ([\d.]+) seconds\)", text)
        assert len(times) == 1, name
        assert 60 * int(times[0][0]) + float(times[0][1]) < 60, name


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_pages_fit_the_window(visits, width):
    assert not findings(visits, lambda visit: visit["wide"][width])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out(visits, scheme):
    assert not findings(visits, lambda visit: visit["faint"][scheme])


def test_schemes_differ(visits, address, browser):
    grounds = set()
    browser.get(address + "index.html")
    for scheme in SCHEMES:
        set_scheme(browser, scheme)
        script = "return getComputedStyle(document.body).backgroundColor"
        grounds.add(browser.execute_script(script))
    assert len(grounds) == len(SCHEMES)


def test_search_finds_attention(address, browser):
    from selenium.webdriver.support.wait import WebDriverWait

    browser.get(address + "search.html?q=attention")
    found = '#search-results a[href*="skvit.inspection.attention_maps.html"]'
    WebDriverWait(browser, timeout=20).until(
        lambda page: page.find_elements("css selector", found)
    )
    assert not errors(browser)
