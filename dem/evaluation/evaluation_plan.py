"""What an evaluation would measure, and what it has measured before; said by a dry run of stage 3."""

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dem.checkpoints import Checkpoint
from dem.columns import aligned
from dem.common import load_tokenizer, read_json
from dem.config import AUTO, Config, hand_weights
from dem.evaluation.comparison import Questions, measured_before
from dem.evaluation.drawing import Tested, test_documents
from dem.evaluation.inputs import EvaluationInputs
from dem.evaluation.subjects import Subject, merged_subject, subjects_beside
from dem.layout import Layout
from dem.merging import make_provenance, open_differences
from dem.methods import METHODS
from dem.search.rivals import names_of
from dem.split_size import split_warnings


@dataclass(frozen=True)
class EvaluationPlan:
    """What every model is measured on, and which models are."""

    counts: dict[str, Counter]
    """Documents on each side of the split, by domain."""
    tested: Tested
    """The test documents that they are measured on."""
    prompts: int
    references: int
    """Prompts with a reference."""
    max_new_tokens: int
    parts: dict[str, tuple[int, int]]
    """Of each model that is there before the merge: how much of it was measured before, and how much there is."""
    after: list[str]
    """What is measured once it is merged."""
    without: dict[str, str]
    """Models that are left out, and why."""
    merged: list[str]
    """The domains that are merged."""
    leave_one_out: bool

    def lines(self) -> list[str]:
        """The plan for people."""
        rows = [(d, self.tested.counted(d), f"{tokens:,}") for d, tokens in self.tokens.items()]
        few = [line for domain, counts in self.counts.items() for line in split_warnings(domain, counts)]
        most = "up to " * (len(self.after) > 1)  # of found weights, those of some may be alike
        return [
            f"evaluation: {most}{len(self.parts) + len(self.after)} models x ({sum(self.tokens.values()):,} tokens and "
            f"{self.prompts} prompts, answers of at most {self.max_new_tokens} tokens; {self.references} prompts have "
            "a reference)",
            *(f"  {line}" for line in aligned([("domain", "test documents", "tokens"), *rows])),
            *few,
            *self.tested.notes(),
            *(f"  {line}" for line in aligned(self._models(), left=2)),
            *self._leave_one_out(),
        ]

    @property
    def tokens(self) -> dict[str, int]:
        """Of the test documents, by domain; those that are predicted, all but each document's first."""
        documents = self.tested.documents
        return {domain: sum(max(len(each.ids) - 1, 0) for each in some) for domain, some in documents.items()}

    def _models(self) -> list[tuple[str, str]]:
        known = [(name, _kept(before, there)) for name, (before, there) in self.parts.items()]
        merged = [(name, "measured after the merge") for name in self.after]
        return [*known, *merged, *((name, f"left out: {why}") for name, why in self.without.items())]

    def _leave_one_out(self) -> list[str]:
        if not self.leave_one_out:
            return []
        if lacking := [domain for domain in self.merged if not self.counts[domain]["tune"]]:
            return [f"evaluation: leave-one-out is not measured: {', '.join(lacking)} has no tune document"]
        return ["evaluation: then leave-one-out, on the tune documents"]


def _kept(before: int, there: int) -> str:
    if before == there:
        return "measured before, and nothing has changed since: kept"
    return f"measured anew ({before} of {there} parts are kept)" if before else "measured anew"


def plan_evaluation(
    config: Config, layout: Layout, base: Path, domains: list[str], inputs: EvaluationInputs
) -> EvaluationPlan:
    """The plan for comparing models once `domains` are merged; tokenizes the test documents, and loads no model."""
    tokenizer = load_tokenizer(base)
    tested = test_documents(inputs.corpora, tokenizer, config.evaluation)
    length, answer = config.data.max_length, config.evaluation.max_new_tokens
    questions = Questions(tested.documents, inputs.prompts, tokenizer, length, answer, inputs.harness)
    subjects, after = _subjects(config, layout, base, domains, inputs)
    parts, _, values = measured_before(subjects, questions, config.kernels, layout.evaluated)
    gone = [domain for domain in domains if domain not in inputs.adapters and domain not in inputs.models]
    return EvaluationPlan(
        counts={domain: corpus.counts for domain, corpus in inputs.corpora.items()},
        tested=tested,
        prompts=len(inputs.prompts),
        references=questions.pairs(),
        max_new_tokens=answer,
        parts={s.name: (sum(v is not None for v in values[s.name].values()), len(parts[s.name])) for s in subjects},
        after=after,
        without={name: str(mixture.note) for name, mixture in inputs.mixtures.items() if mixture.note}
        | dict.fromkeys(gone, "its fine-tuned model is no longer there"),
        merged=domains,
        leave_one_out=METHODS[config.merge.method].is_sum,
    )


def _subjects(
    config: Config, layout: Layout, base: Path, domains: list[str], inputs: EvaluationInputs
) -> tuple[list[Subject], list[str]]:
    """The models that are there already, and the names of those that are not."""
    searched = config.merge.weights == AUTO
    weights = hand_weights(config) if searched else config.merge.weights
    differences = open_differences(domains, layout, Checkpoint(base))
    record = make_provenance(replace(config.merge, weights=weights), config.base_model, differences)
    baselines = {name: layout.adapter(name) for name, mixture in inputs.mixtures.items() if not mixture.note}
    subjects = subjects_beside(record, base, inputs.adapters, inputs.models, baselines)
    if searched:
        return subjects, [*names_of(config.search, domains, config.merge.normalize), "merged"]
    return (subjects, ["merged"]) if not _is_merged(layout, record) else ([*subjects, merged_subject(layout)], [])


def _is_merged(layout: Layout, record: dict[str, Any]) -> bool:
    """Whether the merged model that is there was made of the same, and so will be again."""
    if not layout.merge_record.is_file():
        return False
    there = read_json(layout.merge_record)
    there.pop("check", None)
    return there == json.loads(json.dumps(record))
