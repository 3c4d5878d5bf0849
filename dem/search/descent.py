"""Thousands of weights by stochastic gradients: Adam on one half of the tune documents, stopped by the other.

Kingma & Ba 2015 (arXiv 1412.6980), as torch.optim.Adam has it. It begins at the weights of the second-order search, one
for each domain, and pays for leaving them; the steps see windows of all domains alike, and after each EVERY of them the
held-back half is evaluated. The weights that were best there are what is found, be it the ones it began with.

The penalty is that many nats per token times the sum over the domains of the mean squared distance of a domain's
weights from where they began. So moving all weights of a domain by as much costs the same however many there are.
"""

import csv
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dem.atomic import write_text
from dem.common import log, progress_bar
from dem.config import SearchConfig
from dem.errors import WorkError
from dem.evaluation.timing import count_kept
from dem.search.descent_state import DescentFile
from dem.search.halves import ByDomain, Minibatches
from dem.search.losses import Losses
from dem.search.objectives import Objective
from dem.search.terms import Terms

EVERY = 10
"""Steps between two evaluations of the held-back half: they cost four times their tokens forward, it costs its own."""
PATIENCE = 5
"""Evaluations in a row that are no better than the best one, after which it stops."""
COSTS = ("forward_tokens", "backward_tokens", "seconds")


@dataclass(frozen=True)
class Descended:
    """The weights that were best on the held-back half, and the way there."""

    weights: torch.Tensor
    """(weights,), float32, before merge.scale."""
    told: dict[str, Any]
    """`rows`, one for each evaluation; the `step` that is chosen; the losses by domain at start and end, `fitted` and
    `held`; what it cost."""


class Descent:
    """One descent, from the state that was kept of it on."""

    def __init__(
        self,
        terms: Terms,
        sides: tuple[ByDomain, ByDomain],
        objective: Objective,
        settings: SearchConfig,
        scale: float,
        start: np.ndarray,
        max_length: int,
        kept: DescentFile,
    ):
        """Of `terms` times `scale`, on the first of `sides` and watched on the second.

        Args:
            start: (weights,), in the numbering of `terms`.
        """
        self._batches = Minibatches(sides[0], max_length, settings.seed)
        self._fitted, self._held = (Losses(terms, side, max_length) for side in (self._batches.windows, sides[1]))
        self._objective, self._settings, self._scale, self._kept = objective, settings, scale, kept
        self._start = torch.from_numpy(start).to(torch.float32)
        owners = torch.from_numpy(terms.numbering.owners)
        self._share = 1 / torch.bincount(owners)[owners].to(torch.float32)  # in its domain's mean
        self._weights = torch.nn.Parameter(self._start.clone())
        self._adam = torch.optim.Adam([self._weights], settings.learning_rate)
        self._best = self._start.clone()
        self.told: dict[str, Any] = {"rows": [], "done": False, **dict.fromkeys(COSTS, 0)}
        self._take_up()

    def _take_up(self) -> None:
        """Go on from what was kept."""
        if not (found := self._kept.read(len(self._start))):
            return
        tensors, self.told = found
        self._weights.data, self._best = tensors["weights"], tensors["best"]
        moments = {name: tensors[name] for name in ("exp_avg", "exp_avg_sq")}
        self._adam.state[self._weights] = {"step": torch.tensor(float(self._step), dtype=torch.float32), **moments}
        count_kept(self.told["seconds"])

    @property
    def _step(self) -> int:
        """Steps that were made and evaluated."""
        return self.told["rows"][-1]["step"] if self.told["rows"] else 0

    def run(self, table: Path) -> Descended:
        """Step until the held-back half gains no more, or as often as the settings say; `table` gets each evaluation.

        Raises:
            WorkError: a loss is no number.
        """
        if not self.told["done"]:
            self._say_what_comes()
            with progress_bar(self._settings.steps, "search", " steps") as bar:
                bar.update(self._step)
                self._go_on(table, bar)
        self._write_table(table)
        return Descended(self._best, self.told)

    def _go_on(self, table: Path, bar: Any) -> None:
        if not self.told["rows"]:
            at_start, self.told["nll"] = self._whole(self._fitted, self._start)
            self.told["fitted"] = {"start": at_start}
            self._evaluate(None)
        while self._step < self._settings.steps and self._waited() < PATIENCE:
            began = time.monotonic()
            steps = min(EVERY, self._settings.steps - self._step)
            gained = np.mean([self._make_step(self._step + i, bar) for i in range(steps)])
            running = self._value(self.told["fitted"]["start"]) - float(gained)
            self.told["seconds"] += time.monotonic() - began
            first = len(self.told["rows"]) == 1
            self._evaluate(running, steps)
            self._write_table(table)
            if first:
                left = (self._settings.steps - self._step) / steps * (time.monotonic() - began)
                log.info(f"search: all {self._settings.steps} steps would take about {left:.0f} s more")
        self.told["fitted"]["end"], _ = self._whole(self._fitted, self._best)
        chosen = self._chosen()
        rows = self.told["rows"]
        self.told |= {"step": chosen["step"], "held": {"start": rows[0]["held"], "end": chosen["held"]}, "done": True}
        self._save()

    def _make_step(self, number: int, bar: Any) -> float:
        """One step of Adam; returns how much better than at the start the objective was on its windows."""
        numbers, nll = self._batches.of(number), self.told["nll"]
        batch = {domain: [self._batches.windows[domain][i] for i in own] for domain, own in numbers.items()}
        found = self._fitted.on(batch).at(self._scale * self._weights.detach().double().numpy(), gradient=True)
        self._require_numbers(number + 1, found.losses, found.jacobian)
        slope = self._scale * self._objective.slope(found.losses, found.jacobian)
        apart = 2 * self._settings.penalty * self._share * (self._weights.detach() - self._start)
        self._weights.grad = torch.from_numpy(slope).to(torch.float32) + apart
        self._adam.step()
        self._count(found.forward_tokens, found.backward_tokens)
        bar.update()
        tokens = self._fitted.on(batch).tokens
        before = {domain: sum(nll[domain][i] for i in own) / tokens[domain] for domain, own in numbers.items()}
        return self._value(before) - self._objective.value(found.losses)

    def _value(self, losses: dict[str, float]) -> float:
        """The objective of the domains' losses."""
        return self._objective.value(np.array(list(losses.values())))

    def _evaluate(self, running: float | None, steps: int = 0) -> None:
        """Look at the held-back half, add a row, and keep all of it.

        `running` is the objective on the fitted half, as the windows of the last steps have it: what it was at the
        start, less what these have gained on it, so that it does not depend on which windows they were.
        """
        now = self._weights.detach()
        held, _ = self._whole(self._held, now)
        distance = float((self._share * (now - self._start).square()).sum() / len(held)) ** 0.5
        value = self._value(held)
        row = {"step": self._step + steps, "running": running, "held": held, "value": value, "distance": distance}
        if not self.told["rows"] or value < self._chosen()["value"]:
            self._best = now.clone()
        self.told["rows"].append(row)
        self._save()
        said = "" if running is None else f"loss {running:.5f} on the half it steps on, "
        log.info(f"search: step {row['step']}: {said}{value:.5f} on the held-back half, distance {distance:.3f}")

    def _whole(self, losses: Losses, weights: torch.Tensor) -> tuple[dict[str, float], dict[str, list[float]]]:
        """By domain the losses of one half, and the negative log-likelihoods of its documents (or windows)."""
        found = losses.at(self._scale * weights.double().numpy(), gradient=False)
        self._require_numbers(self._step, found.losses)
        self._count(found.forward_tokens, 0)
        self.told["seconds"] += found.seconds
        nll = {domain: own.tolist() for domain, own in zip(losses.domains, found.nll, strict=True)}
        return dict(zip(losses.domains, found.losses.tolist(), strict=True)), nll

    def _require_numbers(self, step: int, *arrays: np.ndarray) -> None:
        if not all(np.isfinite(array).all() for array in arrays):
            raise WorkError(
                f"search: at step {step} the model computes no numbers, only NaN or Inf: lower search.learning_rate"
            )

    def _count(self, forward: int, backward: int) -> None:
        self.told["forward_tokens"] += forward
        self.told["backward_tokens"] += backward

    def _chosen(self) -> dict[str, Any]:
        """The row of the best evaluation; of equal ones the first."""
        return min(self.told["rows"], key=lambda row: row["value"])

    def _waited(self) -> int:
        """Evaluations since the best one."""
        rows = self.told["rows"]
        return len(rows) - 1 - rows.index(self._chosen())

    def _save(self) -> None:
        zeros = torch.zeros_like(self._start)
        moments = {name: self._adam.state[self._weights].get(name, zeros) for name in ("exp_avg", "exp_avg_sq")}
        tensors = {"weights": self._weights.detach(), "best": self._best, **moments}
        self._kept.write({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, self.told)

    def _say_what_comes(self) -> None:
        held = sum(self._held.tokens.values())
        log.info(
            f"search: {len(self._start):,} weights by Adam, {self._settings.steps} steps of up to "
            f"{self._batches.tokens():,} tokens at most; every {EVERY} of them it looks at {held:,} held-back tokens, "
            f"and stops after {PATIENCE} looks without a gain"
        )

    def _write_table(self, path: Path) -> None:
        """As CSV: of each evaluation its step, the losses on both halves, and the root mean square distance."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        domains = list(self._held.domains)
        writer.writerow(["step", "loss_stepped_on", "loss_held_back", *(f"loss_{d}" for d in domains), "distance"])
        for row in self.told["rows"]:
            running = "" if row["running"] is None else f"{row['running']:.6f}"
            figures = [row["value"], *(row["held"][d] for d in domains), row["distance"]]
            writer.writerow([row["step"], running, *(f"{figure:.6f}" for figure in figures)])
        write_text(path, text.getvalue())
