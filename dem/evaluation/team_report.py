"""Everything on one page, the verdict first: `results/report.md`.

It is written from the files alone, so that new ratings, or a merge without an evaluation, need nothing else.
"""

from dem.atomic import write_text
from dem.common import read_json
from dem.errors import RequestError
from dem.evaluation.acceptance import (
    FAIL,
    GAIN,
    NOT_MEASURED,
    PASS,
    PENDING,
    Criterion,
    acceptance_page,
    change_in_words,
    criteria,
    criteria_table,
)
from dem.evaluation.advice import advice
from dem.evaluation.answers import provenance_hash
from dem.evaluation.digits import in_figures
from dem.evaluation.evidence import Evidence, Missing, gather, not_merged
from dem.evaluation.intervals import LEAST, sure
from dem.evaluation.metrics import ALL, Metrics, Perplexity
from dem.evaluation.mixture_costs import cost_lines
from dem.evaluation.report import TEXT_METRICS, as_text
from dem.evaluation.report import captioned as _picture
from dem.evaluation.report import link as _link
from dem.evaluation.retention_report import retention_section, retention_sentence
from dem.evaluation.tables import change_in_percent
from dem.evaluation.weights_report import comparison_lines, regmean_lines, weighed, weights_section
from dem.layout import Layout
from dem.search.effects import leave_one_out_section


def publish_report(layout: Layout) -> None:
    """Write the plan's criteria and the report, of what there is."""
    evidence = gather(layout)
    write_text(layout.acceptance, acceptance_page(evidence))
    write_text(layout.report, report_page(evidence, layout))


def report_page(evidence: Evidence, layout: Layout) -> str:
    """Markdown; no text from a model, a name or a file acts as Markdown in it."""
    met = criteria(evidence)
    sections = [
        ["# Is the merged model better?", "", *_verdict(evidence, met)],
        ["## The plan's criteria", "", *criteria_table(met), "", _link(layout.acceptance, "How they are taken, and"
          " the figures of each domain")],
        _perplexity_section(evidence, layout),
        retention_section(evidence),
        _comparison_section(evidence),
        weights_section(evidence, layout),
        leave_one_out_section(layout, not isinstance(evidence.record, Missing) and "search" in evidence.record),
        _answers_section(evidence, layout),
        _figures_section(evidence),
        _differences_section(evidence, layout),
        _training_section(evidence, layout),
        ["## Not measured", "", *([f"- {line}" for line in _gaps(evidence, layout)] or ["Nothing was left out."])],
        _settings_section(evidence),
    ]  # fmt: skip
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _verdict(evidence: Evidence, met: list[Criterion]) -> list[str]:
    """The answer in plain words."""
    return [_perplexity_verdict(evidence), "", _answers_verdict(evidence), "", _criteria_verdict(met)]


def _perplexity_verdict(evidence: Evidence) -> str:
    if isinstance(evidence.metrics, Missing):
        return f"**Whether it is better than the base was not measured**: {as_text(evidence.metrics)}."
    found = evidence.metrics.models["merged"].perplexity
    whole = found.get(ALL)
    if whole is None:
        return "**Whether it is better than the base was not measured**: there is no test document."
    if whole.change is None:
        return "**It cannot be compared with the base**: one of the two computes no numbers."
    text = {
        "better": "**Yes, by its perplexity.**",
        "worse": "**No: by its perplexity it is worse than the base.**",
        "": "**Not shown: its perplexity may differ from the base's by chance alone.**",
    }[_direction(whole)]
    text += f" On all test documents together it is {change_in_words(whole)}"
    text += f", while the plan wants {GAIN[0]:.0%}." if 0 < -whole.change.relative < GAIN[0] else "."
    if whole.change.low is None:
        text += f" So few test documents ({whole.documents}) do not tell how sure that is."
    return " ".join(filter(None, [text + _domains_verdict(evidence.metrics), retention_sentence(evidence.metrics)]))


def _domains_verdict(metrics: Metrics) -> str:
    """In how many domains it is surely better, in which worse, and of which that cannot be told."""
    told, found = metrics.beyond_chance(), metrics.models["merged"].perplexity
    measured = {d: p for d, p in found.items() if d != ALL and p}
    sides = {d: p.change.relative < 0 for d, p in measured.items() if ("merged", d) in told}
    text = " Beyond chance, all cells below taken together, it is better in "
    text += f"{sum(sides.values())} of {len(measured)} domains"
    if worse := [as_text(d) for d, better in sides.items() if not better]:
        text += f", and worse in {', '.join(worse)}"
    if few := [f"{as_text(d)} ({p.documents})" for d, p in measured.items() if p.change and p.change.low is None]:
        text += f"; too few test documents to tell of {', '.join(few)}"
    return text + "."


def _direction(measured: Perplexity) -> str:
    """ "better" or "worse" than the base, if the whole interval says so; else nothing."""
    change = measured.change
    if change is None or not sure(change):
        return ""
    return "better" if change.high < 0 else "worse"


def _answers_verdict(evidence: Evidence) -> str:
    tally = evidence.tally
    if isinstance(tally, Missing):
        return f"Its answers were not compared: {as_text(tally)}."
    count = tally.outcomes()
    better, worse, total = count["merged"], count["base"], count.total()
    if not (tally.raters or tally.judged_pairs):
        same = f" ({count['tie']} are word for word the base's)" if count["tie"] else ""
        return f"Its answers to the {total} prompts have not been rated{same}."
    text = f"Its answers were found better than the base's in {better} of {total} prompts, worse in {worse}, "
    text += f"as good in {count['tie']}" + (f"; {count['']} are not rated." if count[""] else ".")
    if better + worse:
        from scipy import stats  # a second, only where there are ratings

        chance = stats.binomtest(better, better + worse).pvalue
        text += f" If both were equally good, so uneven a count would come about with probability {chance:.2g}."
    return text


def _criteria_verdict(met: list[Criterion]) -> str:
    parts = []
    for verdict, words in ((PASS, "met"), (FAIL, "failed"), (PENDING, "pending"), (NOT_MEASURED, NOT_MEASURED)):
        names = [f"{c.name.lower()}{' (uncertain)' * bool(c.doubt)}" for c in met if c.verdict == verdict]
        if names:
            parts.append(f"{len(names)} {words} ({', '.join(names)})")
    return f"Of the plan's {len(met)} criteria: {'; '.join(parts)}."


def _perplexity_section(evidence: Evidence, layout: Layout) -> list[str]:
    if isinstance(evidence.metrics, Missing):
        return []
    models = evidence.metrics.models
    domains = list(models["base"].perplexity)
    lines = ["## Perplexity", ""]
    lines += _picture(
        layout.perplexity_picture,
        "Perplexity of every model on every domain",
        "A row per model, a column per domain; lower is better. The second line of a cell is the change against the "
        "base: dark where the model is better, light where it is worse. With a question mark it may be chance: the "
        "cells are taken together, so that with 95% confidence none of those without one is (Holm's procedure; the "
        "merged model on all texts is taken by itself).",
    )
    lines += [f"| model | {' | '.join(as_text(d) for d in domains)} |", "|---" * (1 + len(domains)) + "|"]
    counts = (_documents(evidence.metrics, d, p) for d, p in models["base"].perplexity.items())
    lines.append(f"| *test documents* | {' | '.join(counts)} |")
    for name, model in models.items():
        lines.append(f"| {as_text(name)} | {' | '.join(_cell(model.perplexity.get(d)) for d in domains)} |")
    lines += ["", f"Change against the base, with its 95% interval, each taken by itself; of fewer than {LEAST} "
              f"documents there is none. All figures: {_link(layout.metrics, 'metrics')} and "
              f"{_link(layout.metric_summary, 'the same as a table')}."]  # fmt: skip
    if evidence.metrics.drawn_from:
        lines[-1] += (
            f" Of each domain at most {as_text(str(evidence.metrics.settings.get('test_tokens')))} tokens of test "
            "documents were drawn (`evaluation.tokens`), the same for every model; in 'all' a domain counts by what "
            "was drawn of it."
        )
    return lines


def _documents(metrics: Metrics, domain: str, measured: Perplexity | None) -> str:
    """How many of a domain's test documents were measured, or of all domains' together."""
    count, there = measured.documents if measured else 0, metrics.drawn_from
    if domain == ALL and there:
        found = metrics.models["base"].perplexity
        return f"{count:,} of {sum(there.get(d, p.documents) for d, p in found.items() if p and d != ALL):,}"
    return f"{count:,} of {there[domain]:,}" if domain in there else f"{count:,}"


def _comparison_section(evidence: Evidence) -> list[str]:
    """The merged model beside other ways to one model: other weights, and training on a mixture."""
    if isinstance(evidence.metrics, Missing):
        return []
    mixtures = {n: c for n, c in evidence.metrics.against.items() if n in evidence.metrics.mixtures}
    parts = [comparison_lines(evidence)]
    if mixtures:
        lines = [f"- the adapter trained on the mixture {as_text(n)}: {weighed(c)}" for n, c in mixtures.items()]
        parts.append(["Perplexity of the merged model on all test documents, relative to", "", *lines])
    parts += [cost_lines(evidence.metrics.mixtures, evidence), [advice(evidence, as_text)]]
    lines = [line for part in parts if part for line in ("", *part)]
    return ["## Against other ways", *lines] if lines else []


def _cell(measured: Perplexity | None) -> str:
    if measured is None:
        return NOT_MEASURED
    if measured.perplexity is None:
        return "not a number"
    text, change = in_figures(measured.perplexity), measured.change
    if change is None:
        return text
    return f"{text}<br>{change_in_percent(change, ' ({} to {})')}"


def _answers_section(evidence: Evidence, layout: Layout) -> list[str]:
    if isinstance(evidence.tally, Missing):
        return []
    return [
        "## Answers",
        "",
        f"{_link(layout.prompt_comparison, 'All answers side by side')}, with what was said of them; "
        f"{_link(layout.rating_sheet, 'the sheet to rate them on')}, which does not say whose they are. Exported "
        "ratings come in with `python dem/merge_model.py --config CONFIG --ratings ratings.csv`.",
    ]


def _figures_section(evidence: Evidence) -> list[str]:
    """BLEU and its kin, and what the harness measured, of every model that has any."""
    if isinstance(evidence.metrics, Missing):
        return []
    rows = {}
    for name, model in evidence.metrics.models.items():
        rows[name] = {m: f"{model.texts[m]:.3g}" for m in TEXT_METRICS if m in model.texts}
        for task, found in model.harness.items():
            for metric, measured in found.get("metrics", {}).items():
                if measured["value"] is None:
                    continue
                error = measured.get("stderr")
                spread = f" ± {error:.2g}" if error is not None else ""
                rows[name][f"{task} {metric}"] = f"{measured['value']:.3g}{spread}"
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    if not columns:
        return []
    lines = ["## Other figures", "", f"| model | {' | '.join(map(as_text, columns))} |"]
    lines.append("|---" * (1 + len(columns)) + "|")
    lines += [f"| {as_text(n)} | {' | '.join(row.get(c, '') for c in columns)} |" for n, row in rows.items() if row]
    return [*lines, "", "Higher is better; ± is one standard error. BLEU and chrF reach 100, the others 1."]


def _differences_section(evidence: Evidence, layout: Layout) -> list[str]:
    divided = not isinstance(evidence.record, Missing) and evidence.record.get("normalize")
    pictures = [*regmean_lines(evidence)]
    pictures += _picture(
        layout.weight_picture,
        "Weight of each domain in the merge",
        f"How much of each domain's difference was added{', before they are divided by their sum' * bool(divided)}.",
    )
    pictures += _picture(
        layout.norm_picture,
        "Norm of each domain's difference in each layer",
        "How far training moved the weights of each layer, from the first to the last; 'rest' is what belongs to no "
        "layer. A domain that stands far above the others outweighs them where it does.",
    )
    if not isinstance(_interference(layout), Missing):
        pictures += _picture(
            layout.interference_picture,
            "Cosine similarity and sign conflict between domains",
            "What interferes with what, before the weights. Above: the angle between two domains' differences. Below: "
            "of the elements that both change, the share that they push in opposite directions. Light pairs work "
            "against each other; near 0 and 50% they have nothing to do with each other.",
        )
    return ["## Differences and merge", "", *pictures[:-1]] if pictures else []


def _interference(layout: Layout) -> dict | Missing:
    if not layout.interference.is_file():
        return Missing("no two differences were compared")
    try:
        figures = read_json(layout.interference)
    except RequestError as error:
        return Missing(error)
    if figures.get("merged") != provenance_hash(layout.merge_record):
        return Missing("the last comparison of differences is of another merge")
    return figures


def _training_section(evidence: Evidence, layout: Layout) -> list[str]:
    picture = _picture(
        layout.loss_picture,
        "Loss curves of all domains",
        "A panel per domain. The dashed line is the loss on text that was not trained on, with its first and last "
        "value in the title; where it rises again while the other falls, the training went on for too long.",
    )
    parts = [part for part in (picture[:-1], _seen(evidence)) if part]
    return ["## Training", *(line for part in parts for line in ("", *part))] if parts else []


def _seen(evidence: Evidence) -> list[str]:
    """How much of its text each domain's adapter saw, of those of which that is recorded."""
    known = {d: (evidence.training_tokens[d], epochs) for d, epochs in evidence.training_epochs.items()}
    seen = {d: figures for d, figures in known.items() if not any(isinstance(f, Missing) for f in figures)}
    if not seen:
        return []
    rows = [f"| {as_text(d)} | {tokens:,} | {epochs:.1%} |" for d, (tokens, epochs) in seen.items()]
    return ["| domain | trained on, tokens | of its training text |", "|---|---|---|", *rows]


def _gaps(evidence: Evidence, layout: Layout) -> list[str]:
    """Everything that the page would hold and does not, and why."""
    gaps = [f"{what}: {as_text(why)}" for what, why in _missing(evidence, layout) if isinstance(why, Missing)]
    if left_out := not_merged(evidence):
        gaps.append(f"Not merged, although tested: {', '.join(map(as_text, left_out))}; their texts count in 'all'")
    if isinstance(evidence.metrics, Missing):
        return gaps
    found = evidence.metrics.models["merged"]
    if untested := [d for d, p in found.perplexity.items() if p is None and d != ALL]:
        gaps.append(f"Perplexity on {', '.join(map(as_text, untested))}: no test document")
    if not found.texts:
        gaps.append("BLEU, chrF and ROUGE: no prompt has a reference")
    if not found.harness:
        gaps.append(f"Multiple choice: {as_text(evidence.metrics.harness_note or 'not asked for')}")
    return gaps


def _missing(evidence: Evidence, layout: Layout) -> list[tuple[str, object]]:
    """What there may be a reason for not having."""
    found: list[tuple[str, object]] = [("The merged model's record", evidence.record)]
    found += [(f"Training time of {as_text(d)}", v) for d, v in evidence.training_seconds.items()]
    found += [(f"Difference of {as_text(d)}", v) for d, v in evidence.differences.items()]
    found += [(f"Duration of the {part}", seconds) for part, seconds in evidence.stage_3_seconds.items()]
    found += [("Perplexity and other figures", evidence.metrics), ("Answers", evidence.tally)]
    found.append(("Interference between domains", _interference(layout)))
    if not layout.loss_picture.is_file():
        found.append(("Loss curves", Missing("no record of a training")))
    return found


def _settings_section(evidence: Evidence) -> list[str]:
    lines = []
    if not isinstance(evidence.record, Missing):
        weights = ", ".join(f"{as_text(d)} {s['weight']:g}" for d, s in evidence.record["domains"].items())
        lines.append(f"- merge: {as_text(str(evidence.record.get('method')))} of {weights}")
    if not isinstance(evidence.metrics, Missing):
        settings = {k: v for k, v in evidence.metrics.settings.items() if not isinstance(v, dict)}
        lines.append("- evaluation: " + ", ".join(f"{as_text(k)} {as_text(str(v))}" for k, v in settings.items()))
        versions = evidence.metrics.versions.items()
        lines.append("- versions: " + ", ".join(f"{as_text(k)} {as_text(str(v))}" for k, v in versions))
    return ["## How it was made", "", *lines] if lines else []
