"""The parts of gpu.py that say whether it works: versions, the three stages, an interrupted training, the tests."""

import csv
import importlib
import os
import platform
import shutil
import subprocess
import sysconfig
import time
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch
import yaml
from gpu_place import ROOT, Place, refused

import dem
from dem import merge_model, sample, train_individual, vector_diff
from dem.errors import run_script
from dem.layout import Layout
from dem.sample_text import general_mix, generate

DOMAINS = ["web", "social"]
LIBRARIES = ("torch", "triton", "transformers", "peft", "accelerate", "numpy")
KERNELS = ("mamba_ssm", "selective_scan_cuda", "causal_conv1d", "causal_conv1d_cuda", "kernels")
"""Modules of the kernel packages, with their compiled parts."""


def versions(place: Place) -> None:
    """What is installed here, and what of it cannot be imported."""
    place.row("versions", _commit(), ", ".join(f"{name} {_version(name)}" for name in ("Python", *LIBRARIES)))
    place.row("card", "", _card())
    for name in KERNELS:
        place.row("kernels", name, _imported(name))
    compiler, header = shutil.which("cc") or shutil.which("gcc"), Path(sysconfig.get_path("include")) / "Python.h"
    found = f"{compiler or 'no C compiler'}, {header if header.exists() else 'no Python.h'}"
    place.row("what Triton compiles with", "", found)


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return f"dem {dem.__version__} {_told(command)}".strip()


def _told(command: list[str]) -> str:
    """What a program says; nothing where there is none, or it fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    except OSError:
        return ""


def _version(name: str) -> str:
    try:
        return platform.python_version() if name == "Python" else version(name)
    except PackageNotFoundError:
        return "is not installed"


def _imported(name: str) -> str:
    try:
        module = importlib.import_module(name)
    except Exception as error:  # built for another torch, CUDA or driver, each fails in its own way
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            return "is not installed"
        return f"cannot be imported: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    return str(getattr(module, "__version__", "is there"))


def _card() -> str:
    if not torch.cuda.is_available():
        return f"none: a CPU, {torch.get_num_threads()} threads"
    card = torch.cuda.get_device_properties(0)
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = _told(command) or "unknown"
    return (
        f"{card.name}, {card.total_memory / 2**30:.1f} GiB, sm_{card.major}{card.minor}, driver {driver}, "
        f"torch built for CUDA {torch.version.cuda}, {os.cpu_count()} CPU cores"
    )


def tiny_base(place: Place) -> None:
    """Make two domains' text and a base, as the demo does."""
    documents, sample.STEPS, sample.BLOCK = (40, 4, 16) if place.dry else (500, 150, 128)
    corpora = {domain: generate(domain, documents, 1) for domain in DOMAINS}
    sample.write_corpora(corpora, Layout(place.tiny))
    known = {text for texts in corpora.values() for text in texts}
    mix = [text for text in general_mix(documents * len(DOMAINS), 1) if text not in known]
    sample.train_base(mix, place.tiny / "base_model", 1)


def three_stages(place: Place, kernels: str, precision: str) -> None:
    """Train both domains, take their differences, find weights, merge, evaluate; then look at what came out."""
    how = f"{kernels}, {precision}"
    if why := refused(kernels):
        return place.row("three stages", how, why)
    began = time.monotonic()
    stages = _stages(place, f"stages_{kernels}_{precision}", kernels, precision)
    for domain in DOMAINS:
        stages.run(train_individual.main, "--domain", domain)
        stages.run(vector_diff.main, "--domain", domain)
        _require_moved(stages.adapter(domain))
    stages.run(merge_model.main)
    print("\n".join(stages.kernel_lines()))
    better = stages.better()
    place.row("three stages", how, f"{time.monotonic() - began:.0f} s; all adapters move; {better}; {stages.scan()}")


def resume(place: Place, kernels: str) -> None:
    """Kill a training once it has saved a state, go on, and compare with one that nobody killed."""
    if why := refused(kernels):
        place.row("kill -9 and resume", kernels, why)
        kernels = "auto"
    broken, whole = (_stages(place, f"resume_{name}", kernels, "bf16") for name in ("broken", "whole"))
    killed = place.context.Process(target=broken.run, args=(train_individual.main, "--domain", "web"))
    killed.start()
    states = broken.layout.training_state("web")
    while killed.exitcode is None and not list(states.glob("checkpoint-*/complete")):
        time.sleep(0.01)
    killed.kill()
    killed.join()
    if not list(states.glob("checkpoint-*/complete")):
        raise RuntimeError(f"the training to be killed ended before, with {killed.exitcode}")
    for stages in (broken, whole):
        stages.run(train_individual.main, "--domain", "web")
    gone_on = [line for line in broken.log("web") if "going on from" in line]
    ours, expected = (stages.adapter("web") for stages in (broken, whole))
    apart = [name for name in expected if not torch.equal(ours[name], expected[name])]
    told = f"differs in {len(apart)} of {len(expected)} tensors" if apart else "the same adapter, bit for bit"
    place.row("kill -9 and resume", f"{kernels}, bf16", f"{told}; {broken.scan()}")
    if apart or not gone_on or ours.keys() != expected.keys():
        raise RuntimeError(f"a resumed training: {told}; {gone_on or 'it began anew'}")


def gpu_tests(place: Place) -> None:
    """`pytest -m gpu`."""
    counted = _Counted()
    files = [str(path) for path in (ROOT / "tests").glob("test_*.py") if "mark.gpu" in path.read_text("utf-8")]
    options = ["-m", "gpu", "-q", "-s", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    status = pytest.main([*options, *files], plugins=[counted])
    place.row("pytest -m gpu", "", ", ".join(f"{count} {outcome}" for outcome, count in counted.outcomes.items()))
    if status:
        raise RuntimeError(f"pytest ended with {status!r}")


class _Counted:
    """Counts how pytest's tests end."""

    def __init__(self):
        self.outcomes: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report) -> None:
        """Of each test its call, or what came instead of it."""
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[report.outcome] += 1


class _Stages:
    """The three scripts on one root, in this process."""

    def __init__(self, root: Path, config: Path):
        self.layout, self._config = Layout(root), config

    def run(self, main, *options: str) -> None:
        """Run a script.

        Raises:
            RuntimeError: it fails.
        """
        arguments = ["--config", str(self._config), "--root", str(self.layout.root), *options]
        if status := run_script(lambda: main(arguments)):
            raise RuntimeError(f"{main.__module__} {' '.join(options)} ended with {status}")

    def log(self, domain: str) -> list[str]:
        """The lines of a training's log."""
        return self.layout.train_log(domain).read_text(encoding="utf-8").splitlines()

    def kernel_lines(self) -> list[str]:
        """Those that name kernels."""
        return [line[20:] for line in self.log("web") if "_fn: " in line]

    def scan(self) -> str:
        """The one that names the scan."""
        return next(line for line in self.kernel_lines() if line.startswith("selective_scan_fn"))

    def adapter(self, domain: str) -> dict[str, torch.Tensor]:
        """Its tensors by name."""
        path = self.layout.adapter(domain) / "adapter_model.bin"
        return torch.load(path, weights_only=True, map_location="cpu")

    def better(self) -> str:
        """The perplexities of base and merged model.

        Raises:
            RuntimeError: one is not lower.
        """
        with self.layout.metric_summary.open(encoding="utf-8") as file:
            rows = {row["model"]: row for row in csv.DictReader(file)}
        names = [name for name in rows["base"] if name.startswith("perplexity_")]
        pairs = {name: (float(rows["base"][name]), float(rows["merged"][name])) for name in names}
        told = ", ".join(f"{name.partition('_')[2]} {b:.2f} -> {m:.2f}" for name, (b, m) in pairs.items())
        if not pairs or any(merged >= base for base, merged in pairs.values()):
            raise RuntimeError(f"the merged model is not better than its base: {told}")
        return told


def _stages(place: Place, name: str, kernels: str, precision: str) -> _Stages:
    """A root with text of its own, and a config; no stage has run."""
    root = place.work / name
    shutil.copytree(place.tiny / "parquet_ready", root / "parquet_ready")
    training = {"precision": precision, "epochs": 5, "logging_steps": 1}
    if place.dry:
        length, answer, weights = 24, 2, dict.fromkeys(DOMAINS, 0.5)
        training |= {"batch_size": 4, "max_steps": 4, "save_steps": 2, "learning_rate": 5e-3}
    else:
        length, answer, weights = 128, 24, "auto"
        training |= {"batch_size": 16, "max_steps": 40, "save_steps": 10, "learning_rate": 2e-3}
    config = {
        "base_model": str(place.tiny / "base_model"),
        "domains": DOMAINS,
        "kernels": kernels,
        "data": {"max_length": length, "tune_fraction": 0.05, "test_fraction": 0.05},
        "training": training,
        "lora": {"r": 8, "alpha": 16},
        "merge": {"weights": weights, "normalize": False},
        "evaluation": {"max_new_tokens": answer},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return _Stages(root, root / "config.yaml")


def _require_moved(adapter: dict[str, torch.Tensor]) -> None:
    """Refuse an adapter of which a factor is zero, is no number, or is not in float32."""
    bad = [n for n, x in adapter.items() if not x.any() or not torch.isfinite(x).all() or x.dtype != torch.float32]
    if bad or not adapter:
        raise RuntimeError(f"of {len(adapter)} factors {len(bad)} have not moved or are no numbers: {bad[:3]}")
