"""Made-up Korean text for the demo: five domains, each written by a grammar of its own.

The grammars (templates and vocabulary) are data in `dem/sample_grammars/`; this module is the engine that
writes documents with them. A template names its slots in braces:

    {river}        the document's river: drawn at first use, then the same to the end of the document
    {river2}       another river of the same vocabulary, never equal to {river}
    {~crop}        drawn afresh each time
    {river:은/는}  the value with the particle that agrees with it

Because entities are drawn once and come back, later sentences can be foretold from earlier ones: a model
with memory gains from context. All facts, names and figures are invented; only the arithmetic is true.

Everything is drawn with `Random.random()`, the one method Python promises not to change between versions,
so a (domain, count, seed) gives the same documents on every platform.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

from dem.sample_grammars import GRAMMARS
from dem.sample_grammars.form import Kind

DOMAINS = ("main_data", "textbook", "assembly", "web", "social")
MIN_CHARS, MAX_CHARS = 150, 900

_SLOT = re.compile(r"\{(~?)(\w+)(?::([^{}]+))?\}")
_MAX_TRIES = 60

_RIEUL = 8  # where ㄹ stands among the 28 final consonants of Unicode's Hangul syllables; 0 is "none"
_CLOSED = 21  # any other final consonant will do for a sound that is not a Hangul syllable
_CLOSERS = "\"'”’」』》〉)]"
_PARENTHESIS = re.compile(r"\s*\([^()]*\)$")
_UNIT = re.compile(r"\d\s?(?:km|cm|mm|m|kg|mg|g|mL|L|kW|W)$")
_UNIT_FINALS = {"g": 16, "W": 0, "m": 0, "L": 0}  # 그램, 와트, 미터, 리터
_DIGIT_FINALS = (21, 8, 0, 16, 0, 0, 1, 8, 8, 0)  # 영 일 이 삼 사 오 육 칠 팔 구


def _number_final(word: str) -> int:
    """The final consonant of a number read aloud: 3 is 삼, 20 is 이십, but 10^12 is 조."""
    digits = word.replace(",", "")
    zeros = len(digits) - len(digits.rstrip("0"))
    return 0 if 12 <= zeros < 16 else _DIGIT_FINALS[int(digits[-1])]


def _latin_final(word: str) -> int:
    """The final consonant of Latin letters: units are read as Korean units, capitals by their names.

    A lower-case word goes by its last letters as a loan-word would be written (server 서버, book 북):
    a rule of thumb, since English spelling does not settle its sound.
    """
    last, before = word[-1], word[-2:-1].lower()
    if _UNIT.search(word):
        return _UNIT_FINALS[last]
    if last.isupper():
        return {"L": _RIEUL, "R": _RIEUL, "M": 16, "N": 4}.get(last, 0)
    if last == "l":
        return _RIEUL
    nasal = last in "mn" or (last == "g" and before == "n")
    return _CLOSED if nasal or (last in "bckpt" and before in tuple("aeiou")) else 0


def _final(word: str) -> int:
    """The index of the consonant the word ends in when read aloud; 0 where it ends in a vowel.

    Closing quotes and brackets are silent, and a closing parenthesis is skipped with what it holds, as
    Korean spelling asks. '%' is 퍼센트; any other sign counts as a vowel.
    """
    bare = _PARENTHESIS.sub("", word).rstrip(_CLOSERS)
    last = bare[-1:]
    if "가" <= last <= "힣":
        return (ord(last) - ord("가")) % 28
    if "ㄱ" <= last <= "ㅎ":  # a lone consonant is read by its name: 기역, 리을
        return _RIEUL if last == "ㄹ" else _CLOSED
    if last.isascii() and last.isdigit():
        return _number_final(bare)
    return _latin_final(bare) if last.isascii() and last.isalpha() else 0


def josa(word: str, pair: str) -> str:
    """The word with the particle that agrees with its last sound: josa("강", "은/는") is "강은".

    `pair` gives the form after a consonant, then the form after a vowel. The pairs in "으로" take the
    second form after ㄹ as well (서울로, 길로서).
    """
    after_consonant, after_vowel = pair.split("/")
    final = _final(word)
    closed = final != 0 and not (final == _RIEUL and after_consonant.startswith("으로"))
    return word + (after_consonant if closed else after_vowel)


def _pick(rng: Random, values: Sequence):
    """One of the values; by random() alone, so that no Python version draws another one."""
    return values[int(rng.random() * len(values))]


def _pick_some(rng: Random, values: Sequence, low: int, high: int) -> list:
    """Between low and high of the values, each at most once, in random order."""
    left = list(values)
    wanted = low + int(rng.random() * (high - low + 1))
    return [left.pop(int(rng.random() * len(left))) for _ in range(min(wanted, len(left)))]


def _show(value) -> str:
    """A value as text: numbers of five digits or more get commas, so that years stay plain."""
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10000 else str(value)


class _Document:
    """One document in the making: its vocabulary, and the entities it has already named."""

    def __init__(self, rng: Random, shared: dict, kind: Kind):
        self.rng = rng
        self.kind = kind
        self.vocabulary = {**shared, **kind.slots}
        for names, rows in kind.tables:
            self.vocabulary.update(zip(names, _pick(rng, rows), strict=True))
        self.bound: dict = {}

    def write(self) -> str:
        """The finished text: some templates of each part, filled and joined."""
        chosen = [text for low, high, texts in self.kind.parts for text in _pick_some(self.rng, texts, low, high)]
        text = self.kind.joiner.join(self.fill(template) for template in chosen)
        return re.sub(r" *\n *", "\n", text).strip()

    def fill(self, template: str) -> str:
        """The template with every slot replaced by its value and, where asked, its particle."""
        return _SLOT.sub(self._replace, template)

    def value(self, name: str):
        """The document's value of a slot, drawn at first use; unlike its siblings (river, river2)."""
        if name not in self.bound:
            base = name.rstrip("0123456789")
            taken = [value for slot, value in self.bound.items() if slot.rstrip("0123456789") == base]
            self.bound[name] = self._draw(base, taken)
        return self.bound[name]

    def _replace(self, match: re.Match) -> str:
        fresh, name, pair = match.groups()
        shown = _show(self._draw(name, []) if fresh else self.value(name))
        return josa(shown, pair) if pair else shown

    def _draw(self, base: str, taken: list):
        """A value of the vocabulary that is not taken; its own slots are filled, sums are worked out."""
        values = self.vocabulary[base]
        if callable(values):
            return values(self.value)
        for _ in range(_MAX_TRIES):
            value = _pick(self.rng, values)
            value = self.fill(value) if isinstance(value, str) else value
            if value not in taken:
                return value
        raise ValueError(f"vocabulary {base!r} has too few values for one document")


def _documents(domain: str, rng: Random) -> Iterator[str]:
    """Endless documents of the domain, no two alike, each within the length limits."""
    grammar = GRAMMARS[domain]
    seen = set()
    while True:
        text = _Document(rng, grammar.slots, _pick(rng, grammar.kinds)).write()
        if MIN_CHARS <= len(text) <= MAX_CHARS and text not in seen:
            seen.add(text)
            yield text


def generate(domain: str, count: int, seed: int) -> list[str]:
    """`count` different documents of the domain; a larger count only adds documents at the end."""
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}; known: {', '.join(DOMAINS)}")
    return list(islice(_documents(domain, Random(f"{domain}/{seed}")), count))


def general_mix(count: int, seed: int) -> list[str]:
    """Documents to pretrain a small base model on: all domains in equal shares, in seeded order.

    They come from other streams than `generate`'s, whatever the two seeds. Every run of five documents
    holds each domain once, so that any prefix is as even as can be.
    """
    streams = {domain: _documents(domain, Random(f"general/{domain}/{seed}")) for domain in DOMAINS}
    order = Random(f"general/{seed}")
    mixed: list[str] = []
    while len(mixed) < count:
        mixed.extend(next(streams[domain]) for domain in _pick_some(order, DOMAINS, 5, 5))
    return mixed[:count]
