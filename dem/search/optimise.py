"""Two ways to the best weights: by gradient, and by the grid of the DEM paper (Ram et al. 2024, arXiv 2406.15570)."""

from collections.abc import Callable

import numpy as np

from dem.search.objectives import Objective
from dem.search.quadratic import Limits, Quadratic

Evaluate = Callable[[str, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From the name of a phase and weights (domains, groups) to the losses (domains of text,) and their derivatives."""

STEP = 0.1
"""Of a weight, for the differences of gradients that give the curvature."""
ROUNDS = 4
"""Times that the minimum of the second-order model is tried at most."""
ENOUGH = 1e-5
"""Gain of the objective, in nats per token, below which no further round is worth it."""
GRID = tuple(round(0.1 * step, 1) for step in range(11))
"""Weights that the grid tries for each domain."""


def by_gradient(
    evaluate: Evaluate, objective: Objective, start: np.ndarray, limits: Limits, penalty: float
) -> tuple[np.ndarray, Quadratic]:
    """The best weights (domains, groups), and the second-order model of the losses about them."""
    return descend(evaluate, objective, curved(evaluate, start), start.shape, limits, penalty)


def curved(evaluate: Evaluate, start: np.ndarray) -> Quadratic:
    """The second-order model about `start` (domains, groups).

    The curvature comes from differences of the gradients, one more evaluation for each weight.
    """
    flat = start.ravel()
    losses, jacobian = evaluate("start", start)
    bends = []
    for number in range(start.size):
        _, there = evaluate("curvature", (flat + STEP * np.eye(start.size)[number]).reshape(start.shape))
        bends.append((there - jacobian) / STEP)
    hessians = np.stack(bends, 2)
    return Quadratic(flat, losses, jacobian, (hessians + hessians.transpose(0, 2, 1)) / 2)


def descend(
    evaluate: Evaluate,
    objective: Objective,
    model: Quadratic,
    shape: tuple[int, int],
    limits: Limits,
    penalty: float,
) -> tuple[np.ndarray, Quadratic]:
    """The best weights, of this shape, from the centre of `model` on, and the model about them.

    The model's minimum is tried, and the model moved there with the losses and gradients found, until that gains
    nothing; a step that makes it worse is halved.
    """

    def value(weights: np.ndarray, losses: np.ndarray) -> float:
        return objective.value(losses) + penalty * float(np.square(weights - weights.mean(1, keepdims=True)).sum())

    best = value(model.centre.reshape(shape), model.losses)
    wanted = model.least(objective, limits, shape, penalty)
    for _ in range(ROUNDS):
        expected = best - value(wanted, model.at(wanted.ravel())[0])
        if expected < ENOUGH:
            break
        losses, jacobian = evaluate("search", wanted)
        if value(wanted, losses) < best:
            best, model = value(wanted, losses), model.moved(wanted.ravel(), losses, jacobian)
            wanted = model.least(objective, limits, shape, penalty)
        else:
            wanted = limits.of((wanted + model.centre.reshape(shape)) / 2)
    return model.centre.reshape(shape), model


def best_sum(
    evaluate: Evaluate, objective: Objective, shares: np.ndarray, bound: float, model: Quadratic | None, start: float
) -> float:
    """The factor on `shares` (domains, groups), from 0 to `bound`, with which the objective is least.

    A search as any other, for one weight. The losses' second-order `model` in all weights, where there is one, says
    where to look first; without one, the curvature is taken at the factor `start`.
    """
    limits, one = Limits(False, bound), (1, 1)

    def along(phase: str, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        losses, jacobian = evaluate(phase, factor.item() * shares)
        return losses, jacobian @ shares.reshape(-1, 1)

    if model is None:
        line = curved(along, np.full(one, start))
    else:
        line = model.along(shares.ravel())
        first = line.least(objective, limits, one, 0.0)
        line = line.moved(first.ravel(), *along("search", first))
    return descend(along, objective, line, one, limits, 0.0)[0].item()


def by_grid(value: Callable[[np.ndarray], float], domains: int, limits: Limits) -> np.ndarray:
    """The best weights (domains, 1) when the domains are added one after the other, each with the best of GRID.

    Where the weights are to add up to 1, a new domain's weight is taken from the others' alike.
    """
    best = limits.of(np.eye(domains)[:, :1]) if limits.normalize else np.zeros((domains, 1))
    for number in range(1 if limits.normalize else 0, domains):
        own = np.eye(domains)[:, [number]]
        tried = [(1 - w) * best + w * own if limits.normalize else best + w * own for w in GRID]
        best = min(map(limits.of, tried), key=value)
    return best
