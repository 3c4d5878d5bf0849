"""Tests of the demo's text generator: they read what it writes, and the grammars it writes from."""

import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from dem.sample_grammars import GRAMMARS
from dem.sample_grammars.form import Grammar, Kind, lines, one, some, table
from dem.sample_text import DOMAINS, MAX_CHARS, MIN_CHARS, _Document, general_mix, generate, josa

COUNT = 1000
PROGRAM_ROOT = Path(__file__).resolve().parents[1]

NUMBER = r"\d[\d,]*"
EQUATION = re.compile(rf"(\(?{NUMBER}(?: [+\-×÷] {NUMBER})+\)?(?: [+\-×÷] {NUMBER})*) = ({NUMBER})")
ANSWER = re.compile(rf"정답: ({NUMBER})[^\d(]*\(([^()]*|.*?) = ({NUMBER})\)")

# Words that end in 을 themselves; anything else in 을 must be a noun with its particle.
WORDS_IN_EUL = ("가을", "마을", "노을", "고을", "지을")
PAIRS = """
    은/는 이/가 을/를 과/와 으로/로 아/야 이다/다 이나/나 이라/라 이랑/랑 이란/란 이며/며 이면/면 이야/야
    이라고/라고 이라는/라는 이라면/라면 이라도/라도 이에요/예요 이었다/였다 이었다고/였다고 이었으며/였으며
    이었고/였고 이었나/였나 이었어요/였어요 이었네요/였네요 이었습니다/였습니다
    이가/가 이는/는 이도/도 이만/만 이한테/한테
"""
# A slot with a bare particle after it: right for some values of the slot and wrong for others.
BARE_PARTICLE = re.compile(
    r"\}(은|는|이|가|을|를|과|와|으로|로|라는|이라는|라고|이라고|이나|랑|이랑|예요|이에요)(?=[\s,.?!~]|$)"
)
# What looks like a leftover of the grammar or of joining its pieces.
MARKS = re.compile(r"[{}|\\_]|  | \n|\n |\n\n| [.,?!](?:\s|$)")
FACES = (">_<", "(._.)", "T_T")


@pytest.fixture(scope="module")
def corpora() -> dict[str, list[str]]:
    return {domain: generate(domain, COUNT, 1) for domain in DOMAINS}


def kinds(domain: str) -> list[Kind]:
    """The domain's kinds, each once (a kind may stand in the grammar twice to be drawn more often)."""
    return list({id(kind): kind for kind in GRAMMARS[domain].kinds}.values())


def templates(domain: str) -> list[str]:
    return [text for kind in kinds(domain) for _, _, texts in kind.parts for text in texts]


def vocabulary(domain: str) -> list[str]:
    """Every text a slot of the domain may hold, with repeats."""
    groups = [GRAMMARS[domain].slots, *(kind.slots for kind in kinds(domain))]
    tuples = [values for group in groups for values in group.values() if isinstance(values, tuple)]
    listed = [value for values in tuples for value in values]
    rows = {row for kind in kinds(domain) for _, rows in kind.tables for row in rows}
    return listed + [value for row in sorted(rows) for cell in row for value in cell]


# --- particles


JOSA_TABLE = """
    강 은/는 강은                바다 은/는 바다는           책 이/가 책이               나무 이/가 나무가
    물 을/를 물을                커피 을/를 커피를           밤 과/와 밤과               사과 과/와 사과와
    부산 으로/로 부산으로        서울 으로/로 서울로         제주 으로/로 제주로         길 으로서/로서 길로서
    법 으로써/로써 법으로써      쌀 이라는/라는 쌀이라는     학생 이다/다 학생이다       교사 이다/다 교사다
    민준 아/야 민준아            지아 아/야 지아야           『별』 은/는 『별』은
    '나무' 이라는/라는 '나무'라는
    가온(1890~1950) 은/는 가온(1890~1950)은                  미르(1871~1932) 이/가 미르(1871~1932)가
    0 과/와 0과                  1 으로/로 1로               2 을/를 2를                 3 을/를 3을
    4 은/는 4는                  5 이/가 5가                 6 으로/로 6으로             7 으로/로 7로
    8 이/가 8이                  9 은/는 9는                 10 이/가 10이               4,500 은/는 4,500은
    1,000,000,000,000 이/가 1,000,000,000,000가              100,000,000 이/가 100,000,000이
    40% 은/는 40%는              90cm 이다/다 90cm다         3kg 을/를 3kg을             5L 을/를 5L를
    USB 을/를 USB를              URL 은/는 URL은             XML 으로/로 XML로           PDF 으로/로 PDF로
    book 을/를 book을            server 이/가 server가       email 으로/로 email로       pen 이/가 pen이
    ㅋㅋ 은/는 ㅋㅋ은            ㄹ 으로/로 ㄹ로             ㅏ 은/는 ㅏ는               ♥ 을/를 ♥를
"""


JOSA_WORDS = JOSA_TABLE.split()


@pytest.mark.parametrize("case", [JOSA_WORDS[start : start + 3] for start in range(0, len(JOSA_WORDS), 3)])
def test_josa(case):
    word, pair, expected = case
    assert josa(word, pair) == expected


def test_josa_of_nothing():
    assert josa("", "은/는") == "는"


def test_grammar_uses_known_pairs():
    for domain in DOMAINS:
        texts = templates(domain) + vocabulary(domain)
        assert {pair for text in texts for pair in re.findall(r":([^{}:]+)\}", text)} <= set(PAIRS.split())


def test_no_slot_is_followed_by_a_bare_particle():
    texts = [text for domain in DOMAINS for text in templates(domain) + vocabulary(domain)]
    assert [text for text in texts if BARE_PARTICLE.search(text)] == []


def ends_in_consonant(syllable: str) -> bool:
    return "가" <= syllable <= "힣" and (ord(syllable) - ord("가")) % 28 != 0


def test_object_particles_agree_in_the_text(corpora):
    """Read from the text alone, without josa: 를 after a vowel, 을 after a consonant, 으로 after no ㄹ."""
    seen = Counter()
    for text in (text for texts in corpora.values() for text in texts):
        for before, particle in re.findall(r"([가-힣])(를|을|으로)(?=[\s,.?!]|$)", text):
            if particle == "을" and before + particle in WORDS_IN_EUL:
                continue
            seen[particle] += 1
            assert ends_in_consonant(before) == (particle != "를"), (before + particle, text)
            assert particle != "으로" or (ord(before) - ord("가")) % 28 != 8, (before + particle, text)
    assert min(seen["을"], seen["를"], seen["으로"]) > 500


def test_particles_agree_with_numbers(corpora):
    """Numbers are read aloud: 0, 1, 3, 6, 7, 8 end in a consonant."""
    found = [
        match for text in corpora["textbook"] for match in re.findall(r"(\d)(은|는|이|가|을|를|과|와)(?=[\s,.])", text)
    ]
    assert len(found) > 500
    assert all((digit in "013678") == (particle in "은이을과") for digit, particle in found)


# --- the contract of generate and general_mix


@pytest.mark.parametrize("domain", DOMAINS)
def test_same_arguments_same_documents(domain):
    assert generate(domain, 40, 5) == generate(domain, 40, 5)
    assert generate(domain, 40, 5) != generate(domain, 40, 6)


def test_hash_seed_does_not_matter():
    """Two fresh interpreters that order sets differently write the same text as this one."""
    code = (
        "import hashlib; from dem.sample_text import *;"
        "texts = [t for d in DOMAINS for t in generate(d, 20, 3)] + general_mix(20, 3);"
        "print(hashlib.sha256('\\0'.join(texts).encode()).hexdigest())"
    )
    texts = [text for domain in DOMAINS for text in generate(domain, 20, 3)] + general_mix(20, 3)
    expected = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(PROGRAM_ROOT)}
        printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert printed.strip() == expected


@pytest.mark.parametrize("domain", DOMAINS)
def test_documents_need_only_random(domain):
    """Only Random.random() is promised to be the same in every Python version: nothing else may be used."""

    class OnlyRandom:
        def __init__(self):
            self.random = Random("stub").random

    grammar = GRAMMARS[domain]
    assert all(_Document(OnlyRandom(), grammar.slots, kind).write() for kind in kinds(domain))


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_larger_count_only_appends(domain):
    longer = generate(domain, 300, 9)
    assert all(generate(domain, count, 9) == longer[:count] for count in (0, 1, 7, 150))


def test_documents_are_distinct(corpora):
    for texts in corpora.values():
        assert len(texts) == COUNT
        assert len(set(texts)) == COUNT


@pytest.mark.parametrize("domain", DOMAINS)
def test_seeds_lead_to_disjoint_documents(domain):
    first, second = set(generate(domain, 3000, 1)), set(generate(domain, 3000, 2))
    assert len(first & second) < 0.005 * 3000


def test_unknown_domain_is_refused():
    with pytest.raises(ValueError, match="news"):
        generate("news", 1, 0)


def test_general_mix_has_equal_shares_and_other_documents(corpora):
    mixed = general_mix(COUNT, 1)
    assert len(set(mixed)) == COUNT
    assert general_mix(123, 1) == mixed[:123]
    assert general_mix(50, 2) != mixed[:50]
    everything = {text for texts in corpora.values() for text in texts}
    assert len(everything & set(mixed)) < 0.005 * COUNT
    assert Counter(map(guess_domain(corpora), mixed)) == dict.fromkeys(DOMAINS, COUNT // 5)


def guess_domain(corpora):
    """A judge of domains: the one whose documents hold most of a text's words."""
    known = {domain: {word for text in texts for word in text.split()} for domain, texts in corpora.items()}
    return lambda text: max(DOMAINS, key=lambda domain: sum(word in known[domain] for word in text.split()))


# --- the text


def test_lengths(corpora):
    for texts in corpora.values():
        assert all(MIN_CHARS <= len(text) <= MAX_CHARS for text in texts)
        assert 220 < sum(map(len, texts)) / COUNT < 700


def test_the_length_limits_are_not_what_shapes_the_text():
    """Hardly any document is thrown away for its length, so no kind is missing from the corpora."""
    for domain in DOMAINS:
        rng = Random("lengths")
        for kind in kinds(domain):
            sizes = [len(_Document(rng, GRAMMARS[domain].slots, kind).write()) for _ in range(60)]
            assert sum(MIN_CHARS <= size <= MAX_CHARS for size in sizes) >= 57


def test_no_template_marks_are_left(corpora):
    for texts in corpora.values():
        for text in texts:
            for face in FACES:
                text = text.replace(face, "^^")
            assert not MARKS.search(text), text
            assert text == text.strip()


def test_every_template_can_be_filled():
    for domain in DOMAINS:
        for kind in kinds(domain):
            document = _Document(Random("fill"), GRAMMARS[domain].slots, kind)
            for template in (template for _, _, texts in kind.parts for template in texts):
                assert not re.search(r"[{}]", document.fill(template))


def test_text_is_mostly_hangul(corpora):
    for domain, texts in corpora.items():
        letters = [letter for text in texts for letter in text if not letter.isspace()]
        hangul = sum("가" <= letter <= "힣" or "ㄱ" <= letter <= "ㅣ" for letter in letters)
        assert hangul / len(letters) > 0.75, domain


def test_domains_have_words_of_their_own(corpora):
    """Any two domains share less than a tenth of their running words (as written, with particles)."""
    shares = {}
    for domain, texts in corpora.items():
        counts = Counter(word for text in texts for word in text.split())
        shares[domain] = {word: count / counts.total() for word, count in counts.items()}
    for first, second in combinations(DOMAINS, 2):
        shared = sum(min(share, shares[second].get(word, 0)) for word, share in shares[first].items())
        assert shared < 0.1, (first, second, shared)


@pytest.mark.parametrize("domain", DOMAINS)
def test_grammars_are_rich(domain):
    assert len({text for text in vocabulary(domain) if "{" not in text}) >= 150
    assert len(set(templates(domain))) >= 80


def test_registers(corpora):
    """Each domain ends its sentences in its own manner."""
    endings = {"main_data": "다[.]", "textbook": "[니시]다[.]", "assembly": "니[다까][.?]", "web": "요[.!?]"}
    for domain, ending in endings.items():
        assert all(len(re.findall(ending, text)) >= 2 for text in corpora[domain]), domain
    assert all(re.search("ㅋ|ㅎ|ㅠ|ㅜ|T_T|[:;^]", text) for text in corpora["social"])
    assert all(text.startswith("○") for text in corpora["assembly"])


# --- the figures


def calculate(expression: str) -> Fraction:
    """The value of an expression in ×, ÷, + and -, less a parenthesis that only opens around the equation."""
    if expression.count("(") != expression.count(")"):
        expression = expression.replace("(", "").replace(")", "")
    plain = expression.replace(",", "").replace("×", "*").replace("÷", "/")
    return eval(re.sub(r"\d+", r"Fraction(\g<0>)", plain), {"Fraction": Fraction})


def as_number(text: str) -> int:
    return int(text.replace(",", ""))


def test_textbook_equations_hold(corpora):
    equations = [found for text in corpora["textbook"] for found in EQUATION.findall(text)]
    assert len(equations) > COUNT
    assert [found for found in equations if calculate(found[0]) != as_number(found[1].rstrip(","))] == []


def test_textbook_answers_are_the_results(corpora):
    answers = [found for text in corpora["textbook"] for found in ANSWER.findall(text)]
    assert len(answers) > COUNT / 3
    assert sum(text.count("정답:") for text in corpora["textbook"]) == len(answers)
    assert all(as_number(answer) == as_number(result) for answer, _, result in answers)


def test_assembly_figures_add_up(corpora):
    votes, budgets = [], []
    for text in corpora["assembly"]:
        votes += re.findall(r"재석 (\d+)인 중 찬성 (\d+)인, 반대 (\d+)인, 기권 (\d+)인", text)
        budgets += re.findall(r"(\d+)억 원(?:보다|에서) (\d+)억 원(?:을 늘려 모두| 증액한) (\d+)억 원", text)
    assert len(votes) > COUNT / 20
    assert len(budgets) > COUNT / 20
    assert all(int(present) == sum(map(int, rest)) for present, *rest in votes)
    assert all(int(before) + int(added) == int(planned) for before, added, planned in budgets)


def test_lives_are_consistent(corpora):
    lives = [re.search(r"\((\d{4})~(\d{4})\).*?(\d+)세를 일기로", text) for text in corpora["main_data"]]
    lives = [tuple(map(int, life.groups())) for life in lives if life]
    assert len(lives) > 20
    assert all(death - birth == age for birth, death, age in lives)


def test_years_stay_in_the_past(corpora):
    assert max(int(year) for text in corpora["main_data"] for year in re.findall(r"(\d{4})년", text)) <= 2024


# --- the engine on a grammar of its own


def small_document(kind: Kind) -> str:
    return _Document(Random("small"), {}, kind).write()


def test_a_slot_keeps_its_value_and_its_sibling_has_another():
    kind = Kind(parts=(some(1, 1, "{river} {river} {river2} {river2}"),), slots={"river": ("한강", "금강")})
    first, again, second, second_again = small_document(kind).split()
    assert first == again
    assert second == second_again
    assert {first, second} == {"한강", "금강"}


def test_a_fresh_slot_is_drawn_each_time():
    kind = Kind(parts=(some(1, 1, "{~digit} " * 40),), slots={"digit": tuple("0123456789")})
    assert len(set(small_document(kind).split())) > 5


def test_a_row_of_a_table_stays_together():
    rows = table("thing counter", "사과; 개\n공책; 권\n연필; 자루")
    kind = Kind(parts=(some(1, 1, "{thing} {counter}"),), tables=(rows,))
    rng = Random("rows")
    seen = {_Document(rng, {}, kind).write() for _ in range(60)}
    assert seen == {"사과 개", "공책 권", "연필 자루"}


def test_a_computed_slot_and_large_numbers():
    slots = {"a": range(9000, 9001), "b": range(1500, 1501), "sum": lambda value: value("a") + value("b")}
    assert small_document(Kind(parts=(some(1, 1, "{a}+{b}={sum}"),), slots=slots)) == "9000+1500=10,500"


def test_parts_come_in_order_and_do_not_repeat_a_template():
    parts = (some(1, 1, "가"), some(3, 3, "나\n다\n라"), some(0, 0, "마"))
    first, *rest = small_document(Kind(parts=parts)).split()
    assert first == "가"
    assert sorted(rest) == ["나", "다", "라"]


def test_repeats_and_wrong_lengths_are_left_out(monkeypatch):
    """Of 40 sentences of three lengths only those within the limits come, each once though drawn often."""
    texts = "{start}\n{start} " + "가" * MIN_CHARS + "\n{start} " + "나" * MAX_CHARS
    slots = {"start": tuple(f"시작{number}" for number in range(40))}
    monkeypatch.setitem(GRAMMARS, "web", Grammar({}, (Kind(parts=(one(texts),), slots=slots),)))
    drawn = generate("web", 40, 1)
    assert len(set(drawn)) == 40
    assert all(text.endswith("가") for text in drawn)


def test_a_vocabulary_that_is_too_small_is_reported():
    with pytest.raises(ValueError, match="river"):
        small_document(Kind(parts=(some(1, 1, "{river} {river2}"),), slots={"river": ("한강",)}))


def test_a_row_of_the_wrong_width_is_reported():
    with pytest.raises(ValueError, match="thing counter"):
        table("thing counter", "사과; 개\n공책")


def test_lines_join_spaces_and_break_at_bars():
    assert lines("  하나  둘\n\n 셋|넷 ") == ("하나 둘", "셋\n넷")
