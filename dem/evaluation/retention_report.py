"""What the report says of how much of the adapters' gains at home is kept."""

from collections.abc import Callable

from dem.evaluation.digits import figure
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.intervals import Change
from dem.evaluation.metrics import ALL, Metrics
from dem.evaluation.ratios import Ratio
from dem.evaluation.report import as_text
from dem.evaluation.retention import Kept, Retention


def retention_sentence(metrics: Metrics, name: Callable[[str], str] = as_text) -> str:
    """What the merged model keeps, and beside it each mixture, whose names `name` writes; empty if never measured."""
    found = metrics.retention
    if not found:
        return ""
    merged = found.models.get("merged")
    if found.note or not merged:
        home = f" ({_change(found.home)})" if found.home else ""
        why = name(found.note or "it was not measured")
        return f"What the merged model keeps of the adapters' gains cannot be told: {why}{home}."
    text = f"Of what the adapters gain at home ({_change(found.home)} on the mean of {_domains(found)}) "
    text += f"the merged model keeps {ratio_in_words(merged, ' (95% interval {} to {})')}"
    for mixture in metrics.mixtures:
        if kept := found.models.get(mixture):
            text += f", the mixture {name(mixture)} {ratio_in_words(kept, ' ({} to {})')}"
    return f"{text}."


def retention_section(evidence: Evidence) -> list[str]:
    """A table of the gains on the mean of the domains, and what each model keeps; Markdown."""
    metrics = evidence.metrics
    if isinstance(metrics, Missing) or not (metrics.retention and metrics.retention.domains):
        return []
    found = metrics.retention
    lines = [
        "## What is kept of the adapters' gains",
        "",
        f"| model | mean of {_domains(found)} | kept |",
        "|---|---|---|",
    ]
    lines.append(f"| each domain's adapter at home | {_change(found.home)} | {'' if found.note else '100%'} |")
    for name, kept in sorted(found.models.items(), key=lambda item: item[0] != "merged"):
        part = "cannot be told" if found.note else ratio_in_words(kept, " ({} to {})")
        lines.append(f"| {as_text(name)} | {_change(kept.mean)} | {part} |")
    lines += [
        "",
        "The mean is of the domains' losses per token, as a change of perplexity against the base: each domain counts "
        "alike, however much text it has. What is kept is a model's mean gain in nats per token divided by that of the "
        "adapters at home, on the same documents; its 95% interval (Fieller's, resampled) draws both together.",
    ]
    if found.note:
        lines += ["", f"**What is kept cannot be told: {as_text(found.note)}.**"]
    left_out = [domain for domain in metrics.models["base"].perplexity if domain not in (*found.domains, ALL)]
    if left_out:
        names = ", ".join(map(as_text, left_out))
        lines += ["", f"Without {names}: no test document, or no model of its own that was measured."]
    return lines


def ratio_in_words(kept: Kept, interval: str) -> str:
    """The part that is kept in percent, followed by its ends as `interval` says, if it has them; each on its side."""
    ratio: Ratio | None = kept.retention
    if ratio is None:
        return "an unknown part (it computes no numbers)"
    text = figure(ratio.value, ".0%", 0)
    if ratio.low is None:
        return text
    return text + interval.format(figure(ratio.low, ".0%", 0), figure(ratio.high, ".0%", 0))


def _change(change: Change | None) -> str:
    if change is None:
        return "not a number"
    low_to_high = [figure(end, "+.2%", 0) for end in (change.low, change.high) if end is not None]
    return figure(change.relative, "+.2%", 0) + (f" ({' to '.join(low_to_high)})" if low_to_high else "")


def _domains(found: Retention) -> str:
    count = len(found.domains)
    return f"{count} domain{'s' * (count != 1)}"
