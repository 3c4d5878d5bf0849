"""Stage 3's `merge.weights: auto`: find the weights on the domains' tune documents, and put down how."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dem.atomic import write_text
from dem.common import log, progress_bar
from dem.config import SearchConfig
from dem.evaluation.documents import Document, fingerprint
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.perplexity import windows
from dem.search.losses import Evaluation, Losses
from dem.search.objectives import objective_of
from dem.search.optimise import by_gradient, by_grid
from dem.search.quadratic import FLAT, Limits, Quadratic
from dem.search.terms import Terms

FORMAT = 1
SHARE = 0.2
"""Of each domain's tune tokens, those on which the gradient search looks at more than one point."""
DIGITS = 4
"""Of the weights that are found: what the report says is what was merged."""
COSTS = ("forward_tokens", "backward_tokens", "seconds")
"""Of an evaluation: tokens passed through the model each way, and time."""


@dataclass(frozen=True)
class Found:
    """The weights that were found, and what is known of the losses about them."""

    domains: list[str]
    weights: np.ndarray
    """(domains, groups), before merge.scale."""
    record: dict[str, Any]
    """For the provenance."""


class Search:
    """Evaluations of one model on the tune documents, each kept as it is made."""

    def __init__(
        self,
        terms: Terms,
        documents: dict[str, list[Document]],
        max_length: int,
        scale: float,
        kept: Evaluated,
        table: Path,
    ):
        """Of `terms` times `scale` on `documents` (by domain of text); `table` is to list the evaluations.

        `kept` holds those of an earlier run that was cut off; of the same content, they are not made again.
        """
        self._terms, self._max_length, self._scale = terms, max_length, scale
        self._kept, self._table = kept, table
        self._rows: list[dict[str, Any]] = []
        self.all = documents
        self.some = {d: _some(each, max_length, number) for number, (d, each) in enumerate(documents.items())}
        self.bar = None

    @property
    def domains(self) -> list[str]:
        """Whose differences have weights."""
        return self._terms.domains

    @property
    def slow(self) -> int:
        """Parameters that take the slower way (see dem/search/terms.py)."""
        return len(self._terms.slow)

    def cost(self) -> dict[str, Any]:
        """Tokens passed forward and backward so far, and seconds; also in an earlier run, so that both end alike."""
        return {name: round(sum(row[name] for row in self._rows), 1) for name in COSTS}

    def at(self, phase: str, weights: np.ndarray, documents: dict[str, list[Document]], gradient: bool) -> Evaluation:
        """Evaluate at `weights` (domains, groups), or take what was kept; derivatives are by these weights."""
        part = f"{len(self._rows) + 1} {phase}"
        key = {"weights": weights.tolist(), "gradient": gradient, "scale": self._scale}
        key["documents"] = {domain: fingerprint(some) for domain, some in documents.items()}
        value = self._kept.get(part, key, lambda value: isinstance(value, dict))
        if value is None:
            told = self.bar.update if self.bar else lambda tokens: None
            made = Losses(self._terms, documents, self._max_length).at(self._scale * weights, gradient, told)
            value = {
                "losses": made.losses.tolist(),
                "jacobian": (self._scale * made.jacobian).tolist() if gradient else None,
                "forward_tokens": made.forward_tokens,
                "backward_tokens": made.backward_tokens,
                "seconds": made.seconds,
            }
            self._kept.put(part, key, value, made.seconds)
        losses = np.array(value["losses"])
        jacobian = np.array(value["jacobian"]) if gradient else None
        counts = {name: value[name] for name in COSTS}
        self._rows.append({"phase": phase, "weights": weights, "losses": losses, **counts})
        self._write_table()
        at = ", ".join(f"{w:.3f}" for w in weights.mean(1))
        log.info(f"search: {part}: mean loss {losses.mean():.5f} at {at} ({value['seconds']:.1f} s)")
        return Evaluation(losses, jacobian, **counts)

    def _write_table(self) -> None:
        """As CSV; with groups of parameters, the weights are numbered by group."""
        groups = range(self._rows[0]["weights"].shape[1])
        weights = [f"weight_{d}" + f"_{g}" * (len(groups) > 1) for d in self._terms.domains for g in groups]
        losses = [f"loss_{domain}" for domain in self.all]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["number", "phase", *weights, *losses, *COSTS])
        for number, row in enumerate(self._rows, 1):
            figures = [f"{figure:.6f}" for figure in (*row["weights"].ravel(), *row["losses"])]
            writer.writerow([number, row["phase"], *figures, *(round(row[name], 2) for name in COSTS)])
        write_text(self._table, text.getvalue())

    def path(self) -> list[dict[str, Any]]:
        """All evaluations in their order, as plain numbers."""
        return [
            {"phase": row["phase"], "weights": row["weights"].tolist(), "losses": row["losses"].tolist()}
            for row in self._rows
        ]


def _some(documents: list[Document], max_length: int, seed: int) -> list[Document]:
    """SHARE of the documents' tokens, drawn by windows, as which a model reads them anyway; the last one is cut."""
    pieces = [window for document in documents for window in windows(document.ids, max_length)]
    left = max(round(SHARE * sum(len(piece) - 1 for piece in pieces)), 1)
    chosen: dict[int, Sequence[int]] = {}
    for number in np.random.default_rng(seed).permutation(len(pieces)):
        chosen[number] = pieces[number][: left + 1]
        left -= len(chosen[number]) - 1
        if not left:
            break
    return [Document(chosen[number], 0) for number in sorted(chosen)]  # bytes are not asked for


def find_weights(
    search: Search, settings: SearchConfig, hand: np.ndarray, limits: Limits, summary: Path, named: dict[str, Any]
) -> Found:
    """Find the weights, starting from `hand` (domains, groups); write what is known about them to `summary`.

    By gradient, all tune documents are looked at with `hand` and with the weights found; what lies between is looked at
    on some of them, with their losses corrected, to first order, by what all of them gave at `hand` (as in SVRG,
    Johnson & Zhang 2013). If all documents say in the end that `hand` is as good, it stays.

    Args:
        named: what else the summary is to hold.
    """
    whole, part = _tokens(search.all), _tokens(search.some)
    _say_what_comes(search, whole, part)
    start = limits.of(hand)
    base = None
    if settings.objective == "worst":
        base = search.at("base", np.zeros_like(start), search.all, False).losses
    objective = objective_of(settings, list(search.all), base)
    model: Quadratic | None = None
    with progress_bar(_expected(settings, start.size, whole, part), "search", " tokens") as search.bar:
        if settings.method == "grid":
            weights = by_grid(
                lambda w: objective.value(search.at("grid", w, search.all, False).losses), len(search.domains), limits
            )
            at_start = search.at("start", start, search.all, False).losses
        else:
            first = search.at("start, all documents", start, search.all, True)
            at_start = first.losses
            evaluate = _corrected(search, start, first)
            weights, model = by_gradient(evaluate, objective, start, limits, settings.penalty)
        weights = _rounded(weights, limits)
        losses = search.at("found, all documents", weights, search.all, False).losses
    gain = objective.value(at_start) - objective.value(losses)
    if gain < 0:
        log.info("search: what was found is no better than the weights it began with, which stay")
        weights, losses = _rounded(start, limits), at_start
    flat = model.flat(objective, limits) if model and weights.shape[1] == 1 else None
    record = {
        "method": settings.method,
        "objective": settings.objective,
        "value": objective.value(losses),
        "value_of_hand": objective.value(at_start),
        "tune_tokens": whole,
        **search.cost(),
        "flat_within": FLAT,
        "flat": dict(zip(search.domains, flat, strict=True)) if flat else None,
    }
    content = {
        "format": FORMAT,
        **named,
        **record,
        "domains": search.domains,
        "texts": list(search.all),
        "found": weights.tolist(),
        "hand": start.tolist(),
        "limits": {"normalize": limits.normalize, "bound": limits.bound},
        "path": search.path(),
        "model": _plain(model),
        "shares": objective.shares.tolist(),
    }
    write_text(summary, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    found = Found(search.domains, weights, record)
    _say_what_was_found(found, start)
    return found


def _tokens(documents: dict[str, list[Document]]) -> int:
    """Tokens that are predicted."""
    return sum(max(len(document.ids) - 1, 0) for some in documents.values() for document in some)


def _say_what_comes(search: Search, whole: int, part: int) -> None:
    log.info(f"search: {len(search.domains)} domains, {whole:,} tune tokens, {part:,} of them between start and end")
    if search.slow:
        log.info(
            f"search: {search.slow} parameters' differences are no products on a module that is called; "
            "they are set anew for each evaluation, which is slower"
        )


def _say_what_was_found(found: Found, start: np.ndarray) -> None:
    record = found.record
    for i, domain in enumerate(found.domains):
        told = ", ".join(f"{w:g}" for w in found.weights[i])
        room = ", flat from {:.2f} to {:.2f}".format(*record["flat"][domain]) if record["flat"] else ""
        log.info(f"search: {domain} {told} (began at {', '.join(f'{w:g}' for w in start[i])}{room})")
    gain = record["value_of_hand"] - record["value"]
    log.info(
        f"search: objective {record['value']:.5f} nats per token, {gain:+.5f} better than at the start; "
        f"{record['forward_tokens']:,} tokens forward, {record['backward_tokens']:,} backward, {record['seconds']} s"
    )


def _corrected(search: Search, start: np.ndarray, first: Evaluation) -> Callable:
    """The losses on some documents, corrected by what all gave at the start."""
    offset: list[tuple[np.ndarray, np.ndarray]] = []

    def evaluate(phase: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = search.at(phase, weights, search.some, True)
        if not offset:
            offset.append((first.losses - found.losses, first.jacobian - found.jacobian))
        losses, slopes = offset[0]
        return found.losses + losses + slopes @ (weights - start).ravel(), found.jacobian + slopes

    return evaluate


def _expected(settings: SearchConfig, size: int, whole: int, part: int) -> int:
    """Tokens that the search is likely to pass forward."""
    if settings.method == "grid":
        return whole * (11 * size + 2)
    return 2 * whole + part * (size + 4) + (whole if settings.objective == "worst" else 0)


def _rounded(weights: np.ndarray, limits: Limits) -> np.ndarray:
    """With DIGITS digits; where the sum is to be 1, the largest weight takes up what rounding left."""
    rounded = np.round(weights, DIGITS)
    if limits.normalize:
        for group in range(rounded.shape[1]):
            largest = np.argmax(rounded[:, group])
            rounded[largest, group] += 1 - rounded[:, group].sum()
    return np.round(rounded, DIGITS)


def _plain(model: Quadratic | None) -> dict[str, Any] | None:
    if model is None:
        return None
    return {name: getattr(model, name).tolist() for name in ("centre", "losses", "jacobian", "hessians")}
