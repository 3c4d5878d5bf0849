"""Pictures (PNG), with a font that has Hangul."""

import csv
import importlib.util
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # files only; no screen is asked for
import matplotlib.pyplot as plt
import numpy as np
from matplotlib import font_manager

from dem.atomic import new_file

SIZE = (8, 4.5)
DPI = 120


def use_korean_font() -> None:
    """Draw with NanumGothic, which comes as a file in the package koreanize-matplotlib.

    The package is not imported: its code needs distutils, which Python 3.12 no longer has.
    """
    package = importlib.util.find_spec("koreanize_matplotlib")
    if "NanumGothic" not in plt.rcParams["font.family"]:
        font_manager.fontManager.addfont(Path(package.origin).parent / "fonts" / "NanumGothic.ttf")
        plt.rcParams["font.family"] = ["NanumGothic", "DejaVu Sans"]
        plt.rcParams["axes.unicode_minus"] = False


def save(figure: plt.Figure, path: Path) -> None:
    """Write the figure to `path`, whole or not at all, and forget it."""
    with new_file(path) as partial:
        figure.savefig(partial, dpi=DPI, format="png")
    plt.close(figure)


def convergence(table: Path, picture: Path, domain: str) -> None:
    """Draw loss and eval_loss over steps from a `train_<domain>.csv`."""
    use_korean_font()
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for column, style, label in (("loss", "-", "train loss"), ("eval_loss", "o--", "eval loss (tune split)")):
        points = [(int(r["step"]), float(r[column])) for r in rows if r[column]]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=5)
    axes.set(title=f"Training on {domain}", xlabel="step", ylabel="loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, picture)


def difference_histogram(
    counts: np.ndarray, edges: np.ndarray, mean: float, std: float, picture: Path, title: str
) -> None:
    """Draw a difference's histogram (log scale) beside the normal curve of the same mean and deviation."""
    use_korean_font()
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    axes.stairs(counts, edges, fill=True, color="0.7", label="elements")
    if std > 0:
        middle, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
        density = np.exp(-0.5 * ((middle - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        axes.plot(middle, density * width * counts.sum(), "k--", label="normal, same mean and deviation")
    axes.set(yscale="log", title=title, xlabel="change of a weight", ylabel="elements per bin")
    axes.set_ylim(bottom=0.5, top=max(int(counts.max()), 1) * 2)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    save(figure, picture)
