"""Each domain's loss as a function of the weights, to second order, and where an objective of them is least."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize

from dem.search.objectives import Objective

FLAT = 1e-3
"""Nats per token within which the objective counts as flat: a tenth of a percent of the perplexity."""


@dataclass(frozen=True)
class Limits:
    """Which weights are allowed: none below 0, and for each group either a sum of 1 or one of at most `bound`."""

    normalize: bool
    bound: float

    @property
    def largest(self) -> float:
        """What a single weight can be at most."""
        return 1.0 if self.normalize else self.bound

    @property
    def reached(self) -> float:
        """From which sum on the weights count as having ended on `bound`: what SLSQP's precision leaves below it."""
        return self.bound * (1 - 1e-3)

    def of(self, weights: np.ndarray) -> np.ndarray:
        """`weights` (domains, groups), without those below 0, times what makes their sums allowed."""
        weights = np.maximum(weights, 0)
        sums = weights.sum(0)
        wanted = np.ones_like(sums) if self.normalize else np.minimum(sums, self.bound)
        return weights * np.divide(wanted, sums, out=np.zeros_like(sums), where=sums > 0)

    def constraints(self, shape: tuple[int, int], more: int) -> list[dict]:
        """As scipy's SLSQP takes them, of flat weights with `more` variables behind them."""
        sums = np.hstack([np.tile(np.eye(shape[1]), shape[0]), np.zeros((shape[1], more))])
        if self.normalize:
            return [{"type": "eq", "fun": lambda x: sums @ x - 1, "jac": lambda x: sums}]
        return [{"type": "ineq", "fun": lambda x: self.bound - sums @ x, "jac": lambda x: -sums}]


@dataclass(frozen=True)
class Quadratic:
    """The losses of `domains of text` near the weights `centre`; the weights are flat here."""

    centre: np.ndarray
    """(weights,)"""
    losses: np.ndarray
    """(domains of text,), nats per token."""
    jacobian: np.ndarray
    """(domains of text, weights)"""
    hessians: np.ndarray
    """(domains of text, weights, weights), symmetric."""

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The losses and their derivatives by the weights."""
        step = x - self.centre
        bent = self.hessians @ step
        return self.losses + self.jacobian @ step + bent @ step / 2, self.jacobian + bent

    def moved(self, centre: np.ndarray, losses: np.ndarray, jacobian: np.ndarray) -> "Quadratic":
        """The same curvature about another point, whose losses and derivatives are known."""
        return replace(self, centre=centre, losses=losses, jacobian=jacobian)

    def along(self, direction: np.ndarray) -> "Quadratic":
        """The losses as a function of one number, the factor on `direction` (weights,), about the nearest to here."""
        nearest = direction @ self.centre / (direction @ direction)
        losses, jacobian = self.at(nearest * direction)
        bent = self.hessians @ direction @ direction
        return Quadratic(np.array([nearest]), losses, (jacobian @ direction)[:, None], bent[:, None, None])

    def least(self, objective: Objective, limits: Limits, shape: tuple[int, int], penalty: float) -> np.ndarray:
        """The allowed weights (domains, groups) that SLSQP (Kraft 1988) finds to be best, starting at the centre.

        The objective plus `penalty` times the summed squares of the weights' distances from their mean over the groups
        is made small. That of the worst domain has kinks; so there a bound on all domains is made small.
        """
        size = len(self.centre)

        def apart(x: np.ndarray) -> tuple[float, np.ndarray]:
            distance = x[:size].reshape(shape) - x[:size].reshape(shape).mean(1, keepdims=True)
            return penalty * float(np.square(distance).sum()), 2 * penalty * distance.ravel()

        def smooth(x: np.ndarray) -> tuple[float, np.ndarray]:
            losses, jacobian = self.at(x)
            return objective.value(losses) + apart(x)[0], objective.slope(losses, jacobian) + apart(x)[1]

        def room(x: np.ndarray) -> np.ndarray:
            return x[-1] - (self.at(x[:size])[0] - objective.base) - apart(x)[0]

        def room_slope(x: np.ndarray) -> np.ndarray:
            return np.hstack([-self.at(x[:size])[1] - apart(x)[1], np.ones((len(self.losses), 1))])

        bounds = [(0, limits.largest)] * size
        settings = {"jac": True, "method": "SLSQP", "options": {"maxiter": 500, "ftol": 1e-12}}
        if objective.base is None:
            # Scaled, since SLSQP's first step takes the curvature to be 1.
            scale = 1 / max(np.abs(np.einsum("d,dij->ij", objective.shares, self.hessians)).max(), 1e-9)
            found = minimize(
                lambda x: tuple(scale * part for part in smooth(x)),
                self.centre,
                bounds=bounds,
                constraints=limits.constraints(shape, 0),
                **settings,
            )
        else:
            last = np.eye(size + 1)[-1]
            constraints = limits.constraints(shape, 1)
            constraints.append({"type": "ineq", "fun": room, "jac": room_slope})
            first = np.append(self.centre, objective.value(self.losses))
            found = minimize(
                lambda x: (x[-1], last), first, bounds=[*bounds, (None, None)], constraints=constraints, **settings
            )
        return limits.of(found.x[:size].reshape(shape))

    def flat(self, objective: Objective, limits: Limits) -> list[tuple[float, float]]:
        """For each weight of a single group, where it can lie with the objective at most FLAT above the centre's.

        Of the second-order model, by SLSQP: the other weights follow as is best for them, all within their limits. Of
        the worst domain, its loss is the objective.
        """
        shares = objective.shares
        if objective.base is not None:
            shares = np.eye(len(shares))[np.argmax(self.losses - objective.base)]
        most = shares @ self.losses + FLAT

        def room(x: np.ndarray) -> float:
            return (most - shares @ self.at(x)[0]) / FLAT

        def slope(x: np.ndarray) -> np.ndarray:
            return -(shares @ self.at(x)[1]) / FLAT

        size = len(self.centre)
        constraints = [*limits.constraints((size, 1), 0), {"type": "ineq", "fun": room, "jac": slope}]
        settings = {"method": "SLSQP", "bounds": [(0, limits.largest)] * size, "constraints": constraints}

        def end(number: int, sign: int) -> float:
            """The largest weight of this number or, with the sign -1, the least one."""
            up = -sign * np.eye(size)[number]
            found = minimize(lambda x: (up @ x, up), self.centre, jac=True, options={"maxiter": 500}, **settings)
            return float(np.clip(found.x[number], 0, limits.largest))

        return [(end(number, -1), end(number, 1)) for number in range(size)]
