"""Merges of low-rank changes, each a small function on the factors of ONE parameter; merging_study.py measures them.

All take `terms`, by domain a pair left (rows, rank) and right (rank, columns) whose product is the domain's change,
and return terms whose plain sum is what the paper adds to the base at its scale 1. Nothing of the size of the
parameter is made but the inputs' second moments (columns, columns). Float32 in and out, float64 between.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Term = tuple[Tensor, Tensor]
Method = Callable[[list[Term]], list[Term]]


def mean(terms: list[Term]) -> list[Term]:
    """Equal weights that add up to 1."""
    return [(left / len(terms), right) for left, right in terms]


def weighted(terms: list[Term], weights: Sequence[float]) -> list[Term]:
    """A weighted sum."""
    return [(weight * left, right) for weight, (left, right) in zip(weights, terms, strict=True)]


def regmean(terms: list[Term], moments: Sequence[Tensor], alpha: float = 0.9) -> list[Term]:
    """RegMean (Jin et al. 2023, arXiv 2212.09849) of changes: sum_i left_i right_i G_i (sum_j G_j)^-1.

    Args:
        moments: of each domain sum x x^T over its inputs x, (columns, columns); taken with trace 1.
        alpha: what the elements off the diagonal are multiplied by.
    """
    grams = [reduced(moment, alpha) for moment in moments]
    root = torch.linalg.cholesky(torch.stack(grams).sum(0))
    pairs = [(left, right.double() @ gram) for (left, right), gram in zip(terms, grams, strict=True)]
    return [(left, torch.cholesky_solve(right.T, root).T.float()) for left, right in pairs]


def reduced(moment: Tensor, alpha: float) -> Tensor:
    """With trace 1, and the elements off the diagonal times `alpha`; float64."""
    gram = moment.double() / moment.double().trace()
    return gram * alpha + torch.diag(gram.diagonal() * (1 - alpha))


def kfac(terms: list[Term], moments: Sequence[Tensor], gradients: Sequence[Tensor], alpha: float = 0.9) -> list[Term]:
    """Merging by Fisher matrices in Kronecker factors (Tam et al. 2023, arXiv 2312.04339), among what the lefts span.

    RegMean counts all outputs alike; this, each as the loss feels it: D = Q Y minimises sum_i tr S_i (D - D_i) G_i
    (D - D_i)^T, where Q are orthonormal columns that span all left factors. So the answer has the rank of all terms
    together, and of S_i only Q^T S_i Q counts. Solved by conjugate gradients.

    Args:
        moments: of each domain the mean x x^T over its inputs, (columns, columns).
        gradients: of each domain Q^T S_i Q, the mean of q q^T over q = Q^T dloss/doutput, (ranks, ranks), Q being that
            of `left_space`.
        alpha: what the elements off the diagonals of both are multiplied by.
    """
    space = left_space(terms)
    inner = [reduced(own, alpha) * own.double().trace() for own in gradients]
    outer = [reduced(own, alpha) * own.double().trace() for own in moments]
    changes = [(space.T @ left.double()) @ right.double() for left, right in terms]
    wanted = sum(s @ change @ g for s, change, g in zip(inner, changes, outer, strict=True))
    near_left, near_right = (torch.linalg.inv(torch.stack(some).sum(0)) for some in (inner, outer))
    found = conjugate_gradients(
        lambda y: sum(s @ y @ g for s, g in zip(inner, outer, strict=True)),
        wanted,
        lambda y: near_left @ y @ near_right,
    )
    return [(space.float(), found.float())]


def left_space(terms: list[Term]) -> Tensor:
    """Orthonormal columns (rows, ranks) that span all left factors, float64."""
    return torch.linalg.qr(torch.cat([left for left, _ in terms], 1).double())[0]


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], wanted: Tensor, near_inverse: Callable[[Tensor], Tensor], tolerance: float = 1e-6
) -> Tensor:
    """The matrix y for which apply(y), linear, symmetric and positive, is `wanted`."""
    found, rest = torch.zeros_like(wanted), wanted.clone()
    better = near_inverse(rest)
    direction, size = better, (rest * better).sum()
    for _ in range(500):
        applied = apply(direction)
        step = size / (direction * applied).sum()
        found, rest = found + step * direction, rest - step * applied
        if rest.norm() <= tolerance * wanted.norm():
            break
        better = near_inverse(rest)
        before, size = size, (rest * better).sum()
        direction = better + direction * (size / before)
    return found


def wudi(terms: list[Term], ridge: float) -> list[Term]:
    """WUDI (Cheng et al. 2025, arXiv 2503.08099) in closed form: the changes' row spaces as inputs.

    The minimum over D of sum_i |(D - D_i) D_i^T|^2 / |D_i|^2 is RegMean with D_i^T D_i for the moments.

    Args:
        ridge: the share of the identity, with trace 1, in each moment. (The authors' code adds the same multiple of the
            identity to all, not in proportion to their size.)
    """
    columns = terms[0][1].shape[1]
    moments = []
    for left, right in terms:
        moment = reduced(right.double().T @ (left.double().T @ left.double()) @ right.double(), 1.0)
        moments.append(moment * (1 - ridge) + torch.eye(columns, dtype=torch.float64) * (ridge / columns))
    return regmean(terms, moments, 1.0)


def iso(terms: list[Term], power: float = 0.0) -> list[Term]:
    """Iso-C (Marczak et al. 2025, arXiv 2502.04959): all singular values of the sum made their mean.

    Of those that are not zero, as in Core Space (below): the papers' code for full weights also gives the mean to the
    directions that no change has, which a sum of low ranks has many of.

    Args:
        power: singular values S become proportional to S^power, with the same sum; 1 leaves them.
    """
    _, size, rows = joint_svd(terms)
    size, rows = size[size > size[0] * 1e-7], rows[size > size[0] * 1e-7]
    evened = size**power
    stretch = evened * (size.sum() / evened.sum()) / size
    return [(left, ((right.double() @ rows.T) * stretch @ rows).float()) for left, right in terms]


def joint_svd(terms: list[Term]) -> tuple[Tensor, Tensor, Tensor]:
    """U (rows, ranks), S (ranks,) and V^T (ranks, columns) of the sum of the terms; float64."""
    left, lower = torch.linalg.qr(torch.cat([left for left, _ in terms], 1).double())
    right, upper = torch.linalg.qr(torch.cat([right for _, right in terms]).double().T)
    inner, size, outer = torch.linalg.svd(lower @ upper.T, full_matrices=False)
    return left @ inner, size, outer @ right.T


def tsv_m(terms: list[Term], kept: float = 1.0) -> list[Term]:
    """TSV-M (Gargiulo et al. 2025, arXiv 2412.00081): singular vectors of all domains, orthogonalised.

    Args:
        kept: the share of each change's own rank that is kept, the largest first. (The paper keeps min(rows, columns) /
            domains, which is more than a LoRA has.)
    """
    parts = [joint_svd([term]) for term in terms]
    ranks = [max(round(kept * size.numel()), 1) for _, size, _ in parts]
    left = polar(torch.cat([u[:, :rank] for (u, _, _), rank in zip(parts, ranks, strict=True)], 1))
    right = polar(torch.cat([v[:rank] for (_, _, v), rank in zip(parts, ranks, strict=True)]).T).T
    left = left * torch.cat([size[:rank] for (_, size, _), rank in zip(parts, ranks, strict=True)])
    return [(u.float(), v.float()) for u, v in zip(left.split(ranks, 1), right.split(ranks), strict=True)]


def polar(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthonormal columns."""
    inner, _, outer = torch.linalg.svd(matrix, full_matrices=False)
    return inner @ outer


def knots(terms: list[Term], merge: Callable[[list[Tensor]], Tensor]) -> list[Term]:
    """KnOTS (Stoica et al. 2024, arXiv 2410.19735): `merge` in the output space that all changes share.

    The changes side by side are U S [V_1 ... V_n]; what is merged are the (ranks, columns) S V_i.
    """
    shared, lower = torch.linalg.qr(torch.cat([left for left, _ in terms], 1).double())
    ranks = [left.shape[1] for left, _ in terms]
    blocks = [part @ right.double() for part, (_, right) in zip(lower.split(ranks, 1), terms, strict=True)]
    turn = torch.linalg.svd(torch.cat(blocks, 1), full_matrices=False)[0]
    return [((shared @ turn).float(), merge([turn.T @ block for block in blocks]).float())]


def core_space(terms: list[Term], merge: Callable[[list[Tensor]], Tensor]) -> list[Term]:
    """Core Space (Panariello et al. 2025, arXiv 2509.17786): `merge` the (ranks, ranks) U^T D_i V.

    U and V are the left singular vectors of all left factors side by side and the right ones of all right factors. The
    sum, Iso-C and TSV-M do not depend on such bases: there they are what they are without.
    """
    left = torch.linalg.svd(torch.cat([left for left, _ in terms], 1).double(), full_matrices=False)[0]
    right = torch.linalg.svd(torch.cat([right for _, right in terms]).double(), full_matrices=False)[2]
    merged = merge([left.T @ u.double() @ (v.double() @ right.T) for u, v in terms])
    return [((left @ merged).float(), right.float())]


def ties(matrices: list[Tensor], density: float = 0.2) -> Tensor:
    """TIES (Yadav et al. 2023, arXiv 2306.01708): the largest elements of each, the sign of their sum, their mean."""
    stack = torch.stack(matrices)
    kept = max(int(density * stack[0].numel()), 1)
    smallest = stack.abs().flatten(1).topk(kept).values[:, -1]
    stack = stack * (stack.abs() >= smallest[:, None, None])
    agreeing = stack * (stack.sign() == stack.sum(0).sign())
    return agreeing.sum(0) / (agreeing != 0).sum(0).clamp(min=1)


def pico(terms: list[Term]) -> list[Term]:
    """Pico's calibration (Tang & Yang 2026, arXiv 2604.16826): output directions are shrunk as they are shared.

    Of all left factors side by side, U S V^T, direction k is multiplied by 1 / (1 + (n - 1) S_k^2 / sum S^2). Terms to
    be merged by any method, whose result `rescaled` brings to size.
    """
    lefts = torch.cat([left for left, _ in terms], 1).double()
    directions, size, _ = torch.linalg.svd(lefts, full_matrices=False)
    shrink = 1 / (1 + (len(terms) - 1) * size**2 / (size**2).sum()) - 1
    lefts = lefts + directions * shrink @ (directions.T @ lefts)
    ranks = [left.shape[1] for left, _ in terms]
    return [(left.float(), right) for left, (_, right) in zip(lefts.split(ranks, 1), terms, strict=True)]


def rescaled(merged: list[Term], terms: list[Term]) -> list[Term]:
    """`merged`, with the mean of the terms' Frobenius norms (Pico's second step)."""
    factor = sum(norm([term]) for term in terms) / len(terms) / norm(merged)
    return [(left * factor, right) for left, right in merged]


def norm(terms: list[Term]) -> float:
    """The Frobenius norm of the terms' sum."""
    return float(joint_svd(terms)[1].square().sum().sqrt())
