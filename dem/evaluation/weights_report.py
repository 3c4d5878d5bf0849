"""What the report says of weights that were found: where the search ended, and what their shares and sum gained."""

import math

from dem.evaluation.digits import figure
from dem.evaluation.evidence import Evidence, Missing
from dem.evaluation.intervals import Change, sure
from dem.evaluation.metrics import ALL, Metrics
from dem.evaluation.report import as_text, captioned, link
from dem.layout import SCALARS, Layout
from dem.search.outcome import ends_in_words, gain
from dem.search.rivals import FOUND, GIVEN, SHARES, in_words, models_of, sum_in_words

OBJECTIVES = {
    "mean": "the mean of the domains' losses, in which each domain counts alike",
    "worst": "the loss of the domain that gains least on the base",
    "importance": "a mean of the domains' losses by search.importance",
}
CAPTIONS = {
    "map": "Marks are weights, named as the rows of the table; the shades and lines are the second-order model of the "
    "loss about the ones found: how much worse the mean of the tune losses becomes.",
    "losses": "The same model along each weight. Where the curve is flat, the weight hardly matters.",
    "path": "What was looked at, on some of the tune documents: the start, one weight after the other moved for "
    "the curvature, and then the best weights of the model. Their loss may rise where that of all tune documents, by "
    "which the weights are found, falls.",
    "steps": "The steps of Adam. By the loss of the held-back half the step is chosen; that of the half it steps on is "
    "taken from the windows of the steps since the last look. Where they part, text is learned by heart.",
}


def comparison_lines(evidence: Evidence) -> list[str]:
    """The merged model against equal weights and those given by hand, and what its shares and its sum gained."""
    search = _search(evidence)
    if not (search and search.get("rivals")) or isinstance(evidence.metrics, Missing):
        return []
    lines = ["Perplexity of the merged model on all test documents, relative to", ""]
    lines += [_line(rival, search["rivals"], evidence.metrics) for rival in search["rivals"]]
    if "fine" in search:
        lines += ["", _generalised(search["fine"], evidence.metrics.against.get(SCALARS))]
    elif evidence.record.get("normalize"):
        lines += ["", "The weights of all add up to 1 (`merge.normalize`), so that only their shares differ."]
    else:
        for shares in dict.fromkeys(rival["shares"] for rival in search["rivals"]):
            lines += ["", _gains(shares, search["rivals"], evidence.metrics)]
    told = OBJECTIVES.get(search["objective"], as_text(search["objective"]))
    return [*lines, "", f"The search made small {told}; here, each domain counts by its text."]


def regmean_lines(evidence: Evidence) -> list[str]:
    """What RegMean did to the differences before they were merged; nothing where another method merged them."""
    record = None if isinstance(evidence.record, Missing) else evidence.record.get("regmean")
    if not record:
        return []
    text = ", ".join(f"{as_text(domain)} {tokens:,}" for domain, tokens in record["tokens"].items())
    kept = record["kept"]
    others = f" {len(kept)} others see no input as a matrix product, and keep the weighted sum." if kept else ""
    shrunk = " Output directions that the domains share were shrunk (Pico, arXiv 2604.16826)." * record["calibrate"]
    return [
        f"RegMean (Jin et al. 2023, arXiv 2212.09849) has let the changes of {record['parameters']} parameters act on "
        "inputs as far as these are their own domain's, by the second moments of the base's inputs on so many tokens "
        f"of the tune (and, where these are few, train) documents: {text}.{others}{shrunk} Weights of sum 1 are the "
        f"method's own mean. It took {record['seconds']:.0f} s.",
        "",
    ]


def _generalised(fine: dict, tested: Change | None) -> str:
    """What the weights gained on text that they were fitted to, on text that they were chosen by, and on neither."""
    fitted, held = (figure(math.expm1(-gain(fine, side)), "+.2%", 0) for side in ("fitted", "held"))
    return (
        f"From one weight for each domain to one for each of {fine['weights']:,} {as_text(fine['groups'])}, the "
        f"perplexity changed by **{fitted}** on the half of the tune documents that they were fitted to and by "
        f"**{held}** on the half that was held back to stop by (both as the search counts the domains), and on the "
        f"test documents by {weighed(tested)}. What the first gained and the last did not was learned by heart."
    )


def _search(evidence: Evidence) -> dict | None:
    return None if isinstance(evidence.record, Missing) else evidence.record.get("search")


def _line(rival: dict, rivals: list[dict], metrics: Metrics) -> str:
    words, same = in_words(rival), rival["same_as"]
    if same == "merged":
        return f"- {words}: the same weights"
    if same and same != "base":
        other = next(other for other in rivals if other["name"] == same)
        return f"- {words}: the same weights as {in_words(other)}"
    words += ", which is the base" if same else ""
    return f"- {words}: {weighed(_merged_against(same or rival['name'], metrics))}"


def _merged_against(model: str, metrics: Metrics) -> Change | None:
    """The change of the merged model's perplexity of all test documents against this model's."""
    if model != "base":
        return metrics.against.get(model)
    whole = metrics.models["merged"].perplexity.get(ALL)
    return whole and whole.change


def weighed(change: Change | None) -> str:
    """A change of perplexity with its interval, and better or worse if the whole interval says so."""
    if change is None:
        return "not measured"
    relative = figure(change.relative, "+.2%", 0)
    if change.low is None:
        return f"{relative}, without an interval"
    words = ("better" if change.relative < 0 else "worse") if sure(change) else "no different beyond chance"
    return f"{relative} ({figure(change.low, '+.2%', 0)} to {figure(change.high, '+.2%', 0)}), {words}"


def _gains(shares: str, rivals: list[dict], metrics: Metrics) -> str:
    """What changing only the shares and only the sum does, from the given weights to the found ones."""
    models = models_of(rivals, shares)
    sums = {rival["at"]: sum_in_words(rival["sums"]) for rival in rivals if rival["shares"] == shares}
    if models[FOUND] == "merged":
        by_shares = "nothing, they are the same"
    else:
        by_shares = weighed(_merged_against(models[FOUND], metrics))
    if models[FOUND] == models[GIVEN]:
        by_sum = "nothing, it is the same"
    elif models[FOUND] == "merged":
        by_sum = weighed(_merged_against(models[GIVEN], metrics))
    else:
        by_sum = weighed(metrics.between.get(f"sum of {shares}"))
    return (
        f"From {SHARES[shares]} to the found ones, **the sum alone** ({sums[GIVEN]} to {sums[FOUND]}) **gained**: "
        f"{by_sum}; **the shares alone**, at the found sum, **gained**: {by_shares}."
    )


def weights_section(evidence: Evidence, layout: Layout) -> list[str]:
    """How the weights were found, and whether they ended on a limit."""
    search = _search(evidence)
    if not search:
        return []
    domains = evidence.record["domains"]
    given = search["fine"]["start"] if "fine" in search else {d: s["weight"] for d, s in domains.items()}
    weights = ", ".join(f"{as_text(d)} {weight:g}{_flat(search, d)}" for d, weight in given.items())
    lines = [
        "## Weights",
        "",
        f"Found on {search['tune_tokens']:,} tokens of the tune splits, by {as_text(search['method'])}, for the "
        f"objective {as_text(search['objective'])}: {weights}.",
    ]
    if search.get("flat"):
        lines[-1] += (
            " In brackets, where a weight can lie while the objective changes by less than "
            f"{search['flat_within']:g} nats per token, the other weights adjusting."
        )
    lines += [line for sentence in ends_in_words(search.get("ends", []), as_text) for line in ("", f"**{sentence}.**")]
    if "fine" in search:
        lines += ["", _fine(search["fine"])]
    lines.append("")
    for what, caption in CAPTIONS.items():
        lines += captioned(layout.search_picture(what), f"The search for weights: {what}", caption)
    links = f"{link(layout.search_table, 'Every evaluation')}, {link(layout.search_summary, 'everything found')}"
    if "fine" in search:
        links += f", {link(layout.descent_table, 'the steps of Adam')}"
    return [*lines, f"{links}."]


def _fine(fine: dict) -> str:
    """How the weights of terms or modules were found from these, and what they are."""
    means = (f"{as_text(d)} {mean:.3f} (spread {fine['spread'][d]:.3f})" for d, mean in fine["mean"].items())
    return (
        f"From these on, **a weight for each of {fine['weights']:,} {as_text(fine['groups'])}** was found by Adam on "
        f"{fine['fitted_tokens']:,} of the tokens; by the other {fine['held_tokens']:,}, step {fine['step']} of "
        f"{fine['last_step']} was chosen. On average, each weight counting by the squared size of what it multiplies: "
        f"{', '.join(means)}. They are free: neither their signs nor `search.bound` limits them."
    )


def _flat(search: dict, domain: str) -> str:
    if not search.get("flat"):
        return ""
    low, high = search["flat"][domain]
    return f" ({low:.2f} to {high:.2f})"
