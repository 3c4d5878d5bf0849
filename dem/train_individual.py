"""Stage 1: train one LoRA adapter on one domain, or on a mixture of them to compare a merge with.

    python dem/train_individual.py --config configs/yunmin_3b.yaml --domain web
    python dem/train_individual.py --config configs/yunmin_3b.yaml --domain all --dry-run

Reads parquet_ready/<domain>.parquet; writes checkpoints/lora_<domain>/, logs/train_<domain>.log and
summary/train_<domain>.csv with a .png. Any field of the config can be set by its dotted name:
--training.learning_rate 1e-4. An interrupted training goes on where it was; a finished one is not done again unless
--overwrite says so. --dry-run trains nothing: it counts the text, times a few steps and says what the training would
take and need. On several GPUs: accelerate launch --config_file configs/accelerate/ddp.yaml with the rest of the
command after it (see README.md). A small try of all stages on a CPU: make demo.
"""

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a file: find the package `dem` beside this folder, and let this folder hide no library
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from dem.command_line import Request, parse_request
from dem.errors import run_script
from dem.evaluation.named_files import require_named_files
from dem.found_shares import with_found_shares
from dem.gpu_presence import leave_gpus_alone
from dem.layout import RUN_RECORD
from dem.utf8 import in_utf8

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor


def main(argv: list[str] | None = None) -> None:
    """Train the adapter that the command line asks for, or only say what that would take."""
    request = parse_request(__doc__, argv, stage=1)
    if request.config.device == "cpu":
        leave_gpus_alone()
    config, said = with_found_shares(request.config, request.layout, request.domain)
    request = replace(request, config=config)
    if request.dry_run:
        from dem.training_rehearsal import rehearse

        rehearse(request, said)
    else:
        train(request, said)


def train(request: Request, said: list[str]) -> None:
    """Train the adapter of the request's domain or mixture, as the only run that does so; the log gets `said` too."""
    config, layout = request.config, request.layout
    domains = config.domains if config.data.shares(request.domain) else [request.domain]
    files = {name: layout.parquet_files(name) for name in domains}
    require_named_files(request)

    # Imported only now, so that --help and a wrong request do not wait for torch.
    from dem import processes
    from dem.locks import one_run

    processes.join()
    with ExitStack() as held:
        with processes.main_first():
            notes = held.enter_context(one_run([layout.training_output(request.domain)])) if processes.is_main() else []
        train_alone(request, files, [*notes, *said])


def train_alone(request: Request, files: dict[str, list[Path]], notes: list[str]) -> None:
    """Check every input, train the adapter on the text in `files`, put it in its place; the log gets `notes` too."""
    config, layout, domain = request.config, request.layout, request.domain
    shares = config.data.shares(domain)

    from dem import processes, training
    from dem.checkpoints import Checkpoint
    from dem.common import (
        base_folder,
        choose_precision,
        load_model,
        load_tokenizer,
        log,
        model_config,
        require_vocabulary,
        start_log,
    )
    from dem.kernel_choice import require_kernels
    from dem.outputs import require_outputs
    from dem.positions import require_positions
    from dem.run_record import run_record
    from dem.training_blocks import TrainingText
    from dem.training_states import SavedStates

    training.require_equal_shares(config.training.batch_size)
    table, own_log = layout.train_summary(domain, ".csv"), layout.train_log(domain)
    written = (own_log, table, layout.train_summary(domain, ".png"))
    require_outputs(own_log.parent, table.parent, files=written, replaced=layout.adapter(domain))
    base = base_folder(config.base_model)
    checkpoint = Checkpoint(base)
    require_positions(base, config.data.max_length)
    tokenizer = load_tokenizer(base)
    start_log(None, said=(said := []))  # the log of a finished training is left as it is
    for name in files:
        log.info(layout.parquet_listing(name))
    text = TrainingText(files, config, shares)

    fingerprint = checkpoint.fingerprint()
    record = run_record(config, fingerprint, model_config(base), tokenizer, text.fingerprint, shares)
    if not request.overwrite and training.is_trained(layout.adapter(domain), record):
        for line in notes:
            log.info(line)
        return

    precision = choose_precision(config.training.precision)
    require_kernels(model_config(base).model_type, config.kernels)
    states = SavedStates(layout.training_state(domain), training.described(record, precision))
    going_on = processes.on_main(states.can_go_on, request.overwrite)

    blocks = text.blocks(tokenizer)
    start_log(layout.train_log(domain), append=going_on, said=said)
    training.log_surroundings(config, base)
    for line in [*notes, *blocks.notes]:
        log.info(line)
    log.info(f"{len(blocks.train):,} blocks of {config.data.max_length} tokens, {config.training.batch_size} a step")
    log.info(f"precision: {precision.name}: {precision.reason}")
    device = "cpu" if processes.sharding() else None
    model = load_model(base, precision.dtype, kernels=config.kernels, to_train=True, device=device)
    require_vocabulary(model, tokenizer)
    model = training.with_adapter(model, config)

    processes.on_main(states.open)
    record |= training.run_training(model, tokenizer, blocks, config, precision.name, states, table)
    weights = training.adapter_weights(model)
    is_main = processes.is_main()
    processes.leave()
    if is_main:
        put_in_place(request, model, weights, record)


def put_in_place(request: Request, model: "PeftModel", weights: "dict[str, Tensor]", record: dict[str, Any]) -> None:
    """Draw the convergence, and write the adapter with the record of its training."""
    from dem import plots
    from dem.atomic import new_folder
    from dem.common import log, peak_memory_gib
    from dem.trained_adapter import adapter_files
    from dem.training_states import saving

    layout, domain = request.layout, request.domain
    picture = layout.train_summary(domain, ".png")
    with saving(picture):
        plots.convergence(layout.train_summary(domain, ".csv"), picture, domain)
    with saving(layout.adapter(domain)), new_folder(layout.adapter(domain)) as folder:
        model.save_pretrained(folder, safe_serialization=False, state_dict=weights)
        record["adapter"] = adapter_files(folder)
        (folder / RUN_RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    log.info(
        f"{domain}: trained in {record['seconds'] / 60:.1f} min, peak memory {peak_memory_gib():.2f} GiB "
        f"-> {layout.adapter(domain)}"
    )
    log.info(
        f"{domain}: {record['steps']:,} steps on {record['tokens']:,} tokens, {record['epochs']:.3g} times its text"
    )


if __name__ == "__main__":
    sys.exit(run_script(in_utf8(main)))
