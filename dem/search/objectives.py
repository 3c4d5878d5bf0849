"""What the search makes small: one number of the domains' losses."""

from dataclasses import dataclass

import numpy as np

from dem.config import SearchConfig


@dataclass(frozen=True)
class Objective:
    """A weighted mean of the domains' losses or, of `worst`, the largest gain in loss over the base's."""

    shares: np.ndarray
    """(domains of text,): what each domain's loss counts, adding up to 1."""
    base: np.ndarray | None = None
    """(domains of text,): the losses of the base; makes the objective that of the worst domain."""

    def value(self, losses: np.ndarray) -> float:
        """In nats per token; of the worst domain, log(perplexity / the base's perplexity)."""
        return float(self.shares @ losses if self.base is None else np.max(losses - self.base))

    def slope(self, losses: np.ndarray, jacobian: np.ndarray) -> np.ndarray:
        """The derivative of `value` by the weights (of the worst domain, of its loss)."""
        return self.shares @ jacobian if self.base is None else jacobian[np.argmax(losses - self.base)]


def objective_of(settings: SearchConfig, domains: list[str], base: np.ndarray | None) -> Objective:
    """The objective that the settings name; `base` are the base's losses, which only `worst` needs."""
    if settings.objective == "importance":
        shares = np.array([settings.importance.get(domain, 0.0) for domain in domains])
        return Objective(shares / shares.sum())
    shares = np.full(len(domains), 1 / len(domains))
    return Objective(shares, base if settings.objective == "worst" else None)
