"""The baseline that a merge is compared with: one adapter trained on a mixture of the domains.

It sees as many tokens as the trainings of all domains together, in one pass over blocks that are drawn from theirs in
the mixture's shares. A domain of which that takes more blocks than it has is gone through whole, again and again, and
in the end in part; each time in another order.
"""

import math

import datasets
import numpy as np

from dem.config import TrainingConfig
from dem.convergence import blocks_after


def mix_training(
    of_domain: dict[str, datasets.Dataset], shares: dict[str, float], settings: TrainingConfig
) -> tuple[datasets.Dataset, list[str]]:
    """The blocks to train on, in their order, and how often each domain is gone through in words.

    Args:
        of_domain: the training blocks of every domain, also of one without a share: they say how much is trained on.
        shares: of the domains that are in the mixture, adding up to 1.
        settings: those of the domains' own trainings; the seed is also that of the order.
    """
    own = {domain: trained_blocks(len(blocks), settings) for domain, blocks in of_domain.items()}
    total = sum(own.values())
    wanted = blocks_each(total, shares)
    lines = [f"mixture: {total:,} blocks, as many as the trainings of {', '.join(own)} go through together"]
    lines += [f"mixture: {d}: {shares[d]:.1%}, {_passes(count, len(of_domain[d]))}" for d, count in wanted.items()]
    return mixed(of_domain, wanted, settings.seed), lines


def mix_tuning(
    of_domain: dict[str, datasets.Dataset], shares: dict[str, float], max_length: int, most: int, seed: int
) -> tuple[datasets.Dataset, str]:
    """The blocks to measure eval_loss on, at most `most`, in the same shares and by the same rule; and what they are.

    Only blocks of `max_length` count, and a domain without one is left out.
    """
    there = {d: of_domain[d] for d in shares if len(of_domain[d]) and len(of_domain[d][0]["input_ids"]) == max_length}
    if not there:
        return datasets.Dataset.from_dict({"input_ids": []}), "mixture: no domain's tune split fills a block"
    wanted = blocks_each(min(sum(map(len, there.values())), most), {domain: shares[domain] for domain in there})
    text = "mixture: eval_loss is measured on tune blocks in the same shares: "
    text += ", ".join(f"{domain} {count:,}" for domain, count in wanted.items())
    if missing := [domain for domain in shares if domain not in there]:
        text += f"; without {', '.join(missing)}, whose tune split fills no block"
    return mixed(there, wanted, seed), text


def trained_blocks(blocks: int, settings: TrainingConfig) -> int:
    """How many blocks a training on so many goes through: all `epochs` times, in whole steps, or `max_steps`."""
    steps = steps_of(blocks, settings.epochs, settings.batch_size, settings.max_steps)
    return blocks_after(steps, blocks, settings.batch_size)


def steps_of(blocks: int, epochs: float, batch_size: int, most: int | None = None) -> int:
    """Optimiser steps of a training on so many blocks, `most` of them if that is a number."""
    steps = math.ceil(epochs * math.ceil(blocks / batch_size))
    return steps if most is None else min(steps, most)


def blocks_each(total: int, shares: dict[str, float]) -> dict[str, int]:
    """`total` in these shares, in whole numbers; those with the largest remainders get what rounding down leaves."""
    whole = math.fsum(shares.values())
    exact = {domain: total * share / whole for domain, share in shares.items()}
    counts = {domain: int(number) for domain, number in exact.items()}
    by_remainder = sorted(exact, key=lambda domain: counts[domain] - exact[domain])
    for domain in by_remainder[: total - sum(counts.values())]:
        counts[domain] += 1
    return counts


def mixed(of_domain: dict[str, datasets.Dataset], wanted: dict[str, int], seed: int) -> datasets.Dataset:
    """So many blocks of each domain, whose places among each other are drawn with `seed`."""
    names = sorted(wanted)  # the same training in whatever order a config names them
    order = mixed_order([len(of_domain[name]) for name in names], [wanted[name] for name in names], seed)
    return datasets.concatenate_datasets([of_domain[name] for name in names]).select(order)


def mixed_order(available: list[int], wanted: list[int], seed: int) -> np.ndarray:
    """Numbers of blocks, counted through all domains: int64 of shape (sum of `wanted`,).

    Of each domain no block comes again before all others have come as often.
    """
    generator = np.random.default_rng(seed)
    whose = generator.permutation(np.repeat(np.arange(len(wanted)), wanted))
    order = np.empty(len(whose), np.int64)
    for number, (size, count) in enumerate(zip(available, wanted, strict=True)):
        passes = [generator.permutation(size) for _ in range(math.ceil(count / size))]
        order[whose == number] = sum(available[:number]) + np.concatenate([*passes, np.empty(0, np.int64)])[:count]
    return order


def _passes(count: int, size: int) -> str:
    """How often a domain of `size` blocks is gone through for `count`, in words."""
    whole, part = divmod(count, size)
    if not whole:
        return f"{count:,} of its {size:,} blocks"
    again = f"all of its {size:,} {whole} times" if whole > 1 else f"all of its {size:,}"
    return f"{count:,} blocks: {again}" + (f", then {part:,} of them once more" if part else "")
