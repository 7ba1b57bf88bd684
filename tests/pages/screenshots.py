"""Take the pictures of the docs: `make screenshots`. What they show is what the tests look at."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.pages import browser, fleet, site

IMAGES = fleet.ROOT / "docs/images"
DRAWN_MS = 1_500  # the flame graph's canvas has no element that says it is drawn


def main() -> None:
    """Serve a fleet; take each page in both themes."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        fleet.describe(root / "services")
        fleet.build(root / "store", root / "services")
        with site.serving(root) as running, browser.launched() as chromium:
            site.start_runs(running)
            for theme in ("light", "dark"):
                with browser.signed_in(chromium, running, theme=theme) as context:
                    page = context.new_page()
                    page.goto(f"{running.url}/plugin/fleetpgo")
                    browser.frame(page).locator("#plot canvas").wait_for()
                    page.screenshot(path=IMAGES / f"fleet-{theme}.png")
                    page.set_viewport_size({"width": 1440, "height": 2000})
                    for name, run in (("run", fleet.SECOND), ("measured", fleet.FIRST)):
                        page.goto(browser.run_url(running, "edge", run))
                        inside = browser.frame(page)
                        inside.frame_locator("iframe").get_by_text("This profile").wait_for()
                        page.wait_for_timeout(DRAWN_MS)
                        page.screenshot(path=IMAGES / f"{name}-{theme}.png")


if __name__ == "__main__":
    main()
