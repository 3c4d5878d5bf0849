"""Rating the answers of an evaluation, and the report of them, each as often as wanted."""

import os
from pathlib import Path

from dem.atomic import write_text
from dem.common import log
from dem.config import JudgeConfig
from dem.errors import RequestError, WorkError
from dem.evaluation.answers import Answers, provenance_hash, read_answers
from dem.evaluation.endpoint import ChatEndpoint
from dem.evaluation.judge import judge_pairs
from dem.evaluation.prompt_report import prompt_comparison
from dem.evaluation.rating_sheet import rating_sheet, take_ratings
from dem.evaluation.ratings import Ratings, read_ratings
from dem.evaluation.tally import Tally
from dem.evaluation.team_report import publish_report
from dem.layout import Layout

KEY = "DEM_JUDGE_API_KEY"
"""The environment variable that holds the judge's key, where it wants one."""
MISTAKES_SHOWN = 5
"""Of those in a file of ratings, in the closing line; the log has all."""


def publish(answers: Answers, layout: Layout) -> None:
    """Write the answers, the sheet to rate them on, and the report with the ratings that still count."""
    answers.write(layout.answers)
    write_text(layout.rating_sheet, rating_sheet(answers))
    _report(answers, read_ratings(layout.ratings), layout)


def rate(layout: Layout, ratings_file: str, judge: JudgeConfig | None) -> None:
    """Take up the ratings in the file, or where its name is empty ask the judge; then write the report anew.

    Raises:
        RequestError: the file, or some of its lines, cannot be taken; or there is no judge to ask.
        WorkError: the judge gave out.
    """
    if not ratings_file and judge is None:
        raise RequestError("--ratings names no file, and there is no evaluation.judge to ask: give one of them")
    answers, ratings = read_answers(layout.answers), read_ratings(layout.ratings)
    if ratings_file:
        _take_file(Path(ratings_file), answers, ratings, layout)
    else:
        ask_judge(judge, answers, layout)


def _take_file(path: Path, answers: Answers, ratings: Ratings, layout: Layout) -> None:
    taken, mistakes = take_ratings(path, answers, ratings)
    ratings.write(layout.ratings)
    _report(answers, ratings, layout)
    log.info(f"ratings: {taken} answers rated in {path}, taken up into {layout.ratings}")
    for mistake in mistakes:
        log.info(f"ratings: {mistake}")
    if mistakes:
        shown = "; ".join(mistakes[:MISTAKES_SHOWN]) + "; ..." * (len(mistakes) > MISTAKES_SHOWN)
        raise RequestError(f"{path}: {len(mistakes)} lines were not taken ({shown}); the report holds the rest")


def ask_judge(config: JudgeConfig, answers: Answers, layout: Layout) -> None:
    """Let the judge compare what it has not compared yet, and write the report with its verdicts.

    Raises:
        WorkError: the judge gave out; the report holds what it said until then.
    """
    ratings = read_ratings(layout.ratings)
    endpoint = ChatEndpoint(config, api_key())
    failure = judge_pairs(answers, ratings, endpoint, save=lambda: ratings.write(layout.ratings))
    _report(answers, ratings, layout)
    if failure:
        raise WorkError(f"{failure}; the report holds the rest, and --ratings without a file asks the judge again")


def api_key() -> str:
    """The judge's key from the environment; empty without one.

    Raises:
        RequestError: it cannot be sent; its value is not repeated.
    """
    key = os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise RequestError(f"the environment variable {KEY} holds characters that no key has")
    return key


def _report(answers: Answers, ratings: Ratings, layout: Layout) -> None:
    merged_since = answers.provenance != provenance_hash(layout.merge_record)
    write_text(layout.prompt_comparison, prompt_comparison(answers, ratings, merged_since))
    publish_report(layout)
    count = Tally(answers, ratings).outcomes()
    if count.total() > count[""]:
        log.info(
            f"ratings: merged beats base in {count['merged']} of {count.total()} prompts (base is better in "
            f"{count['base']}, a tie in {count['tie']}, not rated {count['']}); see {layout.prompt_comparison}"
        )
