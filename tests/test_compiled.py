"""The compiled loops against plain NumPy, for every number of the 16-bit types."""

import numpy as np
import pytest
import torch

from dem.compiled import add_to_half, power_sums

TYPES = {"float16": (10, 15), "bfloat16": (7, 127)}


def numbers(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All finite numbers of the type as float64, and their bits."""
    bits = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    values = torch.from_numpy(bits).view(getattr(torch, name)).double().numpy()
    return values[np.isfinite(values)], bits[np.isfinite(values)]


def nearest(exact: np.ndarray, name: str) -> np.ndarray:
    """Bits of the number nearest to each of `exact`, of two the even one, by search among all that are not negative."""
    values, bits = numbers(name)
    values, bits = values[bits >= 0], bits[bits >= 0]  # they rise together
    size = np.abs(exact)
    above = np.clip(np.searchsorted(values, size), 1, len(values) - 1)
    low, high = size - values[above - 1], values[above] - size
    up = (high < low) | ((high == low) & (bits[above] % 2 == 0))
    found = np.where(up, bits[above], bits[above - 1]).astype(np.int32)
    return np.where(np.signbit(exact), found | 0x8000, found).astype(np.uint16).view(np.int16)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("kind", ["equal", "an eighth", "half a step", "tiny", "nothing", "the opposite"])
def test_every_number_plus_a_change_becomes_the_nearest(name, kind):
    values, bits = numbers(name)
    random = np.random.default_rng(0)
    relative = {"equal": 1.0, "an eighth": 0.125, "half a step": 2.0 ** -(TYPES[name][0] + 1), "tiny": 1e-6}
    change = values * relative.get(kind, 0.0) * random.choice([-1, 1, -0.5, 0.9999], len(values))
    if kind == "the opposite":
        change = -values * (1 + random.choice([0, 1e-3, -1e-3], len(values)))
    with np.errstate(over="ignore"):
        change = change.astype(np.float32)
    exact = values + change.astype(np.float64)
    fits = np.abs(exact) <= values.max()
    out = np.empty_like(bits)
    finite = add_to_half(bits, change, out, *TYPES[name])
    assert np.array_equal(out[fits], nearest(exact[fits], name))
    assert finite or not fits.all()
    for change_ in (np.nan, np.inf, -np.inf):
        assert not add_to_half(bits[:3], np.array([0, change_, 0], np.float32), out[:3], *TYPES[name])


@pytest.mark.parametrize("size", [1, 4096, 10_001])
def test_sums_and_counts_are_numpys(size):
    values = np.random.default_rng(1).gamma(2.0, 1e-12, size).astype(np.float32)
    centre, scale, limit, low, high = np.float32([2e-12, 1e12, 1.5, 1e-12, 3e-12])
    sums, far, outside = power_sums(values, centre, scale, limit, low, high)
    distances = (values.astype(np.float64) - centre) * scale
    assert sums == pytest.approx([np.sum(distances**k) for k in range(1, 5)], rel=1e-5, abs=1e-3)
    assert far == np.count_nonzero(np.abs(distances) > limit)
    assert outside == np.count_nonzero((values < low) | (values > high))
