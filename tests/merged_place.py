"""A root as stage 3 leaves it, written by hand: no model, only the files that the verdict is read from."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy import stats

from dem.diffs import adapter_fingerprint
from dem.evaluation.answers import Answers
from dem.evaluation.metrics import FORMAT
from dem.evaluation.prompts import Prompt
from dem.evaluation.ratings import CRITERIA, Ratings, answer_id
from dem.evaluation.report import ModelResult
from dem.layout import RUN_RECORD, Layout


def write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def perplexity(
    value: float | None, change: tuple[float, float | None, float | None] | None, documents: int = 50
) -> dict[str, Any]:
    counts = {"nll": 1.0, "tokens": 10, "bytes": 30, "documents": documents}
    return {"perplexity": value, "bits_per_byte": 1.0, **counts, "change": change and change_of(*change)}


def change_of(relative: float, low: float | None, high: float | None) -> dict[str, float | None]:
    """A change as it is written; its p-value is that of a normal estimate with this 95% interval."""
    p = None if low is None else 2 * stats.norm.sf(abs(relative) / max((high - low) / 3.92, 1e-9))
    return {"relative": relative, "low": low, "high": high, "p": p}


@dataclass
class MergedPlace:
    """Everything passes, until a test says otherwise."""

    root: Path
    domains: list[str] = field(default_factory=lambda: ["web", "법률"])

    def __post_init__(self):
        self.layout = Layout(self.root)
        self.layout.results.mkdir(parents=True)
        for domain in self.domains:
            self.train(domain, 600.0)
            self.summary(domain)
        self.merge()
        self.durations(60.0, 120.0)
        self.metrics((-0.05, -0.06, -0.04))
        self.answers(10)
        self.rate(better=7, worse=1)

    def train(self, domain: str, seconds: float | None) -> None:
        """An adapter, and how long its training took."""
        adapter = self.layout.adapter(domain)
        write_json(adapter / "adapter_config.json", {"of": domain})
        write_json(adapter / RUN_RECORD, {"seconds": seconds} if seconds is not None else {})

    def summary(self, domain, norm=0.5, distance: float | None = 0.02, sample=5000, vector=None, count=10**12) -> None:
        normality = {"test": "D'Agostino-Pearson", "sample": sample, "seed": 0, "statistic": 1.0, "p_value": 1e-9}
        content = {
            "vector_fingerprint": vector or f"vector of {domain}",
            "norm_before_normalisation": norm,
            "l2_norm": norm,
            "count": count,
            "kurtosis": 0.4,
            "share_beyond_3_sigma": 0.005,
            "normality": {**normality, "ks_distance": distance},
            "parameters": [
                {"name": "backbone.layers.0.mixer.in_proj.weight", "l2_norm": norm * 0.6},
                {"name": "lm_head.weight", "l2_norm": norm * 0.8},
            ],
        }
        write_json(self.layout.diff_summary(domain, ".json"), content)

    def merge(self, kind="adapter", **record: Any) -> None:
        """Record a merge of what is there; what was measured of another merge no longer counts."""
        domains = {
            domain: {
                "weight": 0.5,
                "difference_fingerprint": f"vector of {domain}",
                "source": {"kind": kind, "fingerprint": adapter_fingerprint(self.layout.adapter(domain))},
            }
            for domain in self.domains
        }
        write_json(self.layout.merge_record, {"method": "weighted_sum", "scale": 1.0, "domains": domains, **record})

    @property
    def merged(self) -> str:
        return hashlib.sha256(self.layout.merge_record.read_bytes()).hexdigest()

    def durations(self, merge: float, evaluation: float | None, **others: float) -> None:
        content = {"merged": self.merged, "merge": merge, "evaluation": evaluation, **others}
        write_json(self.layout.durations, content)

    def metrics(self, change, harness_note="not asked for", **more: Any) -> None:
        """Metrics in which merged has this change on every domain; `more` replaces merged's by domain."""
        names = [*self.domains, "all"]
        merged = {d: perplexity(19.0, change) for d in names} | more
        base = {d: p and perplexity(20.0, None, p["documents"]) for d, p in merged.items()}
        models = {"base": base, **{d: merged for d in self.domains}, "merged": merged}
        content = {
            "format": FORMAT,
            "versions": {"torch": "2.13.0+cpu"},
            "settings": {"max_length": 64},
            "fingerprints": {"merged": self.merged},
            "harness_note": harness_note,
            "models": {
                name: {"seconds": 1.0, "perplexity": found, "texts": {}, "harness": {}}
                for name, found in models.items()
            },
        }
        write_json(self.layout.metrics, content)

    def answers(self, prompts: int, same: int = 0, said: str = "다른 답") -> None:
        """Answers of base and merged to so many prompts, of which the first `same` are answered alike."""
        self.prompts = [Prompt(f"질문 {i}", None) for i in range(prompts)]
        base = [f"답 {i}" for i in range(prompts)]
        merged = [text if i < same else f"{said} {i}" for i, text in enumerate(base)]
        models = [ModelResult("base", {}, base), ModelResult("merged", {}, merged)]
        self.answered = Answers(self.prompts, models, 8, self.merged)
        self.answered.write(self.layout.answers)

    def rate(self, better: int, worse: int) -> None:
        """Merged has the better answer to the last so many prompts, and the worse one to those before."""
        ratings = Ratings()
        for i in range(len(self.prompts) - better - worse, len(self.prompts)):
            points = {"base": 3, "merged": 4 if i >= len(self.prompts) - better else 2}
            for model, value in points.items():
                answer = answer_id(self.prompts[i].prompt, self.answered.of(model)[i])
                ratings.people.setdefault("가람", {})[answer] = dict.fromkeys(CRITERIA, value)
        ratings.write(self.layout.ratings)
