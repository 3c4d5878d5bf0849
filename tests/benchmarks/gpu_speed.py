"""The parts of gpu.py that measure training and evaluation at the shapes of 2.8B."""

import functools
import itertools
import statistics
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import peft
import torch
from gpu_place import Place, refused
from transformers import AutoModelForCausalLM, AutoTokenizer, MambaConfig, TrainerCallback

from dem import common, training
from dem.checkpoints import Checkpoint
from dem.config import Config, DataConfig, LoraConfig, TrainingConfig
from dem.evaluation.documents import Document
from dem.evaluation.generation import answer_all
from dem.evaluation.perplexity import score
from dem.search.losses import Losses
from dem.search.terms import Terms
from dem.training_blocks import TrainingBlocks
from dem.training_hours import device_time
from dem.training_states import SavedStates

CAP = 21.5
"""GiB that a 24 GB card leaves to PyTorch."""
STEPS = 4
"""Of a training: one to warm up, one whose waits are counted, and those that are timed."""
LONG = 30
"""Seconds after which no further step is begun."""


def _device(place: Place) -> str:
    return "cpu" if place.dry else "cuda"


def _dtype(place: Place) -> torch.dtype:
    return torch.float32 if place.dry else torch.bfloat16


def _batch(place: Place) -> tuple[int, int]:
    """Blocks of a step, and tokens of a block."""
    return (2, 16) if place.dry else (8, 2048)


def _capped(place: Place) -> None:
    """From now on this process gets no more memory than a 24 GB card would give it."""
    if not place.dry:
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(CAP * 2**30 / whole, 1.0))
        torch.cuda.reset_peak_memory_stats()


def _peak(place: Place) -> str:
    if place.dry:
        return "no GPU's memory"
    most = (torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved())
    return "peak {:.2f} GiB allocated, {:.2f} reserved".format(*(size / 2**30 for size in most))


def big_base(place: Place) -> None:
    """Write a base with random weights, and the small one's tokenizer."""
    small = {"vocab_size": 2048, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2}
    large = {"vocab_size": 96_000, "hidden_size": 2560, "num_hidden_layers": 64}
    config = MambaConfig(**(small if place.dry else large), tie_word_embeddings=False)
    torch.manual_seed(0)
    with torch.device(_device(place)):
        AutoModelForCausalLM.from_config(config, dtype=_dtype(place)).save_pretrained(place.big)


# Training


def train_ours(place: Place, kernels: str) -> None:
    """A few steps of stage 1."""
    batch, length = _batch(place)
    what, how = _training(place), f"ours, {kernels}"
    if why := refused(kernels):
        return place.row(what, how, why)
    common.start_log(None)
    precision = "fp32" if place.dry else "bf16"
    settings = TrainingConfig(batch_size=batch, precision=precision, logging_steps=10**9, save_steps=10**9)
    settings.max_steps = STEPS
    config = Config(base_model="random", data=DataConfig(max_length=length), training=settings, lora=LoraConfig())
    _capped(place)
    base = common.load_model(place.big, _dtype(place), kernels=kernels, to_train=True)
    model = training.with_adapter(base, config)
    ids = torch.randint(3, 2000, (STEPS * batch, length), generator=torch.Generator().manual_seed(0))
    blocks = datasets.Dataset.from_dict({"input_ids": ids.tolist()})
    text, watch = TrainingBlocks(blocks, blocks.select([]), 1, []), _Watch()
    state = place.work / f"state_{kernels}"
    state.mkdir()
    training.run_training(
        model, None, text, config, precision, SavedStates(state, {}), state / "train.csv", watching=(watch,)
    )
    parts, waits = batch // watch.at_once, by_place(watch.waits)
    print("=> waits of a step:", ", ".join(f"{count} x {where}" for where, count in waits.most_common()) or "none")
    told = f"{_speed(place, watch.seconds())}, {_peak(place)}, in {parts} part{'s' * (parts > 1)}"
    told += f", {waits.total()} waits a step ({', '.join(f'{c} x {w}' for w, c in waits.most_common(4)) or 'none'})"
    place.row(what, how, told, seconds=watch.seconds(), parts=parts)


def _training(place: Place) -> str:
    return "training, {} x {}".format(*_batch(place)) + ("" if place.dry else ", 2.8B")


def _speed(place: Place, seconds: float) -> str:
    batch, length = _batch(place)
    return f"{seconds:.2f} s a step, {batch * length / seconds:,.0f} tokens/s"


class _Watch(TrainerCallback):
    """Times steps, counts the waits of the second one, and ends a training that takes long."""

    def __init__(self):
        self.at_once = 0
        self.waits: list[warnings.WarningMessage] = []
        self._ends: list[float] = []
        self._caught = nullcontext()

    def on_train_begin(self, args, state, control, **kwargs):
        """Begin anew, also where fewer blocks at once are tried because a step failed."""
        self._hear_no_more()
        self.at_once = args.per_device_train_batch_size
        self._ends = [device_time()]

    def on_step_end(self, args, state, control, **kwargs):
        """Take the time, listen from the first step to the second, and perhaps end the training."""
        self._hear_no_more()
        self._ends.append(device_time())
        if state.global_step == 1:
            self._caught = _Waits()
            self.waits = self._caught.__enter__()
        if self._ends[-1] > self._ends[0] + LONG:
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **kwargs):
        """Stop listening where there was no second step."""
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        self._caught.__exit__(None, None, None)
        self._caught = nullcontext()

    def seconds(self) -> float:
        """Of a step: the median of the timed ones or, if there are none, of the last."""
        steps = [after - before for before, after in itertools.pairwise(self._ends)]
        return statistics.median(steps[2:] or steps[-1:])


class _Waits(warnings.catch_warnings):
    """While it lasts, PyTorch warns each time that the host waits for the GPU; gives the list of all warnings."""

    def __init__(self):
        super().__init__(record=True)

    def __enter__(self) -> list[warnings.WarningMessage]:
        caught = super().__enter__()
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("warn")
        return caught

    def __exit__(self, *error) -> None:
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")
        super().__exit__(*error)


def by_place(caught: Iterable[warnings.WarningMessage]) -> Counter[str]:
    """How often the host waited, by the folder, file and line where it did."""
    waits = [warning for warning in caught if "synchronizing CUDA operation" in str(warning.message)]
    return Counter(f"{'/'.join(Path(w.filename).parts[-2:])}:{w.lineno}" for w in waits)


def train_plainly(place: Place) -> None:
    """A few steps of the loop that guides show; without kernels, one layer and one block, which already take long."""
    what, lacking = _training(place), refused("compiled")
    batch, _ = _batch(place)
    layers = 1 if lacking and not place.dry else None
    _capped(place)
    shorter = {"num_hidden_layers": layers} if layers else {}
    model = AutoModelForCausalLM.from_pretrained(place.big, dtype=_dtype(place), device_map=_device(place), **shorter)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    targets = ["in_proj", "x_proj"]  # PEFT refuses out_proj
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=targets)).train()
    part, parts = (1, 1) if layers else (batch, 1)
    while (seconds := _seconds_of_plain_step(place, model, part, parts)) is None and part > 1:
        part, parts = part // 2, parts * 2
    how = "plain, without a kernel" if lacking else "plain, compiled"
    if seconds is None:
        return place.row(what, how, f"not one block fits, {_peak(place)}")
    dead = {n.split(".")[-4] for n, p in model.named_parameters() if "lora_B" in n and not p.any()}
    told = f"{_peak(place)}, {part} at once; adapters without effect: {', '.join(dead) or 'none'}"
    if layers:
        seconds *= batch * 64
        told += "; reckoned from one layer and one block"
    place.row(what, how, f"{_speed(place, seconds)}, {told}", **({} if layers else {"seconds": seconds}))


def _seconds_of_plain_step(place: Place, model: torch.nn.Module, part: int, parts: int) -> float | None:
    """The second step of two, each of `parts` times `part` blocks; None if memory does not suffice."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(3, 2000, (part, _batch(place)[1]), device=_device(place))
    try:
        for _ in range(2):
            began = device_time()
            for _ in range(parts):
                with torch.autocast(_device(place), _dtype(place), enabled=not place.dry):
                    loss = model(input_ids=ids, labels=ids).loss
                (loss / parts).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds = device_time() - began
            if seconds > LONG:
                break
        return seconds
    except torch.OutOfMemoryError:
        print(f"=> {part} blocks at once do not fit")
    model.zero_grad()
    torch.cuda.empty_cache()
    return None


# Evaluation


def evaluate(place: Place) -> None:
    """Perplexity, answers, and what a search asks for."""
    common.start_log(None)
    _capped(place)
    model = common.load_model(place.big, _dtype(place), kernels="auto")
    what = "evaluation" + ("" if place.dry else ", 2.8B")
    length = _batch(place)[1]
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 2000, (3 if place.dry else 16, length), generator=generator)
    documents = [Document(row.tolist(), 1) for row in ids]
    place.row(what, "perplexity", f"{_tokens_a_second(model, documents, length)}, {_peak(place)}")
    place.row(what, "answers", _answers(place, model))
    place.row(what, "search", f"{_search(place, model, documents, length)}, {_peak(place)}")


def _tokens_a_second(model: torch.nn.Module, documents: list[Document], length: int) -> str:
    score(model, documents[:2], length)
    began = device_time()
    score(model, documents, length)
    return f"{len(documents) * (length - 1) / (device_time() - began):,.0f} tokens/s"


def _answers(place: Place, model: torch.nn.Module) -> str:
    """Ten at once, for as many tokens as were asked of the model."""
    tokenizer = AutoTokenizer.from_pretrained(place.tiny / "base_model")
    calls = Counter()
    hook = model.register_forward_hook(lambda *_: calls.update(["calls"]))
    for new in (2, 4 if place.dry else 48):
        calls.clear()
        began = device_time()
        answer_all(model, tokenizer, ["오늘 날씨는"] * 10, new)
        seconds = device_time() - began
    hook.remove()
    return f"{seconds / calls['calls'] * 1e3:.1f} ms a token, 10 at once, {calls['calls']} tokens"


class _RandomDifference:
    """What the search asks of a difference, besides its factors."""

    def __init__(self, names: Sequence[str]):
        self._names = set(names)
        self.index = SimpleNamespace(parameters=[SimpleNamespace(name=name) for name in names])

    def __contains__(self, name: str) -> bool:
        return name in self._names


def _search(place: Place, model: torch.nn.Module, documents: list[Document], length: int) -> str:
    """One evaluation with the gradient by the weights of five domains, whose factors have rank 16."""
    changed = {
        f"{path}.weight": module.weight
        for path, module in model.named_modules()
        if path.endswith(("in_proj", "out_proj"))
    }
    draw = functools.partial(torch.randn, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    factors = {name: (draw(w.shape[0], 16) * 1e-3, draw(16, w.shape[1]) * 1e-3) for name, w in changed.items()}
    domains = [f"domain{number}" for number in range(5)]
    differences = dict.fromkeys(domains, _RandomDifference(list(changed)))
    terms = Terms(model, Checkpoint(place.big), differences, dict.fromkeys(domains, factors))
    losses = Losses(terms, {domains[0]: documents[: 2 if place.dry else 8]}, length)
    losses.at(np.full((5, 1), 0.2), gradient=True)
    found = losses.at(np.full((5, 1), 0.2), gradient=True)
    if not (np.isfinite(found.jacobian).all() and found.jacobian.any()):
        raise RuntimeError(f"the search has no gradient: {found.jacobian}")
    return f"{found.forward_tokens / found.seconds:,.0f} tokens/s forward and backward"
