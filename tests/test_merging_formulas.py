"""The formulas that the study of merges tries, against the papers' own on whole matrices."""

import sys
from pathlib import Path

import pytest
import torch

from dem.search.regmean import normalised, solved

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import merging_formulas as formulas  # noqa: E402

ROWS, COLUMNS, RANK = 14, 12, 2


@pytest.fixture
def terms():
    generator = torch.Generator().manual_seed(3)
    return [
        (torch.randn(ROWS, RANK, generator=generator), torch.randn(RANK, COLUMNS, generator=generator))
        for _ in range(3)
    ]


def whole(terms):
    return sum(left.double() @ right.double() for left, right in terms)


def dense(terms):
    return [whole([term]) for term in terms]


def is_close(terms, expected):
    torch.testing.assert_close(whole(terms), expected, rtol=1e-5, atol=1e-5)


def test_regmean_is_the_least_squares_answer(terms):
    """The merged change minimises sum_i |(D - D_i) x|^2 over the inputs, each domain's moment with trace 1."""
    inputs = [
        torch.randn(40, COLUMNS, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (1, 2, 3)
    ]
    found = formulas.regmean(terms, [x.T @ x for x in inputs], alpha=1.0)
    scaled = [x / (x.T @ x).trace().sqrt() for x in inputs]
    outputs = torch.cat([x @ change.T for x, change in zip(scaled, dense(terms), strict=True)])
    is_close(found, torch.linalg.lstsq(torch.cat(scaled), outputs).solution.T)


def test_regmean_reduces_what_is_off_the_diagonal(terms):
    moments = [torch.eye(COLUMNS) * (i + 1) + 0.5 for i in range(3)]
    grams = []
    for moment in moments:
        gram = moment.double() / moment.double().trace()
        grams.append(torch.where(torch.eye(COLUMNS) > 0, gram, gram * 0.9))
    expected = sum(d @ g for d, g in zip(dense(terms), grams, strict=True)) @ torch.linalg.inv(sum(grams))
    is_close(formulas.regmean(terms, moments, alpha=0.9), expected)


def test_regmean_is_that_of_stage_3(terms):
    generator = torch.Generator().manual_seed(4)
    moments = [x.T @ x for x in torch.randn(3, 40, COLUMNS, generator=generator)]
    grams = [normalised(moment.clone(), 0.9, "in_proj") for moment in moments]
    rights = [right for _, right in terms]
    turned = [right.double() @ gram.double() for right, gram in zip(rights, grams, strict=True)]
    projected, _ = solved(rights, turned, torch.stack(grams).sum(0), len(terms))
    merged = [(left / 3, right) for (left, _), right in zip(terms, projected, strict=True)]
    is_close(merged, whole(formulas.regmean(terms, moments, alpha=0.9)))


def test_kfac_minimises_the_quadratic_form(terms):
    generator = torch.Generator().manual_seed(2)
    roots = [torch.randn(n, n, dtype=torch.float64, generator=generator) for n in (COLUMNS, ROWS) for _ in terms]
    inputs, outputs = [r @ r.T for r in roots[:3]], [r @ r.T for r in roots[3:]]
    space = formulas.left_space(terms)
    found = formulas.kfac(terms, inputs, [space.T @ s @ space for s in outputs], alpha=1.0)
    within = (found[0][0].double().T @ whole(found)).requires_grad_()
    far = [space @ within - change for change in dense(terms)]
    sum((s @ d @ g * d).sum() for s, d, g in zip(outputs, far, inputs, strict=True)).backward()
    assert within.grad.norm() < 1e-4 * sum((s @ d @ g).norm() for s, d, g in zip(outputs, far, inputs, strict=True))
    same = [torch.eye(3 * RANK)] * 3
    scaled = [g / g.trace() for g in inputs]
    is_close(formulas.kfac(terms, scaled, same, alpha=0.9), whole(formulas.regmean(terms, inputs, alpha=0.9)))


def test_wudi_minimises_the_papers_loss(terms):
    def loss(change):
        return sum(((change - d) @ d.T).square().sum() / d.square().sum() for d in dense(terms))

    found = whole(formulas.wudi(terms, ridge=1e-6))
    change = found.clone().requires_grad_()
    loss(change).backward()
    assert loss(found) < 1e-6 * loss(whole(terms))
    assert change.grad.abs().max() < 1e-3
    is_close(formulas.wudi(terms, ridge=1.0), whole(terms) / 3)


def test_iso_c_gives_all_singular_values_their_mean(terms):
    left, size, right = torch.linalg.svd(whole(terms), full_matrices=False)
    rank = 3 * RANK
    is_close(formulas.iso(terms), left[:, :rank] @ right[:rank] * size[:rank].mean())
    is_close(formulas.iso(terms, power=1.0), whole(terms))


@pytest.mark.parametrize("kept", [RANK, 1])
def test_tsv_m_orthogonalises_the_singular_vectors(terms, kept):
    parts = [torch.linalg.svd(change, full_matrices=False) for change in dense(terms)]
    size = torch.cat([s[:kept] for _, s, _ in parts])
    left = torch.linalg.svd(torch.cat([u[:, :kept] for u, _, _ in parts], 1), full_matrices=False)
    right = torch.linalg.svd(torch.cat([v[:kept] for _, _, v in parts]), full_matrices=False)
    found = formulas.tsv_m(terms, kept / RANK)
    is_close(found, left[0] @ left[2] @ torch.diag(size) @ right[0] @ right[2])
    assert len(found) == 3 and found[0][0].shape == (ROWS, kept)


def test_knots_merges_in_the_shared_output_space(terms):
    left, size, right = torch.linalg.svd(torch.cat(dense(terms), 1), full_matrices=False)
    kept = size > 1e-6
    parts = (size[:, None] * right)[kept].split(COLUMNS, 1)
    is_close(formulas.knots(terms, lambda parts: formulas.ties(parts, 0.4)), left[:, kept] @ formulas.ties(parts, 0.4))
    is_close(formulas.knots(terms, lambda parts: sum(parts)), whole(terms))


def test_core_space_merges_in_the_bases_of_all_factors(terms):
    left = torch.linalg.svd(torch.cat([u for u, _ in terms], 1).double(), full_matrices=False)[0]
    right = torch.linalg.svd(torch.cat([v for _, v in terms]).double(), full_matrices=False)[2]
    core = formulas.ties([left.T @ change @ right.T for change in dense(terms)], 0.4)
    is_close(formulas.core_space(terms, lambda parts: formulas.ties(parts, 0.4)), left @ core @ right)
    is_close(formulas.core_space(terms, lambda parts: sum(parts)), whole(terms))


def test_ties_by_hand():
    one = torch.tensor([[4.0, -3.0, 0.1, 2.0]])
    other = torch.tensor([[2.0, 1.0, 5.0, -3.0]])
    assert formulas.ties([one, other], 0.5).tolist() == [[4.0, -3.0, 5.0, -3.0]]


def test_pico_shrinks_shared_output_directions(terms):
    joined = torch.cat([left for left, _ in terms], 1).double()
    values, vectors = torch.linalg.eigh(joined @ joined.T)
    shrink = vectors @ torch.diag(1 / (1 + 2 * values / values.sum())) @ vectors.T
    found = formulas.pico(terms)
    is_close(found, shrink @ whole(terms))
    brought = formulas.rescaled(formulas.mean(found), terms)
    size = whole(brought).norm() * 3
    assert size == pytest.approx(float(sum(change.norm() for change in dense(terms))), rel=1e-5)
