"""The report's pictures: there, not blank, with every letter, whatever the number and length of the names."""

import logging
import math
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dem import plots
from dem.evaluation import pictures
from dem.evaluation.intervals import Change
from dem.evaluation.metrics import Metrics, ModelMetrics, Perplexity

pytestmark = pytest.mark.pictures

NAMES = ["국회회의록", "교과서_초등학교_국어_사회_과학_2024년_개정판", "교과서_초등학교_국어_사회_과학_2025년_개정판"]
NAMES += ["sns", "medical-records_2020-2025", *(f"도메인{i}" for i in range(7))]


def perplexity(value, change=None) -> Perplexity:
    return Perplexity(value, 1.0, 1.0, 10, 30, 5, change)


def metrics_of(domains) -> Metrics:
    random = np.random.default_rng(0)

    def row(name):
        found = {}
        for domain in [*domains, "all"]:
            value, relative = random.uniform(5, 9000), random.normal(0, 0.05)
            found[domain] = perplexity(
                value, None if name == "base" else Change(relative, relative - 0.02, relative + 0.02)
            )
        return found

    rows = {name: row(name) for name in ["base", *domains, "merged"]}
    rows["merged"]["all"] = None  # not measured
    rows["merged"][domains[0]] = perplexity(None)  # NaN
    return Metrics({name: ModelMetrics(1.0, row, {}, {}) for name, row in rows.items()}, {}, {}, versions={})


def summary(layers=64, rest=True, norm=1.0) -> dict:
    names = [f"backbone.layers.{i}.mixer.in_proj.weight" for i in range(layers)] + ["lm_head.weight"] * rest
    return {
        "parameters": [{"name": name, "l2_norm": norm} for name in names],
        "l2_norm": 1.0,
        "norm_before_normalisation": 1.0,
    }


def matrix(count: int, value: float) -> list:
    return [[None if i == j else value + 0.01 * (i + j) for j in range(count)] for i in range(count)]


def tables(folder, domains) -> dict:
    folder.mkdir(exist_ok=True)
    for domain in domains:
        lines = [f"{s},{4 - s / 99},{4 - s / 90 if s % 20 == 0 else ''}" for s in range(0, 99, 5)]
        (folder / domain).write_text("step,loss,eval_loss\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return {domain: folder / domain for domain in domains}


def draw_all(folder, domains):
    figures = {"domains": domains, "cosine": matrix(len(domains), -0.2), "sign_conflict": matrix(len(domains), 0.4)}
    record = {"method": "ties", "scale": 1.0, "domains": {d: {"weight": 0.1 * i} for i, d in enumerate(domains, -1)}}
    pictures.perplexity(metrics_of(domains), folder / "perplexity.png")
    pictures.losses(tables(folder / "tables", domains), folder / "losses.png")
    pictures.norms({d: summary(rest=i % 2 == 0) for i, d in enumerate(domains)}, folder / "norms.png")
    pictures.interference(figures, folder / "interference.png")
    pictures.weights({**record, "weights_by_parameter": [{}]}, folder / "weights.png")


@pytest.fixture
def drawn(monkeypatch):
    """The figures as they were saved, by the file's name; kept open to look at."""
    found = {}
    save = plots.save

    def keep(figure, path):
        with monkeypatch.context() as patch:
            patch.setattr(plt, "close", lambda figure: None)
            save(figure, path)
        found[path.stem] = figure

    monkeypatch.setattr(pictures, "save", keep)
    yield found
    plt.close("all")


def shown(figure) -> list:
    """All texts of a figure that have a place on the page."""
    texts = [t for t in figure.findobj(plt.Text) if t.get_text().strip() and t.get_visible()]
    axes_off = [t for a in figure.axes if not a.axison for t in a.findobj(plt.Text)]
    return [t for t in texts if t not in axes_off]


@pytest.mark.parametrize("count", [1, 12])
def test_pictures_show_every_name_inside_the_page_in_large_type(tmp_path, drawn, caplog, count):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="matplotlib"):
        warnings.simplefilter("error")  # a glyph that no font has, a layout that does not fit
        draw_all(tmp_path, NAMES[:count])
    assert not caplog.records  # a font or a weight that was not found
    assert len(drawn) == 5
    for name, figure in drawn.items():
        pixels = plt.imread(tmp_path / f"{name}.png")[:, :, :3]
        assert pixels.shape[1] == round(figure.get_figwidth() * plots.DPI) >= 960
        assert pixels.std() > 0.05 and (pixels.min(2) < 0.9).mean() > 0.02
        texts = shown(figure)
        assert any("국회회의록" in text.get_text() for text in texts), name
        figure.draw_without_rendering()
        renderer = figure.canvas.get_renderer()
        for text in texts:
            assert text.get_fontsize() >= 9
            box = text.get_window_extent(renderer)
            outside = figure.bbox.x0 - box.x0 > 1 or box.x1 - figure.bbox.x1 > 1
            outside |= figure.bbox.y0 - box.y0 > 1 or box.y1 - figure.bbox.y1 > 1
            assert not outside or _is_unseen_tick(figure, text), (name, text.get_text())


def _is_unseen_tick(figure, text) -> bool:
    """Matplotlib keeps labels of ticks beyond the ends of an axis, and does not draw them."""
    return any(
        text in [tick.label1, tick.label2] and not _within(tick.get_loc(), axis.get_view_interval())
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
    )


def _within(place, interval) -> bool:
    return min(interval) <= place <= max(interval)


def test_perplexity_cells_hold_value_sign_and_doubt(tmp_path, drawn):
    row = {
        "web": perplexity(19.0, Change(-0.05, -0.06, -0.04, 1e-4)),
        "sns": perplexity(12345.6, Change(0.01, 0.0001, 0.03, 0.04)),  # sure by itself, and not of two
        "법률": perplexity(12345.6, Change(0.01, 0.0001, 0.03, 0.03)),
    }
    base = {"web": perplexity(20.0), "sns": perplexity(12222.0), "법률": perplexity(12222.0)}
    models = {"base": ModelMetrics(1.0, base, {}, {}), "merged": ModelMetrics(1.0, row, {}, {})}
    pictures.perplexity(Metrics(models, {}, {}, versions={}), tmp_path / "p.png")
    words = [t.get_text() for t in shown(drawn["p"])]
    assert {"20.00", "12,222", "19.00\n-5.0%", "12,346\n+1.0% ?"} <= set(words)


def test_both_ends_of_a_loss_have_as_many_digits(tmp_path, drawn):
    pictures.losses(tables(tmp_path, ["웹"]), tmp_path / "l.png")
    assert "웹\n4.00 to 3.11" in [t.get_text() for t in shown(drawn["l"])]


def test_better_is_darker_than_worse_in_grey(tmp_path):
    domains = ["a", "b", "c"]
    changes = [-0.05, 0.001, 0.05]
    base = {d: perplexity(10.0) for d in domains}
    row = {d: perplexity(10.0, Change(c, c, c)) for d, c in zip(domains, changes, strict=True)}
    models = {"base": ModelMetrics(1.0, base, {}, {}), "merged": ModelMetrics(1.0, row, {}, {})}
    pictures.perplexity(Metrics(models, {}, {}, versions={}), tmp_path / "p.png")
    grey = plt.imread(tmp_path / "p.png")[:, :, :3] @ [0.299, 0.587, 0.114]
    height, width = grey.shape
    line = grey[int(height * 0.66)]  # through the row of merged, above its text
    found = [np.median(line[int(width * x)]) for x in (0.2, 0.5, 0.9)]
    assert found[0] + 0.2 < found[1] < found[2] - 0.2


def test_layer_norms_are_roots_of_sums_of_squares():
    parts = {"backbone.layers.3.in.weight": 3.0, "backbone.layers.3.out.weight": 4.0, "backbone.layers.10.x": 2.0}
    parts |= {"lm_head.weight": 1.0, "backbone.norm_f.weight": 1.0}
    content = {"parameters": [{"name": n, "l2_norm": v} for n, v in parts.items()]}
    found = pictures.layer_norms({**content, "l2_norm": 2.0, "norm_before_normalisation": 6.0})
    assert found == pytest.approx({3: 15.0, 10: 6.0, None: 3 * math.sqrt(2)})


def test_names_that_look_alike_when_shortened_stay_apart(tmp_path, drawn):
    draw_all(tmp_path, NAMES[:3])
    for figure in drawn.values():
        names = [t.get_text() for t in shown(figure) if "교과서" in t.get_text()]
        assert len(set(names)) >= 2 and all(len(name) < 40 for name in names)
