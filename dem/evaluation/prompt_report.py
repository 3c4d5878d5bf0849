"""The page of answers side by side, with what people and a judge said of them."""

from dem.evaluation.answers import Answers
from dem.evaluation.ratings import CRITERIA, Ratings
from dem.evaluation.report import TEXT_METRICS, ModelResult, as_text
from dem.evaluation.tally import Tally
from dem.layout import RATING_SHEET


def prompt_comparison(answers: Answers, ratings: Ratings, merged_since: bool = False) -> str:
    """Markdown: the ratings in sum, then for each prompt the answers of all models; no text in it acts as Markdown.

    Args:
        merged_since: whether merged_model/ is no longer the model whose answers these are.
    """
    tally = Tally(answers, ratings)
    prompts, models = answers.prompts, answers.models
    lines = [
        "# Answers side by side",
        "",
        f"{len(prompts)} prompts, {len(models)} models, greedy decoding, at most {answers.max_new_tokens} new tokens. "
        "The prompt is not repeated in an answer.",
    ]
    if merged_since:
        lines += ["", "**merged_model/ was merged anew since: the answers of merged are those of the model before.**"]
    lines += ["", *_rating_lines(answers, ratings, tally)]
    signature = next((m.text_metrics["bleu_signature"] for m in models if m.text_metrics), None)
    if signature:
        pairs = sum(prompt.reference is not None for prompt in prompts)
        how = f"With a reference: {pairs} of {len(prompts)} prompts. BLEU: `{signature}`; ROUGE counts what tok names."
        lines += ["", *_metric_lines(models), "", how]
    for number in range(len(prompts)):
        lines += ["", *_prompt_lines(answers, tally, number)]
    return "\n".join(lines) + "\n"


def _rating_lines(answers: Answers, ratings: Ratings, tally: Tally) -> list[str]:
    lines = [_who_rated(ratings, tally)]
    if tally.outdated:
        lines += ["", f"Ratings of answers that no model gives any more, which do not count: {tally.outdated}."]
    if not (tally.raters or tally.judged_pairs):
        return [*lines, "", *_how_to_rate()]
    lines += ["", f"| model | by | {' | '.join(CRITERIA)} | answers rated |", "|---" * (3 + len(CRITERIA)) + "|"]
    for source in ["people"] * bool(tally.raters) + ["judge"] * bool(tally.judged_pairs):
        for model in answers.models:
            rated = [tally.scores_by(source, model.name, n) for n in range(len(answers.prompts))]
            cells = [_mean([means[c] for means in rated if c in means]) for c in CRITERIA]
            count = f"{sum(map(bool, rated))} of {len(rated)}"
            lines.append(f"| {as_text(model.name)} | {source} | {' | '.join(cells)} | {count} |")
    return [*lines, "", _beats(tally, len(answers.prompts))]


def _who_rated(ratings: Ratings, tally: Tally) -> str:
    """Whose ratings the page shows."""
    if not (tally.raters or tally.judged_pairs):
        return f"Nobody has rated these answers yet: {', '.join(CRITERIA)} say *unrated*."
    people = f"people ({tally.raters})"
    judge = f"the judge {as_text(ratings.judge)} ({tally.judged_pairs} of {tally.pairs} pairs, each in both orders)"
    who = [people] * bool(tally.raters) + [judge] * bool(tally.judged_pairs)
    shown = "Where both rated an answer, people's are shown beside it. " if len(who) == 2 else ""
    return (
        f"Ratings, 1 (very poor) to 5 (very good), by {' and '.join(who)}. {shown}"
        "What nobody rated says *unrated*. All single ratings are in ratings.json."
    )


def _how_to_rate() -> list[str]:
    return [
        f"To rate them, open {RATING_SHEET} in a browser (or send it to raters: it does not say whose an answer is), "
        "export ratings.csv there, and give it to",
        "",
        "    python dem/merge_model.py --config CONFIG --ratings ratings.csv",
        "",
        "Or let a model judge: set evaluation.judge (base_url, model) to an OpenAI-compatible endpoint, its key in the "
        "environment variable DEM_JUDGE_API_KEY, and give `--ratings` without a file.",
    ]


def _beats(tally: Tally, prompts: int) -> str:
    count = tally.outcomes()
    return (
        f"**merged beats base in {count['merged']} of {prompts} prompts** (base is better in {count['base']}, a tie in "
        f"{count['tie']}, not rated {count['']}). It does if the people who rated both answers gave it more points in "
        "all; where only the judge compared them, if it prefers merged in both orders (two opinions are a tie)."
    )


def _metric_lines(results: list[ModelResult]) -> list[str]:
    lines = [f"| model | {' | '.join(TEXT_METRICS)} |", "|---" * (1 + len(TEXT_METRICS)) + "|"]
    for r in results:
        lines.append(f"| {as_text(r.name)} | " + " | ".join(f"{r.text_metrics[m]:.3g}" for m in TEXT_METRICS) + " |")
    return lines


def _prompt_lines(answers: Answers, tally: Tally, number: int) -> list[str]:
    prompt = answers.prompts[number]
    lines = [f"## {number + 1}. {as_text(prompt.prompt)}", ""]
    if prompt.reference:
        lines += [f"Reference: {as_text(prompt.reference)}", ""]
    lines += [f"| model | answer | {' | '.join(CRITERIA)} |", "|---" * (2 + len(CRITERIA)) + "|"]
    for model in answers.models:
        means, source = tally.scores(model.name, number)
        cells = [_mean([means[c]] if c in means else [], " (judge)" * (source == "judge")) for c in CRITERIA]
        answer = as_text(model.answers[number]) or "*(empty)*"
        lines.append(f"| {as_text(model.name)} | {answer} | {' | '.join(cells)} |")
    better, source = tally.outcome(number)
    if better:
        verdict = "a tie" if better == "tie" else f"{better} is better"
        lines += ["", f"merged against base: {verdict} ({source})."]
    return lines


def _mean(points: list[float], mark: str = "") -> str:
    return f"{sum(points) / len(points):.3g}{mark}" if points else "unrated"
