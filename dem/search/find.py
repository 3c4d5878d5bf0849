"""Stage 3's `merge.weights: auto`: find the weights on the domains' tune documents, and put down how."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dem.atomic import write_text
from dem.common import log, progress_bar
from dem.config import SearchConfig
from dem.errors import WorkError
from dem.evaluation.digits import in_words as time_in_words
from dem.evaluation.documents import Document, fingerprint
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.perplexity import drawn
from dem.search.losses import Evaluation, Losses
from dem.search.objectives import Objective, objective_of
from dem.search.optimise import Evaluate, best_sum, by_gradient, by_grid
from dem.search.outcome import ends_in_words, ends_of
from dem.search.quadratic import FLAT, Limits, Quadratic
from dem.search.rivals import guesses, in_words, rivals_of
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
        self.expected = 0
        """Tokens that are likely to be passed forward in all."""
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
        """Evaluate at `weights` (domains, groups), or take what was kept; derivatives are by these weights.

        Raises:
            WorkError: a loss or a derivative is no number.
        """
        part = f"{len(self._rows) + 1} {phase}"
        key = {"weights": weights.tolist(), "gradient": gradient, "scale": self._scale}
        key["documents"] = {domain: fingerprint(some) for domain, some in documents.items()}
        value = self._kept.get(part, key, lambda value: isinstance(value, dict))
        if value is None:
            told = self.bar.update if self.bar else lambda tokens: None
            made = Losses(self._terms, documents, self._max_length).at(self._scale * weights, gradient, told)
            if not (np.isfinite(made.losses).all() and np.isfinite(made.jacobian if gradient else 0).all()):
                own = ", ".join(f"{domain} {w:g}" for domain, w in zip(self.domains, weights.mean(1), strict=True))
                raise WorkError(
                    f"search: with the weights {own} the model computes no numbers, only NaN or Inf: lower "
                    "search.bound or merge.scale; if these are low, the base itself may compute none"
                )
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
        log.info(f"search: {part}: mean loss {losses.mean():.5f} at {at} ({value['seconds']:.1f} s{self._left()})")
        return Evaluation(losses, jacobian, **counts)

    def _left(self) -> str:
        """How long the rest is likely to take, by what was passed forward so far."""
        done, seconds = (sum(row[name] for row in self._rows) for name in ("forward_tokens", "seconds"))
        left = (self.expected - done) * seconds / max(done, 1)
        return f", about {time_in_words(left)} left" if left > 0 else ""

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
    """SHARE of the documents' tokens."""
    return drawn(documents, max_length, max(round(SHARE * _tokens({"": documents})), 1), seed)


def find_weights(
    search: Search, settings: SearchConfig, start: np.ndarray, limits: Limits, summary: Path, named: dict[str, Any]
) -> Found:
    """Find the weights, from `start` (domains, groups) on; write what is known about them to `summary`.

    By gradient, all tune documents are looked at with `start` and with the weights found; what lies between is looked
    at on some of them, with their losses corrected, to first order, by what all of them gave at `start` (as in SVRG,
    Johnson & Zhang 2013). If all documents say in the end that `start` is as good, it stays.

    Args:
        named: what else the summary is to hold.
    """
    _say_what_comes(search)
    search.expected = _expected(search, settings, start.size, limits)
    if not limits.normalize and (given := start.sum(0).max()) > limits.bound:
        log.info(f"search: the sum it would begin with, {given:g}, is above search.bound, which it begins with instead")
    start, base = limits.of(start), None
    if settings.objective == "worst":
        base = search.at("base", np.zeros_like(start), search.all, False).losses
    objective = objective_of(settings, list(search.all), base)
    guessed = guesses(settings, search.domains)
    with progress_bar(search.expected, "search", " tokens") as search.bar:
        weights, at_start, model, evaluate = _searched(search, settings, objective, start, limits)
        weights = _rounded(weights, limits)
        losses = search.at("found, all documents", weights, search.all, False).losses
        if objective.value(at_start) < objective.value(losses):
            log.info("search: what was found is no better than the weights it began with, which stay")
            weights, losses = _rounded(start, limits), at_start

        def best_of(kind: str, shares: np.ndarray) -> float:
            def there(_: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
                return evaluate(f"best sum of {kind}", weights)

            return best_sum(there, objective, shares, limits.bound, model, weights.sum(0).mean())

        rivals = rivals_of(guessed, search.domains, weights, limits, best_of, merged=not settings.fine)
    values = {"value": objective.value(losses), "value_of_start": objective.value(at_start)}
    record = _record(search, settings, values, _flat(search, objective, weights, model, limits))
    ends = ends_of(weights, search.domains, settings.patterns, limits)
    if settings.fine:  # a domain that ended at 0 may yet take part
        ends = [end | {"zero": []} for end in ends]
    record |= {"ends": ends, "rivals": rivals}
    content = {
        "format": FORMAT,
        **named,
        **record,
        "domains": search.domains,
        "texts": list(search.all),
        "found": weights.tolist(),
        "start": start.tolist(),
        "limits": {"normalize": limits.normalize, "bound": limits.bound},
        "path": search.path(),
        "model": _plain(model),
        "shares": objective.shares.tolist(),
    }
    write_text(summary, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    found = Found(search.domains, weights, record)
    _say_what_was_found(found, start)
    return found


def _flat(
    search: Search, objective: Objective, weights: np.ndarray, model: Quadratic | None, limits: Limits
) -> dict[str, tuple[float, float]] | None:
    """Between what each domain's weight can lie; of groups, and without a model, it is not known."""
    if model is None or weights.shape[1] > 1:
        return None
    return dict(zip(search.domains, model.flat(objective, limits), strict=True))


def _record(search: Search, settings: SearchConfig, values: dict[str, float], flat: dict | None) -> dict[str, Any]:
    return {
        "method": settings.method,
        "objective": settings.objective,
        **values,
        "tune_tokens": _tokens(search.all),
        **search.cost(),
        "flat_within": FLAT,
        "flat": flat,
    }


def _searched(
    search: Search, settings: SearchConfig, objective: Objective, start: np.ndarray, limits: Limits
) -> tuple[np.ndarray, np.ndarray, Quadratic | None, Evaluate]:
    """The best weights, the losses of all documents at `start`, the model about them, and what it was made of."""
    if settings.method == "gradient":
        first = search.at("start, all documents", start, search.all, True)
        evaluate = _corrected(search, start, first)
        weights, model = by_gradient(evaluate, objective, start, limits, settings.penalty)
        return weights, first.losses, model, evaluate

    def on_all(phase: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = search.at(phase, weights, search.all, True)
        return found.losses, found.jacobian

    weights = by_grid(
        lambda w: objective.value(search.at("grid", w, search.all, False).losses), len(search.domains), limits
    )
    return weights, search.at("start", start, search.all, False).losses, None, on_all


def _tokens(documents: dict[str, list[Document]]) -> int:
    """Tokens that are predicted."""
    return sum(max(len(document.ids) - 1, 0) for some in documents.values() for document in some)


def _say_what_comes(search: Search) -> None:
    whole, part = _tokens(search.all), _tokens(search.some)
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
    for sentence in ends_in_words(record["ends"]):
        log.info(f"search: {sentence}")
    gain = record["value_of_start"] - record["value"]
    log.info(
        f"search: objective {record['value']:.5f} nats per token, {gain:+.5f} better than at the start; "
        f"{record['forward_tokens']:,} tokens forward, {record['backward_tokens']:,} backward, {record['seconds']} s"
    )
    for rival in record["rivals"]:
        same = f", which is {rival['same_as']}" if rival["same_as"] else ""
        log.info(f"search: to be compared with {in_words(rival)} ({rival['name']}{same})")


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


def _expected(search: Search, settings: SearchConfig, size: int, limits: Limits) -> int:
    """Tokens that the search for so many weights is likely to pass forward."""
    whole, part = _tokens(search.all), _tokens(search.some)
    best_sums = 0 if limits.normalize else 1 + bool(settings.hand)
    if settings.method == "grid":
        return whole * (11 * size + 2 + 3 * best_sums)
    return 2 * whole + part * (size + 4 + 2 * best_sums) + (whole if settings.objective == "worst" else 0)


def _rounded(weights: np.ndarray, limits: Limits) -> np.ndarray:
    """With DIGITS digits; where the sum has reached what it may be, the largest weight takes up what rounding left."""
    rounded = np.round(weights, DIGITS)
    for group, total in enumerate(rounded.sum(0)):
        allowed = 1.0 if limits.normalize else min(total, limits.bound)
        rounded[np.argmax(rounded[:, group]), group] += allowed - total
    return np.round(rounded, DIGITS)


def _plain(model: Quadratic | None) -> dict[str, Any] | None:
    if model is None:
        return None
    return {name: getattr(model, name).tolist() for name in ("centre", "losses", "jacobian", "hessians")}
