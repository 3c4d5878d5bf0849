"""Base, domain models and merged model in turn, through the same texts and prompts."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dem import mamba
from dem.common import load_model, log, progress_bar, read_json
from dem.errors import RequestError
from dem.evaluation.harness import Harness, run_harness
from dem.evaluation.perplexity import score, windows
from dem.evaluation.prompts import Prompt, answer
from dem.evaluation.report import ModelResult
from dem.evaluation.text_metrics import score_texts


def compare(
    base: Path,
    adapters: dict[str, Path],
    models: dict[str, Path],
    merged: Path,
    tokenizer: PreTrainedTokenizerBase,
    test_ids: dict[str, list[list[int]]],
    prompts: list[Prompt],
    max_length: int,
    max_new_tokens: int,
    hub_kernels: bool,
    harness: Harness | None = None,
) -> list[ModelResult]:
    """Measure every model: the base is loaded once and each adapter put on it, the others are those on disk.

    Args:
        adapters: folder of each domain's adapter, by domain.
        models: folder of the fully fine-tuned model of each of the other domains, by domain.
        test_ids: token ids of each test document, by domain.
        max_length: length of a perplexity window, in tokens.
        harness: the tasks of lm-evaluation-harness and the models to do them with.
    """
    tokens = sum(len(w) - 1 for documents in test_ids.values() for ids in documents for w in windows(ids, max_length))
    count = len(adapters) + len(models) + 2
    log.info(f"evaluation: {count} models x ({tokens:,} test tokens and {len(prompts)} prompts)")
    results = []
    with progress_bar(count * (tokens + len(prompts) * max_new_tokens), "evaluation", " tokens") as bar:
        for name, model in _models(base, adapters, {**models, "merged": merged}, hub_kernels):
            result = ModelResult(name)
            for domain, documents in test_ids.items():
                result.scores[domain] = score(model, documents, max_length, bar.update)
            for prompt in prompts:
                result.answers.append(answer(model, tokenizer, prompt.prompt, max_new_tokens))
                bar.update(max_new_tokens)
            pairs = [(a, p.reference) for a, p in zip(result.answers, prompts, strict=True) if p.reference]
            result.text_metrics = score_texts([a for a, _ in pairs], [r for _, r in pairs])
            if harness and name in harness.models:
                result.harness = run_harness(model, tokenizer, harness)
            results.append(result)
            log.info(f"evaluation: {name} done")
            del model  # or it would be in memory beside the next
    return results


def _models(
    base: Path, adapters: dict[str, Path], others: dict[str, Path], hub_kernels: bool
) -> Iterator[tuple[str, torch.nn.Module]]:
    """Name and model, one at a time: the base has left memory when another model is loaded."""
    yield from _base_and_domains(lambda: load_model(base, _dtype(), hub_kernels=hub_kernels), adapters)
    for name, folder in others.items():
        gc.collect()  # PEFT's layers refer to each other in circles
        yield name, load_model(folder, _dtype(), hub_kernels=hub_kernels)


def _base_and_domains(
    load: Callable[[], PreTrainedModel], adapters: dict[str, Path]
) -> Iterator[tuple[str, torch.nn.Module]]:
    model = load()
    yield "base", model
    for domain, folder in adapters.items():
        with _adapter_on(model, folder) as adapted:
            yield domain, adapted
        config = read_json(folder / "adapter_config.json")
        if config.get("modules_to_save") or config.get("bias", "none") != "none":
            del model, adapted  # PEFT leaves these in the base
            gc.collect()
            model = load()


def _dtype() -> torch.dtype | str:
    """A GPU runs the checkpoint's own type, a CPU float32."""
    return "auto" if torch.cuda.is_available() else torch.float32


@contextmanager
def _adapter_on(model: PreTrainedModel, folder: Path) -> Iterator[PreTrainedModel]:
    """The model with the adapter in `folder` on it; without it again afterwards."""
    try:
        with mamba.out_proj_allowed():
            adapted = PeftModel.from_pretrained(model, str(folder))
    except Exception as error:  # PEFT, torch and safetensors each raise their own for a damaged adapter
        raise RequestError(f"the adapter in {folder} cannot be loaded: {str(error).splitlines()[0]}") from None
    try:
        yield adapted.eval()
    finally:
        adapted.unload()
