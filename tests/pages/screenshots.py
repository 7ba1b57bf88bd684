"""Take the pictures of the docs, in both of Airflow's themes: `make screenshots`.

The run is that of the last `make demo`, with the Airflow database and the store that it left. A fleet of many
services is made up: :mod:`tests.pages.history`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from demo.run import ROOT as DEMO
from tests.pages import browser, fleet, history, site

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.pages.site import Site

IMAGES = fleet.ROOT / "docs/images"
DRAWN_MS = 2_500  # the flame graph's canvas has no element that says it is drawn


def main() -> None:
    """Take all pictures."""
    measured = list(DEMO.glob("store/wshim/*/measure_week.json"))
    if not measured:
        raise SystemExit("there is no finished demo to take pictures of: make demo")
    run = json.loads(measured[0].with_name("manifest.json").read_text())["run"]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made, demo = Path(folder) / "fleet", Path(folder) / "demo"
        history.tell(made / "store", made / "services")
        for name in ("airflow", "store"):
            shutil.copytree(DEMO / name, demo / name)
        shutil.copytree(fleet.ROOT / "include/services", demo / "services")
        with browser.launched() as chromium:
            with site.serving(made) as running:
                history.enter(running, made)
                take(chromium, running, f"{running.url}/plugin/fleetpgo", {"fleet": "main"})
            with site.serving(demo) as running:
                url = browser.run_url(running, "wshim", run)
                take(chromium, running, url, {"run": "main", "flame": "#flame"})


def take(chromium: Browser, running: Site, url: str, pictures: dict[str, str]) -> None:
    """One picture for each name, with the element that its selector finds scrolled to the top."""
    for theme in ("light", "dark"):
        with browser.signed_in(chromium, running, theme=theme) as context:
            page = context.new_page()
            page.set_viewport_size({"width": 1440, "height": 1480})
            page.goto(url)
            inside = browser.frame(page)
            inside.locator("main[aria-busy=false]").wait_for()
            for name, selector in pictures.items():
                inside.locator(selector).evaluate("element => scrollTo(0, element.offsetTop - 32)")
                page.wait_for_timeout(DRAWN_MS)
                page.screenshot(path=IMAGES / f"{name}-{theme}.png")


if __name__ == "__main__":
    main()
