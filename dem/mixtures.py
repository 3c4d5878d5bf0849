"""The baseline that a merge is compared with: one adapter trained on a mixture of the domains."""

import datasets
import numpy as np

from dem.common import log
from dem.errors import RequestError


def mixed_blocks(of_domain: dict[str, datasets.Dataset], shares: dict[str, float], seed: int) -> datasets.Dataset:
    """As many blocks as all domains have together, so that a training on them sees as many tokens as theirs together.

    Args:
        of_domain: each domain's training blocks.
        shares: of the domains that are in the mixture; they need not add up to 1.
        seed: of the choice of blocks. A domain is gone through whole as often as its share asks for, and then in part.

    Raises:
        RequestError: a domain has no block.
    """
    counts = blocks_each(sum(map(len, of_domain.values())), shares)
    parts = []
    for number, (domain, count) in enumerate(counts.items()):
        blocks = of_domain[domain]
        if not len(blocks):
            raise RequestError(f"{domain} has no text to train on, and a share in the mixture")
        order = np.random.default_rng((seed, number)).permutation(len(blocks))
        parts.append(blocks.select(np.resize(order, count)))
        log.info(f"mixture: {domain}: {count:,} blocks, {count / len(blocks):.2f} times its {len(blocks):,}")
    return datasets.concatenate_datasets(parts)


def blocks_each(total: int, shares: dict[str, float]) -> dict[str, int]:
    """`total` in these shares, in whole numbers; those with the largest remainders get what rounding down leaves."""
    exact = {domain: total * share / sum(shares.values()) for domain, share in shares.items()}
    counts = {domain: int(number) for domain, number in exact.items()}
    by_remainder = sorted(exact, key=lambda domain: counts[domain] - exact[domain])
    for domain in by_remainder[: total - sum(counts.values())]:
        counts[domain] += 1
    return counts
