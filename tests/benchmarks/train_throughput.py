"""How fast a Mamba-1 trains here, beside the plain Hugging Face + PEFT loop and the machine's own limit.

    python tests/benchmarks/train_throughput.py             # the table; about ten minutes on 2 cores
    python tests/benchmarks/train_throughput.py --no-peer   # without the slow loop, to compare two versions of ours

Every row is a process of its own. `ours` is stage 1's own `run_training`, `plain` the loop that the libraries' guides
show. Both train LoRA of rank 16 on in_proj and x_proj of one random model (hidden 256, 4 layers) with batches of 8.
`limit` is the time that the model's matrix products alone need at the speed that this machine multiplies matrices of
their size; no training can be faster. A step's time is the median of the measured ones.
"""

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

BATCH = 8
TARGETS = ["in_proj", "x_proj"]


@dataclass
class Row:
    """One measurement: seconds of a step, and GiB that training needed beyond what was there before it."""

    who: str
    tokens: int
    vocabulary: int
    seconds: float
    gib: float | None


def main() -> None:
    """Measure every row in its own process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-peer", action="store_true", help="leave out the plain loop")
    parser.add_argument("--row", nargs=3, metavar=("WHO", "TOKENS", "VOCABULARY"), help="measure this row only")
    arguments = parser.parse_args()
    if arguments.row:
        who, tokens, vocabulary = arguments.row
        print(json.dumps(asdict(measure(who, int(tokens), int(vocabulary)))))
        return
    wanted = [("limit", 256, 8192), ("ours", 256, 8192), ("limit", 512, 8192), ("ours", 512, 8192)]
    wanted += [("ours", 256, 96_000), ("all logits", 256, 96_000)]
    if not arguments.no_peer:
        wanted += [("plain", 256, 8192), ("plain", 512, 8192)]
    rows = [in_own_process(*row) for row in wanted]
    print_table(rows)


def in_own_process(*row) -> Row:
    """The row, measured by a fresh process, so that peak memory and patches of one do not touch the next."""
    command = [sys.executable, __file__, "--row", *map(str, row)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Row(**json.loads(out.splitlines()[-1]))


def measure(who: str, tokens: int, vocabulary: int) -> Row:
    """Measure one row in this process."""
    if who == "limit":
        return Row(who, tokens, vocabulary, seconds_of_products(tokens, vocabulary), None)
    model = random_model(vocabulary)
    ids = torch.randint(3, vocabulary, (10 * BATCH, tokens), generator=torch.Generator().manual_seed(0))
    if who == "plain":
        seconds, gib = train_plainly(model, ids)
    else:
        seconds, gib = train_like_stage_1(model, ids, all_logits=who == "all logits")
    return Row(who, tokens, vocabulary, seconds, gib)


def random_model(vocabulary: int) -> torch.nn.Module:
    """A Mamba-1 with random weights on the GPU, if there is one."""
    from transformers import AutoModelForCausalLM, MambaConfig

    torch.manual_seed(0)
    config = MambaConfig(vocab_size=vocabulary, hidden_size=256, num_hidden_layers=4, tie_word_embeddings=False)
    return AutoModelForCausalLM.from_config(config).to(device())


def device() -> str:
    """Where it runs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def train_plainly(model: torch.nn.Module, ids: torch.Tensor) -> tuple[float, float]:
    """The loop of the libraries' guides: model, PEFT, AdamW, loss.backward(). Seconds of a step, GiB."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS, task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    before, seconds = memory(now=True), []
    for batch in ids.split(BATCH)[:2]:
        began = time.perf_counter()
        batch = batch.to(device())
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device() == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds), memory() - before  # its first step is not slower than the next; the faster one counts


def train_like_stage_1(model: torch.nn.Module, ids: torch.Tensor, all_logits: bool) -> tuple[float, float]:
    """Stage 1's own training, in float32. Seconds of a step, GiB. `all_logits` takes the chunked loss away."""
    import datasets

    from dem import common, mamba, training
    from dem.config import Config, DataConfig, LoraConfig, TrainingConfig
    from dem.training_blocks import TrainingBlocks
    from dem.training_states import SavedStates

    common.start_log(None)
    for line in mamba.prepare("mamba"):
        common.log.info(line)
    if all_logits:
        training.use_chunked_loss = lambda model: "loss: with all logits at once, for comparison"
    config = Config(
        base_model="random",
        data=DataConfig(max_length=ids.shape[1]),
        training=TrainingConfig(batch_size=BATCH, precision="fp32", gradient_checkpointing=False, logging_steps=1),
        lora=LoraConfig(target_modules=TARGETS),
    )
    blocks = datasets.Dataset.from_dict({"input_ids": ids.tolist()})
    before = memory(now=True)
    with tempfile.TemporaryDirectory() as folder:
        table, state = Path(folder) / "train.csv", Path(folder) / "state"
        state.mkdir()
        model = training.with_adapter(model, config)
        blocks = TrainingBlocks(blocks, blocks.select([]), 1, [])
        training.run_training(model, None, blocks, config, "fp32", SavedStates(state, {}), table)
        elapsed = [float(row["elapsed_seconds"]) for row in csv.DictReader(table.open(encoding="utf-8"))]
    steps = [after - earlier for earlier, after in zip(elapsed, elapsed[1:], strict=False)]
    return statistics.median(steps), memory() - before


def seconds_of_products(tokens: int, vocabulary: int) -> float:
    """Seconds of a step's matrix products alone.

    Each frozen weight is multiplied twice, forward and for the gradient of its input.
    """
    total = 0.0
    weights = [m.weight for m in random_model(vocabulary).modules() if isinstance(m, torch.nn.Linear)]
    for shape in {w.shape for w in weights}:
        weight = torch.randn(shape, device=device())
        x = torch.randn(BATCH * tokens, shape[1], device=device())
        y = torch.empty(BATCH * tokens, shape[0], device=device())
        back = torch.empty_like(x)
        seconds = []
        for _ in range(12):
            began = time.perf_counter()
            torch.mm(x, weight.t(), out=y)
            torch.mm(y, weight, out=back)
            if device() == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        total += min(seconds) * sum(w.shape == shape for w in weights)
    return total


def memory(now: bool = False) -> float:
    """Most memory so far in GiB (of the GPU, else of this process); `now`: at present."""
    if device() == "cuda":
        return (torch.cuda.memory_allocated() if now else torch.cuda.max_memory_allocated()) / 2**30
    if not now:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**30


def print_table(rows: list[Row]) -> None:
    """Print the rows as Markdown, and what they say of each other."""
    where = torch.cuda.get_device_name() if device() == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    print(f"\nPyTorch {torch.__version__}, {where}\n")
    print("| training | tokens | vocabulary | s / step | tokens / s | peak memory of training, GiB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        speed = BATCH * row.tokens / row.seconds
        gib = "" if row.gib is None else f"{row.gib:.2f}"
        print(f"| {row.who} | {BATCH} x {row.tokens} | {row.vocabulary:,} | {row.seconds:.3f} | {speed:,.0f} | {gib} |")
    seconds = {(row.who, row.tokens, row.vocabulary): row.seconds for row in rows}
    growth = seconds["ours", 512, 8192] / seconds["ours", 256, 8192]
    print(f"\n512 tokens take {growth:.2f} times as long as 256.")
    for tokens in (256, 512):
        ours = seconds["ours", tokens, 8192]
        line = f"{tokens} tokens: {ours / seconds['limit', tokens, 8192]:.1f} times the limit"
        if (plain := seconds.get(("plain", tokens, 8192))) is not None:
            line += f"; {plain / ours:.1f} times as fast as the plain loop"
        print(line + ".")


if __name__ == "__main__":
    main()
