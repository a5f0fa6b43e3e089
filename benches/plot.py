"""Charts of the last results of each bench: how far each figure is from its limit, and the speeds of W2 side by side.

May not live here: measuring.

    .venv/bin/python benches/plot.py [--out benches/.data/results.png]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import harness
import matplotlib as mpl

mpl.use("agg")
import matplotlib.pyplot as plt

KEPT, MISSED, PLAIN = "#2a7f62", "#b3392f", "#7a8794"


def last_results() -> list[harness.Result]:
    """Give each figure's last result, in the order in which they were first measured."""
    latest: dict[tuple[str, str], harness.Result] = {}
    with (harness.DATA / "results.ndjson").open() as lines:
        for line in lines:
            row = json.loads(line)
            latest[row["bench"], row["what"]] = row
    newest: dict[str, str] = {}
    for row in latest.values():
        newest[row["bench"]] = max(newest.get(row["bench"], ""), row["at"])
    return [row for row in latest.values() if row["at"] == newest[row["bench"]]]


def margin(row: harness.Result) -> float:
    """Give how far a figure is on the good side of its limit: 1 is just kept, 2 is twice as good."""
    figure = row["figure"] if row["unit"] == "x" else row.get("best", row["figure"])
    return float(figure / row["at_least"] if "at_least" in row else row["at_most"] / figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=harness.DATA / "results.png")
    arguments = parser.parse_args()

    rows = last_results()
    limited = [row for row in rows if "at_least" in row or "at_most" in row][::-1]
    speeds = [row for row in rows if row["bench"] == "w2" and row["unit"] != "x"][::-1]
    heights = [max(1, len(limited)), max(1, len(speeds))]
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(11, 1.6 + 0.33 * sum(heights)), height_ratios=heights, layout="constrained"
    )
    margins = [margin(row) for row in limited]
    bars = upper.barh(
        [row["what"] for row in limited],
        [at - 1 for at in margins],
        left=1,
        color=[KEPT if at >= 1 else MISSED for at in margins],
    )
    upper.bar_label(bars, [f" {row['figure']:g} {row['unit']}" for row in limited], fontsize=8)
    upper.axvline(1, color="black", linewidth=0.8)
    upper.set_xscale("log")
    upper.set_xmargin(0.25)
    upper.set_title("Margin to the limit (right of 1: kept)", fontsize=10)
    bars = lower.barh(
        [row["what"] for row in speeds],
        [row["figure"] for row in speeds],
        color=[KEPT if row["what"] == "W2, replay" else PLAIN for row in speeds],
    )
    lower.bar_label(bars, [f" {row['figure']:g}" for row in speeds], fontsize=8)
    lower.set_xmargin(0.1)
    lower.set_title("W2, million quotes a CPU second", fontsize=10)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=150)
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
