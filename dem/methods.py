"""How the differences of one parameter are combined: one function per method, the table METHODS, and `combiner`.

A method's function takes `differences`, a contiguous tensor of shape (n, *shape) on the CPU, float32 or float64: row i
is what domain i changed, zeros where it left the parameter alone. It returns the merged difference, of that type and of
`shape`, before lambda, and computes in no narrower type. It may overwrite `differences`: the stack of a large parameter
is hundreds of megabytes, and beside it a function holds less than three tensors of one row's size, its result included.

`weights` are n finite numbers as the config gives them. With `normalize` a linear method divides them by their sum; a
method that elects a sign (ties, dare_ties, della, breadcrumbs_ties) divides each element by the sum of the weights that
agree there, and then wants them all positive.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from dem.config import METHOD_FIELDS, MergeConfig
from dem.errors import RequestError

Rescale = Literal["probability", "l1", "none"]

CHUNK = 1 << 20
"""Elements that are worked on at a time where a step needs more room than the result."""


@dataclass(frozen=True)
class Method:
    """One way to combine differences."""

    function: Callable[..., torch.Tensor]
    """Called with the differences and, by name, what `fields` asks for."""
    fields: tuple[str, ...]
    """Names of the fields of MergeConfig that it uses; in place of `seed` it takes `generators`."""
    elementwise: bool = False
    """Each element of the result depends on the same element of the differences alone: it may be called on tiles."""

    @property
    def is_sum(self) -> bool:
        """Whether the result is the weighted sum of the differences, so that products stay products."""
        return self.function is weighted_sum

    @property
    def random(self) -> bool:
        """Whether the result depends on merge.seed."""
        return "seed" in self.fields


def combiner(merge: MergeConfig, parameter: str, domains: Sequence[str]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function from all differences of one parameter to merge.scale times the merged one, of their type.

    Where the method is elementwise, it may be called on tiles. `domains` are all that `parameter_weights(merge,
    parameter)` gives a weight other than 0, at least one; row i of what is handed over is the difference of the i-th,
    and may be overwritten.

    Raises:
        RequestError: the weights are to be normalised and add up to 0; `check_weights` says so before any work.
    """
    method = METHODS[merge.method]
    options = {name: getattr(merge, name) for name in method.fields}
    if "weights" in options:
        weights = parameter_weights(merge, parameter)
        options["weights"] = [weights[domain] for domain in domains]
    if "seed" in options:
        options["generators"] = generators(options.pop("seed"), domains, parameter)

    def combine(differences: torch.Tensor) -> torch.Tensor:
        merged = method.function(differences, **options)
        return merged if merge.scale == 1 else merged.mul_(merge.scale)

    return combine


def weighted_factors(
    merge: MergeConfig, parameter: str, domains: Sequence[str], factors: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two factors of each domain's term in merge.scale times the weighted sum; its weight is in the left one."""
    weights = parameter_weights(merge, parameter)
    if merge.normalize:
        weights = normalised_weights(weights)
    pairs = zip(domains, factors, strict=True)
    return [(left * (merge.scale * weights[domain]), right) for domain, (left, right) in pairs]


def parameter_weights(merge: MergeConfig, parameter: str) -> dict[str, float]:
    """The weight of each domain, as the config gives it, for the parameter of this name."""
    return _weight_sets(merge)[_deciding_set(merge, parameter)][1]


def check_weights(merge: MergeConfig, parameters: Iterable[str]) -> None:
    """Refuse, before any work, weights that do not fit the parameters that are to be merged (names as in the base).

    Raises:
        RequestError: a pattern of merge.weights_by_parameter decides the weights of no parameter, or weights that are
            needed cannot be normalised. All mistakes are named together.
    """
    deciding = {_deciding_set(merge, parameter) for parameter in parameters}
    mistakes = []
    for i, (key, weights) in enumerate(_weight_sets(merge)):
        if i in deciding and merge.normalize and "normalize" in METHODS[merge.method].fields:
            try:
                normalised_weights(weights, key)
            except RequestError as mistake:
                mistakes.append(str(mistake))
        if i not in deciding and i < len(merge.weights_by_parameter):
            pattern = merge.weights_by_parameter[i].pattern
            mistakes.append(f"{key}: {pattern!r} matches no merged parameter that an earlier pattern leaves to it")
    if mistakes:
        raise RequestError("; ".join(mistakes))


def normalised_weights(weights: dict[str, float], key: str = "merge.weights") -> dict[str, float]:
    """The weights divided by their sum, so that they add up to 1; single ones may be negative.

    Raises:
        RequestError: the sum is too near to 0 to divide by; the message names `key`.
    """
    total, size = sum(weights.values()), sum(abs(w) for w in weights.values())
    if abs(total) <= 1e-6 * size or size == 0:
        raise RequestError(
            f"{key} add up to {total:g} and cannot be normalised to 1: change them or set merge.normalize false"
        )
    return {domain: weight / total for domain, weight in weights.items()}


def generators(seed: int, domains: Sequence[str], parameter: str) -> list[torch.Generator]:
    """A source of random numbers for each domain that depends on nothing but the seed, its name and the parameter's."""

    def one(domain: str) -> torch.Generator:
        digest = hashlib.sha256(json.dumps([seed, domain, parameter]).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))

    return [one(domain) for domain in domains]


def weighted_sum(differences: torch.Tensor, weights: Sequence[float], *, normalize: bool) -> torch.Tensor:
    """sum_i weights_i * differences_i (Ram et al. 2024, arXiv 2406.15570, equation 2), accumulated in their type.

    The result takes the place of the first difference.

    Raises:
        RequestError: the weights are to be normalised and add up to 0.
    """
    if normalize:
        weights = list(normalised_weights(dict(enumerate(weights))).values())
    total = differences[0].mul_(weights[0])
    for difference, weight in zip(differences[1:], weights[1:], strict=True):
        total.add_(difference, alpha=weight)
    return total


def ties(differences: torch.Tensor, weights: Sequence[float], *, normalize: bool, density: float) -> torch.Tensor:
    """TIES: trim, elect sign, disjoint merge (Yadav et al. 2023, arXiv 2306.01708, algorithm 1).

    Of each difference the share `density` of largest magnitude stays (of equal ones the earlier in C order). Each
    element then gets the sign of the weighted sum (plus at 0), and what has the other sign is left out. The paper has
    no weights: its disjoint mean is equal weights with `normalize`.
    """
    for difference in differences:
        _keep_largest(difference, max(1, int(density * difference.numel())))
    return _sum_of_elected(differences, weights, normalize)


def dare_linear(
    differences: torch.Tensor,
    weights: Sequence[float],
    *,
    normalize: bool,
    density: float,
    rescale: Rescale,
    generators: Sequence[torch.Generator],
) -> torch.Tensor:
    """The weighted sum after DARE: drop at random and rescale (Yu et al. 2023, arXiv 2311.03099).

    Each element stays with probability `density` = 1 - p and is then divided by it, which keeps its expectation.
    `rescale` "l1" restores the sum of magnitudes of each difference instead, as mergekit does; "none" does neither.
    """
    _drop_at_random(differences, density, rescale, generators)
    return weighted_sum(differences, weights, normalize=normalize)


def dare_ties(
    differences: torch.Tensor,
    weights: Sequence[float],
    *,
    normalize: bool,
    density: float,
    rescale: Rescale,
    generators: Sequence[torch.Generator],
) -> torch.Tensor:
    """DARE (see dare_linear) in place of the trimming of TIES (see ties); Yu et al. 2023, arXiv 2311.03099."""
    _drop_at_random(differences, density, rescale, generators)
    return _sum_of_elected(differences, weights, normalize)


def della(
    differences: torch.Tensor,
    weights: Sequence[float],
    *,
    normalize: bool,
    density: float,
    epsilon: float,
    rescale: Rescale,
    generators: Sequence[torch.Generator],
) -> torch.Tensor:
    """DELLA: MagPrune, then TIES' election and merge (Deep et al. 2024, arXiv 2406.11617).

    Within each row (a vector is one row; all axes but the first count as one) the probability to stay rises by
    magnitude's rank, in equal steps from density - epsilon to density + epsilon (mergekit's epsilon, half the window).
    What stays is divided by its own probability, or rescaled as in dare_linear. A row of one element has `density`.
    """
    _magprune(differences, density, epsilon, rescale, generators)
    return _sum_of_elected(differences, weights, normalize)


def della_linear(
    differences: torch.Tensor,
    weights: Sequence[float],
    *,
    normalize: bool,
    density: float,
    epsilon: float,
    rescale: Rescale,
    generators: Sequence[torch.Generator],
) -> torch.Tensor:
    """The weighted sum after MagPrune (see della); Deep et al. 2024, arXiv 2406.11617."""
    _magprune(differences, density, epsilon, rescale, generators)
    return weighted_sum(differences, weights, normalize=normalize)


def breadcrumbs(
    differences: torch.Tensor, weights: Sequence[float], *, normalize: bool, density: float, gamma: float
) -> torch.Tensor:
    """The weighted sum after Model Breadcrumbs' masks (Davari & Belilovsky 2023, arXiv 2312.06795).

    Of each difference the share `gamma` of largest magnitude goes (the outliers), then the smallest until `density`
    is left. These are shares of elements; the paper states both bounds as percentiles. At density 1 nothing goes.
    """
    _drop_outliers_and_small(differences, density, gamma)
    return weighted_sum(differences, weights, normalize=normalize)


def breadcrumbs_ties(
    differences: torch.Tensor, weights: Sequence[float], *, normalize: bool, density: float, gamma: float
) -> torch.Tensor:
    """Model Breadcrumbs' masks (see breadcrumbs) in place of the trimming of TIES (see ties), as mergekit has it."""
    _drop_outliers_and_small(differences, density, gamma)
    return _sum_of_elected(differences, weights, normalize)


def sce(differences: torch.Tensor, *, select_topk: float) -> torch.Tensor:
    """SCE: select, calculate, erase (Wan et al. 2024, FuseChat, arXiv 2408.07990).

    The share `select_topk` of the elements that vary between domains, those of largest variance, stays. A domain's
    weight is its share of the sum of squares. Each element gets the sign of the plain sum, what has the other sign is
    erased, and the rest is divided by its weights' sum, as mergekit does. Scaling the differences scales the result:
    mergekit's absolute floors (equal weights where the mean squares add up to less than 1e-6) are left out, since
    differences of LoRA adapters lie below them.
    """
    if select_topk < 1:
        variance = torch.empty_like(differences[0])
        for chunk, piece in zip(_columns(differences), variance.view(-1).split(CHUNK // len(differences)), strict=True):
            shifted = chunk - chunk[0]  # exactly 0 where the domains agree, which rounding in the mean would hide
            piece.copy_(shifted.sub_(shifted.mean(dim=0)).square_().mean(dim=0))  # torch.var takes much longer
        erased = _largest(variance, int(select_topk * int(variance.count_nonzero()))).logical_not_()
        for difference in differences:
            difference.masked_fill_(erased, 0)
    squares = sum(chunk.double().square().sum(dim=1) for chunk in _columns(differences))
    weights = squares / squares.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return _sum_of_elected(differences, weights.tolist(), normalize=True, weighted_vote=False)


def model_stock(differences: torch.Tensor) -> torch.Tensor:
    """Model Stock: t times the mean difference (Jang et al. 2024, arXiv 2403.19522).

    t = N cos / (1 + (N - 1) cos) for N = n >= 2 domains, with the mean cosine between the differences of two domains
    (0 where one is all zeros), for each parameter by itself as the paper does layer by layer. Domains that pull apart
    (cos < 0) give a negative t; where the denominator vanishes the parameter stays as it is in the base.
    """
    n = len(differences)
    gram = torch.zeros(n, n, dtype=torch.float64)
    for chunk in _columns(differences):
        gram += chunk.double() @ chunk.double().T
    norms = gram.diagonal().sqrt()
    pairs = torch.triu_indices(n, n, offset=1).unbind()
    cosine = float((gram[pairs] / (norms[pairs[0]] * norms[pairs[1]])).nan_to_num(0.0).mean())
    denominator = 1 + (n - 1) * cosine
    ratio = n * cosine / denominator if abs(denominator) > 1e-6 else 0.0
    return weighted_sum(differences, [ratio / n] * n, normalize=False)


def _method(function: Callable[..., torch.Tensor]) -> Method:
    return Method(function, METHOD_FIELDS[function.__name__])


METHODS: dict[str, Method] = {
    "weighted_sum": (weighted := replace(_method(weighted_sum), elementwise=True)),
    "regmean": weighted,  # of differences whose factors were projected before: see dem/search/regmean.py
} | {
    function.__name__: _method(function)
    for function in (
        ties,
        dare_linear,
        dare_ties,
        della,
        della_linear,
        breadcrumbs,
        breadcrumbs_ties,
        sce,
        model_stock,
    )
}


def _weight_sets(merge: MergeConfig) -> list[tuple[str, dict[str, float]]]:
    """Key and weights of each pattern, in order, and at the end those of all other parameters."""
    sets = [(f"merge.weights_by_parameter[{i}].weights", p.weights) for i, p in enumerate(merge.weights_by_parameter)]
    return [*sets, ("merge.weights", merge.weights)]


def _deciding_set(merge: MergeConfig, parameter: str) -> int:
    matches = (i for i, p in enumerate(merge.weights_by_parameter) if re.search(p.pattern, parameter))
    return next(matches, len(merge.weights_by_parameter))


def _sum_of_elected(
    differences: torch.Tensor, weights: Sequence[float], normalize: bool, weighted_vote: bool = True
) -> torch.Tensor:
    """Elect each element's sign by the (weighted) sum and add up, weighted, what has it; the differences stay as is."""
    result = torch.empty_like(differences[0])
    factors = torch.tensor(weights, dtype=differences.dtype).unsqueeze(1)
    for chunk, total in zip(_columns(differences), result.view(-1).split(CHUNK // len(differences)), strict=True):
        weighted = chunk * factors
        positive = (weighted if weighted_vote else chunk).sum(dim=0) >= 0
        agrees = torch.where(positive, weighted > 0, weighted < 0)
        torch.sum(weighted.mul_(agrees), dim=0, out=total)
        if normalize:
            agreeing_weight = (factors * agrees).sum(dim=0)
            total.div_(agreeing_weight.masked_fill_(agreeing_weight == 0, 1))
    return result


def _columns(differences: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The differences in pieces of all n rows, of CHUNK elements or fewer."""
    n = len(differences)
    return differences.view(n, -1).split(CHUNK // n, dim=1)


def _largest(values: torch.Tensor, count: int) -> torch.Tensor:
    """A mask of the `count` elements of largest magnitude; of equal ones the earlier, of zeros none."""
    if count >= values.numel():
        return values != 0
    if count <= 0:
        return torch.zeros_like(values, dtype=torch.bool)
    magnitudes = values.view(-1).abs()
    ordered = magnitudes.numpy()
    ordered.partition(-count)  # several times faster than torch.kthvalue, and in place
    threshold = float(ordered[-count])
    torch.abs(values.view(-1), out=magnitudes)
    if threshold == 0:
        return (magnitudes > 0).view(values.shape)
    chosen = magnitudes >= threshold
    if excess := int(chosen.count_nonzero()) - count:
        chosen[(magnitudes == threshold).nonzero()[-excess:]] = False
    return chosen.view(values.shape)


def _keep_largest(difference: torch.Tensor, count: int) -> None:
    difference.masked_fill_(_largest(difference, count).logical_not_(), 0)


def _drop_outliers_and_small(differences: torch.Tensor, density: float, gamma: float) -> None:
    if density >= 1:
        return
    for difference in differences:
        size, kept = difference.numel(), int(density * difference.numel())
        difference.masked_fill_(_largest(difference, min(int(gamma * size), size - kept)), 0)
        _keep_largest(difference, kept)


def _drop_at_random(
    differences: torch.Tensor, density: float, rescale: Rescale, generators: Sequence[torch.Generator]
) -> None:
    if density >= 1:
        return
    for difference, generator in zip(differences, generators, strict=True):
        size = _sum_of_magnitudes(difference) if rescale == "l1" else 0.0
        for chunk in difference.view(-1).split(CHUNK):
            chunk.masked_fill_(torch.rand(chunk.shape, generator=generator) >= density, 0)
        if rescale == "probability":
            difference.div_(density)
        elif rescale == "l1":
            _restore_sum_of_magnitudes(difference, size)


def _magprune(
    differences: torch.Tensor,
    density: float,
    epsilon: float,
    rescale: Rescale,
    generators: Sequence[torch.Generator],
) -> None:
    if density >= 1:
        return
    for difference, generator in zip(differences, generators, strict=True):
        size = _sum_of_magnitudes(difference) if rescale == "l1" else 0.0
        rows = difference.view(difference.shape[0] if difference.dim() > 1 else 1, -1)
        width = rows.shape[1]
        window = torch.linspace(-epsilon, epsilon, width, dtype=rows.dtype) if width > 1 else torch.zeros(1)
        for chunk in rows.split(max(1, CHUNK // width)):
            staying = torch.empty_like(chunk).scatter_(1, _ascending(chunk), (density + window).expand_as(chunk))
            chunk.masked_fill_(torch.rand(chunk.shape, generator=generator) >= staying, 0)
            if rescale == "probability":
                chunk.div_(staying)
        if rescale == "l1":
            _restore_sum_of_magnitudes(difference, size)


def _ascending(rows: torch.Tensor) -> torch.Tensor:
    """The columns of each row's elements from the smallest magnitude to the largest, of equal ones the earlier first.

    The bits of a float that is not negative rise with it; sorting them above the column in one integer is stable and
    several times faster than torch.argsort. Of float64 there is no room for that.
    """
    if rows.dtype == torch.float64:
        return rows.abs().argsort(dim=1, stable=True)
    keys = (rows.abs().view(torch.int32).long() << 32) | torch.arange(rows.shape[1])
    keys.numpy().sort(axis=1)
    return keys.bitwise_and_(0xFFFFFFFF)


def _sum_of_magnitudes(difference: torch.Tensor) -> float:
    return sum(float(chunk.abs().sum(dtype=torch.float64)) for chunk in difference.view(-1).split(CHUNK))


def _restore_sum_of_magnitudes(difference: torch.Tensor, size: float) -> None:
    if left := _sum_of_magnitudes(difference):
        difference.mul_(size / left)
