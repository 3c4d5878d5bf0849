"""The dry run of stage 1: what is known of the text, what the training would take, and whether it could begin.

It writes nothing below the root and nothing into a cache. The model is loaded once, to time a few steps, if it fits.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import datasets
import psutil
import torch
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from dem import processes, training
from dem.atomic import nearest_there
from dem.checkpoints import Checkpoint, files_fingerprint
from dem.columns import in_bytes
from dem.command_line import ALL_DOMAINS, Request
from dem.common import (
    SENSITIVE_TO_ROUNDING,
    TOKENIZER_FILES,
    Precision,
    base_folder,
    choose_precision,
    load_model,
    load_tokenizer,
    log,
    model_config,
    require_vocabulary,
    start_log,
)
from dem.config import Config
from dem.corpus import blocks
from dem.errors import RequestError
from dem.evaluation.named_files import require_named_files
from dem.kernel_choice import require_kernels
from dem.mixtures import blocks_each, steps_of, trained_blocks
from dem.names import Names
from dem.outputs import require_outputs
from dem.positions import require_positions
from dem.run_record import run_record
from dem.split_size import split_warnings
from dem.text_census import Census, census_lines, count_tokens, take_census
from dem.timed_steps import TOO_LONG, Timing, least_seconds, time_steps
from dem.training_blocks import TUNE_BLOCKS, require_one_block
from dem.training_hours import in_hours
from dem.training_plan import (
    ADAPTER_BYTES,
    STATE_BYTES,
    STATES,
    TOKEN_BYTES,
    Memory,
    TrainingPlan,
    memory_free,
    memory_of,
    plan_table,
    time_lines,
    trained,
)
from dem.training_states import SavedStates


@dataclass
class Rehearsal:
    """What a dry run has found out so far."""

    request: Request
    names: list[str]
    """The domains, or the mixture, that would be trained."""
    base: Path
    tokenizer: PreTrainedTokenizerBase
    censuses: dict[str, Census] = field(default_factory=dict)
    """Of each domain whose text can be read."""
    mistakes: dict[str, str] = field(default_factory=dict)
    """What a real run would refuse, by domain or mixture."""

    def domains_of(self, name: str) -> list[str]:
        """The domains whose text a training reads: a mixture's length is that of all of them."""
        config = self.request.config
        return config.domains if config.data.shares(name) else [name]

    @property
    def wanted(self) -> list[str]:
        """All domains whose text would be trained on."""
        return list(dict.fromkeys(domain for name in self.names for domain in self.domains_of(name)))


def rehearse(request: Request, said: list[str]) -> None:
    """Say what training the request's domain or mixture, or all domains, would take; before it, `said`.

    Raises:
        RequestError: a real run would be refused; whatever else can be said has been said before.
        WorkError: the timed steps failed, as the training would.
    """
    config = request.config
    processes.join()
    if processes.count() > 1:
        raise RequestError("--dry-run is for one process: start it with python, without accelerate launch")
    names = config.domains if request.domain == ALL_DOMAINS else [request.domain]
    for name in names:
        own_log = request.layout.train_log(name)
        table, picture = (request.layout.train_summary(name, suffix) for suffix in (".csv", ".png"))
        files, replaced = (own_log, table, picture), request.layout.adapter(name)
        require_outputs(own_log.parent, table.parent, files=files, replaced=replaced, dry_run=True)
    _require_cache()
    require_named_files(request)
    base = base_folder(config.base_model)
    require_positions(base, config.data.max_length)
    require_kernels(model_config(base).model_type, config.kernels)
    run = Rehearsal(request, names, base, load_tokenizer(base))
    start_log(None)
    for line in said:
        log.info(line)
    training.log_surroundings(config, base)
    _say_text(run)
    _say_what_is_there(run)
    _say_training(run)
    log.info("dry run: nothing was trained and nothing written")
    if run.mistakes:
        raise RequestError("; ".join(dict.fromkeys(run.mistakes.values())))


def _require_cache() -> None:
    cache = Path(datasets.config.HF_DATASETS_CACHE)
    try:
        require_outputs(cache, dry_run=True)
    except RequestError as mistake:
        raise RequestError(
            f"token blocks cannot be kept in {cache} ({mistake}): set HF_HOME to a writable folder"
        ) from None


def _say_text(run: Rehearsal) -> None:
    """Count the text of the domains that would be trained on, and compare it with the others'."""
    layout, config = run.request.layout, run.request.config
    for domain in dict.fromkeys([*run.wanted, *config.domains]):
        try:
            files = layout.parquet_files(domain)
            log.info(f"data: {layout.parquet_listing(domain)}")
            run.censuses[domain] = take_census(domain, files, config.data)
        except RequestError as mistake:
            if domain in run.wanted:
                run.mistakes |= {name: str(mistake) for name in run.names if domain in run.domains_of(name)}
            else:
                log.info(f"data: not compared with {domain}: {mistake}")
    counted = [run.censuses[domain] for domain in run.wanted if domain in run.censuses]
    for census in counted:
        count_tokens(census, run.tokenizer)
        _require_text(run, census)
    others = [census.domain for census in run.censuses.values()]
    for line in census_lines(counted, {domain: run.censuses[domain].texts for domain in others}):
        log.info(line)
    for census in counted:
        for line in split_warnings(census.domain, census.corpus.counts):
            log.info(line)


def _require_text(run: Rehearsal, census: Census) -> None:
    try:
        require_one_block(census.tokens["train"], run.request.config.data.max_length, census.corpus.files[0])
    except RequestError as mistake:
        run.mistakes |= {name: str(mistake) for name in run.names if census.domain in run.domains_of(name)}


def _say_what_is_there(run: Rehearsal) -> None:
    """Whether an adapter or an unfinished training is there already, and what a real run would do with it."""
    layout, precision = run.request.layout, choose_precision(run.request.config.training.precision)
    for name in run.names:
        adapter, state = layout.adapter(name), layout.training_state(name)
        if name in run.mistakes or not (os.path.lexists(state) or (adapter / "adapter_config.json").is_file()):
            continue
        try:
            record = _record(run, name)
            if not run.request.overwrite and training.is_trained(adapter, record):
                continue
            _say_states(name, SavedStates(state, training.described(record, precision)), run.request.overwrite)
        except RequestError as mistake:
            run.mistakes[name] = str(mistake)


def _say_states(name: str, states: SavedStates, overwrite: bool) -> None:
    """What would become of an unfinished training."""
    unfinished = f"{name}: an unfinished training is in {states.folder}"
    if not states.can_go_on(overwrite):
        if states.newest():
            log.info(f"{unfinished}: --overwrite would give it up, as it was begun with other settings")
        return
    whole, damaged = states.usable()
    for saved, mistake in damaged:
        log.info(f"{name}: WARNING: the saved state {saved} would be given up, {mistake}")
    log.info(f"{unfinished}: it would {f'go on from {whole.name}' if whole else 'begin anew'}")


def _record(run: Rehearsal, name: str) -> dict:
    """The record of the training that would be."""
    config = run.request.config
    shares = config.data.shares(name)
    of_files = {domain: files_fingerprint(run.censuses[domain].corpus.files) for domain in run.domains_of(name)}
    fingerprint = Checkpoint(run.base).fingerprint()
    text = of_files if shares else of_files[name]
    return run_record(config, fingerprint, model_config(run.base), run.tokenizer, text, shares)


def _say_training(run: Rehearsal) -> None:
    """Steps, parameters, disk, memory and time of the trainings."""
    config = run.request.config
    model = Names.of(run.base).model
    require_vocabulary(model, run.tokenizer)
    model = training.with_adapter(model, config)
    plans = [_plan(run, name) for name in run.names if name not in run.mistakes]
    if not plans:
        return
    for line in plan_table(plans, config.data.max_length):
        log.info(line)
    _say_disk(run, plans, trained(model))
    precision = choose_precision(config.training.precision)
    log.info(f"precision: {precision.name}: {precision.reason}")
    memory = memory_of(model, config, precision.dtype, SENSITIVE_TO_ROUNDING)
    _say_memory(config, memory)
    if why := _why_no_step(model, config, memory):
        log.info(f"time: not known: {why}")
        return
    del model
    timing = _tried(run, precision)
    for line in time_lines(plans, timing):
        log.info(line)


def _plan(run: Rehearsal, name: str) -> TrainingPlan:
    config = run.request.config
    domains = [run.censuses[domain] for domain in run.domains_of(name)]
    length = config.data.max_length
    own = {census.domain: census.tokens["train"] // length for census in domains}
    watched = {census.domain: census.tokens["tune"] // length for census in domains}
    about = "about " if any(census.sample < 1 for census in domains) else ""
    cached = sum(own.values()) + sum(watched.values())
    if shares := config.data.shares(name):
        total = sum(trained_blocks(count, config.training) for count in own.values())
        drawn = ", ".join(
            f"{domain} {count:,} of {own[domain]:,}" for domain, count in blocks_each(total, shares).items()
        )
        log.info(f"mixture {name}: {about}{total:,} blocks, as many as the trainings of all domains: {drawn}")
        tune = min(sum(watched[domain] for domain in shares), TUNE_BLOCKS)
        steps = steps_of(total, 1, config.training.batch_size)
        return TrainingPlan.of(name, len(domains), total, about, steps, tune, cached, config)
    tune = min(max(watched[name], domains[0].tokens["tune"] > 1), TUNE_BLOCKS)  # of too little text, all is one block
    settings = config.training
    steps = steps_of(own[name], settings.epochs, settings.batch_size, settings.max_steps)
    return TrainingPlan.of(name, 1, own[name], about, steps, tune, cached, config)


def _say_disk(run: Rehearsal, plans: list[TrainingPlan], parameters: int) -> None:
    """What is written where, beside what is free there."""
    root, cache = run.request.layout.root, Path(datasets.config.HF_DATASETS_CACHE)
    stays = len(plans) * parameters * ADAPTER_BYTES
    while_training = STATES * (parameters * STATE_BYTES + _tokenizer_bytes(run.base))
    kept = sum(plan.cached for plan in plans) * run.request.config.data.max_length * TOKEN_BYTES
    log.info(
        f"disk: adapters {in_bytes(stays)}, states of an unfinished training up to {in_bytes(while_training)} in "
        f"{root} ({in_bytes(_free(root))} free)"
    )
    log.info(f"disk: token blocks {in_bytes(kept)} in {cache} ({in_bytes(_free(cache))} free)")
    same = nearest_there(root).stat().st_dev == nearest_there(cache).stat().st_dev
    if _free(root) < stays + while_training + kept * same or _free(cache) < kept:
        log.info("disk: WARNING: that is more than is free")


def _tokenizer_bytes(base: Path) -> int:
    """Of the tokenizer's files, which Trainer puts into each state."""
    return sum(path.stat().st_size for path in {path for name in TOKENIZER_FILES for path in base.glob(name)})


def _free(folder: Path) -> int:
    return shutil.disk_usage(nearest_there(folder)).free


def _say_memory(config: Config, memory: Memory) -> None:
    batch, free = config.training.batch_size, memory_free()
    log.info(
        f"memory: about {in_bytes(memory.of(batch))} for {batch} blocks at once, {in_bytes(memory.of(1))} for one at a "
        f"time; {in_bytes(free)} of {'the GPU' if torch.cuda.is_available() else 'this machine'} are free"
    )
    log.info(f"memory: {memory.parts()}; without what a layer computes between its linear modules")


def _why_no_step(model: PeftModel, config: Config, memory: Memory) -> str | None:
    """Why no step can be tried here; None if one can."""
    gpu = torch.cuda.is_available()
    least = memory.of(1 if gpu else config.training.batch_size)  # a GPU takes in parts what does not fit at once
    if least > memory_free():
        return f"no step can be tried here, which needs about {in_bytes(least)} of memory"
    if memory.weights > psutil.virtual_memory().available:
        return f"the model cannot be loaded here: {in_bytes(memory.weights)} pass through this machine's own memory"
    seconds = 0.0 if gpu else least_seconds(model, config)
    if seconds > TOO_LONG:
        return f"no step is tried here, which takes {in_hours(seconds)} or more: as long as its matrix products alone"
    return None


def _tried(run: Rehearsal, precision: Precision) -> Timing:
    config = run.request.config
    census = next(run.censuses[d] for name in run.names if name not in run.mistakes for d in run.domains_of(name))
    batch = config.training.batch_size
    log.info(f"time: loading the model and trying a few steps of {batch} x {config.data.max_length} tokens")

    def some(side: str, count: int) -> list[dict[str, list[int]]]:
        made: Iterator = blocks(census.corpus.documents(side), run.tokenizer, config.data.max_length)
        return list(islice(made, count))

    model = load_model(run.base, precision.dtype, kernels=config.kernels, to_train=True)
    model: PeftModel = training.adapted(model, config)
    timing = time_steps(model, run.tokenizer, some("train", batch), some("tune", batch), config, precision.name)
    parts = "" if timing.at_once == batch else f" in parts of {timing.at_once}, which is what fits into memory"
    log.info(
        f"time: {timing.step:.3g} s a step (mean of {timing.steps}){parts}, "
        f"{batch * config.data.max_length / timing.step:,.0f} tokens/s, peak memory {timing.memory_gib:.2f} GiB"
    )
    return timing
