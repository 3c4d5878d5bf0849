"""What training on a mixture cost, beside what the merged model's own trainings did."""

from dem.evaluation.digits import in_words
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.metrics import Mixture
from dem.evaluation.report import as_text


def cost_lines(mixtures: dict[str, Mixture], evidence: Evidence) -> list[str]:
    """Markdown: what the trainings took, and which mixtures there is nothing to say of."""
    left_out = [f"- {as_text(n)} is left out: {as_text(m.note)}" for n, m in mixtures.items() if m.note]
    trained = {name: mixture for name, mixture in mixtures.items() if not mixture.note}
    if not trained:
        return left_out
    seconds, tokens = whole_sum(evidence.training_seconds), whole_sum(evidence.training_tokens)
    count = len(evidence.domains)
    lines = [
        "| training | on | tokens | time |",
        "|---|---|---|---|",
        f"| {count} adapter{'s' * (count != 1)}, merged | a domain each | {_tokens(tokens)} | {_time(seconds)} |",
    ]
    for name, mixture in trained.items():
        shares = ", ".join(f"{as_text(domain)} {share:.0%}" for domain, share in mixture.shares.items())
        found = ", the found weights" * mixture.found
        lines.append(f"| {as_text(name)} | {shares}{found} | {_tokens(mixture.tokens)} | {_time(mixture.seconds)} |")
    lines += ["", "Other shares need the whole training again, other weights only another merge."]
    if uneven := [n for n, m in trained.items() if tokens and m.tokens and abs(m.tokens / tokens - 1) > 0.01]:
        lines[-1] += f" **Not a comparison at equal tokens: {', '.join(map(as_text, uneven))}.**"
    return [*lines, *([""] if left_out else []), *left_out]


def whole_sum(by_domain: dict[str, float | Missing]) -> float | None:
    """Of all domains; None if it is not known of one."""
    known = [value for value in by_domain.values() if not isinstance(value, Missing)]
    return sum(known) if known and len(known) == len(by_domain) else None


def _tokens(count: float | None) -> str:
    return "not recorded" if count is None else f"{count:,.0f}"


def _time(seconds: float | None) -> str:
    return "not recorded" if seconds is None else in_words(seconds)
