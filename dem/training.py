"""Stage 1's parts: the adapter on the base, the blocks as a dataset, Trainer's settings, the run."""

import gc
import json
import re
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import accelerate
import peft
import torch
import transformers
from peft.tuners.lora import LoraLayer
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from dem import mamba, processes
from dem.chunked_loss import choose_loss_at_first_batch, use_chunked_loss
from dem.common import Precision, log, progress_wanted, reuse_freed_memory
from dem.config import Config
from dem.convergence import ConvergenceLog, ProgressBar, blocks_after
from dem.errors import RequestError, SharedError, WorkError
from dem.gpu_presence import unseen_gpu
from dem.layout import RUN_RECORD
from dem.run_record import WITHOUT_EFFECT, changes, hours_not_reached, read_record
from dem.shared_trainer import Rehearsal, SharedTrainer, TooLittleMemory
from dem.trained_adapter import require_untouched
from dem.training_blocks import TrainingBlocks
from dem.training_checks import StopOnSignal, WatchAdapters
from dem.training_hours import Hours, Schedule
from dem.training_states import MarkComplete, SavedStates


def log_surroundings(config: Config, base: Path) -> None:
    """Say what this run is made of: versions, device, base and the whole configuration."""
    modules = (torch, transformers, peft, accelerate)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    log.info(f"{', '.join(f'{m.__name__} {m.__version__}' for m in modules)}; device: {device}")
    if unseen := unseen_gpu():
        log.info(f"WARNING: {unseen}")
    if processes.count() > 1:
        share = config.training.batch_size // processes.count()
        how = f"{processes.sharding()}: each holds a part of the weights" if processes.sharding() else "DDP"
        log.info(f"{processes.count()} processes ({how}), {share} blocks each a step")
    log.info(f"base: {base}")
    log.info(f"configuration: {json.dumps(config.as_dict(), ensure_ascii=False)}")


def described(record: dict[str, Any], precision: Precision) -> dict[str, Any]:
    """What a saved state is of: the record of the training, and how it runs here."""
    return record | {"processes": processes.count(), "precision": precision.name}


def require_equal_shares(batch_size: int) -> None:
    """Refuse an effective batch that cannot be dealt out evenly."""
    if batch_size % processes.count():
        raise RequestError(
            f"training.batch_size is {batch_size}, the blocks of a step in all {processes.count()} processes together: "
            f"set a multiple of {processes.count()}, or start another number of processes"
        )


def with_adapter(model: PreTrainedModel, config: Config) -> peft.PeftModel:
    """The model with a new LoRA adapter, which alone trains, in float32; the log gets a table of what is adapted.

    Raises:
        RequestError: a target module matches nothing or cannot train.
    """
    model = adapted(model, config)
    _log_targets(model, "chosen for its architecture" if config.lora.target_modules == "auto" else "as asked")
    log.info(mamba.how_to_load(model))
    return model


def adapted(model: PreTrainedModel, config: Config) -> peft.PeftModel:
    """`with_adapter`, unsaid."""
    transformers.set_seed(config.training.seed)
    chosen = config.lora.target_modules
    settings = peft.LoraConfig(
        r=config.lora.r,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=mamba.target_modules(model, chosen),
        task_type="CAUSAL_LM",
    )
    try:
        with mamba.out_proj_allowed():
            model = peft.get_peft_model(model, settings)
    except ValueError as error:  # PEFT's words for a target that matches nothing or cannot be adapted
        raise RequestError(f"lora.target_modules: {error}") from None
    targeted = model.targeted_module_names
    if chosen != "auto" and (lost := [n for n in chosen if not any(f".{m}".endswith(f".{n}") for m in targeted)]):
        raise RequestError(f"lora.target_modules: no module of the base is named {', '.join(lost)}")
    _refuse_tied_ends(model)
    _share_adapters_of_tied_weights(model)
    return model


def _refuse_tied_ends(model: peft.PeftModel) -> None:
    """Refuse an adapter on the embedding or the head where both are one tensor: neither alone can be merged."""
    base = model.get_base_model()
    ends = (base.get_input_embeddings(), base.get_output_embeddings())
    if getattr(model.config, "tie_word_embeddings", False) and any(isinstance(end, LoraLayer) for end in ends):
        raise RequestError(
            "lora.target_modules: the embedding and the head of this base are one tensor, and the change of one cannot "
            "be merged without changing the other; target neither"
        )


def _share_adapters_of_tied_weights(model: peft.PeftModel) -> None:
    """Give modules that share one weight (Zamba2 repeats its blocks) one adapter: one weight, one change."""
    first: dict[int, LoraLayer] = {}
    for module in model.modules():
        if isinstance(module, LoraLayer):
            weight = module.get_base_layer().weight
            sharer = first.setdefault(weight.data_ptr() or id(weight), module)  # 0 on the meta device
            for name in module.adapter_layer_names:
                setattr(module, name, getattr(sharer, name))


def _log_targets(model: peft.PeftModel, why: str) -> None:
    """A line per target: how many modules it matches, in which share of the layers, parameters that train."""
    layers = model.config.num_hidden_layers
    modules: dict[str, list[str]] = {}
    trainable: Counter[str] = Counter()
    for name, module in model.get_base_model().named_modules():
        if isinstance(module, LoraLayer):
            target = name.rpartition(".")[2]
            modules.setdefault(target, []).append(name)
            trainable[target] += sum(p.numel() for p in module.parameters() if p.requires_grad)
    all_trainable, total = model.get_nb_trainable_parameters()
    log.info(f"LoRA targets, {why}:")
    log.info(f"  {'target':<16} {'modules':>8} {'layers':>14} {'trainable parameters':>21}")
    for target, names in modules.items():
        within = len({match[1] for name in names if (match := re.search(r"\.(\d+)\.", name))})
        share = f"{within}/{layers} ({within / layers:.0%})"
        log.info(f"  {target:<16} {len(names):>8} {share:>14} {trainable[target]:>21,}")
    whole = f"{sum(map(len, modules.values())):>8} {'':>14} {all_trainable:>21,}"
    log.info(f"  {'all':<16} {whole}, {all_trainable / total:.2%} of the model")


def run_training(
    model: peft.PeftModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: TrainingBlocks,
    config: Config,
    precision: str,
    states: SavedStates,
    table: Path,
    watching: tuple[TrainerCallback, ...] = (),
) -> dict[str, float]:
    """Train the adapter; go on from the newest of `states` if there is one, and keep the convergence in `table`.

    `watching` are told of what happens beside this project's own callbacks.

    The effective batch is `training.batch_size` blocks, in all processes together. Where the share of a process does
    not fit into its GPU's memory, it goes through the model in equal parts, whose gradients are accumulated.

    Returns:
        Of the training, what came before an interruption included: `seconds`, `tokens`, `steps` (and `asked_steps`,
        as many as `epochs` and `max_steps` ask for), and `epochs`, how often the text was gone through.

    Raises:
        WorkError: a loss is not finite, an adapter does not learn, memory does not suffice for one block, a state
            cannot be saved, or a signal ended the run.
    """
    reuse_freed_memory()
    if processes.sharding():
        choose_loss_at_first_batch(model.get_base_model(), log.info)
    else:
        log.info(use_chunked_loss(model.get_base_model()))
    if not len(blocks.tune):
        log.info("eval_loss is not measured: no document fell into the tune split; raise data.tune_fraction")
    untrained = {name: p.detach().cpu().clone() for name, p in model.named_parameters() if p.requires_grad}
    batch_size = config.training.batch_size
    share = batch_size // processes.count()
    steps = blocks.steps(batch_size)
    _say_what_comes(blocks, config, steps)
    for part in [size for size in range(share, 0, -1) if share % size == 0]:
        convergence = ConvergenceLog(table, len(blocks.train), batch_size, config.data.max_length, blocks.domains)
        schedule = Schedule(steps)
        on_signal = StopOnSignal()
        resume_from = states.newest()
        if resume_from:
            log.info(f"going on from {resume_from}")
        trainer = _make_trainer(model, tokenizer, blocks, config, precision, states.folder, part, schedule)
        trainer.args.eval_on_start = len(blocks.tune) > 0 and resume_from is None
        trainer.add_callback(MarkComplete(states))
        trainer.add_callback(on_signal)
        trainer.add_callback(convergence)
        trainer.add_callback(
            Hours(schedule, lambda c=convergence: c.seconds, blocks.domains, config.training.max_hours)
        )
        for callback in watching:
            trainer.add_callback(callback)
        fits = True
        try:
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        except torch.OutOfMemoryError as error:
            if processes.count() > 1 and not isinstance(error, TooLittleMemory):
                raise WorkError(_out_of_memory(part, trainer.state.global_step)) from None
            fits = False
        finally:
            on_signal.release()
            if processes.is_main():
                states.remove_unfinished()
        if not fits:  # said only here, where the error no longer holds the activations of the failed step
            log.info(f"{part} blocks at once do not fit into memory: trying fewer, {batch_size} a step as before")
            model.load_state_dict(untrained, strict=False)
            del trainer
            gc.collect()  # DDP's hooks on the parameters go with it
            torch.cuda.empty_cache()
            continue
        if on_signal.stopped:
            raise SharedError(f"stopped at step {trainer.state.global_step}; {_how_to_go_on()}")
        return {**convergence.figures(), "asked_steps": steps}
    raise SharedError("memory does not suffice for one block at a time: lower data.max_length")


def _say_what_comes(blocks: TrainingBlocks, config: Config, steps: int) -> None:
    """Before the training, how much of the text it goes through, as far as that follows without a clock."""
    count, size, length = len(blocks.train), config.training.batch_size, config.data.max_length
    through = blocks_after(steps, count, size)
    log.info(f"{steps:,} steps, {through * length:,} tokens: {through / count:.3g} times the text's {count:,} blocks")


def _how_to_go_on() -> str:
    again = "the same command goes on from there"
    # Of several processes none knows how the launcher was called.
    return again if processes.count() > 1 else f"{again}: {shlex.join([Path(sys.executable).name, *sys.argv])}"


def _out_of_memory(part: int, step: int) -> str:
    """What to say when one of several processes has no memory left where it cannot tell the others."""
    if processes.sharding():
        return (
            f"{part} blocks at once do not fit into the memory of process {processes.index()}, and with "
            f"{processes.sharding()} they cannot be split: lower training.batch_size, or start more processes"
        )
    return (
        f"process {processes.index()} ran out of memory after step {step}: the same command goes on from the last "
        "saved state; if it happens again, lower data.max_length"
    )


def _make_trainer(model, tokenizer, blocks, config, precision, state, part, schedule) -> Trainer:
    """A Trainer that takes `part` blocks at once, with this project's callbacks in place of its own."""
    arguments = _arguments(config, blocks, precision, state, part)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several visible GPUs would multiply the batch; accelerate starts those
    trainer = SharedTrainer(
        model=model,
        args=arguments,
        train_dataset=blocks.train,
        eval_dataset=blocks.tune if len(blocks.tune) else None,
        data_collator=_stack,
        processing_class=tokenizer,
        callbacks=[WatchAdapters()],
        schedule=schedule,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if progress_wanted():
        trainer.add_callback(ProgressBar())
    if processes.count() > 1 and not processes.sharding():
        trainer.add_callback(Rehearsal(trainer))
    return trainer


def _arguments(config: Config, blocks: TrainingBlocks, precision: str, state: Path, part: int) -> TrainingArguments:
    training = config.training
    return TrainingArguments(
        output_dir=str(state),
        learning_rate=training.learning_rate,
        per_device_train_batch_size=part,
        per_device_eval_batch_size=part,
        gradient_accumulation_steps=training.batch_size // (part * processes.count()),
        max_steps=blocks.steps(training.batch_size),
        train_sampling_strategy="sequential" if blocks.in_order else "random",
        fp16=precision == "fp16",
        bf16=precision == "bf16",
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        seed=training.seed,
        logging_steps=training.logging_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if len(blocks.tune) else "no",
        eval_steps=training.eval_steps,
        prediction_loss_only=True,
        save_strategy="steps",
        save_steps=training.save_steps,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        log_level_replica="error",  # as start_log has it for the main process
        ddp_find_unused_parameters=False,  # WatchAdapters finds them, and refuses
    )


def _stack(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """A batch of blocks of equal length: input_ids and labels, both (batch, tokens); no padding, so no mask."""
    ids = torch.tensor([row["input_ids"] for row in rows])
    return {"input_ids": ids, "labels": ids.clone()}


def adapter_weights(model: peft.PeftModel) -> dict[str, torch.Tensor]:
    """The weights that train, by all their names. All processes must ask: where they are sharded, they are gathered."""
    named = model.named_parameters(remove_duplicate=False)  # each of the modules that share an adapter is to find it
    return {n: processes.whole(p) for n, p in named if p.requires_grad}


def is_trained(adapter: Path, record: dict[str, Any]) -> bool:
    """Whether the folder holds the finished adapter that `record` describes; the log says so.

    Raises:
        RequestError: it holds another adapter; the message says what has changed since that was trained.
    """
    if not (adapter / "adapter_config.json").is_file():
        return False
    if not (adapter / RUN_RECORD).is_file():
        raise RequestError(f"{adapter} holds an adapter from elsewhere; --overwrite trains in its place")
    made_by = read_record(adapter)
    ignored = (*WITHOUT_EFFECT, "versions", "sharding")
    if hours_not_reached(made_by, record):
        ignored += ("training.max_hours",)
    if made_by.get("versions", {}).get("transformers") != transformers.__version__:
        ignored += ("base.config", "base.tokenizer")  # which are read in another way, and so not comparable
    if changed := changes(made_by, record, ignored):
        raise RequestError(
            f"{adapter} is trained, and since then there changed {'; '.join(changed)}; --overwrite trains it again"
        )
    require_untouched(adapter, made_by)
    minutes = made_by.get("seconds", 0) / 60
    log.info(f"{adapter} is already trained with these settings ({minutes:.1f} min); --overwrite trains it again")
    return True
