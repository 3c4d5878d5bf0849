"""What each domain's term adds and costs to each domain: the merged weights with it and without it, on tune documents.

The other weights stay as they are. The tune splits, because to drop a domain or train it again is a choice, and no
choice looks at the test splits; weights that were found on these documents look a little too good there.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from dem.atomic import require_writable
from dem.common import log, read_json
from dem.config import MergeConfig, SearchConfig
from dem.errors import RequestError
from dem.evaluation.comparison import Questions, compare
from dem.evaluation.intervals import Change, changes, changes_of_mean, changes_together
from dem.evaluation.metrics import ALL
from dem.evaluation.scores import Scores
from dem.evaluation.subjects import Subject, weighted
from dem.layout import Layout
from dem.methods import normalised_weights
from dem.search.effects import Effect, Effects, Standing
from dem.search.objectives import objective_of
from dem.search.terms import Terms

ByDomain = dict[str, Scores]
WITH_ALL = "all terms"


def effects_of_terms(
    layout: Layout,
    base: Path,
    merge: MergeConfig,
    questions: Questions,
    kernels: str,
    terms_of: Callable[[PreTrainedModel], Terms],
    search: SearchConfig,
) -> Effects:
    """The effect of each domain that has a weight on each domain's documents, right after the merge of `merge`.

    What was measured before is kept by content: when one domain has been trained again, the weights without it are
    not measured again.

    Args:
        merge: a weighted_sum; its groups of parameters are those of the Terms, the patterns' and then the rest.
        questions: of the tune documents.
        search: whose objective says what each domain counts where the terms are compared with each other.

    Raises:
        RequestError: no domain has a weight.
    """
    domains = list(read_json(layout.merge_record)["domains"])
    acting, patterns = coefficients(merge, domains), [own.pattern for own in merge.weights_by_parameter]
    terms = [domain for domain, own in zip(domains, acting, strict=True) if own.any()]
    if not terms:
        raise RequestError("every domain's weight in the merge is 0, so that no term acts")
    files = {WITH_ALL: None} | {f"without {term}": term for term in terms}
    require_writable(layout.evaluated_without(None).parent)

    def subject(name: str, term: str | None) -> Subject:
        kept = np.array([[domain != term] for domain in domains])
        return weighted(layout, base, name, (acting * kept).tolist(), patterns)

    subjects = [subject(name, term) for name, term in files.items()]
    record = {name: layout.evaluated_without(term) for name, term in files.items()}
    log.info(f"leave-one-out: {len(terms)} terms on the tune documents")
    results = compare(base, subjects, questions, kernels, record.get, terms_of)
    whole, *others = (result.scores for result in results)
    effects = _effects(terms, whole, others)
    return Effects(effects, _least(terms, whole, others, search) if len(terms) > 1 else None)


def _effects(terms: list[str], whole: ByDomain, others: list[ByDomain]) -> list[Effect]:
    """Of every term on every domain that has documents, and on all; `others` are without one term each."""
    columns = {d: (scores, [other[d] for other in others]) for d, scores in whole.items() if scores.documents}
    changed = {d: changes(*column) for d, column in columns.items()}
    if columns:
        columns[ALL] = (_together(whole), [_together(other) for other in others])
        changed[ALL] = changes_together(whole, others)
    return [
        Effect(term, d, scores.perplexity, rest[i].perplexity, _turned(changed[d][i]), scores.documents)
        for i, term in enumerate(terms)
        for d, (scores, rest) in columns.items()
    ]


def _least(terms: list[str], whole: ByDomain, others: list[ByDomain], search: SearchConfig) -> Standing | None:
    """Which term makes the least of what the search makes small, or of the mean where that is no mean."""
    tested = [domain for domain, scores in whole.items() if scores.documents]
    shares = dict(zip(tested, objective_of(search, tested, None).shares, strict=True))
    found = changes_of_mean(whole, others, shares)
    if None in found:
        return None
    least = min(range(len(terms)), key=lambda i: found[i].relative)
    rest = [i for i in range(len(terms)) if i != least]
    leads = changes_of_mean(others[least], [others[i] for i in rest], shares)
    by_term = {terms[i]: lead for i, lead in zip(rest, leads, strict=True)}
    return Standing(search.objective, terms[least], _turned(found[least]), by_term)


def coefficients(merge: MergeConfig, domains: list[str]) -> np.ndarray:
    """What each difference is multiplied by, (domains, groups): of each pattern's parameters, and of the others.

    Raises:
        RequestError: the weights of a group cannot be normalised.
    """
    columns = []
    for weights in [*(own.weights for own in merge.weights_by_parameter), merge.weights]:
        given = {domain: weights.get(domain, 0.0) for domain in domains}
        columns.append(list((normalised_weights(given) if merge.normalize else given).values()))
    return merge.scale * np.array(columns).T


def _turned(change: Change | None) -> Change | None:
    """The change from the second model to the first, given that from the first to the second."""
    if change is None:
        return None
    ends = (change.relative, change.high, change.low)
    return Change(*(None if end is None else 1 / (1 + end) - 1 for end in ends), p=change.p)


def _together(scores: dict[str, Scores]) -> Scores:
    first, *rest = scores.values()
    return sum(rest, first)
