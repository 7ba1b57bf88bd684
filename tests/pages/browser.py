"""The system's Chromium, signed in to the site, and an ear for what it complains of."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page

    from tests.pages.site import Site

PATIENCE_MS = 120_000
"""How long something may take to appear, on a machine that does much else."""

FRAMED = "An iframe which has both allow-scripts and allow-same-origin"
"""What Chromium says of Airflow's own frame for plugins."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium without a window, drawing WebGL in software."""
    program = shutil.which("chromium")
    assert program, "Chromium is not on PATH; `make test` brings it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--enable-unsafe-swiftshader"])
        yield browser
        browser.close()


@contextmanager
def signed_in(
    browser: Browser, site: Site, user: str = "admin", theme: str = "light"
) -> Iterator[BrowserContext]:
    """A fresh profile of the browser with that user's session and Airflow's setting of the theme."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    context.add_cookies([{"name": "_token", "value": site.tokens[user], "url": site.url}])
    context.add_init_script(f"localStorage.theme ??= {theme!r}")
    yield context
    context.close()


def complaints(page: Page) -> list[str]:
    """Errors, failed requests and requests to other hosts: a list that fills while the page lives."""
    heard: list[str] = []
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("requestfailed", lambda request: heard.append(f"{request.url}: {request.failure}"))

    def elsewhere(request):
        host = page.url.split("/")[2] if "//" in page.url else ""
        if host and host not in request.url and not request.url.startswith(("data:", "blob:")):
            heard.append(f"asks {request.url}")

    page.on("request", elsewhere)
    return heard


def run_url(site: Site, service: str, run: str) -> str:
    """The PGO tab of a run in Airflow's UI."""
    return f"{site.url}/dags/pgo_refresh__{service}/runs/{quote(run, safe='')}/plugin/fleetpgo-run"


def frame(page: Page) -> FrameLocator:
    """The plugin's page within Airflow's."""
    return page.frame_locator("iframe[title*='PGO']")
