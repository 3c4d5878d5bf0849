"""Loops over elements, compiled by Numba (in 0.2 to 0.5 s) when they are first called; they let go of Python's lock.

With PyTorch or NumPy each is a dozen passes over memory, and as many hand-overs of the lock between threads.
"""

import numpy as np
from numba import njit

EXPONENT_BIAS = 1023
FRACTION = 52
"""Of float64: the value is 2^(exponent - EXPONENT_BIAS) times 1 and FRACTION bits behind the point."""
INFINITE = 0x7FF << FRACTION
"""The bits of its infinity; those of what is no number are more."""

SUMMED = 4096
"""Elements whose sums are taken in float32; sums of these are in float64."""


@njit(nogil=True)
def add_to_half(base, change, out, fraction, bias):
    """Set `out` to base + change, taken in float64 and rounded once to a 16-bit type: to nearest, ties to even.

    Args:
        base: int16, flat: the bits of numbers of the 16-bit type.
        change: float32, of the same size.
        out: int16, of the same size: the bits of the result, of no meaning where that is not finite.
        fraction: bits behind the point of the 16-bit type: 10 of float16, 7 of bfloat16.
        bias: of its exponent: 15 of float16, 127 of bfloat16.

    Returns:
        Whether all of it is finite.
    """
    cut = FRACTION - fraction
    exponents = EXPONENT_BIAS - bias  # what float64's exponent is more
    below_half = (1 << (cut - 1)) - 1
    infinite = (2 * bias + 1) << fraction
    subnormal_step = 2.0 ** (1 - bias - fraction)
    # Added to a number below the type's normal ones, this lets float64's own rounding leave a multiple of the step.
    shift = 2.0**FRACTION * subnormal_step
    beyond = 0
    for i in range(base.size):
        pattern = np.int64(base[i]) & 0x7FFF
        normal = np.int64((pattern << cut) + (exponents << FRACTION)).view(np.float64)
        size = normal if pattern >> fraction else pattern * subnormal_step
        exact = (-size if base[i] < 0 else size) + np.float64(change[i])
        bits = np.float64(exact).view(np.int64)
        magnitude = bits & 0x7FFFFFFFFFFFFFFF
        rounded = ((magnitude + below_half + ((magnitude >> cut) & 1)) >> cut) - (exponents << fraction)
        if magnitude < (exponents + 1) << FRACTION:
            rounded = np.float64(np.abs(exact) + shift).view(np.int64) & ((2 << fraction) - 1)
        beyond |= np.int64((rounded >= infinite) | (magnitude >= INFINITE))
        out[i] = np.int16(rounded | ((bits >> 48) & 0x8000))
    return beyond == 0


def compile_sums() -> None:
    """Compile `add_to_half` now, not when it is waited for."""
    add_to_half(np.zeros(1, np.int16), np.zeros(1, np.float32), np.zeros(1, np.int16), 10, 15)


@njit(nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _sums_of_few(values, centre, scale, limit, low, high):
    first = second = third = fourth = far = outside = np.float32(0)
    for i in range(values.size):
        distance = (values[i] - centre) * scale
        square = distance * distance
        first += distance
        second += square
        third += square * distance
        fourth += square * square
        far += np.float32(np.abs(distance) > limit)
        outside += np.float32((values[i] < low) | (values[i] > high))
    return first, second, third, fourth, far, outside


@njit(nogil=True)
def power_sums(values, centre, scale, limit, low, high):
    """Sums of the powers 1 to 4 of (values - centre) * scale, and two counts.

    All arguments are float32, `values` a flat array.

    Returns:
        The four sums; how many of what is summed are beyond +-limit; how many values are not from `low` to `high`.
    """
    sums = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for start in range(0, values.size, SUMMED):
        few = _sums_of_few(values[start : start + SUMMED], centre, scale, limit, low, high)
        sums = (
            sums[0] + few[0],
            sums[1] + few[1],
            sums[2] + few[2],
            sums[3] + few[3],
            sums[4] + few[4],
            sums[5] + few[5],
        )
    return sums[:4], int(sums[4]), int(sums[5])
