"""The weights that found ones are compared with: equal ones and those given by hand, at three sums.

As they are given (equal ones with the sum 1), at the sum that was found, and at the sum that is best for their shares.
What the first and the second differ in is what the sum gains; what the second and the found weights differ in is what
the shares gain; and the third is the most that there is to be had without a search for shares. Where every sum is 1,
the three are one.

With a weight for each term or module, the merged model is none of these, and the weights that were found before, one
for each domain, are a rival too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dem.config import SearchConfig
from dem.layout import SCALARS, SUMS
from dem.search.quadratic import Limits

GIVEN, FOUND, BEST = "given", *SUMS
SHARES = {
    "equal": "equal weights",
    "hand": "the weights given by hand",
    SCALARS: "the weights found first, one for each domain",
}
"""What is compared with, in words."""
ALIKE = 1e-4
"""Largest difference of weights that are told as the same ones: what rounding the found ones leaves."""


def guesses(settings: SearchConfig, domains: list[str]) -> dict[str, np.ndarray]:
    """Equal weights whose sum is 1 and, where they were given, those of search.hand: (domains,) each, by a SHARES."""
    equal = {"equal": np.full(len(domains), 1 / len(domains))}
    hand = np.array([settings.hand.get(domain, 0.0) for domain in domains])
    return equal | ({"hand": hand} if settings.hand else {})


def names_of(settings: SearchConfig, domains: list[str], normalize: bool) -> list[str]:
    """The names of all rivals there will be; a model of its own is each that is like no other."""
    ends = ("",) if normalize else ("", *SUMS.values())
    return [SCALARS] * settings.fine + [kind + end for kind in guesses(settings, domains) for end in ends]


def rivals_of(
    guessed: dict[str, np.ndarray],
    domains: list[str],
    found: np.ndarray,
    limits: Limits,
    best_of: Callable[[str, np.ndarray], float],
    merged: bool = True,
) -> list[dict[str, Any]]:
    """What the weights `found` (domains, groups) are to be compared with, as plain values.

    Args:
        guessed: by a SHARES, weights (domains,).
        best_of: from a SHARES and its shares (domains, groups), whose sums are 1, to the best sum for them.
        merged: whether `found` are the merged model's; if not, they are a rival themselves, the first one.

    Returns:
        Of each its name, which of SHARES `at` which sum it is, the `sums` of each group, the `weights` of each group
        by domain, where other weights to be measured are the same the name of their model, and whether the search for
        its best sum ended `at_bound`.
    """
    rivals, known = [], {"merged" if merged else SCALARS: found, "base": np.zeros_like(found)}
    if not merged:
        own = {"name": SCALARS, "shares": SCALARS, "at": GIVEN, "sums": found.sum(0).tolist()}
        weights = dict(zip(domains, found.tolist(), strict=True))
        rivals.append({**own, "weights": weights, "same_as": None, "at_bound": False})
    for kind, weights in guessed.items():
        shares = np.repeat((weights / weights.sum())[:, None], found.shape[1], 1)
        sums = {GIVEN: np.full(found.shape[1], 1.0 if limits.normalize else weights.sum())}
        if not limits.normalize:
            sums[FOUND] = found.sum(0)
            same = np.allclose(shares * sums[FOUND].mean(), found, rtol=0, atol=ALIKE)
            sums[BEST] = np.full_like(sums[FOUND], sums[FOUND].mean() if same else round(best_of(kind, shares), 4))
        for at, each in sums.items():
            name, own = kind + SUMS.get(at, ""), shares * each
            alike = (other for other, there in known.items() if np.allclose(own, there, rtol=0, atol=ALIKE))
            same_as = next(alike, None)
            by_domain = dict(zip(domains, own.tolist(), strict=True))
            rival = {"name": name, "shares": kind, "at": at, "sums": each.tolist(), "weights": by_domain}
            at_bound = at == BEST and bool(each.max() >= limits.reached)
            rivals.append({**rival, "same_as": same_as, "at_bound": at_bound})
            known.setdefault(name, own)
    return rivals


def measured(rivals: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """The weights of each group by domain, by the names of those rivals that are a model of their own."""
    return {rival["name"]: rival["weights"] for rival in rivals if not rival["same_as"]}


def models_of(rivals: list[dict[str, Any]], shares: str) -> dict[str, str]:
    """Which measured model stands for these shares at each sum."""
    return {rival["at"]: rival["same_as"] or rival["name"] for rival in rivals if rival["shares"] == shares}


def sum_steps(rivals: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """By SHARES the two models between which nothing but the sum changes, from the found one to the given one."""
    steps = {}
    for shares in SHARES:
        models = models_of(rivals, shares)
        if FOUND in models and models[FOUND] != models[GIVEN]:
            steps[shares] = (models[FOUND], models[GIVEN])
    return steps


def in_words(rival: dict[str, Any]) -> str:
    """Which weights these are, for people."""
    words, sums = SHARES[rival["shares"]], sum_in_words(rival["sums"])
    if rival["at"] == GIVEN:
        return f"{words}, sum {sums}"
    if rival["at"] == FOUND:
        return f"{words} at the found sum, {sums}"
    return f"{words} at their own best sum, {sums}{', which is search.bound' if rival['at_bound'] else ''}"


def sum_in_words(sums: list[float]) -> str:
    """The sum of the weights, or that of each group of parameters."""
    return " / ".join(dict.fromkeys(f"{each:.4g}" for each in sums))
