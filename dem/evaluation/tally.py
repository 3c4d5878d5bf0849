"""What the ratings say of the answers: means by criterion, and whether merged beats base."""

from collections import Counter, defaultdict

from dem.evaluation.answers import Answers
from dem.evaluation.ratings import CRITERIA, Ratings, Scores, answer_id


class Tally:
    """The ratings that count for these answers.

    People's come before a judge's. A judge's pair counts only if it was judged in both orders.
    """

    def __init__(self, answers: Answers, ratings: Ratings):
        current = {answer for texts in answers.distinct().values() for answer in texts}
        self._answers = answers
        self._people = {
            rater: {answer: scores for answer, scores in rated.items() if answer in current}
            for rater, rated in ratings.people.items()
        }
        self.raters = sum(bool(rated) for rated in self._people.values())
        self.outdated = sum(len(rated) for rated in ratings.people.values()) - sum(map(len, self._people.values()))
        self._judge: dict[str, list[Scores]] = defaultdict(list)
        self._judged: dict[tuple[str, str], str] = {}
        self.pairs = 0
        for prompt, base, other in answers.pairs():
            self.pairs += 1
            self._count_pair(ratings, answer_id(prompt.prompt, base), answer_id(prompt.prompt, other))

    @property
    def judged_pairs(self) -> int:
        """Pairs that the judge has seen in both orders."""
        return len(self._judged)

    def _count_pair(self, ratings: Ratings, base: str, other: str) -> None:
        there, back = ratings.verdicts.get((base, other)), ratings.verdicts.get((other, base))
        if there and back:
            self._judge[base] += [there.first, back.second]
            self._judge[other] += [there.second, back.first]
            says = {("first", "second"): "base", ("second", "first"): "other"}
            self._judged[base, other] = says.get((there.better, back.better), "tie")

    def scores(self, model: str, number: int) -> tuple[dict[str, float], str]:
        """Mean points by criterion of the model's answer to the prompt of this number (from 0), and whose they are.

        The second is "people", "judge" or, where nobody rated, "".
        """
        for source in ("people", "judge"):
            if means := self.scores_by(source, model, number):
                return means, source
        return {}, ""

    def scores_by(self, source: str, model: str, number: int) -> dict[str, float]:
        """Mean points by criterion that "people" or the "judge" gave the model's answer; empty if they did not."""
        answer = answer_id(self._answers.prompts[number].prompt, self._answers.of(model)[number])
        if source == "judge":
            return _means(self._judge.get(answer, []))
        return _means([rated[answer] for rated in self._people.values() if answer in rated])

    def outcome(self, number: int) -> tuple[str, str]:
        """The better one of base and merged in a prompt ("base", "merged", "tie"; "" if not rated), and who says so.

        Of people those count who rated both answers: the points that each gave merged less those for base, over all
        criteria that both answers have, added up. A judge prefers one only if it does so in both orders.
        """
        prompt = self._answers.prompts[number].prompt
        base, merged = (answer_id(prompt, self._answers.of(model)[number]) for model in ("base", "merged"))
        if base == merged:
            return "tie", "the same answer"
        leads = [
            rated[merged][c] - rated[base][c]
            for rated in self._people.values()
            for c in CRITERIA
            if c in rated.get(base, {}) and c in rated.get(merged, {})
        ]
        if leads:
            lead = sum(leads)
            return "merged" if lead > 0 else "base" if lead < 0 else "tie", "people"
        says = self._judged.get((base, merged))
        return (("merged" if says == "other" else says), "judge") if says else ("", "")

    def outcomes(self) -> Counter[str]:
        """In how many prompts "merged" or "base" is better, there is a "tie", or (under "") nothing was rated."""
        return Counter(self.outcome(number)[0] for number in range(len(self._answers.prompts)))


def _means(ratings: list[Scores]) -> dict[str, float]:
    """Mean by criterion; a criterion that nobody rated is missing."""
    points = {c: [scores[c] for scores in ratings if c in scores] for c in CRITERIA}
    return {c: sum(p) / len(p) for c, p in points.items() if p}
