"""Draw the dashboard's panels into docs/images/monitoring.png: `make dashboard`.

No Grafana is needed: each panel is drawn from what a real Prometheus answers to its queries, which has
scraped the endpoint over a year of a made-up fleet (:mod:`tests.pages.history`).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from string import Template

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from tests.monitoring.scraping import scraping
from tests.pages import history

ROOT = Path(__file__).parents[2]
DIVISORS = {
    "s": (86_400.0, "days"),
    "percentunit": (0.01, "% of CPU"),
    "short": (1.0, ""),
    "bool_on_off": (1.0, ""),
}
COLUMNS, MOST = 3, 11


def main() -> None:
    """Draw."""
    panels = json.loads((ROOT / "docs/monitoring/dashboard.json").read_text())["panels"]
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        history.tell(root / "store", root / "fleet" / "services")
        (root / "prometheus").mkdir()
        with scraping(root / "store", root / "prometheus") as prometheus:
            answers = {
                target["expr"]: prometheus.instant(target["expr"]).series
                for panel in panels
                for target in panel["targets"]
            }
    drawn = [panel for panel in panels if answers[panel["targets"][0]["expr"]]]
    rows = -(-len(drawn) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(15, 2.9 * rows), layout="constrained")
    for axis, panel in zip(axes.flat, drawn, strict=False):
        (target,) = panel["targets"]
        legend = target["legendFormat"].replace("{{", "${").replace("}}", "}")
        unit = panel["fieldConfig"]["defaults"]["unit"]
        divisor, name = DIVISORS.get(unit, (1.0, ""))
        if "store_list" in target["expr"] or "build" in target["expr"]:
            divisor, name = 1.0, "s"
        series = sorted(answers[target["expr"]], key=lambda each: -each.value)[:MOST]
        labels = [Template(legend).safe_substitute(each.labels) for each in series]
        values = [each.value / divisor for each in series]
        axis.barh(range(len(values)), values, color="#3274d9", height=0.7)
        axis.set_yticks(range(len(values)), labels, fontsize=8)
        axis.bar_label(axis.containers[0], fmt="{:,.5g}", fontsize=7, padding=2)
        axis.invert_yaxis()
        axis.set_title(f"{panel['title']}{f' ({name})' if name else ''}", fontsize=10, loc="left")
        axis.tick_params(axis="x", labelsize=7)
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in list(axes.flat)[len(drawn) :]:
        axis.set_axis_off()
    figure.savefig(ROOT / "docs/images/monitoring.png", dpi=80)


if __name__ == "__main__":
    main()
