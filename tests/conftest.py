"""Tiny real models, adapters and corpora that the tests make for themselves."""

import multiprocessing
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that would ask the hub fails at once instead
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Before anything imports Triton: without a GPU its kernels are then interpreted, on the CPU.
os.environ.setdefault("TRITON_INTERPRET", str(int(not os.path.exists("/dev/nvidia0"))))

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from matplotlib.figure import Figure
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from dem import mamba, merge_model, train_individual, vector_diff
from dem.atomic import require_writable
from dem.errors import run_script
from dem.evaluation.answers import Answers
from dem.evaluation.prompts import Prompt
from dem.evaluation.rate import publish
from dem.evaluation.report import ModelResult
from dem.layout import Layout
from dem.sample import train_tokenizer, write_corpora
from dem.sample_text import generate


def pytest_addoption(parser):
    parser.addoption("--fuzz-cases", type=int, default=300, help="cases of each seeded fuzzer (a few hundred in CI)")


torch.set_num_threads(1)  # two test processes on two cores

DOMAINS = ["web", "social"]


@pytest.fixture(autouse=True)
def own_caches(tmp_path_factory, monkeypatch):
    """Token blocks are kept by content; no test may find another run's."""
    import datasets.config

    folder = tmp_path_factory.mktemp("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)


@pytest.fixture(autouse=True)
def blank_pictures(request, monkeypatch):
    """Pictures are put together and not rendered, which takes a fifth of a stage's time, but where they are looked at:
    in tests marked `pictures`, in fixtures of a wider scope, and in processes of their own."""
    if not request.node.get_closest_marker("pictures"):
        monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: Path(path).write_bytes(b"not rendered"))


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer(generate("web", 100, 7) + generate("social", 100, 7), vocabulary=600)


def make_base(folder: Path, tokenizer, dtype=torch.float32, tied=False, sharded=False, seed=0) -> Path:
    """A Mamba of two layers with random weights and its tokenizer, saved as transformers saves them."""
    torch.manual_seed(seed)
    config = MambaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        state_size=4,
        num_hidden_layers=2,
        tie_word_embeddings=tied,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = MambaForCausalLM(config).to(dtype)
    model.save_pretrained(folder, max_shard_size="40KB" if sharded else "1GB")
    tokenizer.save_pretrained(folder)
    return folder


def make_adapter(base: Path, folder: Path, seed: int, targets=("in_proj", "x_proj", "out_proj"), **settings) -> Path:
    """A LoRA adapter whose B is not zero, as if it had been trained."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=6, target_modules=list(targets), task_type="CAUSAL_LM", **settings)
    with mamba.out_proj_allowed():
        model = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.05)
    model.save_pretrained(folder, safe_serialization=False)
    return folder


def split_off(work: Callable[[], int], heard: Path) -> multiprocessing.Process:
    """A process that does `work` and ends with its status; what it says on stderr goes into the file `heard`.

    It has all that this one has imported and patched, and so begins at once.
    """

    def do() -> None:
        with heard.open("a") as file:
            os.dup2(file.fileno(), 2)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        AcceleratorState._reset_state(reset_partial_state=True)  # what this process's own trainings left there
        sys.exit(work())

    process = multiprocessing.get_context("fork").Process(target=do)
    process.start()
    return process


def wait_for(condition: Callable[[], object]) -> None:
    """Until the condition holds, for two minutes at most."""
    deadline = time.monotonic() + 120
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@dataclass
class Workplace:
    """A root with the layout's folders, and the three scripts to run there in this process."""

    root: Path
    base: Path
    config: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    def train(self, domain: str, *options: str) -> int:
        return self._run(train_individual.main, "--domain", domain, *options)

    def diff(self, domain: str, *options: str) -> int:
        return self._run(vector_diff.main, "--domain", domain, *options)

    def merge(self, *options: str) -> int:
        return self._run(merge_model.main, *options)

    def _run(self, main: Callable, *options: str) -> int:
        return run_script(lambda: main(["--config", str(self.config), "--root", str(self.root), *options]))


@pytest.fixture
def refused(capsys):
    """Check an exit status and what stderr says; log lines may precede the error, nothing may follow it."""

    def check(status: int, *words: str) -> None:
        lines = capsys.readouterr().err.strip().splitlines()
        assert status == 2, lines
        assert lines[-1].startswith("error: ") and sum(line.startswith("error: ") for line in lines) == 1
        assert not any("Traceback" in line for line in lines)
        for word in words:
            assert word in lines[-1]

    return check


@pytest.fixture
def workplace(tmp_path, tokenizer) -> Workplace:
    """Two domains of text, a tiny base, and a config for them; no stage has run."""
    return make_workplace(tmp_path, tokenizer)


def make_workplace(folder: Path, tokenizer, **base) -> Workplace:
    root = folder / "root"
    write_corpora({domain: generate(domain, 60, 1) for domain in DOMAINS}, Layout(root))
    (folder / "prompts.jsonl").write_text(
        '{"prompt": "오늘 날씨는", "reference": "맑고 따뜻해요."}\n{"prompt": "민호:"}\n', encoding="utf-8"
    )
    config = {
        "base_model": "base",
        "domains": DOMAINS,
        "data": {"max_length": 64, "tune_fraction": 0.1, "test_fraction": 0.1},
        "training": {"learning_rate": 1e-2, "batch_size": 4, "epochs": 0.1, "eval_steps": 5, "logging_steps": 2},
        "lora": {"r": 4, "alpha": 8},
        "merge": {"weights": {"web": 0.5, "social": 0.5}},
        "evaluation": {"max_new_tokens": 4},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return Workplace(root, make_base(folder / "base", tokenizer, **base), path)


@dataclass
class RatingPlace:
    """A root that holds the answers of an evaluation and nothing else, and stage 3 to rate them."""

    root: Path

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def report(self) -> str:
        return self.layout.prompt_comparison.read_text(encoding="utf-8")

    def publish(self, answers: dict[str, list[str]], prompts: list[Prompt]) -> Answers:
        """Write the answers, by model, as an evaluation does."""
        require_writable(self.layout.results, self.layout.merge_log.parent)
        models = [ModelResult(name, {}, texts) for name, texts in answers.items()]
        made = Answers(prompts, models, 8, None)
        publish(made, self.layout)
        return made

    def rate(self, *options: str) -> int:
        arguments = ["--base_model", "x", "--root", str(self.root), "--ratings", *options]
        return run_script(lambda: merge_model.main(arguments))


@pytest.fixture
def rating_place(tmp_path) -> RatingPlace:
    return RatingPlace(tmp_path / "root")
