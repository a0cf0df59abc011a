"""A browser, a real server on the planted folder, and pages that must stay free of errors."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from tests.service.conftest import serving

FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
SLIDE = "CMU-1-Small-Region"
DATA = Path(__file__).parents[2] / "data"
"""The slide's own folder, so that the service may read the file that the archive was cut from."""
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if found is None and "chromium" in os.environ.get("MICROTOME_REQUIRE", ""):
        pytest.fail("chromium is required here, and is not installed")
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    return found


@pytest.fixture(scope="module")  # its event loop runs in this thread for as long as it is open
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as tools:
        yield from _launched(tools, chromium)


def _launched(tools: Playwright, chromium: str) -> Iterator[Browser]:
    browser = tools.chromium.launch(executable_path=chromium, args=FLAGS)
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture(scope="session")
def site(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real process on a copy of the planted folder; it runs one job at a time."""
    work = shutil.copytree(planted, tmp_path_factory.mktemp("site") / "work")
    words = ["--work", work, "--slides", DATA, "--workers", "1", "--jobs", "1"]
    with serving(*words) as url:
        yield url


class Troubles(list[str]):
    """What a page complained of."""

    def watch(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", lambda said: said.type in ("error", "warning") and self.add(said.text))
        page.on("pageerror", lambda error: self.add(f"uncaught: {error}"))
        page.on("requestfailed", lambda one: self.add(f"failed: {one.url} {one.failure}"))
        page.on("response", lambda one: one.status >= 400 and self.add(f"{one.status} {one.url}"))

    def add(self, text: str) -> None:
        """Take note, unless the page was left while something was under way."""
        if "net::ERR_ABORTED" not in text and not text.startswith("Ignoring tile"):
            self.append(text)


@contextmanager
def visiting(browser: Browser, site: str, **options: object) -> Iterator[tuple[Visit, Troubles]]:
    """Open pages of a site; `visit(hash)` gives the page at an address."""
    context = browser.new_context(viewport=DESKTOP, **options)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    troubles, page = Troubles(), context.new_page()
    troubles.watch(page)
    outside: list[str] = []
    page.on("request", lambda one: _is_ours(one.url, site) or outside.append(one.url))

    def visit(address: str = "#/slides", size: dict[str, int] | None = None) -> Page:
        page.set_viewport_size(size or DESKTOP)  # type: ignore[arg-type]
        page.goto(f"{site}/{address}")
        return page

    try:
        yield visit, troubles
        assert outside == [], "another server was asked"
    finally:
        context.close()


def _is_ours(url: str, site: str) -> bool:
    return url.startswith((f"{site}/", "data:", "blob:"))


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Open pages of the viewer; afterwards none may have complained or asked another server."""
    with visiting(browser, site, reduced_motion="reduce") as (visit, troubles):
        yield visit
        assert troubles == []
