"""Pictures of the search for weights: its path, the loss along each weight, and the map of two or three weights.

What was measured is a marker; lines and the map are the second-order model of the losses about the weights found.
"""

from itertools import combinations, product
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.contour import ContourSet

from dem.common import read_json
from dem.evaluation.digits import figure as in_digits
from dem.evaluation.intervals import Change, marked
from dem.evaluation.pictures import COLORS, NARROW, WIDTH, cells, page, short_names, styles
from dem.layout import Layout
from dem.search.quadratic import Limits, Quadratic

POINTS = 61
"""Along each axis of the model's curves and maps."""
MARKERS = {
    "equal": ("o", 11),
    "equal_found_sum": ("X", 11),
    "equal_best_sum": ("D", 9),
    "hand": ("s", 11),
    "hand_found_sum": ("P", 11),
    "hand_best_sum": ("d", 9),
    "found": ("*", 20),
}
"""Of the weights in the map, by their names in the results: marker and size, the last on top."""


def draw(layout: Layout, chosen: list[str]) -> None:
    """Draw all that the search's summary tells of, the map of the `chosen` domains; what it does not tell of, goes."""
    for what in ("path", "losses", "map", "steps"):
        layout.search_picture(what).unlink(missing_ok=True)
    summary = read_json(layout.search_summary)
    path(summary, layout.search_picture("path"))
    if summary["model"] and len(summary["found"][0]) == 1:
        losses(summary, layout.search_picture("losses"))
        if len(summary["domains"]) > 1:
            weight_map(summary, chosen, layout.search_picture("map"))
    if "fine" in summary:
        steps(summary["fine"], layout.search_picture("steps"))


def leave_one_out(effects: dict[str, dict[str, dict[str, float] | None]], picture: Path) -> None:
    """What each domain's term changes of each domain's perplexity, by term: dark where it helps, light where it hurts.

    `?` marks a change that may be chance, all cells taken together.
    """
    texts = list(next(iter(effects.values())))
    values = np.array([[row[text]["relative"] if row[text] else np.nan for text in texts] for row in effects.values()])
    reach = max(float(np.nanmax(np.append(np.abs(values), 0.002))), 0.002)
    with page(picture, max(WIDTH, 2 + 0.85 * len(texts)), 2.2 + 0.55 * len(effects)) as (figure, (axes,)):
        names = short_names(list(effects)), short_names(texts, NARROW)
        sure = marked({term: {text: c and Change(**c) for text, c in row.items()} for term, row in effects.items()})
        written = [[_effect(row[text], (term, text) in sure) for text in texts] for term, row in effects.items()]
        cells(axes, values, written, names, Normalize(-reach, reach))
        axes.set_title("What each domain's term does to the perplexity of each domain")
        axes.set_ylabel("term of")
        figure.supxlabel("tune text of    (darker: it helps    lighter: it hurts    ?: may be chance)")


def _effect(change: dict[str, float] | None, sure: bool) -> str:
    if change is None:
        return "–"
    return f"{in_digits(change['relative'], '+.1%', 0)}{'' if sure else ' ?'}"


def path(summary: dict[str, Any], picture: Path) -> None:
    """Above the mean of the domains' losses at each evaluation on some of the documents, below its weights."""
    shares = np.array(summary["shares"])
    steps = [step for step in summary["path"] if step["phase"] in ("start", "curvature", "search", "grid")]
    numbers, names = range(1, len(steps) + 1), short_names(summary["domains"])
    with page(picture, WIDTH, 7, 2, 1) as (figure, (above, below)):
        above.plot(numbers, [shares @ step["losses"] for step in steps], "ko-", markersize=7)
        above.set(title="The search, evaluation by evaluation", ylabel="loss (nats per token)")
        for i, (name, style) in enumerate(zip(names, styles(), strict=False)):
            below.plot(numbers, [np.mean(step["weights"][i]) for step in steps], **style, markersize=7, label=name)
        below.set(ylabel="weight", xlabel="evaluation")
        for axes in (above, below):
            axes.grid(alpha=0.3)
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside lower center", ncols=3 if max(map(len, names)) < 12 else 2)


def steps(fine: dict[str, Any], picture: Path) -> None:
    """The objective on both halves of the tune documents as the steps go on, and which step was chosen."""
    rows = fine["rows"]
    with page(picture, WIDTH, 6) as (figure, (axes,)):
        stepped = [(row["step"], row["running"]) for row in rows if row["running"] is not None]
        axes.plot(*zip(*stepped, strict=True), "ks--", markersize=7, label="half that it steps on")
        axes.plot([r["step"] for r in rows], [r["value"] for r in rows], "ko-", markersize=7, label="held-back half")
        chosen = next(row for row in rows if row["step"] == fine["step"])
        axes.plot(chosen["step"], chosen["value"], "k*", markersize=20, label="chosen")
        axes.set(title=f"A weight for each of {fine['weights']:,} {fine['groups']}", xlabel="step of Adam")
        axes.set_ylabel("loss (nats per token)")
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(loc="outside lower center", ncols=3)


def losses(summary: dict[str, Any], picture: Path) -> None:
    """What the objective loses when one weight is moved and the others make room alike; a panel per domain."""
    model, objective, limits = _model(summary)
    found = np.array(summary["found"])[:, 0]
    names, rows = short_names(summary["domains"], 12), -(-len(found) // 2)
    with page(picture, WIDTH, 1.2 + 2.3 * rows, rows, 2) as (figure, panels):
        for i, (axes, name) in enumerate(zip(panels, names, strict=False)):
            weights = np.linspace(0, min(limits.largest, max(1.0, 1.5 * found[i])), POINTS)
            moved = [_with(found, {i: weight}, limits) for weight in weights]
            more = 1000 * (np.array(list(map(objective, moved))) - objective(found))
            axes.plot(weights, more, "k-")
            axes.plot(found[i], 0, "k*", markersize=14)
            if summary["flat"]:
                axes.axvspan(*summary["flat"][summary["domains"][i]], color="0.85")
            axes.set_title(f"{name}: {found[i]:.2f}")
            axes.set_xlim(_with_margins(weights[-1]))
            axes.set_ylim(min(-1, 1.1 * more.min()), 20)
            axes.grid(alpha=0.3)
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        figure.supxlabel(
            "weight (star: found; grey: flat to a tenth of a percent of the perplexity,\nthe other weights adjusting)"
        )
        figure.supylabel("thousandths of a nat\nper token more than at the star")


def weight_map(summary: dict[str, Any], chosen: list[str], picture: Path) -> None:
    """The objective over two weights, the others in their proportion, and where the guesses lie.

    A panel for each two of the `chosen` domains; without these, for the two of the largest weights.
    """
    found = np.array(summary["found"])[:, 0]
    largest = [summary["domains"][i] for i in np.argsort(-found)[:2]]
    pairs = list(combinations(chosen or largest, 2))
    with page(picture, WIDTH, 7 * len(pairs), len(pairs), 1) as (figure, panels):
        for axes, (one, two) in zip(panels, pairs, strict=True):
            filled = _panel(axes, summary, summary["domains"].index(one), summary["domains"].index(two))
        panels[0].set_title("Thousandths of a nat per token above the weights found")
        figure.colorbar(filled, ax=panels, shrink=0.8 / len(pairs))
        marks = dict(zip(*reversed(panels[0].get_legend_handles_labels()), strict=True))
        figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=2)


def _panel(axes: plt.Axes, summary: dict[str, Any], one: int, two: int) -> ContourSet:
    """The objective over the weights of the domains of these numbers."""
    _, objective, limits = _model(summary)
    marks = _marks(summary)
    found = marks["found"]
    top = max(1.0, *(weights[[one, two]].max() for weights in marks.values()))
    axis = np.linspace(0, top, POINTS)
    values = np.full((POINTS, POINTS), np.nan)
    for (row, y), (column, x) in product(enumerate(axis), repeat=2):
        if x + y <= (1 if limits.normalize else limits.bound) + 1e-9:
            values[row, column] = objective(_with(found, {one: x, two: y}, limits))
    values = 1000 * (values - objective(found))
    levels = [-1, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    filled = axes.contourf(axis, axis, values, levels=levels, cmap=COLORS, extend="both", norm="symlog")
    lines = axes.contour(axis, axis, values, levels=levels[2:], colors="black", linewidths=0.8)
    axes.clabel(lines, fontsize=11)
    white = {"color": "white", "markeredgecolor": "black", "linestyle": "none"}
    for name, weights in marks.items():
        marker, size = MARKERS[name]
        axes.plot(weights[one], weights[two], marker, label=name, markersize=size, **white)
    black = white | {"color": "black", "markersize": 11}
    for number, marker in ((one, ">"), (two, "^")):
        place = (float(number == one), float(number == two))
        axes.plot(*place, marker, label="one domain alone, of weight 1", **black)
    names = short_names(summary["domains"])
    axes.set(xlabel=f"weight of {names[one]}", ylabel=f"weight of {names[two]}", aspect="equal")
    axes.set(xlim=_with_margins(top), ylim=_with_margins(top))
    return filled


def _marks(summary: dict[str, Any]) -> dict[str, np.ndarray]:
    """The weights found and those that they are compared with, (domains,) each, by the names of MARKERS."""
    others = {
        rival["name"]: rival["weights"]
        for rival in summary["rivals"]
        if rival["name"] in MARKERS and not rival["same_as"]
    }
    marks = {name: np.array([weights[d][0] for d in summary["domains"]]) for name, weights in others.items()}
    return marks | {"found": np.array(summary["found"])[:, 0]}


def _with_margins(top: float) -> tuple[float, float]:
    """The ends of an axis from 0 to `top` on which the marks at its ends are whole."""
    return -0.05 * top, 1.05 * top


def _model(summary: dict[str, Any]) -> tuple[Quadratic, Any, Limits]:
    """The second-order model, the objective that it predicts of flat weights, and the limits."""
    model = Quadratic(**{name: np.array(values) for name, values in summary["model"].items()})
    shares = np.array(summary["shares"])
    return model, lambda weights: float(shares @ model.at(weights)[0]), Limits(**summary["limits"])


def _with(weights: np.ndarray, values: dict[int, float], limits: Limits) -> np.ndarray:
    """Some weights set to `values`; where the sum is to be 1, or would be too large, the others make room alike."""
    moved = weights.copy()
    moved[list(values)] = list(values.values())
    others = [i for i in range(len(weights)) if i not in values]
    rest, room = weights[others].sum(), (1 if limits.normalize else limits.bound) - sum(values.values())
    if others and (limits.normalize or rest > room):
        moved[others] = room * (weights[others] / rest if rest > 0 else np.full(len(others), 1 / len(others)))
    return moved
