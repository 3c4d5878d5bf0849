"""The report's pictures: readable in grey and on a phone, whatever the domains are called.

Every colour runs from dark to light, and what matters stands there as a number, a marker or a line style too.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize

from dem.evaluation.digits import figure as in_digits
from dem.evaluation.digits import in_figures
from dem.evaluation.metrics import Metrics, Perplexity
from dem.plots import save, use_korean_font

WIDTH = 8.0
"""Of a picture, in inches; 960 pixels."""
TYPE = {"font.size": 12, "axes.titlesize": 14}
"""Sizes in points, of which 12 are still 7 pixels high in a picture that a phone shrinks to 400."""
COLORS = "cividis"
"""From dark to light without a turn, for every kind of sight."""
LONGEST_NAME = 16
"""Characters of a name that a picture shows."""
NARROW = 10
"""The same, above a column."""
STYLES = {"linestyle": ["-", "--", "-.", ":"], "marker": ["o", "s", "^", "D", "v", "P", "X"]}
LINE_COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#8c5fa8", "#7a7a7a")
REST = "rest"
"""What stands for the parameters that belong to no layer."""


def perplexity(metrics: Metrics, picture: Path) -> None:
    """Models by domains: the perplexity in each cell, and its change against the base as a number and a colour.

    Dark is better than the base, light is worse; `?` marks a change that may be chance, all cells taken together.
    """
    models, domains = list(metrics.models), list(next(iter(metrics.models.values())).perplexity)
    found = [[metrics.models[m].perplexity.get(d) for d in domains] for m in models]
    sure, by_model = metrics.beyond_chance(), list(zip(models, found, strict=True))
    changes = [[p.change.relative if p and p.change else math.nan for p in row] for row in found]
    reach = np.nanmax(np.abs([*sum(changes, []), 0.01]))
    with page(picture, max(WIDTH, 2 + 0.85 * len(domains)), 1.6 + 0.62 * len(models)) as (figure, (axes,)):
        cells(
            axes,
            np.array(changes),
            [[_measured(p, (m, d) in sure) for d, p in zip(domains, row, strict=True)] for m, row in by_model],
            (short_names(models), _with_counts(domains, found[0])),
            Normalize(-min(reach, 0.2), min(reach, 0.2)),
        )
        if "merged" in models:
            row = (-0.5, models.index("merged") - 0.5)
            axes.add_patch(plt.Rectangle(row, len(domains), 1, fill=False, linewidth=4, clip_on=False, zorder=5))
        axes.set_title("Perplexity on the test splits, change against the base")
        figure.supxlabel(
            "darker: better than the base    lighter: worse    ?: may be chance\nin brackets: test documents"
        )


def _with_counts(domains: list[str], measured: list[Perplexity | None]) -> list[str]:
    names = short_names(domains, NARROW)
    return [f"{name} ({p.documents if p else 0})" for name, p in zip(names, measured, strict=True)]


def _measured(p: Perplexity | None, sure: bool) -> str:
    if p is None or p.perplexity is None:
        return "–" if p is None else "no number"
    text = in_figures(p.perplexity)
    if p.change is None:
        return text
    return f"{text}\n{in_digits(p.change.relative, '+.1%', 0)}{'' if sure else ' ?'}"


def losses(tables: dict[str, Path], picture: Path) -> None:
    """Training loss and eval_loss over the steps, a panel per domain, from each `train_<domain>.csv`."""
    columns = 1 if len(tables) == 1 else 2
    rows = -(-len(tables) // columns)
    with page(picture, WIDTH, 1.1 + 2.5 * rows, rows, columns) as (figure, panels):
        for axes in panels[len(tables) :]:
            axes.set_axis_off()
        for axes, name, table in zip(panels, short_names(list(tables), 12), tables.values(), strict=False):
            train, tune = _points(table, "loss"), _points(table, "eval_loss")
            axes.plot(*train, "-", color="#8fb4d9", linewidth=1.5, label="training loss")
            axes.plot(*tune, "o--", color="black", markersize=6, label="eval_loss (tune split)")
            fall = f"\n{tune[1][0]:#.3g} to {tune[1][-1]:#.3g}" if tune[1] else ""
            axes.set_title(name + fall)
            axes.grid(alpha=0.3)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
        figure.supxlabel("step")
        figure.supylabel("loss (nats per token)")


def _points(table: Path, column: str) -> tuple[list[int], list[float]]:
    """Steps, and the column's values where it has any."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [(int(row["step"]), float(row[column])) for row in csv.DictReader(file) if row[column]]
    return [step for step, _ in rows], [value for _, value in rows]


def norms(summaries: dict[str, dict[str, Any]], picture: Path) -> None:
    """The norm of each domain's difference within each layer, from stage 2's summaries, by domain.

    What belongs to no layer (embedding, head, last norm) stands at the right end.
    """
    by_layer = {domain: layer_norms(summary) for domain, summary in summaries.items()}
    layers = sorted({layer for found in by_layer.values() for layer in found if layer is not None})
    last = layers[-1] if layers else -1
    rest, step = last + max(1.0, last / 12), max(1.0, last / 12) / 4 / len(by_layer)
    names = short_names(list(by_layer))
    columns = 3 if max(map(len, names)) < 12 else 2
    with page(picture, WIDTH, 4.8 + 0.28 * math.ceil(len(names) / columns)) as (figure, (axes,)):
        for number, (name, found, style) in enumerate(zip(names, by_layer.values(), styles(), strict=False)):
            places = [layer for layer in layers if layer in found]
            often = max(1, len(places) // 8)
            marked = (number % often, often)
            axes.plot(places, [found[p] for p in places], **style, label=name, markersize=7, markevery=marked)
            if None in found:
                axes.plot([rest + number * step], [found[None]], **{**style, "linestyle": "none"}, markersize=7)
        ticks = {int(layer): str(int(layer)) for layer in np.linspace(0, last, min(last + 1, 9))}
        if any(None in found for found in by_layer.values()):
            ticks[rest] = REST
        axes.set_xticks(list(ticks), list(ticks.values()))
        axes.set(title="What training changed, layer by layer", xlabel="layer", ylabel="norm of the difference")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        figure.legend(loc="outside lower center", ncols=min(columns, len(names)))


def layer_norms(summary: dict[str, Any]) -> dict[int | None, float]:
    """Norm of the difference by the first number in the parameters' names; None holds what has no number.

    As training made it: what `diff.normalize` has scaled is scaled back.
    """
    squares: dict[int | None, float] = defaultdict(float)
    for parameter in summary["parameters"]:
        number = re.search(r"(?:^|\.)(\d+)\.", parameter["name"])
        squares[int(number[1]) if number else None] += parameter["l2_norm"] ** 2
    scale = summary["norm_before_normalisation"] / summary["l2_norm"] if summary["l2_norm"] else 1.0
    return {layer: scale * math.sqrt(total) for layer, total in squares.items()}


def interference(figures: dict[str, Any], picture: Path) -> None:
    """Cosine similarity and sign conflict of every two domains, from `dem.interference.Interference.as_dict`."""
    domains = figures["domains"]
    names = short_names(domains), short_names(domains, NARROW)
    with page(picture, max(WIDTH, 2 + 0.8 * len(domains)), 2 * (1.4 + 0.55 * len(domains)), 2, 1) as (
        figure,
        (above, below),
    ):
        cosine, conflict = (_matrix(figures[name]) for name in ("cosine", "sign_conflict"))
        reach = max(np.nanmax(np.abs([*cosine.flat, 0.2])), 0.2)
        cells(above, cosine, _texts(cosine, "{:+.2f}"), names, Normalize(-reach, reach), COLORS + "_r")
        above.set_title("Cosine similarity: +1 alike, 0 unrelated, −1 opposed")
        reach = np.nanmax(np.abs([*(conflict - 0.5).flat, 0.05]))
        cells(below, conflict, _texts(conflict, "{:.0%}"), names, Normalize(0.5 - reach, 0.5 + reach))
        below.set_title("Sign conflict: share of opposite signs, by chance 50%")
        figure.supxlabel("darker: they agree    lighter: they work against each other")


def _matrix(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[math.nan if value is None else value for value in row] for row in rows])


def _texts(matrix: np.ndarray, form: str) -> list[list[str]]:
    return [
        ["" if i == j else "–" if math.isnan(v) else form.format(v) for j, v in enumerate(row)]
        for i, row in enumerate(matrix)
    ]


def weights(record: dict[str, Any], picture: Path) -> None:
    """Each domain's weight in the merge, from `dem_provenance.json`."""
    fine = record.get("search", {}).get("fine")
    given = fine["mean"] if fine else {domain: float(own["weight"]) for domain, own in record["domains"].items()}
    names, values = short_names(list(given)), list(given.values())
    with page(picture, WIDTH, 1.5 + 0.5 * len(given)) as (figure, (axes,)):
        bars = axes.barh(names, values, color="#5b7fa6", edgecolor="black")
        axes.bar_label(bars, [_weight(value, values) for value in values], padding=4)
        axes.axvline(0, color="black", linewidth=1)
        axes.invert_yaxis()
        axes.margins(x=0.25)
        axes.set_title(f"Merge weights ({record.get('method')}, scale {record.get('scale'):g})")
        if record.get("weights_by_parameter"):
            axes.set_xlabel("some parameters have weights of their own")
        if fine:
            axes.set_xlabel(f"mean of the weights of each domain's {fine['groups']}")
        axes.grid(axis="x", alpha=0.3)


def _weight(value: float, values: list[float]) -> str:
    total = sum(values)
    return f"{value:.4g} ({value / total:.0%})" if total > 0 and min(values) >= 0 else f"{value:.4g}"


@contextmanager
def page(
    picture: Path, width: float, height: float, rows: int = 1, columns: int = 1
) -> Iterator[tuple[plt.Figure, list[plt.Axes]]]:
    """A figure in large type and its axes, to draw on; it becomes the file `picture` when the block ends."""
    use_korean_font()
    with plt.rc_context(TYPE):
        figure, axes = plt.subplots(rows, columns, figsize=(width, height), layout="constrained", squeeze=False)
        yield figure, list(axes.flat)
        save(figure, picture)


def cells(
    axes: plt.Axes,
    values: np.ndarray,
    texts: list[list[str]],
    names: tuple[list[str], list[str]],
    scale: Normalize,
    map_name: str = COLORS,
) -> None:
    """A table of texts on colours; a value that is no number stays white. `names` are those of rows and columns."""
    colors = plt.get_cmap(map_name).with_extremes(bad="white")
    axes.imshow(np.ma.masked_invalid(values), cmap=colors, norm=scale, aspect="auto")
    axes.set_xticks(range(len(names[1])), names[1], rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names[0])), names[0])
    axes.set_xticks(np.arange(0.5, len(names[1]) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(names[0]) - 1), minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            value = values[row, column]
            dark = not math.isnan(value) and _lightness(colors(scale(value))) < 0.46
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")


def _lightness(color: tuple[float, ...]) -> float:
    """Luma of a colour, 0 black to 1 white."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def styles() -> Any:
    """One after the other, line styles that stay apart without their colours."""
    return (
        {"linestyle": line, "marker": marker, "color": color}
        for line, marker, color in zip(
            cycle(STYLES["linestyle"]), cycle(STYLES["marker"]), cycle(LINE_COLORS), strict=False
        )
    )


def short_names(names: Sequence[str], longest: int = LONGEST_NAME) -> list[str]:
    """The names, without the middle of those that are too long; what then looks alike is numbered by its place."""
    short = [n if len(n) <= longest else f"{n[: longest // 2]}…{n[longest // 2 + 1 - longest :]}" for n in names]
    return [f"{label} ({i})" if short.count(label) > 1 else label for i, label in enumerate(short, 1)]
