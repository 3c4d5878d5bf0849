import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dem.config import parse_request
from dem.errors import RequestError

REPOSITORY = Path(__file__).resolve().parent.parent


def parse(folder: Path, text: str, *options: str, per_domain: bool = True):
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return parse_request("test", ["--config", str(path), *options], per_domain=per_domain)


def test_defaults_then_yaml_then_command_line(tmp_path):
    text = "base_model: org/name\ntraining: {learning_rate: 5e-5, batch_size: 4}\nmerge: {weights: {web: 0, a: 1}}\n"
    options = ("--domain", "web", "--training.batch_size", "2", "--merge.weights.web", "0.3")
    config = parse(tmp_path, text, *options).config
    assert config.training.learning_rate == 0.00005
    assert config.training.batch_size == 2
    assert config.training.epochs == 1
    assert config.merge.weights == {"web": 0.3, "a": 1.0}
    assert json.loads(json.dumps(config.as_dict()))["training"]["seed"] == 42


def test_values_are_of_pythons_own_types(tmp_path):
    config = parse(tmp_path, "base_model: org/name", "--domain", "web").config
    values = [*vars(config.training).values(), *vars(config.data).values(), config.base_model, *config.merge.weights]
    assert {type(v) for v in values} <= {int, float, str, bool, type(None)}


def test_an_override_of_zero_or_false_counts(tmp_path):
    text = "base_model: x\nmerge: {weights: {web: 0.5}, normalize: true, scale: 2}\n"
    options = ("--merge.weights.web", "0", "--merge.normalize", "false", "--merge.scale", "0")
    merge = parse(tmp_path, text, *options, per_domain=False).config.merge
    assert merge.weights["web"] == 0 and merge.normalize is False and merge.scale == 0


def test_relative_paths(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = "base_model: ../model\nevaluation: {prompts: p.jsonl}\n"
    config = parse(tmp_path / "configs", text, per_domain=False).config
    assert config.base_model == str(tmp_path / "model")
    assert config.evaluation.prompts == str(tmp_path / "configs" / "p.jsonl")
    options = ("--base_model", "./m", "--evaluation.prompts", "q.jsonl")
    config = parse(tmp_path / "configs", text, *options, per_domain=False).config
    assert config.base_model == str(tmp_path / "here" / "m")
    assert config.evaluation.prompts == str(tmp_path / "here" / "q.jsonl")
    request = parse(tmp_path / "configs", "base_model: org/name\n", "--root", "r", per_domain=False)
    assert request.config.base_model == "org/name"
    assert request.layout.root == tmp_path / "here" / "r"
    assert request.config.evaluation.prompts == str(tmp_path / "configs" / "prompts.jsonl")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("base_model: x\ntraining: {learning_rat: 1}", (), ("c.yaml", "learning_rat")),
        ("base_model: x\nfoo: 1", (), ("c.yaml", "foo")),
        ("base_model: x\ntraining: {batch_size: four}", (), ("c.yaml", "training.batch_size", "four")),
        ("base_model: x\ntraining: {epochs: 0}", (), ("c.yaml", "training.epochs")),
        ("base_model: x\ndata: {test_fraction: 1.5}", (), ("c.yaml", "data.test_fraction")),
        ("base_model: x\nevaluation: {judge: someone}", (), ("c.yaml", "evaluation.judge")),
        ("base_model: x\nevaluation: {judge: {model: m}}", (), ("evaluation.judge", "base_url")),
        ("base_model: x", ("--evaluation.judge.base_url", "http://h/v1"), ("evaluation.judge", "model")),
        ("base_model: x\nevaluation: {judge: {model: m, base_url: h/v1}}", (), ("judge.base_url", "http://localhost")),
        ("base_model: x\nevaluation: {judge: {model: ' ', base_url: 'http://h:99999'}}", (), ("judge.base_url",)),
        ("base_model: x\nmerge: {weights: {web: .nan}}", (), ("weights",)),
        ("base_model: x\nmerge: {scale: .inf}", (), ("merge.scale",)),
        ("base_model: [x", (), ("c.yaml",)),
        ("just words", (), ("c.yaml",)),
        ("base_model: x", ("--domain", "nowhere"), ("nowhere", "social")),
        ("base_model: x", ("--domain", "../web"), ("../web",)),
        ("base_model: x", ("--domain", "a/b"), ("a/b",)),
        ("base_model: x\ndomains: [web, 'a/..']", (), ("a/..",)),
        ("base_model: x\ndomains: [web, web]", (), ("twice",)),
        ("base_model: x", ("--training.batch", "3"), ("--training.batch",)),
        ("base_model: x", ("--training.precision", "fp17"), ("training.precision", "fp17")),
        ("data: {tune_fraction: 0.5, test_fraction: 0.5}\nbase_model: x", (), ("tune_fraction", "test_fraction")),
        ("training: {seed: 1}", (), ("base_model",)),
        ("base_model: x\ntraining:\n", (), ("training",)),
        ("base_model: x\ntraining: {seed: 1, seed: 2}", (), ("c.yaml", "seed", "twice")),
        ("base_model: x\ndata: {max_length: 1}", (), ("data.max_length",)),
        ("base_model: x\ndomains: [merged]", (), ("merged",)),
        ("base_model: x\ndomains: [v1.0]", (), ("v1.0",)),
        ("", (), ("c.yaml is empty",)),
    ],
)
def test_mistakes_are_named(tmp_path, text, options, words):
    options = options if "--domain" in options else (*options, "--domain", "web")
    with pytest.raises(RequestError) as mistake:
        parse(tmp_path, text, *options)
    for word in words:
        assert word in str(mistake.value)


@pytest.mark.parametrize(
    "judge",
    [
        "{model: m, base_url: 'http://user:SECRET@h/v1'}",
        "{model: m, base_url: 'https://h/v1?key=SECRET'}",
        "{model: m, base_url: 'https://h/v1', api_key: SECRET}",
    ],
)
def test_a_secret_in_the_wrong_place_is_refused_and_not_repeated(tmp_path, judge):
    with pytest.raises(RequestError, match="DEM_JUDGE_API_KEY") as mistake:
        parse(tmp_path, f"base_model: x\nevaluation: {{judge: {judge}}}", per_domain=False)
    assert "SECRET" not in str(mistake.value)


def test_ratings_and_judge(tmp_path):
    text = "base_model: x\nevaluation: {judge: {base_url: 'http://h/v1', model: m}}"
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")

    def ratings(*options):
        return parse_request("test", ["--config", str(path), *options], per_domain=False, takes_ratings=True).ratings

    assert ratings() is None and ratings("--ratings") == "" and ratings("--ratings", "r.csv") == "r.csv"
    judge = parse(tmp_path, text, "--evaluation.judge.timeout", "5", per_domain=False).config.evaluation.judge
    assert (judge.base_url, judge.model, judge.timeout) == ("http://h/v1", "m", 5)
    assert parse(tmp_path, text, "--evaluation.judge", "null", per_domain=False).config.evaluation.judge is None


def test_no_arguments_at_all():
    with pytest.raises(RequestError, match="required"):
        parse_request("test", [], per_domain=True)


def test_a_config_that_is_a_folder(tmp_path):
    with pytest.raises(RequestError, match="not a file"):
        parse_request("test", ["--config", str(tmp_path)], per_domain=False)


def test_several_mistakes_are_reported_together(tmp_path):
    with pytest.raises(RequestError, match=r"a/b.*--domain nowhere"):
        parse(tmp_path, "base_model: x\ndomains: [web, a/b]", "--domain", "nowhere")


@pytest.mark.parametrize("name", ["train_individual", "vector_diff", "merge_model"])
def test_help_explains_without_loading_torch(name, tmp_path):
    check = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_path({str(REPOSITORY / 'dem' / (name + '.py'))!r}, run_name='__main__')\n"
        "except SystemExit as e: assert e.code in (0, None), e.code\n"
        "assert not {'torch', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "--training.learning_rate" in done.stdout and "Peak learning rate" in done.stdout


def test_a_script_runs_without_being_installed_and_answers_in_one_line(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    script = [sys.executable, "-I", str(REPOSITORY / "dem" / "vector_diff.py")]
    done = subprocess.run(
        [*script, "--config", "none.yaml", "--domain", "web"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 2
    assert done.stderr == "error: --config none.yaml: no such file\n"
    assert done.stdout == ""


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_configs_are_valid(path):
    request = parse_request("test", ["--config", str(path)], per_domain=False)
    assert Path(request.config.evaluation.prompts).is_file()
    assert sum(request.config.merge.weights.values()) == pytest.approx(1)
