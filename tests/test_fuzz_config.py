"""A seeded fuzzer of configurations and command lines: each is refused by one plain line, or taken as it stands.

    python -m pytest tests/test_fuzz_config.py --fuzz-cases 5000

What is allowed is written down here once more, and not taken from the code that is tested.
"""

import copy
import dataclasses
import math
import os
import random
import re
import signal
import string
import unicodedata
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from dem.command_line import parse_request
from dem.config import Config
from dem.errors import RequestError

REPOSITORY = Path(__file__).resolve().parent.parent
BATCH = 50
"""Cases of one test, each with a seed of its own."""


def pytest_generate_tests(metafunc):
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(max(1, metafunc.config.getoption("--fuzz-cases") // BATCH)))


def whole(low, high):
    return lambda v: type(v) is int and low <= v <= high


def number(holds):
    return lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v)


def one_of(*words):
    return lambda v: type(v) is str and v in words


def flag(value):
    return type(value) is bool


def text(value):
    return type(value) is str and value != "" and all(unicodedata.category(c) not in ("Cc", "Cs") for c in value)


def path(value):
    return text(value) and os.path.isabs(value) and "://" not in value


def listed(holds):
    return lambda v: type(v) is list and all(map(holds, v))


def by_name(holds):
    return lambda v: type(v) is dict and all(text(k) and holds(x) for k, x in v.items())


def none_or(holds):
    return lambda v: v is None or holds(v)


def pattern(value):
    return text(value) and re.compile(value) is not None


def steps(value):
    return whole(1, 10**9)(value)


weight = number(lambda v: abs(v) <= 1e6)
counted = number(lambda v: 0 <= v <= 1e6)
fraction = number(lambda v: 0 <= v < 1)
share = number(lambda v: 0 < v <= 1)
random_seed = whole(0, 2**32 - 1)
domain = re.compile(r"\w[\w-]*").fullmatch

ALLOWED = {
    "base_model": lambda v: text(v) and "://" not in v,
    "domains": lambda v: listed(domain)(v) and 0 < len(v) == len(set(v)),
    "kernels": one_of("auto", "triton", "compiled", "torch", "hub"),
    "device": one_of("auto", "cpu"),
    "data.max_length": whole(2, 10**7),
    "data.tune_fraction": fraction,
    "data.test_fraction": fraction,
    "data.group_column": none_or(text),
    "data.mixtures": by_name(lambda v: v == "found" or by_name(number(lambda v: 0 < v <= 1e6))(v)),
    "training.learning_rate": number(lambda v: 0 < v <= 3e38),
    "training.batch_size": whole(1, 10**6),
    "training.epochs": number(lambda v: 0 < v <= 1e5),
    "training.max_steps": none_or(steps),
    "training.max_hours": none_or(number(lambda v: 0 < v <= 1e6)),
    "training.precision": one_of("fp16", "bf16", "fp32"),
    "training.gradient_checkpointing": flag,
    "training.seed": random_seed,
    "training.logging_steps": steps,
    "training.eval_steps": steps,
    "training.save_steps": steps,
    "lora.r": whole(1, 65536),
    "lora.alpha": number(lambda v: 0 < v <= 1e6),
    "lora.dropout": fraction,
    "lora.target_modules": lambda v: v == "auto" or (listed(text)(v) and v != []),
    "diff.storage": one_of("dense", "lowrank"),
    "diff.dtype": one_of("float32", "float16"),
    "diff.normalize": one_of("none", "l2"),
    "merge.method": lambda v: text(v) and v in METHODS,
    "merge.weights": lambda v: v == "auto" or by_name(weight)(v),
    "merge.normalize": flag,
    "merge.scale": weight,
    "merge.weights_by_parameter": listed(lambda v: pattern(v.pattern) and by_name(weight)(v.weights)),
    "merge.density": share,
    "merge.gamma": fraction,
    "merge.epsilon": fraction,
    "merge.select_topk": share,
    "merge.rescale": one_of("probability", "l1", "none"),
    "merge.seed": random_seed,
    "merge.alpha": share,
    "merge.calibrate": flag,
    "merge.tokens": steps,
    "search.method": one_of("gradient", "grid"),
    "search.objective": one_of("mean", "worst", "importance"),
    "search.importance": by_name(counted),
    "search.hand": by_name(counted),
    "search.bound": number(lambda v: 0 < v <= 1e6),
    "search.groups": lambda v: v in ("terms", "modules") or listed(pattern)(v),
    "search.penalty": counted,
    "search.steps": steps,
    "search.learning_rate": number(lambda v: 0 < v <= 3e38),
    "search.tokens": steps,
    "search.seed": random_seed,
    "search.map": listed(text),
    "evaluation.enabled": flag,
    "evaluation.prompts": path,
    "evaluation.max_new_tokens": whole(1, 10**7),
    "evaluation.tokens": none_or(steps),
    "evaluation.seed": random_seed,
    "evaluation.precision": one_of("auto", "fp32", "tf32", "bf16", "fp16"),
    "evaluation.judge.base_url": lambda v: text(v) and v.startswith(("http://", "https://")),
    "evaluation.judge.model": text,
    "evaluation.judge.timeout": number(lambda v: 0 < v <= 86400),
    "evaluation.judge.retries": whole(0, 100),
    "evaluation.harness.tasks": listed(text),
    "evaluation.harness.multiple_choice": listed(lambda v: text(v.name) and path(v.file)),
    "evaluation.harness.models": listed(text),
    "evaluation.harness.limit": none_or(steps),
}
METHODS = ["weighted_sum", "ties", "dare_linear", "dare_ties", "della", "della_linear", "breadcrumbs"]
METHODS += ["breadcrumbs_ties", "sce", "model_stock", "regmean"]

FULL = {
    "base_model": "모델/base",
    "domains": ["web", "social", "교과서"],
    "kernels": "auto",
    "device": "auto",
    "data": {
        "max_length": 512,
        "tune_fraction": 0.05,
        "test_fraction": 0.04,
        "group_column": "work",
        "mixtures": {"mixed": {"web": 0.7, "social": 1, "교과서": 2e-1}, "best": "found"},
    },
    "training": {
        "learning_rate": 5e-5,
        "batch_size": 4,
        "epochs": 1,
        "precision": "bf16",
        "gradient_checkpointing": True,
        "seed": 1,
        "logging_steps": 5,
        "eval_steps": 50,
        "save_steps": 50,
    },
    "lora": {"r": 8, "alpha": 16, "dropout": 0.1, "target_modules": ["in_proj", "x_proj"]},
    "diff": {"storage": "lowrank", "dtype": "float32", "normalize": "none"},
    "merge": {
        "method": "weighted_sum",
        "weights": {"web": 0.5, "social": 0.5, "교과서": 0},
        "normalize": True,
        "scale": 1.0,
        "weights_by_parameter": [{"pattern": r"layers\.0\.", "weights": {"web": 1}}],
    },
    "search": {
        "method": "gradient",
        "objective": "importance",
        "importance": {"web": 1, "social": 2},
        "hand": {"web": 0.3, "social": 0.7},
        "bound": 5,
        "groups": ["lm_head"],
        "penalty": 0.01,
        "tokens": 20000,
        "seed": 42,
        "map": ["web", "social"],
    },
    "evaluation": {
        "enabled": True,
        "prompts": "prompts.jsonl",
        "max_new_tokens": 16,
        "judge": {"base_url": "http://localhost:8000/v1", "model": "m", "timeout": 60, "retries": 2},
        "harness": {
            "tasks": ["kobest"],
            "multiple_choice": [{"name": "ko", "file": "q.jsonl", "few_shot": 1, "style": "cloze"}],
            "models": ["base", "merged"],
            "limit": 10,
        },
    },
}
TIES = {"base_model": "x", "merge": {"method": "ties", "density": 0.3}, "lora": {"target_modules": "auto"}}

NONSENSE = [
    None, True, False, 0, -1, 1, 2, 0.5, -0.5, 1e12, 1e-320, 4294967296, 10**40, int("9" * 400), -(10**300),
    math.inf, -math.inf, math.nan, "", " ", "auto", "none", "null", "1_000", "010", "0x10", "가나다", "web",
    "s3://bucket/x", "hf://org/name", "file:///etc/passwd", "../../etc", "~nobody/x", "a" * 5000, "(", "(" * 3000,
    "a{99999999999}", "[[", "\0", "\x1b[31m", "\u202e", "\ufeff", "한\u0000글", "2024-01-01", "<<", "=", "!!int 3",
    "*a", "&a", "{", "[", "%", "@", "`", [], {}, [[]], [None], {"": 1}, {None: 1}, {True: 1}, {5: 5}, {"a": None},
    {"web": {"web": {"web": 1}}}, {"web": math.inf}, {"web": "much"}, ["web", None], [1, 2], [{"pattern": "a"}],
]  # fmt: skip
FRAGMENTS = [
    b"\0", b"\xef\xbb\xbf", b"\x1b", b"\t", b"\xff", b"\xa0\xed", b"\r", b"\r\n", b"\xe2\x80\xa8", b"---\n", b"...\n",
    b"%YAML 1.2\n", b"&a ", b"*a ", b"<<: ", b"? ", b": ", b"- ", b"!!python/object/apply:os.system [echo]",
    b"!!binary ", b"!!set ", b"!x ", b"#", b"'", b'"', b"|\n", b">\n", b"{", b"}", b"[", b"]", b",", b"9" * 5000,
    b"[" * 5000, b'"\\ud800"', b'"\\0"', b"\n", b" ",
]  # fmt: skip
DOTTED = sorted(ALLOWED)
STRAY = [
    "--nonsense", "--training", "--merge.weights.web", "--merge.weights.교과서", "--data.mixtures.m.web", "--merge.",
    "--", "--search.importance.web", "--evaluation.judge", "--evaluation.judge.api_key", "--lora.r.x", "--..",
    "--domains",
    "--merge.weights", "--merge.weights.", "--model", "--ratings", "--root", "-x", "word", "--dry-run", "--domain",
]  # fmt: skip


@contextmanager
def at_most_a_minute():
    def stop(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def places(tree, prefix=()):
    """Every place in a tree of dictionaries and lists, the inner ones too."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*prefix, key)
        if isinstance(value, dict | list):
            yield from places(value, (*prefix, key))


def change_value(tree, dice):
    """Somewhere: another value, no value, another name, or one more."""
    where = dice.choice(list(places(tree)))
    parent = tree
    for key in where[:-1]:
        parent = parent[key]
    what = dice.randrange(8)
    if what < 4:
        parent[where[-1]] = copy.deepcopy(dice.choice(NONSENSE))
    elif what == 4:
        del parent[where[-1]]
    elif what == 5 and isinstance(parent, dict):
        new = dice.choice([f"{where[-1]}x", "", None, True, 5, 1.5, "한글", "\x07", "a.b", str(where[-1]).upper()])
        parent[new] = parent.pop(where[-1])
    elif what == 6:
        parent[where[-1]] = dice.choice([[parent[where[-1]]], {"web": parent[where[-1]]}])
    else:
        scale = dice.choice([0, -1, 1e6, 1e300, 0.5, 3])
        value = parent[where[-1]]
        if isinstance(value, int | float) and not isinstance(value, bool):
            parent[where[-1]] = value * scale


def change_bytes(content, dice):
    """Somewhere: a fragment more, a byte other, a piece missing or twice, or another encoding of all."""
    if not content:
        return content
    at, to = sorted(dice.randrange(len(content)) for _ in range(2))
    what = dice.randrange(9)
    if what < 3:
        return content[:at] + dice.choice(FRAGMENTS) + content[at:]
    if what == 3:
        return content[:at] + bytes([dice.randrange(256)]) + content[at + 1 :]
    if what == 4:
        return content[:at] + content[to:]
    if what == 5:
        return content[:to] + content[at:]
    if what == 6:
        return content[:at]
    if what == 7:
        lines = content.split(b"\n")
        dice.shuffle(lines)
        return b"\n".join(lines)
    try:
        return content.decode().encode(dice.choice(["cp949", "utf-16", "utf-16-le", "utf-8-sig", "utf-32", "euc-jp"]))
    except (UnicodeDecodeError, UnicodeEncodeError):
        return b"\xef\xbb\xbf" + content


def options(dice):
    """A few options, most of them known, with values of every kind."""
    for _ in range(dice.choice([0, 0, 1, 2])):
        option = dice.choice(STRAY) if dice.random() < 0.4 else f"--{dice.choice(DOTTED)}"
        value = dice.choice(NONSENSE)
        shown = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).split("\n...")[0]
        shown = shown.replace("\0", "") if dice.random() < 0.9 else "".join(dice.choices(string.printable, k=8))
        yield from dice.choice([[option, shown], [f"{option}={shown}"], [option]])


def write_config(folder, dice):
    """A file of a configuration with some changes, and the tree in it if only that was changed."""
    kind = dice.random()
    target = folder / "c.yaml"
    if kind < 0.5 or kind > 0.98:
        tree = copy.deepcopy(dice.choice([FULL, FULL, TIES]))
        for _ in range(dice.choice([0, 1, 1, 1, 2, 3])):
            change_value(tree, dice)
        target.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
        return target, tree
    shipped = [path.read_bytes() for path in sorted((REPOSITORY / "configs").glob("*.yaml"))]
    content = dice.choice([yaml.safe_dump(FULL, allow_unicode=True).encode(), *shipped])
    for _ in range(dice.choice([1, 1, 2, 4])):
        content = change_bytes(content, dice)
    target.write_bytes(content)
    return target, None


def at(config, key):
    for name in key.split("."):
        config = getattr(config, name, None)
    return config


def require_allowed(config):
    """Every value is of a type and size that makes sense, by the table above."""
    for key, holds in ALLOWED.items():
        section, _, _ = key.rpartition(".")
        if section and at(config, section) is None:
            assert section in ("evaluation.judge", "evaluation.harness"), section
            continue
        assert holds(at(config, key)), (key, at(config, key))


def require_kept(config, tree, prefix=""):
    """Every value of the tree arrived."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and dataclasses.is_dataclass(at(config, key)):
            require_kept(config, value, f"{key}.")
        elif key == "base_model":
            assert config.base_model.endswith(os.path.basename(os.path.normpath(value)))
        elif key == "evaluation.prompts":
            assert os.path.basename(config.evaluation.prompts) == os.path.basename(os.path.normpath(value))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            assert len(at(config, key)) == len(value)
        else:
            assert at(config, key) == value, key


def test_the_table_names_every_setting():
    """A new setting needs a line in ALLOWED, with what is sensible for it."""

    def names(section, prefix=""):
        for field in dataclasses.fields(section):
            inner = re.search(r"(\w+Config)\b", str(field.type)) if "list" not in str(field.type) else None
            section_type = getattr(__import__("dem.config", fromlist=["x"]), inner[1]) if inner else None
            yield from names(section_type, f"{prefix}{field.name}.") if section_type else [f"{prefix}{field.name}"]

    assert sorted(names(Config)) == DOTTED


@pytest.mark.parametrize("tree", [FULL, TIES])
def test_the_fuzzer_begins_with_configurations_that_are_taken(tmp_path, tree):
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    config = parse_request("", ["--config", str(tmp_path / "c.yaml")], stage=3).config
    require_allowed(config)
    require_kept(config, tree)


def test_any_configuration_is_taken_as_it_stands_or_refused_in_one_line(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    os.symlink("nowhere", "dangling")
    for case in range(BATCH):
        dice = random.Random(f"{seed} {case}")
        target, tree = write_config(tmp_path, dice)
        target = dice.choice([target] * 30 + ["fifo", ".", "dangling", "/dev/zero", "", "s3://b/c.yaml", "none"])
        more = list(options(dice))
        stage = dice.choice([1, 2, 3])
        asked = [] if stage == 3 else ["--domain", "web"]
        before = target.read_bytes() if isinstance(target, Path) else None
        place = f"seed {seed}, case {case}: {more}\n{(before or b'')[:20000]!r}"
        try:
            with at_most_a_minute():
                request = parse_request("", ["--config", str(target), *asked, *more], stage=stage)
        except RequestError as refused:
            line = str(refused)
            assert line.strip() and line.isprintable() and len(line) < 5000, place
            assert not re.search(r"typing|Positive|NonNeg|NoneType|Annotated|object at|Traceback|<class", line), place
        except BaseException as defect:
            raise AssertionError(place) from defect
        else:
            try:
                require_allowed(request.config)
                if tree is not None and not more:
                    require_kept(request.config, tree)
            except (AssertionError, TypeError, KeyError) as wrong:
                raise AssertionError(f"{place}\n{wrong!r}") from wrong
        assert before is None or target.read_bytes() == before
