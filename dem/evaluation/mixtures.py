"""The adapters trained on mixtures of the domains: which of them the merged model can be compared with, and their cost.

A mixture never takes part in a merge. One that cannot be compared is left out, with the reason, and stops nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dem.checkpoints import Checkpoint, files_fingerprint
from dem.common import log, read_json
from dem.config import Config
from dem.errors import RequestError
from dem.evaluation.acceptance import in_words
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.report import as_text
from dem.layout import RUN_RECORD, Layout
from dem.run_record import changes
from dem.sources import adapter_deltas


@dataclass(frozen=True)
class Mixture:
    """A mixture of the config."""

    shares: dict[str, float]
    """By domain, adding up to 1."""
    note: str | None = None
    """Why there is nothing to compare with, and what to do about it; None if there is."""
    seconds: float | None = None
    """Of its training."""
    tokens: int | None = None
    """That it was trained on."""


def find_mixtures(
    config: Config, layout: Layout, files: dict[str, list[Path]], base: Path, base_fingerprint: str
) -> dict[str, Mixture]:
    """The config's mixtures by name; the log says which of them are left out, and why.

    Compared is a finished adapter of this base, of these shares, of the split that is tested on, and of the text that
    `files` hold now, by domain.
    """
    found = {}
    now: dict[str, Any] | None = None
    for name in config.data.mixtures:
        shares, adapter = config.data.shares(name), layout.adapter(name)
        how = f"python dem/train_individual.py --config CONFIG --domain {name}"
        try:
            layout.existing_adapter(name)
            now = now or _as_recorded(config, files, base_fingerprint)
            record = read_json(adapter / RUN_RECORD)
            if changed := changes(_part(record), now | {"mixture": shares}):
                raise RequestError(f"since it was trained there changed {'; '.join(changed)}: {how} --overwrite")
            adapter_deltas(adapter, base, Checkpoint(base))  # it loads, and fits the base
            found[name] = Mixture(shares, None, record.get("seconds"), record.get("tokens"))
        except RequestError as mistake:
            found[name] = Mixture(shares, str(mistake))
            log.info(f"evaluation: the mixture {name} is left out: {mistake}")
    return found


SPLIT = ("tune_fraction", "test_fraction", "group_column", "fingerprint")
"""Of a record's data, what decides which text was trained on."""


def _as_recorded(config: Config, files: dict[str, list[Path]], base_fingerprint: str) -> dict[str, Any]:
    data = {**vars(config.data), "fingerprint": {domain: files_fingerprint(paths) for domain, paths in files.items()}}
    return _part({"base": {"fingerprint": base_fingerprint}, "data": data})


def _part(record: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in a training's record for the adapter to be compared."""
    data, base = (record.get(name) if isinstance(record.get(name), dict) else {} for name in ("data", "base"))
    return {
        "base": {"fingerprint": base.get("fingerprint")},
        "data": {name: data.get(name) for name in SPLIT},
        "mixture": record.get("mixture"),
    }


def cost_lines(mixtures: dict[str, Mixture], evidence: Evidence) -> list[str]:
    """Markdown: what the trainings took, and which mixtures there is nothing to say of."""
    left_out = [f"- {as_text(n)} is left out: {as_text(m.note)}" for n, m in mixtures.items() if m.note]
    trained = {name: mixture for name, mixture in mixtures.items() if not mixture.note}
    if not trained:
        return left_out
    seconds, tokens = _sum(evidence.training_seconds), _sum(evidence.training_tokens)
    count = len(evidence.domains)
    lines = [
        "| training | on | tokens | time |",
        "|---|---|---|---|",
        f"| {count} adapter{'s' * (count != 1)}, merged | a domain each | {_tokens(tokens)} | {_time(seconds)} |",
    ]
    for name, mixture in trained.items():
        shares = ", ".join(f"{as_text(domain)} {share:.0%}" for domain, share in mixture.shares.items())
        lines.append(f"| {as_text(name)} | {shares} | {_tokens(mixture.tokens)} | {_time(mixture.seconds)} |")
    lines += ["", "Other shares need the whole training again, other weights only another merge."]
    if uneven := [n for n, m in trained.items() if tokens and m.tokens and abs(m.tokens / tokens - 1) > 0.01]:
        lines[-1] += f" **Not a comparison at equal tokens: {', '.join(map(as_text, uneven))}.**"
    return [*lines, *([""] if left_out else []), *left_out]


def _sum(by_domain: dict[str, float | Missing]) -> float | None:
    """Of all domains; None if it is not known of one."""
    known = [value for value in by_domain.values() if not isinstance(value, Missing)]
    return sum(known) if known and len(known) == len(by_domain) else None


def _tokens(count: float | None) -> str:
    return "not recorded" if count is None else f"{count:,.0f}"


def _time(seconds: float | None) -> str:
    return "not recorded" if seconds is None else in_words(seconds)
