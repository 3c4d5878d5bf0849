"""The three stages as a user runs them, on tiny real input."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path

import datasets.config
import pytest
import torch
from conftest import DOMAINS, Workplace, make_adapter, make_workplace, split_off, wait_for
from transformers import AutoModelForCausalLM, AutoTokenizer

from dem.config import DataConfig
from dem.corpus import Corpus
from dem.evaluation import comparison
from dem.evaluation.acceptance import GAIN
from dem.evaluation.digits import figure

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tokenizer):
    """A root in which all stages ran: for the first domain and the merge as scripts, from another current directory."""
    folder = tmp_path_factory.mktemp("finished")
    place = make_workplace(folder, tokenizer)
    environment = {**os.environ, "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}

    def run(script, *options):
        command = [sys.executable, str(REPOSITORY / "dem" / script), "--config", str(place.config)]
        command += ["--root", str(place.root), *options]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done

    run("train_individual.py", "--domain", DOMAINS[0])
    run("vector_diff.py", "--domain", DOMAINS[0])
    for domain in DOMAINS[1:]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
            assert place.train(domain) == 0 and place.diff(domain) == 0
    place.output = run("merge_model.py").stderr
    return place


def test_every_stage_writes_what_the_layout_promises_and_nothing_else(finished):
    files = sorted(str(p.relative_to(finished.root)) for p in finished.root.rglob("*") if p.is_file())
    per_domain = [
        "parquet_ready/{}.parquet",
        "checkpoints/lora_{}/README.md",
        "checkpoints/lora_{}/adapter_config.json",
        "checkpoints/lora_{}/adapter_model.bin",
        "checkpoints/lora_{}/dem_run.json",
        "logs/train_{}.log",
        "summary/train_{}.csv",
        "summary/train_{}.png",
        "diff_vectors/diff_{}.npy",
        "diff_vectors/diff_{}.json",
        "diff_stats/diff_{}_summary.json",
        "diff_stats/diff_{}_summary.png",
    ]
    merged = ["README.md", "config.json", "dem_provenance.json", "generation_config.json", "model.safetensors"]
    merged += ["tokenizer.json", "tokenizer_config.json"]
    expected = [pattern.format(domain) for pattern in per_domain for domain in DOMAINS]
    expected += [f"merged_model/{name}" for name in merged]
    expected += ["logs/merge.log", "results/answers.json", "results/eval_prompt_comparison.md"]
    expected += ["results/metric_summary.csv", "results/metrics.json", "results/rating_sheet.html"]
    expected += ["results/acceptance.md", "results/report.md", "results/durations.json", "results/interference.json"]
    pictures = ("perplexity", "loss_curves", "difference_norms", "interference", "merge_weights")
    expected += [f"results/{name}.png" for name in pictures]
    expected += [f"results/leave_one_out.{suffix}" for suffix in ("csv", "json", "png")]
    expected += [f"results/evaluated/{name}.json" for name in ("base", *DOMAINS, "merged")]
    expected += [f"results/evaluated/leave_one_out/{name}.json" for name in ("all", *DOMAINS)]
    assert files == sorted(expected)


def test_log_and_convergence_tell_the_training(finished):
    log = finished.layout.train_log("web").read_text(encoding="utf-8")
    assert "precision: fp32: no GPU here" in log and "asked for: fp16" in log
    assert "torch " in log and "LoRA targets, chosen for its architecture" in log
    assert (
        re.search(r"out_proj +2 +2/2 \(100%\) +[\d,]+", log)
        and "out_proj_allowed" in log
        and "selective_scan_fn: dem" in log
    )
    rows = list(csv.DictReader(finished.layout.train_summary("web", ".csv").open(encoding="utf-8")))
    assert list(rows[0]) == [
        "step", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm",
        "tokens", "tokens_per_second", "elapsed_seconds",
    ]  # fmt: skip
    assert rows[0]["step"] == "0" and rows[0]["eval_loss"] and not rows[0]["loss"]
    evaluated = [float(r["eval_loss"]) for r in rows if r["eval_loss"]]
    assert evaluated[-1] < evaluated[0]
    assert [r["step"] for r in rows if r["loss"]][0] == "1"
    assert all(int(r["tokens"]) == int(r["step"]) * 4 * 64 for r in rows)


def test_every_adapter_module_was_trained(finished):
    tensors = torch.load(finished.layout.adapter("web") / "adapter_model.bin", weights_only=True)
    updates = {n: t for n, t in tensors.items() if "lora_B" in n}
    assert len(updates) == 4 and all(t.dtype == torch.float32 and t.abs().max() > 0 for t in updates.values())


def test_perplexities_are_those_of_the_test_split(finished):
    rows = {r["model"]: r for r in csv.DictReader(finished.layout.metric_summary.open(encoding="utf-8"))}
    assert list(rows) == ["base", *DOMAINS, "merged"]
    tokenizer = AutoTokenizer.from_pretrained(finished.base)
    for name, folder in {"base": finished.base, "merged": finished.layout.merged_model}.items():
        model = AutoModelForCausalLM.from_pretrained(folder)
        data = DataConfig(max_length=64, tune_fraction=0.1, test_fraction=0.1)
        nll = tokens = 0
        for text in Corpus(finished.layout.parquet_files("web"), data).documents("test"):
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            for start in range(0, ids.shape[1] - 1, 63):
                piece = ids[:, start : start + 64]
                with torch.no_grad():
                    nll += float(model(input_ids=piece, labels=piece).loss) * (piece.shape[1] - 1)
                tokens += piece.shape[1] - 1
        assert tokens > 200
        assert float(rows[name]["perplexity_web"]) == pytest.approx(2.718281828 ** (nll / tokens), rel=1e-4)
    assert float(rows["web"]["perplexity_web"]) < float(rows["base"]["perplexity_web"])
    assert "not measured" not in finished.output


def test_comparison_holds_every_prompt_and_model(finished):
    page = finished.layout.prompt_comparison.read_text(encoding="utf-8")
    assert "오늘 날씨는" in page and page.count("| merged | ") == 3  # the metrics and two prompts
    assert "unrated" in page and "Reference: 맑고 따뜻해요." in page


def test_report_and_verdict_are_of_this_run(finished):
    page = finished.layout.report.read_text(encoding="utf-8")
    assert page.startswith("# Is the merged model better?\n\n**") and page.count("](") == 12
    assert "not measured" not in page.replace("## Not measured", "") and "| **pending** |" in page
    rows = {r["model"]: r for r in csv.DictReader(finished.layout.metric_summary.open(encoding="utf-8"))}
    change = float(rows["merged"]["change_all"])
    acceptance = finished.layout.acceptance.read_text(encoding="utf-8")
    assert f"**{figure(abs(change), '.1%', 0, *GAIN)} {'lower' if change < 0 else 'higher'}" in acceptance
    for domain in DOMAINS:
        run = json.loads((finished.layout.adapter(domain) / "dem_run.json").read_text())
        assert 0 < run["epochs"] <= 1 and f"| {domain} | {run['tokens']:,} | {run['epochs']:.1%} |" in page
    durations = json.loads(finished.layout.durations.read_text(encoding="utf-8"))
    logged = finished.layout.merge_log.read_text(encoding="utf-8")
    parts = ("merge", "evaluation", "leave_one_out")
    told = re.search(
        r"stage 3: merge ([\d.]+) s, evaluation ([\d.]+) s, leave-one-out ([\d.]+) s; ([\d.]+) s in all", logged
    )
    measured = [*(durations[part] for part in parts), sum(durations[part] for part in parts)]
    assert [float(seconds) for seconds in told.groups()] == pytest.approx(measured, abs=0.06)
    assert f"merge: done in {told[1]} s" in logged
    assert re.search(r"evaluation: by perplexity web of base: about \S+ s left, .*within the plan's 20 min", logged)


def test_merging_alone_reports_that_nothing_was_evaluated(finished, tmp_path):
    place = Workplace(tmp_path / "root", finished.base, finished.config)
    shutil.copytree(finished.root, place.root)
    assert place.merge("--merge.weights.web", "0.9", "--evaluation.enabled", "false") == 0
    head = place.layout.report.read_text(encoding="utf-8").split("## ")[0]
    assert "was not measured**: the last evaluation is of a model merged before this one" in head
    acceptance = place.layout.acceptance.read_text("utf-8")
    assert re.search(r"\| Merge and evaluation \| at most 20 min in all \| merge [\d.]+ s", acceptance)


def test_provenance_names_what_was_merged(finished):
    record = json.loads((finished.layout.merged_model / "dem_provenance.json").read_text())
    index = json.loads(finished.layout.diff_index("web").read_text())
    assert record["base"]["fingerprint"] == index["base"]["fingerprint"]
    assert record["domains"]["web"]["weight"] == 0.5
    assert record["domains"]["web"]["difference_fingerprint"] == index["vector_fingerprint"]
    run = json.loads((finished.layout.adapter("web") / "dem_run.json").read_text())
    assert index["source"]["data_fingerprint"] == run["data"]["fingerprint"] and run["seconds"] > 0


def test_a_second_run_of_every_stage_gives_the_same(workplace):
    def outputs():
        layout = workplace.layout
        folders = (layout.adapter("web"), layout.merged_model)
        weights = [f.read_bytes() for folder in folders for f in sorted(folder.glob("*model*"))]
        return [*weights, layout.diff_vector("web").read_bytes(), layout.metric_summary.read_bytes()]

    def run_all():
        assert workplace.train("web") == 0 and workplace.diff("web") == 0
        assert workplace.merge("--merge.weights", "{web: 1.0}", "--domains", "[web]") == 0
        return outputs()

    assert run_all() == run_all()


def test_the_base_has_left_memory_when_the_merged_model_is_loaded(workplace, monkeypatch):
    for i, domain in enumerate(DOMAINS):
        make_adapter(workplace.base, workplace.layout.adapter(domain), seed=i)
        assert workplace.diff(domain) == 0
    load, loaded, alive = comparison.load_model, [], []

    def watched(*arguments, **keywords):
        alive.append(sum(model() is not None for model in loaded))
        model = load(*arguments, **keywords)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(comparison, "load_model", watched)
    assert workplace.merge() == 0
    assert alive == [0, 0, 0]  # base, merged model, and the base once more for leave-one-out


def test_two_domains_train_at_the_same_time(workplace):
    runs = [split_off(partial(workplace.train, domain), workplace.root.parent / domain) for domain in DOMAINS]
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0]
    assert all(workplace.layout.existing_adapter(d) for d in DOMAINS)


def test_a_killed_run_leaves_the_old_adapter_and_goes_on_from_its_state(workplace):
    make_adapter(workplace.base, workplace.layout.adapter("web"), seed=1)
    before = (workplace.layout.adapter("web") / "adapter_model.bin").read_bytes()
    options = ["--training.epochs", "2", "--training.save_steps", "5", "--overwrite"]
    state = workplace.layout.training_state("web")
    run = split_off(lambda: workplace.train("web", *options), workplace.root.parent / "stderr")
    wait_for(lambda: list(state.glob("checkpoint-*/complete")))
    run.kill()
    run.join()
    assert (workplace.layout.adapter("web") / "adapter_model.bin").read_bytes() == before
    (state / "checkpoint-9999").mkdir()  # cut off while it was written: no mark
    assert workplace.train("web", *options) == 0
    log = workplace.layout.train_log("web").read_text(encoding="utf-8")
    assert "going on from" in log and "checkpoint-9999" not in log
    assert (workplace.layout.adapter("web") / "adapter_model.bin").read_bytes() != before
    assert not state.exists()


def test_a_state_of_an_older_version_is_not_used(workplace):
    state = workplace.layout.training_state("web")
    (state / "checkpoint-3").mkdir(parents=True)
    (state / "checkpoint-3" / "complete").touch()
    (state / "run.json").write_text("{}")
    assert workplace.train("web") == 0
    assert "the training begins anew" in workplace.layout.train_log("web").read_text(encoding="utf-8")


def test_all_domains_at_once_are_the_same_differences(tmp_path, tokenizer, capsys):
    place = make_workplace(tmp_path, tokenizer)
    for i, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=i)
        assert place.diff(domain) == 0
    one_by_one = {
        d: place.layout.diff_vector(d).read_bytes() + place.layout.diff_index(d).read_bytes() for d in DOMAINS
    }
    for domain in DOMAINS:
        place.layout.diff_vector(domain).unlink()
    assert place.diff("all") == 0
    for domain, expected in one_by_one.items():
        assert place.layout.diff_vector(domain).read_bytes() + place.layout.diff_index(domain).read_bytes() == expected
    assert place.diff("all", "--model", str(place.base)) == 2
    assert "--model is of one domain" in capsys.readouterr().err
    shutil.rmtree(place.layout.adapter(DOMAINS[-1]))
    assert place.diff("all") == 2 and DOMAINS[-1] in capsys.readouterr().err
