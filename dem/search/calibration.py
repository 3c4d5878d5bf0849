"""Output directions that several domains' changes share are shrunk, so that no one of them is counted by all."""

import torch


def calibrated(lefts: list[torch.Tensor]) -> list[torch.Tensor]:
    """Left factors (rows, rank), float32, of one parameter's changes, calibrated as Pico does.

    Tang & Yang 2026, arXiv 2604.16826: of all n left factors side by side, U S V^T, the direction U_k is multiplied by
    1 / (1 + (n - 1) S_k^2 / sum S^2): hardly at all if it is one of many, by 1 / n if all have that one alone. The
    paper's second step brings the merge back to size; here the weights' sum does.
    """
    together = torch.cat(lefts, 1).to(torch.float64)
    directions, sizes, _ = torch.linalg.svd(together, full_matrices=False)
    shares = sizes.square() / sizes.square().sum().clamp_min(torch.finfo(torch.float64).tiny)
    lost = directions * (1 / (1 + (len(lefts) - 1) * shares) - 1)
    smaller = (together + lost @ (directions.T @ together)).to(torch.float32)
    return [own.contiguous() for own in smaller.split([left.shape[1] for left in lefts], 1)]
