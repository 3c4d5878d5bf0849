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
from pathlib import Path

if not __package__:  # run as a file: find the package `dem` beside this folder, and let this folder hide no library
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from dem.command_line import Request, parse_request
from dem.errors import run_script
from dem.layout import RUN_RECORD


def main(argv: list[str] | None = None) -> None:
    """Train the adapter that the command line asks for, or only say what that would take."""
    request = parse_request(__doc__, argv, stage=1)
    if request.dry_run:
        from dem.training_rehearsal import rehearse

        rehearse(request)
    else:
        train(request)


def train(request: Request) -> None:
    """Check every input, train the adapter of the request's domain or mixture, and put it in its place."""
    config, layout, domain = request.config, request.layout, request.domain
    shares = config.data.shares(domain)
    files = {name: layout.parquet_files(name) for name in (config.domains if shares else [domain])}

    # Imported only now, so that --help and a wrong request do not wait for torch.
    from dem import plots, processes, training
    from dem.atomic import new_folder, require_replaceable, require_writable
    from dem.checkpoints import Checkpoint
    from dem.common import (
        base_folder,
        choose_precision,
        load_model,
        load_tokenizer,
        log,
        model_config,
        peak_memory_gib,
        require_vocabulary,
        start_log,
    )
    from dem.run_record import run_record
    from dem.training_blocks import TrainingText

    processes.join()
    training.require_equal_shares(config.training.batch_size)
    table, picture = layout.train_summary(domain, ".csv"), layout.train_summary(domain, ".png")
    require_replaceable(layout.adapter(domain))
    require_writable(layout.train_log(domain).parent, table.parent)
    base = base_folder(config.base_model)
    checkpoint = Checkpoint(base)
    tokenizer = load_tokenizer(base)
    text = TrainingText(files, config, shares)

    start_log(None)  # the log of a finished training is left as it is
    fingerprint = checkpoint.fingerprint()
    record = run_record(config, fingerprint, model_config(base), tokenizer, text.fingerprint, shares)
    if not request.overwrite and training.is_trained(layout.adapter(domain), record):
        return

    blocks = text.blocks(tokenizer)
    state = layout.training_state(domain)

    start_log(layout.train_log(domain), append=training.can_resume(state, record))
    training.log_surroundings(config, base)
    for line in blocks.notes:
        log.info(line)
    log.info(f"{len(blocks.train):,} blocks of {config.data.max_length} tokens, {config.training.batch_size} a step")
    precision = choose_precision(config.training.precision)
    log.info(f"precision: {precision.name}: {precision.reason}")
    device = "cpu" if processes.sharding() else None
    model = load_model(base, precision.dtype, hub_kernels=config.hub_kernels, to_train=True, device=device)
    require_vocabulary(model, tokenizer)
    model = training.with_adapter(model, config)

    processes.on_main(training.open_state, state, record)
    record["seconds"], record["tokens"] = training.run_training(
        model, tokenizer, blocks, config, precision.name, state, table
    )
    weights = training.adapter_weights(model)
    is_main = processes.is_main()
    processes.leave()
    if not is_main:
        return

    plots.convergence(table, picture, domain)
    with new_folder(layout.adapter(domain)) as folder:
        model.save_pretrained(folder, safe_serialization=False, state_dict=weights)
        (folder / RUN_RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    log.info(
        f"{domain}: trained in {record['seconds'] / 60:.1f} min, peak memory {peak_memory_gib():.2f} GiB "
        f"-> {layout.adapter(domain)}"
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
