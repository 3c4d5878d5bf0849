"""Wrong values of every kind, by the words of the line that refuses them; and what is chosen where nothing is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import DOMAINS, make_adapter

from dem import merge_model
from dem.command_line import parse_request
from dem.config import SHIPPED_PROMPTS
from dem.config_file import load_yaml
from dem.config_values import settings_of, whole
from dem.errors import RequestError
from dem.evaluation.prompts import read_prompts

REPOSITORY = Path(__file__).resolve().parent.parent


def parse(folder: Path, content: str | bytes, *options: str, stage: int = 3):
    path = folder / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return parse_request("test", ["--config", str(path), *options], stage=stage)


def line_of(folder: Path, content: str | bytes, *options: str, stage: int = 3) -> str:
    with pytest.raises(RequestError) as mistake:
        parse(folder, content, *options, stage=stage)
    assert "\n" not in str(mistake.value)
    return str(mistake.value)


NULLABLE = ("data.group_column", "evaluation.judge", "evaluation.harness", "evaluation.harness.limit")
NULLABLE += ("training.max_steps", "training.max_hours", "evaluation.tokens")


@pytest.mark.parametrize("key", [key for key, _ in settings_of(whole())])
def test_an_empty_value_is_refused_wherever_null_means_nothing(tmp_path, key):
    tree = None
    for name in reversed(key.split(".")):
        tree = {name: tree}
    if key in NULLABLE:
        harness = {"evaluation": {"harness": {"tasks": ["a"], "limit": None}}} if "limit" in key else {}
        parse(tmp_path, yaml.safe_dump({"base_model": "x", **tree, **harness}))
    else:
        line = line_of(tmp_path, yaml.safe_dump({"base_model": "x"} | tree))
        assert f"c.yaml: {key} is empty: fill it or leave it out" in line
        assert f"--{key} is empty" in line_of(tmp_path, "base_model: x", f"--{key}", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("training: 5", "training is 5: give a dictionary with learning_rate, batch_size,"),
        ("lora: []", "lora is a list of 0: give a dictionary with r, alpha,"),
        ("training: {precision: fp8}", "training.precision is 'fp8': give fp16, bf16 or fp32"),
        ("lora: {r: -1}", "lora.r is -1: give a whole number of 1 or more"),
        ("lora: {r: 1.5}", "lora.r is 1.5: give a whole number of 1 or more and at most 65,536"),
        ("lora: {r: " + "9" * 400 + "}", "lora.r is 999999"),
        ("lora: {r: " + "9" * 5000 + "}", "line 2 holds a number of 5,000 digits"),
        ("lora: {alpha: .inf}", "lora.alpha is inf: give a number of at most 1,000,000"),
        ("training: {epochs: .inf}", "training.epochs is inf: give a number of at most 100,000"),
        ("training: {epochs: .nan}", "training.epochs is nan: give a number above 0 and at most 100,000"),
        (
            "training: {batch_size: 1e12}",
            "training.batch_size is 1000000000000: give a whole number of at",
        ),
        ("training: {batch_size: true}", "training.batch_size is true: give a whole number"),
        ("training: {batch_size: '4'}", "training.batch_size is '4': give a whole number"),
        ("training: {batch_size: 010}", "training.batch_size is '010': give a whole number"),
        ("training: {seed: 4294967296}", "training.seed is 4294967296: give a whole number of at most 4,294,967,295"),
        ("merge: {seed: 4294967296}", "merge.seed is 4294967296"),
        ("merge: {normalize: 1}", "merge.normalize is 1: give true or false"),
        ("merge: {weights: {web: much}}", "merge.weights.web is 'much': give a number"),
        ("merge: {weights: {a: much, 5: 1}}", "merge.weights.a is 'much': give a number"),
        ("search: {hand: {'[key]': [1]}}", "search.hand.[key] is a list of 1: give a number of 0 or more"),
        ("data: {mixtures: {m: {5: 1}}}", "data.mixtures.m has an entry whose name is 5, which is not a text"),
        ("lora: {target_modules: [a, 1]}", "lora.target_modules[1] is 1, which is not a text"),
        ("merge: {weights: [1]}", "merge.weights is a list of 1: give a dictionary such as {web: 0.5} or auto"),
        (
            "merge: {weights_by_parameter: [5]}",
            "merge.weights_by_parameter[0] is 5: give a dictionary with pattern",
        ),
        (
            "search: {importance: {true: 1}}",
            "search.importance has an entry whose name is true, which is not a text: put it into quotes",
        ),
        (
            "merge: {weights: {2024: 1}}",
            "merge.weights has an entry whose name is 2024, which is not a text: put it into quotes",
        ),
        ("search: {hand: {~: 1}}", "search.hand has an entry whose name is empty: fill it or leave it out"),
        ("domains: [" + "a" * 5000 + "]", "domains[0] has 5,000 characters: give at most 255"),
        (
            "search: {hand: {" + "a" * 500 + ": 1}}",
            "search.hand has an entry whose name has 500 characters: give at most 255",
        ),
        ("merge: {weights: {'': 1}}", "merge.weights has an entry whose name is empty: fill it or leave it out"),
        ("search: {groups: ['(']}", "search.groups[0] '(' is not a regular expression"),
        ("search: {groups: ['" + "(" * 9000 + "']}", "is not a regular expression"),
        ("domains: [web, 2024]", "domains[1] is 2024, which is not a text: put it into quotes"),
        ("domains: web", "domains is 'web': give a list such as [a, b]"),
        ("1: 2", "there is no setting 1"),
        ("hub_kernels: true", "c.yaml: hub_kernels is no setting any more: write kernels: hub"),
        ("kernels: cuda", "kernels is 'cuda': give auto, triton, compiled, torch or hub"),
        ("lora: {rr: 2}", "there is no setting lora.rr (did you mean lora.r?)"),
        ('data: {group_column: "a\\0b"}', "data.group_column holds a NUL (U+0000)"),
        ("data: {group_column: 'a\0b'}", "c.yaml: line 2 holds a NUL (U+0000)"),
        ("data: {group_column: \ufeffa}", "c.yaml: line 2 holds a byte order mark (BOM) (U+FEFF)"),
        (
            "data: {group_column: !!python/name:os.system }",
            "line 2 has the tag tag:yaml.org,2002:python/name",
        ),
        ("lora: " + "[" * 50_000, "more than 40 lists and dictionaries in each other"),
        ("a: &a [*a]", "*a stands within what it stands for"),
        ("lora: {r: 1, <<: *b}", "not valid YAML (line 2): found undefined alias"),
        ("---\nlora: {r: 1}", "not valid YAML (line 2): but found another document"),
        ("evaluation: {prompts: s3://bucket/p.jsonl}", "evaluation.prompts is s3://bucket/p.jsonl, not a local path"),
        ("evaluation: {prompts: " + "a" * 300 + "}", "too long for a path"),
    ],
)
def test_wrong_values_are_named_in_plain_words(tmp_path, text, words):
    assert words in line_of(tmp_path, f"base_model: x\n{text}")


@pytest.mark.parametrize("text", ["[1]", "5", "x", "~", "# nothing", "''"])
def test_a_file_without_keys(tmp_path, text):
    assert "c.yaml" in line_of(tmp_path, text)


def test_a_billion_laughs_are_not_laughed(tmp_path):
    laughs = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))
    assert "more than 100,000 values" in line_of(tmp_path, f"a0: &a0 [ha]\n{laughs}")


def test_what_yaml_allows_and_means_no_harm(tmp_path):
    text = "\ufeffbase_model: x\ndomains: &d [web, social]\ntraining: {batch_size: 1e2, seed: 1_000}\nlora: &l {r: 4}\n"
    config = parse(tmp_path, text + "search: {map: *d}\nmerge: {normalize: no}").config
    assert (config.training.batch_size, config.training.seed, config.search.map) == (100, 1000, ["web", "social"])
    assert config.merge.normalize is False and load_yaml("{a: 5e-5}") == {"a": 5e-5}


def test_all_mistakes_are_named_together_each_with_its_place(tmp_path):
    line = line_of(tmp_path, "lora: {r: 0, rr: 1}\ndiff: {dtype: }", "--training.seed", "-1", "--merge.scale", "x")
    assert line.startswith(str(tmp_path / "c.yaml: "))
    for words in ("lora.r is 0", "lora.rr", "diff.dtype is empty", "--training.seed is -1", "--merge.scale is 'x'"):
        assert words in line
    assert "base_model is required" in line
    assert "--lora: there is no setting lora.rr" in line_of(tmp_path, "base_model: x", "--lora", "{rr: 1}")
    many = line_of(tmp_path, "".join(f"wrong{i}: 1\n" for i in range(1000)))
    assert "and 992 more" in many and len(many) < 1000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "base_model: x\ndomains: [웹]".encode("cp949"),
            "not UTF-8 but seems to be EUC-KR (CP949): save it as UTF-8 (iconv",
        ),
        ("base_model: x".encode("utf-16"), "is not UTF-8 but seems to be UTF-16"),
        (b"base_model: x\n# \xff\xfe\xfd", "line 2 is not UTF-8"),
    ],
)
def test_another_encoding_is_named(tmp_path, content, words):
    assert words in line_of(tmp_path, content)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, words in [
        (tmp_path / "fifo", "a named pipe, not a file"),
        ("/dev/zero", "a device, not a file"),
        (tmp_path, "a folder, not a file"),
        ("s3://bucket/c.yaml", "--config is s3://bucket/c.yaml, not a local path"),
        ("", "--config is empty"),
    ]:
        with pytest.raises(RequestError, match=words):
            parse_request("test", ["--config", str(path)], stage=3)
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="--root .* is not a folder"):
        parse_request("test", ["--base_model", "x", "--root", str(tmp_path / "file")], stage=3)
    (tmp_path / "large.yaml").write_bytes(b"#" * (2 << 20))
    with pytest.raises(RequestError, match="MiB are too much"):
        parse_request("test", ["--config", str(tmp_path / "large.yaml")], stage=3)


def test_a_current_directory_that_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RequestError, match="current directory"):
        parse_request("test", ["--base_model", "x"], stage=3)


@pytest.mark.parametrize(
    ("options", "stage"),
    [
        (("--base_model", "s3://bucket/x"), 3),
        (("--base_model", "hf://org/name"), 3),
        (("--evaluation.prompts", "https://user:SECRET@host/p.jsonl?key=SECRET"), 3),
        (("--evaluation.harness", "{multiple_choice: [{name: a, file: 'gs://b/q.jsonl'}]}"), 3),
        (("--root", "s3://bucket/root"), 3),
        (("--ratings", "s3://bucket/r.csv"), 3),
        (("--domain", "web", "--model", "s3://bucket/model"), 2),
    ],
)
def test_an_address_is_not_a_local_path(tmp_path, options, stage):
    line = line_of(tmp_path, "base_model: x", *options, stage=stage)
    assert "not a local path" in line and options[-2] in line and "SECRET" not in line


def test_an_unknown_option_is_named_without_its_value(tmp_path):
    line = line_of(tmp_path, "base_model: x", "--evaluation.judge.api_key", "SECRET", "--lora.rank", "3")
    assert "--evaluation.judge.api_key" in line and "DEM_JUDGE_API_KEY" in line and "SECRET" not in line
    assert "--lora.rank" in line
    assert "SECRET" not in line_of(
        tmp_path, "base_model: x\nevaluation: {judge: {base_url: [SECRET], timeout: SECRET}}"
    )


def test_entries_of_dictionaries_by_their_dotted_names(tmp_path):
    text = "base_model: x\ndomains: [웹, 소셜]\nmerge: {weights: {웹: 1}}"
    options = (
        "--merge.weights.소셜",
        "0.5",
        "--data.mixtures.m.웹",
        "2",
        "--training",
        "{seed: 3}",
        "--training.seed",
        "4",
    )
    config = parse(tmp_path, text, *options).config
    assert config.merge.weights == {"웹": 1, "소셜": 0.5}
    assert config.data.mixtures == {"m": {"웹": 2}}
    assert config.training.seed == 4


def test_weights_by_their_dotted_names_stand_in_place_of_auto(tmp_path):
    options = ("--merge.weights.web", "0.3", "--merge.weights.social", "0.7")
    merge = parse(tmp_path, "base_model: x\nmerge: {weights: auto}", *options).config.merge
    assert merge.weights == {"web": 0.3, "social": 0.7}


def test_weights_that_are_not_given_fit_the_domains(tmp_path):
    plan = parse(tmp_path, "base_model: x")
    assert plan.config.merge.weights == {
        "main_data": 0.4,
        "textbook": 0.25,
        "assembly": 0.15,
        "web": 0.15,
        "social": 0.05,
    }
    assert plan.notes[0] == "merge.weights is not given: the plan's"
    other = parse(tmp_path, "base_model: x\ndomains: [법률, web]\nmerge: {scale: 2}", "--domain", "법률", stage=1)
    assert other.config.merge.weights == {"법률": 0.5, "web": 0.5}
    assert other.notes[0] == "merge.weights is not given: equal ones, since the domains are not the plan's"
    fewer = parse(tmp_path, "base_model: x\ndomains: [web, social, assembly, textbook]", "--merge.weights.web", "1")
    assert fewer.config.merge.weights == {"web": 1, "social": 0.25, "assembly": 0.25, "textbook": 0.25}
    given = parse(tmp_path, "base_model: x\ndomains: [법률, web]\nmerge: {weights: {web: 1}}")
    assert given.config.merge.weights == {"web": 1} and len(given.notes) == 1  # of the prompts


def test_prompts_beside_the_config_or_the_shipped_ones(tmp_path):
    request = parse(tmp_path, "base_model: x")
    assert request.prompts == SHIPPED_PROMPTS and "the shipped prompts serve" in request.notes[-1]
    assert len(read_prompts(request.prompts)) == 10
    assert "prompts" not in " ".join(parse(tmp_path, "base_model: x", "--evaluation.enabled", "false").notes)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "하나"}', encoding="utf-8")
    request = parse(tmp_path, "base_model: x")
    assert request.prompts == tmp_path / "prompts.jsonl" and len(request.notes) == 1
    request = parse(tmp_path, "base_model: x\nevaluation: {prompts: mine.jsonl}")
    assert request.prompts == tmp_path / "mine.jsonl" and len(request.notes) == 1


def test_prompts_that_are_named_and_missing_are_refused_before_any_training(workplace, refused):
    make_adapter(workplace.base, workplace.layout.adapter("web"), seed=0)
    before = sorted(workplace.root.rglob("*"))
    for run in (workplace.train, workplace.diff):
        refused(run("web", "--evaluation.prompts", "none.jsonl"), "none.jsonl")
        choice = "{multiple_choice: [{name: a, file: q.jsonl}]}"
        refused(run("web", "--evaluation.harness", choice), "multiple_choice", "q.jsonl")
    assert sorted(workplace.root.rglob("*")) == before


def test_a_merge_says_which_weights_and_prompts_it_took(workplace, capsys, monkeypatch):
    (workplace.config.parent / "prompts.jsonl").unlink()
    config = yaml.safe_load(workplace.config.read_text(encoding="utf-8"))
    del config["merge"]
    workplace.config.write_text(yaml.safe_dump(config), encoding="utf-8")
    for seed, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=seed)
        assert workplace.diff(domain) == 0
    assert workplace.merge("--dry-run") == 0
    log = capsys.readouterr().err
    assert "merge.weights is not given: equal ones" in log and "the shipped prompts serve" in log
    assert "weighted_sum of web 0.5, social 0.5" in log

    evaluated = []
    monkeypatch.setattr(merge_model, "merge", lambda *_: (0.0, None))
    monkeypatch.setattr(merge_model, "describe_merge", lambda *_: None)
    monkeypatch.setattr(
        merge_model, "evaluate", lambda request, base, made, reading, **inputs: evaluated.extend(inputs.values())
    )
    assert workplace.merge() == 0
    assert read_prompts(SHIPPED_PROMPTS) in evaluated


def test_korean_names_in_a_locale_without_hangul(tmp_path):
    folder = tmp_path / "한글"
    folder.mkdir()
    text = "base_model: 모델\ndomains: [웹, 소셜]\nmerge: {weights: {웹: 1}}\nevaluation: {enabled: false}"
    (folder / "설정.yaml").write_text(text, encoding="utf-8")
    (folder / "parquet_ready").mkdir()
    (folder / "parquet_ready" / "말.parquet").touch()
    script = [sys.executable, str(REPOSITORY / "dem" / "train_individual.py")]
    environment = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_CTYPE", "PYTHONIOENCODING")}
    environment |= {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    arguments = [*script, "--config", "설정.yaml", "--domain", "웹", "--merge.weights.소셜", "0.5"]
    done = subprocess.run(arguments, capture_output=True, cwd=folder, env=environment)
    line = done.stderr.decode()
    assert done.returncode == 2 and line.count("\n") == 1, line
    assert line.startswith("error: no data for domain 웹: neither ") and line.endswith("holds 말.parquet\n")


def test_a_whole_entry_on_the_command_line_takes_the_place_of_the_one_in_the_file(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("base_model: b\ndata: {mixtures: {m: {web: 1, social: 2}, n: {web: 1}}}", encoding="utf-8")
    request = parse_request("", ["--config", str(config), "--domain", "web", "--data.mixtures.m", "{web: 1}"], stage=1)
    assert request.config.data.mixtures == {"m": {"web": 1.0}, "n": {"web": 1.0}}


@pytest.mark.parametrize("value", ["-1e-3", "-.5", "-2", "-1.5E2"])
def test_a_negative_number_is_a_value_and_no_option(value):
    options = ["--base_model", "b", "--merge.scale", value, "--merge.weights.web", value]
    assert parse_request("", options, stage=3).config.merge.scale == float(value)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--training.lr", "1"], None),
        (["--evaluation.judge.api_key", "x"], None),
        (["--lorra.r", "1"], "lora.r"),
        (["--lora.R", "1"], "lora.r"),
        (["--evaluation.judge.base-url", "x"], "evaluation.judge.base_url"),
    ],
)
def test_what_may_have_been_meant_is_alike_in_every_part(options, hint):
    with pytest.raises(RequestError) as told:
        parse_request("", ["--base_model", "b", *options], stage=3)
    assert (f"did you mean {hint}?" in str(told.value)) if hint else "did you mean" not in str(told.value)


def test_a_key_that_is_no_word_is_still_named(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("base_model: b\nnull: 1\n'  ': 2", encoding="utf-8")
    with pytest.raises(RequestError, match="there is no setting null.*there is no setting '  '"):
        parse_request("", ["--config", str(config)], stage=3)
