"""Whether the split leaves enough documents to watch a training by and to measure on; known before the training."""

from collections import Counter

FEW_DOCUMENTS = 20
"""On a side of the split, fewer bear no statement: no method's interval over them covers what it says (see
dem/evaluation/intervals.py), and none is claimed."""

LARGEST_FRACTION = 0.25
"""Of a domain, what one may be advised to keep from training."""

_RESTS_ON = {
    "tune": "eval_loss, found weights and leave-one-out rest on them",
    "test": "the results will claim nothing beyond chance for this domain",
}


def split_warnings(domain: str, counts: Counter) -> list[str]:
    """A line for each of tune and test that has fewer than FEW_DOCUMENTS; `counts` are the documents by side."""
    return [
        f"{domain}: WARNING: {_counted(counts[side], side)}, fewer than {FEW_DOCUMENTS}: {rests_on}; "
        f"{_advice(side, counts.total())}"
        for side, rests_on in _RESTS_ON.items()
        if counts[side] < FEW_DOCUMENTS
    ]


def _counted(count: int, side: str) -> str:
    return f"{count or 'no'} {side} document{'s' * (count != 1)}"


def _advice(side: str, documents: int) -> str:
    """What to do; the fraction gives half as many again as are needed, since a hash decides of each document."""
    fraction = 1.5 * FEW_DOCUMENTS / max(documents, 1)
    if fraction > LARGEST_FRACTION:
        return f"{documents:,} documents are too few to split: give more text"
    return f"raise data.{side}_fraction (to about {fraction:.2g}) before training, which is not to see them"
