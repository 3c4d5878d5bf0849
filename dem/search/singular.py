"""Low-rank changes in singular form: left = U S, right = V^T, so that each column is a singular direction."""

import torch

from dem.changed_modules import Factors

EPSILON = torch.finfo(torch.float32).eps
"""Of the largest singular value, below which one is what rounding left of 0."""


def singular_form(factors: Factors) -> Factors:
    """The same product, to rounding, of factors (rows, rank) and (rank, columns): left = U S and right = V^T, float32.

    The largest singular values come first; those that are 0 to rounding drop out, but for the first. By thin QR of
    both factors and the SVD of the small core, in float64; so no (rows, columns) matrix exists.
    """
    left, right = (half.to(torch.float64) for half in factors)
    (q_left, r_left), (q_right, r_right) = torch.linalg.qr(left), torch.linalg.qr(right.T)
    u, s, vt = torch.linalg.svd(r_left @ r_right.T, full_matrices=False)
    rank = max(int((s > s[0] * EPSILON).sum()), 1)
    form = (q_left @ u[:, :rank]) * s[:rank], vt[:rank] @ q_right.T
    return tuple(half.to(torch.float32).contiguous() for half in form)


def sizes_of(factors: Factors) -> torch.Tensor:
    """(rank,): the singular values of factors in singular form, float64."""
    return torch.linalg.vector_norm(factors[0].to(torch.float64), dim=0)
