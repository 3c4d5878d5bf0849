import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dem.command_line import parse_request
from dem.config import METHOD_FIELDS, ParameterWeights
from dem.errors import RequestError

REPOSITORY = Path(__file__).resolve().parent.parent


def parse(folder: Path, text: str, *options: str, stage: int = 1):
    path = folder / "c.yaml"
    path.write_text(text, encoding="utf-8")
    return parse_request("test", ["--config", str(path), *options], stage=stage)


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
    text = "base_model: org/name\ndata: {mixtures: {m: {web: 1, social: 0.5}}}"
    config = parse(tmp_path, text, "--domain", "web").config
    data = dict(vars(config.data))
    values = [*vars(config.training).values(), config.base_model, *config.merge.weights]
    values += [*data.pop("mixtures")["m"].values(), *data.values()]
    assert {type(v) for v in values} <= {int, float, str, bool, type(None)}


def test_an_override_of_zero_or_false_counts(tmp_path):
    text = "base_model: x\nmerge: {weights: {web: 0.5}, normalize: true, scale: 2}\n"
    options = ("--merge.weights.web", "0", "--merge.normalize", "false", "--merge.scale", "0")
    merge = parse(tmp_path, text, *options, stage=3).config.merge
    assert merge.weights["web"] == 0 and merge.normalize is False and merge.scale == 0


def test_relative_paths(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    text = "base_model: ../model\nevaluation: {prompts: p.jsonl}\n"
    config = parse(tmp_path / "configs", text, stage=3).config
    assert config.base_model == str(tmp_path / "model")
    assert config.evaluation.prompts == str(tmp_path / "configs" / "p.jsonl")
    options = ("--base_model", "./m", "--evaluation.prompts", "q.jsonl")
    config = parse(tmp_path / "configs", text, *options, stage=3).config
    assert config.base_model == str(tmp_path / "here" / "m")
    assert config.evaluation.prompts == str(tmp_path / "here" / "q.jsonl")
    request = parse(tmp_path / "configs", "base_model: org/name\n", "--root", "r", stage=3)
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
        ("base_model: x\nmerge: {method: tie}", (), ("c.yaml", "merge.method", "tie")),
        ("base_model: x\nmerge: {density: 0}", (), ("c.yaml", "merge.density")),
        ("base_model: x\nmerge: {density: }", (), ("merge.density is empty",)),
        ("base_model: x\nmerge: {weights: }", (), ("merge.weights is empty",)),
        ("base_model: x\nmerge: {weights_by_parameter: }", (), ("merge.weights_by_parameter is empty",)),
        ("base_model: x\nmerge: {weights_by_parameter: [{pattern: a}]}", (), ("weights_by_parameter", "required")),
    ],
)
def test_mistakes_are_named(tmp_path, text, options, words):
    options = options if "--domain" in options else (*options, "--domain", "web")
    with pytest.raises(RequestError) as mistake:
        parse(tmp_path, text, *options)
    for word in words:
        assert word in str(mistake.value)


@pytest.mark.parametrize(
    ("merge", "words"),
    [
        ("method: weighted_sum, density: 0.2", ("merge.density is 0.2", "weighted_sum")),
        ("method: ties, gamma: 0.2, seed: 1", ("merge.gamma is 0.2", "merge.seed is 1", "ties")),
        ("method: ties, weights: {web: 1, social: -0.5}", ("merge.weights: social is negative", "normalize false")),
        ("method: sce", ("merge.weights differ", "sce")),
        ("method: sce, normalize: false", ("merge.normalize is false",)),
        ("method: model_stock, weights: {web: 1, social: 0}", ("merge.weights", "two or more")),
        ("method: della, density: 0.9", ("merge.density 0.9", "merge.epsilon 0.15")),
        ("method: della_linear, density: 0.1", ("merge.density 0.1", "merge.epsilon 0.15")),
        ("method: breadcrumbs, density: 0.95, gamma: 0.1", ("merge.density 0.95", "merge.gamma 0.1")),
        ("weights_by_parameter: [{pattern: '(', weights: {web: 1}}]", ("[0].pattern '('", "regular expression")),
        ("weights_by_parameter: [{pattern: a, weights: {nowhere: 1}}]", ("[0].weights names nowhere",)),
        ("weights_by_parameter: [{pattern: a, weights: {web: .inf}}]", ("[0].weights.web is inf",)),
        (
            "method: ties, weights_by_parameter: [{pattern: a, weights: {web: 1}}, {pattern: a, weights: {web: -1}}]",
            ("[1].weights: web is negative",),
        ),
        ("scale: .nan, weights_by_parameter: [{pattern: '[', weights: {web: .nan}}]", ("merge.scale", "'['", "web")),
    ],
)
def test_mistakes_of_the_merge_are_named(tmp_path, merge, words):
    with pytest.raises(RequestError) as mistake:
        parse(tmp_path, f"base_model: x\nmerge: {{{merge}}}", stage=3)
    for word in words:
        assert word in str(mistake.value)


@pytest.mark.parametrize(
    "merge",
    [
        "method: ties, weights: {web: 1, social: -0.5}, normalize: false",
        "method: sce, weights: {web: 1, social: 1, textbook: 0}, select_topk: 0.1",
        "method: model_stock, weights: {web: 1, social: 1}, scale: 0.5",
        "method: della, density: 0.85, rescale: l1, seed: 1",
        "method: breadcrumbs, density: 0.7, gamma: 0.3",
        *(f"method: {m}" for m in METHOD_FIELDS if m not in ("sce", "model_stock")),
    ],
)
def test_settings_of_the_merge_that_fit_the_method(tmp_path, merge):
    parse(tmp_path, f"base_model: x\nmerge: {{{merge}}}", stage=3)


def test_weights_by_parameter(tmp_path):
    text = "base_model: x\nmerge: {weights_by_parameter: [{pattern: 'layers\\.0\\.', weights: {web: 1}}]}"
    config = parse(tmp_path, text, stage=3).config
    assert config.merge.weights_by_parameter == [ParameterWeights(r"layers\.0\.", {"web": 1.0})]
    assert config.as_dict()["merge"]["weights_by_parameter"] == [{"pattern": r"layers\.0\.", "weights": {"web": 1.0}}]
    option = ("--merge.weights_by_parameter", "[{pattern: lm_head, weights: {web: 1, social: 2}}]")
    config = parse(tmp_path, text, *option, stage=3).config
    assert config.merge.weights_by_parameter == [ParameterWeights("lm_head", {"web": 1.0, "social": 2.0})]


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
        parse(tmp_path, f"base_model: x\nevaluation: {{judge: {judge}}}", stage=3)
    assert "SECRET" not in str(mistake.value)


def test_ratings_and_judge(tmp_path):
    text = "base_model: x\nevaluation: {judge: {base_url: 'http://h/v1', model: m}}"
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")

    def ratings(*options):
        return parse_request("test", ["--config", str(path), *options], stage=3).ratings

    assert ratings() is None and ratings("--ratings") == "" and ratings("--ratings", "r.csv") == "r.csv"
    judge = parse(tmp_path, text, "--evaluation.judge.timeout", "5", stage=3).config.evaluation.judge
    assert (judge.base_url, judge.model, judge.timeout) == ("http://h/v1", "m", 5)
    assert parse(tmp_path, text, "--evaluation.judge", "null", stage=3).config.evaluation.judge is None


HARNESS = "base_model: x\nevaluation: {harness: {multiple_choice: [{name: a, file: q.jsonl}]}}"


def test_harness_files_stand_beside_the_config_and_one_switch_limits_them(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    monkeypatch.chdir(tmp_path)
    text = HARNESS.replace("q.jsonl", "q.jsonl, few_shot: 2, few_shot_file: ../dev.parquet")
    config = parse(tmp_path / "configs", text, "--evaluation.harness.limit", "100", stage=3).config
    harness = config.evaluation.harness
    assert harness.multiple_choice[0].file == str(tmp_path / "configs" / "q.jsonl")
    assert harness.multiple_choice[0].few_shot_file == str(tmp_path / "dev.parquet")
    assert harness.limit == 100 and harness.models == ["base", "merged"] and not harness.tasks
    values = [harness.limit, *harness.models, *vars(harness.multiple_choice[0]).values()]
    assert {type(value) for value in values} == {int, str}
    assert json.loads(json.dumps(config.as_dict()))["evaluation"]["harness"]["limit"] == 100
    assert parse(tmp_path, "base_model: x", stage=3).config.evaluation.harness is None


@pytest.mark.parametrize(
    ("harness", "words"),
    [
        ("{tasks: []}", "harness has nothing to do"),
        ("{limit: 5}", "harness has nothing to do"),
        ("{tasks: }", "harness.tasks is empty"),
        ("{tasks: [' ']}", "a task has no name"),
        ("{tasks: [a], multiple_choice: [{name: a, file: q}]}", "two tasks of the name a"),
        ("{tasks: [a], models: []}", "harness.models is empty"),
        ("{tasks: [a], models: [base, nobody]}", "names nobody; there will be base, main_data, .*, merged"),
        ("{tasks: [a], limit: 0}", "c.yaml: evaluation.harness.limit is 0: give a whole number of 1 or more$"),
        (
            "{task: [a]}",
            r"c.yaml: there is no setting evaluation.harness.task \(did you mean evaluation.harness.tasks\?\)$",
        ),
        ("{multiple_choice: [{name: a}]}", r"evaluation.harness.multiple_choice\[0\].file is required and missing$"),
        (
            "{multiple_choice: [{name: a, file: q, style: z}]}",
            r"c.yaml: .*multiple_choice\[0\].style is 'z': give letters or cloze$",
        ),
    ],
)
def test_mistakes_in_the_harness_are_named_in_one_line(tmp_path, harness, words):
    with pytest.raises(RequestError, match=words) as mistake:
        parse(tmp_path, f"base_model: x\nevaluation: {{harness: {harness}}}", stage=3)
    assert "\n" not in str(mistake.value)


def test_no_arguments_at_all():
    with pytest.raises(RequestError, match="required"):
        parse_request("test", [], stage=1)


def test_a_config_that_is_a_folder(tmp_path):
    with pytest.raises(RequestError, match="it is a folder, not a file"):
        parse_request("test", ["--config", str(tmp_path)], stage=3)


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
    assert done.stderr == "error: --config none.yaml cannot be read: No such file or directory\n"
    assert done.stdout == ""


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_configs_are_valid(path):
    request = parse_request("test", ["--config", str(path)], stage=3)
    assert Path(request.config.evaluation.prompts).is_file()
    weights = request.config.merge.weights
    assert weights == "auto" or sum(weights.values()) == pytest.approx(1)
