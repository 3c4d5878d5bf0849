"""What it costs to merge five LoRA adapters into a Mamba of 2.8B parameters, beside mergekit, PEFT and a plain copy.

    python tests/benchmarks/merge_3b.py --peer-python peers/bin/python --work WORK --out table.md     # every row
    python tests/benchmarks/merge_3b.py --only copy ours-lowrank                                      # these rows
    python tests/benchmarks/merge_3b.py --growth               # ours: more layers, more domains; no other row
    python tests/benchmarks/merge_3b.py --layers 4 --hidden 256                                       # tiny, to try it

The peers need a Python of their own:

    python3 -m venv peers
    peers/bin/pip install torch==2.13.0
    peers/bin/pip install mergekit==0.1.5 peft==0.21.2 transformers==5.23.0

The base is synthetic: state-spaces/mamba-2.8b-hf's shapes in float16, random values; the adapters have rank 16 and lie
on in_proj, x_proj and dt_proj. Every process starts from an empty page cache and ends when what it wrote is on the
disk. Each row's result is compared with base + sum_i w_i diff_i in float64, rounded once. Only on Linux.

- wall: seconds until the process has ended and its files are flushed (fsync, which `flush` counts apart).
- CPU: user and system seconds of the process and its children.
- cold: what other processes of the machine have mapped stays in the page cache, so PyTorch's own libraries are read
  anew only where nothing else runs.
- memory: most anonymous memory (RssAnon) of the process and its children, looked at every 50 ms. Pages mapped from
  files do not count; the system can take them back.
- read, written: storage traffic that the process and its children caused, by the kernel's own account of them
  (/proc/self/io of the waiting process), which others' traffic does not disturb. A page that is written and deleted
  before it reaches the disk counts as written.
- wrong: of the elements that the adapters change, the share that differs from the correctly rounded result, in eight
  whole tensors spread over the layers.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

DEM = Path(__file__).resolve().parents[2] / "dem"
PLAN_WEIGHTS = {"main_data": 0.4, "textbook": 0.25, "assembly": 0.15, "web": 0.15, "social": 0.05}
RANK, ALPHA = 16, 32
TARGETS = ["in_proj", "x_proj", "dt_proj"]
BASE_STD, DIFFERENCE_STD = 0.02, 1e-4
VOCABULARY = 50280
SHARD_BYTES = 990 * 10**6
"""Most data in a shard; with its header the file stays below 1 GB."""
PIECE = 1 << 22
"""Random elements made at a time."""
REGMEAN_TOKENS = 512
"""Of each domain: so few that a CPU passes them forward, and enough to solve with."""
STORAGES = {
    "lowrank": ["--diff.storage", "lowrank"],
    "dense": ["--diff.storage", "dense", "--diff.dtype", "float32"],
}
FLOAT32 = {"dtype": "float32", "out_dtype": "float16"}
MERGEKIT = {
    "defaults": ({}, []),
    "tuned": ({}, ["--lazy-unpickle", "--low-cpu-memory", "--out-shard-size", "1B", "--async-write"]),
    "in float32": (FLOAT32, ["--lora-merge-dtype", "float32", "--out-shard-size", "1B"]),
}
"""Settings of mergekit: what stands in its file, and its options.

Of the tuned ones the first two change nothing for safetensors on a CPU. The third setting is the most exact, at twice
the disk.
"""


@dataclass(frozen=True)
class Case:
    """One size of the problem, and where its files lie. Nothing is made before `build`."""

    work: Path
    hidden: int
    layers: int
    number: int
    """Number of domains."""
    peer_python: str | None = None

    @property
    def folder(self) -> Path:
        """All that is kept between two runs, and `scratch`."""
        return self.work / f"hidden{self.hidden}_layers{self.layers}"

    @property
    def base(self) -> Path:
        """The base model."""
        return self.folder / "base"

    @property
    def scratch(self) -> Path:
        """Where a row works; emptied before and after it. It is the `--root` of our stages."""
        return self.folder / "scratch"

    @property
    def merged(self) -> Path:
        """Where every row leaves its merged model."""
        return self.scratch / "merged_model"

    @property
    def weights(self) -> dict[str, float]:
        """Each domain's weight, normalised."""
        more = {f"domain_{i}": 0.1 for i in range(len(PLAN_WEIGHTS) + 1, self.number + 1)}
        chosen = dict(list((PLAN_WEIGHTS | more).items())[: self.number])
        return {domain: weight / sum(chosen.values()) for domain, weight in chosen.items()}

    def adapter(self, domain: str) -> Path:
        """The domain's adapter."""
        return self.folder / "adapters" / f"lora_{domain}"

    def child(self, what: str, *arguments: str, python: str = sys.executable) -> list[str]:
        """The command that does `what` for this case in a process of its own (see CHILDREN)."""
        size = ["--work", self.work, "--hidden", self.hidden, "--layers", self.layers, "--domains", self.number]
        return [python, *map(str, [__file__, *size, "--child", what, *arguments])]


@dataclass
class Cost:
    """What one process cost, or several one after the other."""

    part: str
    """What of the row it belongs to: processes of one part are summed."""
    what: str
    wall: float = 0.0
    flush: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    read: int = 0
    written: int = 0
    wrong: str = ""
    failure: str | None = None

    def cells(self) -> list[str]:
        """The columns of COLUMNS."""
        if self.failure:
            return [f"failed: {self.failure}"] + [""] * (len(COLUMNS) - 1)
        times = [f"{self.wall:,.1f}", f"{self.flush:,.1f}", f"{self.cpu:,.1f}"]
        sizes = [f"{self.memory / 2**30:.2f}", f"{self.read / 1e9:.2f}", f"{self.written / 1e9:.2f}"]
        return [*times, *sizes, self.wrong]


COLUMNS = ["wall, s", "flush, s", "CPU, s", "memory, GiB", "read, GB", "written, GB", "wrong"]


class ChildFailed(Exception):
    """A measured process ended with an error, and this is the last line it wrote; or it could not begin."""


def main() -> None:
    """Build what is missing, measure the rows, print the tables."""
    arguments = parse()
    if arguments.child:
        what, *rest = arguments.child
        CHILDREN[what](Case(arguments.work, arguments.hidden, arguments.layers, arguments.domains), *rest)
        return
    with tempfile.TemporaryDirectory() as temporary:
        work = (arguments.work or Path(temporary)).absolute()
        case = Case(work, arguments.hidden, arguments.layers, arguments.domains, arguments.peer_python)
        where = machine(case)
        say(*where)
        measured = growth(case) if arguments.growth else comparison(case, arguments.only)
        text = "\n".join([*where, "", *tables(measured), *(growth_lines(measured) if arguments.growth else [])])
    print("\n" + text)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--work", type=Path, help="keep base and adapters here and use them again (default: a temporary folder)"
    )
    parser.add_argument("--layers", type=int, default=64, help="64 is 2.8B parameters, 32 is 1.4B, 16 is 0.7B")
    parser.add_argument("--hidden", type=int, default=2560, help="width of the model (default: 2560)")
    parser.add_argument("--domains", type=int, default=len(PLAN_WEIGHTS), help="number of adapters (default: 5)")
    parser.add_argument("--peer-python", metavar="PATH", help="a Python with mergekit and PEFT; without it no peers")
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--growth", action="store_true", help="how ours grows with layers and domains, and no row else")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables there as well")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer_python and not Path(arguments.peer_python).is_file():
        parser.error(f"--peer-python {arguments.peer_python}: no such file")
    return arguments


def comparison(case: Case, only: list[str] | None) -> dict[str, list[Cost]]:
    """Every wanted row of ROWS on one case, by name."""
    build(case)
    wanted = [name for name in ROWS if not only or name in only]
    if skipped := [name for name in wanted if ROWS[name].is_peer and not case.peer_python]:
        say(f"skipped, because there is no --peer-python: {', '.join(skipped)}")
    return {name: measure_row(name, case) for name in wanted if name not in skipped}


def growth(case: Case) -> dict[str, list[Cost]]:
    """Our low-rank stages with a quarter, half and all of the layers, and with 2, 5 and 10 domains."""
    sizes = [(case.layers // 4, 5), (case.layers // 2, 5), (case.layers, 2), (case.layers, 5), (case.layers, 10)]
    measured = {}
    for layers, domains in sizes:
        sized = Case(case.work, case.hidden, layers, domains)
        build(sized)
        size = f"{layers} layers, {domains} domains"
        say(size)
        measured[size] = measure_row("ours-lowrank", sized)
    return measured


# The rows: each yields the cost of one process after the other.


def copy(case: Case) -> Iterator[Cost]:
    """The base, copied: no merge that writes a model can be faster on this disk."""
    target = case.scratch / "copy"
    for _ in range(3):
        yield measure("copy", "cp -r", ["cp", "-r", str(case.base), str(target)], target)
        shutil.rmtree(target)


def imports(case: Case) -> Iterator[Cost]:
    """What each process below spends before its work: most of the time of a tiny model."""
    yield measure("imports", "torch, transformers, peft", [sys.executable, "-c", IMPORTS], case.scratch)


IMPORTS = "import torch, peft; from transformers import AutoModelForCausalLM, MambaForCausalLM"


def ours(case: Case, storage: str, loop: bool = False, options: tuple[str, ...] = ()) -> Iterator[Cost]:
    """Stages 2 and 3 as a user runs them: the differences by one process, or in a shell loop by one each."""
    (case.scratch / "checkpoints").symlink_to(case.folder / "adapters")
    config = case.scratch / "config.yaml"
    weights = case.weights
    as_json = {"base_model": str(case.base), "domains": list(weights), "merge": {"weights": weights}}
    config.write_text(json.dumps(as_json), encoding="utf-8")  # JSON is YAML
    told = ["--config", str(config), "--root", str(case.scratch)]
    for domain in weights if loop else ["all"]:
        command = [sys.executable, str(DEM / "vector_diff.py"), *told, "--domain", domain, *STORAGES[storage]]
        yield measure("differences", domain, command, case.scratch)
    command = [sys.executable, str(DEM / "merge_model.py"), *told, "--evaluation.enabled", "false", *options]
    yield measure("merge", "merge_model.py", command, case.merged)


def regmean(case: Case) -> Iterator[Cost]:
    """The same, the differences projected by RegMean on REGMEAN_TOKENS tokens of made-up text of each domain."""
    sys.path.insert(0, str(DEM.parent))
    from dem.layout import Layout
    from dem.sample import write_corpora
    from dem.sample_text import generate

    kinds = list(PLAN_WEIGHTS)
    texts = {domain: generate(kinds[i % len(kinds)], 60, i) for i, domain in enumerate(case.weights)}
    write_corpora(texts, Layout(case.scratch))
    tokens = ("--merge.tokens", str(REGMEAN_TOKENS), "--data.max_length", "128", "--data.tune_fraction", "0.4")
    yield from ours(case, "lowrank", options=("--merge.method", "regmean", *tokens))


def mergekit_from_adapters(case: Case, setting: str) -> Iterator[Cost]:
    """One mergekit command; it folds each adapter into a full model of its own first."""
    models = {domain: f"{case.base}+{case.adapter(domain)}" for domain in case.weights}
    yield mergekit(case, models, setting, "--lora-merge-cache", str(case.scratch / "cache"))


def mergekit_from_models(case: Case) -> Iterator[Cost]:
    """mergekit from full models, which PEFT makes first, with each setting."""
    models = {domain: str(case.scratch / domain) for domain in case.weights}
    for domain, folder in models.items():
        command = case.child("fold", domain, folder, python=case.peer_python)
        yield measure("full models", domain, command, Path(folder))
    for setting in MERGEKIT:
        yield mergekit(case, models, setting)
        shutil.rmtree(case.merged)


def mergekit(case: Case, models: dict[str, str], setting: str, *options: str) -> Cost:
    """mergekit's task arithmetic of `models`, by domain."""
    in_file, on_command_line = MERGEKIT[setting]
    entries = [{"model": models[domain], "parameters": {"weight": w}} for domain, w in case.weights.items()]
    wanted = {"merge_method": "task_arithmetic", "base_model": str(case.base), "models": entries} | in_file
    config = case.scratch / "mergekit.yaml"
    config.write_text(json.dumps(wanted), encoding="utf-8")
    program = str(Path(case.peer_python).with_name("mergekit-yaml"))
    command = [program, str(config), str(case.merged), *on_command_line, *options]
    return measure(f"merge, {setting}", "mergekit-yaml", command, case.scratch)


def peft(case: Case, combination: str) -> Iterator[Cost]:
    """PEFT's add_weighted_adapter, merge_and_unload and save_pretrained."""
    yield measure("merge", combination, case.child("combine", combination, python=case.peer_python), case.merged)


@dataclass(frozen=True)
class Row:
    """How to measure a row, and how many times the base's size it needs on the disk at most."""

    steps: Callable[[Case], Iterator[Cost]]
    room: Callable[[Case], float] = lambda case: 1.1
    is_peer: bool = False
    is_sum: bool = True
    """Whether what it merges is the weighted sum, so that the share of wrong elements can be told."""


ROWS = {
    "copy": Row(copy),
    "imports": Row(imports),
    "ours-lowrank": Row(lambda c: ours(c, "lowrank"), lambda c: 1.2),
    "ours-lowrank-loop": Row(lambda c: ours(c, "lowrank", loop=True), lambda c: 1.2),
    "ours-regmean": Row(regmean, lambda c: 1.4, is_sum=False),
    "ours-dense": Row(lambda c: ours(c, "dense"), lambda c: 1.1 + 1.4 * c.number),
    "mergekit-adapters": Row(lambda c: mergekit_from_adapters(c, "defaults"), lambda c: 2.1 + c.number, True),
    "mergekit-adapters-tuned": Row(lambda c: mergekit_from_adapters(c, "tuned"), lambda c: 2.1 + c.number, True),
    "mergekit-adapters-float32": Row(
        lambda c: mergekit_from_adapters(c, "in float32"), lambda c: 2.1 + 2 * c.number, True
    ),
    "mergekit-models": Row(mergekit_from_models, lambda c: 2.1 + c.number, True),
    "peft-cat": Row(lambda c: peft(c, "cat"), is_peer=True),
    "peft-linear": Row(lambda c: peft(c, "linear"), is_peer=True),
}


# How a row and a process are measured.


def measure_row(name: str, case: Case) -> list[Cost]:
    """The costs of the row's processes, each printed when it is known; after a failure no more of them."""
    empty(case.scratch)
    costs = []
    try:
        require_room(case, ROWS[name].room(case))
        for cost in ROWS[name].steps(case):
            costs.append(cost)
            if case.merged.is_dir() and ROWS[name].is_sum:
                cost.wrong = check(case)
            say(f"{name} | {cost.part} | {cost.what} | " + " | ".join(cost.cells()))
    except ChildFailed as failure:
        costs.append(Cost("failed", "", failure=str(failure)))
        say(f"{name} | {costs[-1].cells()[0]}")
    finally:
        shutil.rmtree(case.scratch)
    return costs


def measure(part: str, what: str, command: list[str], made: Path) -> Cost:
    """Run `command` from an empty page cache; `made` is the file or folder that it writes.

    Raises:
        ChildFailed: it could not be started, or ended with an error.
    """
    drop_page_cache()
    with tempfile.TemporaryFile() as output:
        read, written = storage_traffic()
        began = time.perf_counter()
        try:
            child = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        except OSError as error:
            raise ChildFailed(f"{what}: {error}") from None
        watch = MemoryWatch(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
        ended = time.perf_counter()
        child.returncode = os.waitstatus_to_exitcode(status)  # it is waited for: Popen must not do it again
        memory = watch.stop()
        if child.returncode:
            raise ChildFailed(f"{what}: {last_line(output)} (exit status {child.returncode})")
        flush(made)
        flushed = time.perf_counter()
        read, written = (after - before for after, before in zip(storage_traffic(), (read, written), strict=True))
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(part, what, flushed - began, flushed - ended, cpu, memory, read, written)


ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


class MemoryWatch(threading.Thread):
    """Looks every 50 ms at the anonymous memory of a process and its descendants."""

    def __init__(self, pid: int):
        """Start to watch `pid`."""
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()
        self.start()

    def run(self) -> None:
        """Watch until `stop`."""
        while not self.over.wait(0.05):
            self.most = max(self.most, anonymous_memory(self.pid))

    def stop(self) -> int:
        """The most that was seen, in bytes."""
        self.over.set()
        self.join()
        return self.most


def anonymous_memory(pid: int) -> int:
    """Bytes of anonymous memory of the process and its descendants, those that end meanwhile left out."""
    total, waiting = 0, [pid]
    while waiting:
        process = Path(f"/proc/{waiting.pop()}")
        try:
            status = (process / "status").read_text()
            total += next((int(line.split()[1]) << 10 for line in status.splitlines() if "RssAnon" in line), 0)
            for thread in (process / "task").iterdir():
                waiting += (thread / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def storage_traffic() -> tuple[int, int]:
    """Bytes that this process and its ended children have read from storage and written to it."""
    lines = Path("/proc/self/io").read_text().splitlines()
    account = {name: int(count) for name, count in (line.split(": ") for line in lines)}
    return account["read_bytes"], account["write_bytes"]


def drop_page_cache() -> bool:
    """Empty the page cache; whether that is permitted."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3")
    except OSError:
        return False
    return True


def flush(made: Path) -> None:
    """Wait until `made` and everything in it is on the disk."""
    for path in [made, *made.rglob("*")]:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def last_line(output) -> str:
    """The last line that a process wrote to the file `output`."""
    output.seek(0)
    lines = output.read().decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    return last.rpartition("\r")[2].strip().replace("|", "/")[:200]


def require_room(case: Case, bases: float) -> None:
    """Refuse a row that would fill the disk.

    Raises:
        ChildFailed: there is not as much room as `bases` times the base needs.
    """
    needed, free = bases * folder_size(case.base), shutil.disk_usage(case.work).free
    if free < needed:
        raise ChildFailed(f"needs {needed / 1e9:.0f} GB of disk, {free / 1e9:.0f} are free")


def folder_size(folder: Path) -> int:
    """Bytes of the folder's files."""
    return sum(path.stat().st_size for path in folder.iterdir())


def empty(folder: Path) -> None:
    """Make `folder`, or remove what is in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


# The input: a random base and random adapters, in processes of their own.


def build(case: Case) -> None:
    """Make the base and the adapters that are not there yet."""
    case.folder.mkdir(parents=True, exist_ok=True)
    for what, folder in [("base", case.base), *((domain, case.adapter(domain)) for domain in case.weights)]:
        if not folder.exists():
            partial = folder.with_name(f".{folder.name}.partial")
            empty(partial)
            maker = ["build-base"] if what == "base" else ["build-adapter", what]
            command = case.child(*maker, str(partial))
            cost = measure("build", what, command, partial)
            partial.rename(folder)
            where = f"{folder_size(folder) / 1e9:.2f} GB in {cost.wall:.0f} s, {cost.memory / 2**30:.2f} GiB"
            say(f"built {what} ({case.layers} layers): {where}")


def build_base(case: Case, folder: str) -> None:
    """Write a random Mamba-1 in float16, its config and a tokenizer; a piece of a tensor is in memory at a time."""
    sys.path.insert(0, str(DEM.parent))
    from dem.sample import train_tokenizer

    tokenizer = train_tokenizer(["A tokenizer of bytes: no text of the benchmark goes through it."], vocabulary=300)
    tokenizer.save_pretrained(folder)
    model = mamba_without_memory(case)
    model.config.architectures, model.config.dtype = [type(model).__name__], "float16"
    model.config.save_pretrained(folder)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}  # a tied head is no parameter of its own
    shards = in_shards(shapes)
    random = np.random.default_rng(0)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(Path(folder) / file_name, {name: shapes[name] for name in names}, case, random)
        weight_map |= dict.fromkeys(names, file_name)
    total = sum(2 * math.prod(shape) for shape in shapes.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (Path(folder) / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def mamba_without_memory(case: Case):
    """transformers' model of the case's shape, without weights."""
    import torch
    from transformers import AutoModelForCausalLM, MambaConfig

    config = MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=case.hidden,
        num_hidden_layers=case.layers,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def in_shards(shapes: dict[str, tuple[int, ...]]) -> list[list[str]]:
    """The names in their order, cut before a shard's float16 data would exceed SHARD_BYTES."""
    shards, filled = [[]], 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        if filled + size > SHARD_BYTES:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def write_shard(path: Path, shapes: dict[str, tuple[int, ...]], case: Case, random: np.random.Generator) -> None:
    """Write one safetensors file of random tensors, piece by piece."""
    header, start = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        end = start + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            for piece in random_values(name, math.prod(shape), shape[-1], random):
                file.write(piece.astype("<f2").data)


def random_values(name: str, size: int, columns: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """`size` values such as a trained Mamba holds in the parameter `name`, in flat pieces."""
    if name.endswith("A_log"):
        states = np.log(np.arange(1, columns + 1, dtype=np.float32))
        yield np.tile(states, size // columns) + 0.1 * random.standard_normal(size, dtype=np.float32)
    elif name.endswith((".D", "norm.weight", "norm_f.weight")):
        yield 1 + 0.1 * random.standard_normal(size, dtype=np.float32)
    elif ".conv1d." in name:
        yield random.uniform(-0.5, 0.5, size)
    elif name.endswith("dt_proj.bias"):
        step = np.exp(random.uniform(math.log(0.001), math.log(0.1), size))
        yield step + np.log(-np.expm1(-step))  # softplus gives the step back
    else:
        for start in range(0, size, PIECE):
            yield BASE_STD * random.standard_normal(min(PIECE, size - start), dtype=np.float32)


def build_adapter(case: Case, domain: str, folder: str) -> None:
    """Write an adapter as PEFT writes it, as if trained: B is such that the difference has DIFFERENCE_STD."""
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS, task_type="CAUSAL_LM")
    names = get_peft_model_state_dict(get_peft_model(mamba_without_memory(case), config))
    generator = torch.Generator().manual_seed(1 + list(case.weights).index(domain))
    state = {}
    for name, empty_tensor in names.items():
        partner = names[name.replace("lora_B", "lora_A")]
        std = 1 / math.sqrt(3 * partner.shape[1])  # of A, as PEFT draws it
        if "lora_B" in name:
            std = DIFFERENCE_STD / (ALPHA / RANK * math.sqrt(RANK) * std)
        state[name] = std * torch.randn(empty_tensor.shape, generator=generator)
    torch.save(state, Path(folder) / "adapter_model.bin")
    config.inference_mode, config.base_model_name_or_path = True, str(case.base)  # as PEFT's save_pretrained sets them
    config.save_pretrained(folder)


# The peers' own few lines, and the check; each in a process of its own.


def combine(case: Case, combination: str) -> None:
    """PEFT: one adapter of the weighted ones, folded into the base and saved."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(case.base, dtype="auto")
    first, *others = case.weights
    model = PeftModel.from_pretrained(model, case.adapter(first), adapter_name=first)
    for domain in others:
        model.load_adapter(case.adapter(domain), adapter_name=domain)
    model.add_weighted_adapter(list(case.weights), list(case.weights.values()), "merged", combination_type=combination)
    model.set_adapter("merged")
    model.merge_and_unload().save_pretrained(case.merged)
    AutoTokenizer.from_pretrained(case.base).save_pretrained(case.merged)


def fold(case: Case, domain: str, folder: str) -> None:
    """PEFT: the domain's full model."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(case.base, dtype="auto")
    PeftModel.from_pretrained(model, case.adapter(domain)).merge_and_unload().save_pretrained(folder)
    AutoTokenizer.from_pretrained(case.base).save_pretrained(folder)


def check(case: Case) -> str:
    """The share of wrong elements in the merged model, or why there is none."""
    done = subprocess.run(case.child("check"), capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else f"not checked: {done.stderr.strip().splitlines()[-1]}"


def print_wrong_share(case: Case) -> None:
    """Compare eight tensors of the merged model with float64's, a few rows at a time, and print the share."""
    import torch

    adapters = {
        domain: torch.load(case.adapter(domain) / "adapter_model.bin", mmap=True, weights_only=True)
        for domain in case.weights
    }
    wrong = seen = 0
    for name in sampled_tensors(case):
        base, merged = open_tensor(case.base, name), open_tensor(case.merged, name)
        rows, _ = base.get_shape()
        module = f"base_model.model.{name.removesuffix('.weight')}"
        pairs = [
            [adapters[domain][f"{module}.{matrix}.weight"].double().numpy() for matrix in ("lora_A", "lora_B")]
            for domain in case.weights
        ]
        for start in range(0, rows, 1024):
            end = min(start + 1024, rows)
            exact, found = base[start:end].astype(np.float64), merged[start:end]
            if found.dtype != np.float16:
                sys.exit(f"{name} is {found.dtype}, not float16 as in the base")
            for (a, b), weight in zip(pairs, case.weights.values(), strict=True):
                exact += weight * ALPHA / RANK * (b[start:end] @ a)
            wrong += np.count_nonzero(found != exact.astype(np.float16))  # NumPy rounds once, torch by way of float32
            seen += exact.size
    print(f"{wrong / seen:.4%} of {seen:,}")


def sampled_tensors(case: Case) -> list[str]:
    """Names of up to eight adapted tensors, spread over the layers and of every kind."""
    layers = np.linspace(0, case.layers - 1, 8).round().astype(int)
    names = [f"backbone.layers.{n}.mixer.{TARGETS[i % len(TARGETS)]}.weight" for i, n in enumerate(layers)]
    return list(dict.fromkeys(names))


def open_tensor(folder: Path, name: str):
    """A tensor of a safetensors model, to be cut into rows."""
    from safetensors import safe_open

    index = folder / "model.safetensors.index.json"
    file = json.loads(index.read_text())["weight_map"][name] if index.is_file() else "model.safetensors"
    return safe_open(folder / file, framework="np").get_slice(name)


CHILDREN = {
    "build-base": build_base,
    "build-adapter": build_adapter,
    "combine": combine,
    "fold": fold,
    "check": print_wrong_share,
}


# What is printed.


def say(*lines: str) -> None:
    """Print now, also into a file or a pipe."""
    print("\n".join(lines), flush=True)


def tables(measured: dict[str, list[Cost]]) -> list[str]:
    """One Markdown table with the parts of each row, and one with every process."""
    lines = [*table_head("row", "part", "processes")]
    for name, costs in measured.items():
        parts = list(dict.fromkeys(cost.part for cost in costs))
        sums = [(part, [cost for cost in costs if cost.part == part]) for part in parts]
        if parts == ["differences", "merge"]:
            sums.append(("both", costs))
        for part, some in sums:
            cost = median(some) if name == "copy" else together(some)
            processes = f"{len(some)}, median" if name == "copy" else str(len(some))
            lines.append(table_row(name, part, processes, *cost.cells()))
    lines += ["", "Each process:", "", *table_head("row", "part", "process")]
    for name, costs in measured.items():
        lines += [table_row(name, cost.part, cost.what, *cost.cells()) for cost in costs]
    return lines


def together(costs: list[Cost]) -> Cost:
    """Processes that ran one after the other, as one; the last one's result counts."""
    if failed := next((cost for cost in costs if cost.failure), None):
        return failed
    sums = [sum(getattr(cost, name) for cost in costs) for name in ("wall", "flush", "cpu")]
    traffic = [sum(getattr(cost, name) for cost in costs) for name in ("read", "written")]
    return Cost("", "", *sums, max(cost.memory for cost in costs), *traffic, costs[-1].wrong)


def median(costs: list[Cost]) -> Cost:
    """The process of median wall time."""
    if failed := next((cost for cost in costs if cost.failure), None):
        return failed
    wall = statistics.median_low(cost.wall for cost in costs)
    return next(cost for cost in costs if cost.wall == wall)


def growth_lines(measured: dict[str, list[Cost]]) -> list[str]:
    """What doubling the layers, or having more domains, does to wall and CPU time."""
    (quarter, half, two, all_layers, ten), lines = [(name, together(costs)) for name, costs in measured.items()], [""]
    for (less, before), (more, after) in [(quarter, half), (half, all_layers), (two, all_layers), (all_layers, ten)]:
        if not (before.failure or after.failure):
            wall, cpu = after.wall / before.wall, after.cpu / before.cpu
            lines.append(f"- {more}: {wall:.2f} times the wall time and {cpu:.2f} times the CPU time of {less}")
    return lines


def table_head(*first: str) -> list[str]:
    """A Markdown table's first two lines."""
    return [table_row(*first, *COLUMNS), "|---" * (len(first) + len(COLUMNS)) + "|"]


def table_row(*cells: str) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def machine(case: Case) -> list[str]:
    """Where this was measured."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cold = "emptied before every process" if drop_page_cache() else "NOT emptied (not permitted): the cache is warm"
    lines = [
        f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {file_system(case.work)}; page cache: {cold}",
        f"hidden {case.hidden}, {case.layers} layers, {case.number} domains",
        f"ours: {versions(sys.executable)}",
    ]
    return lines + ([f"peers: {versions(case.peer_python)}"] if case.peer_python else [])


def file_system(folder: Path) -> str:
    """Type of the file system that holds `folder`; a tmpfs would have no disk to measure."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    around = [(len(point), kind) for point, kind in mounts if folder.is_relative_to(point)]
    return max(around)[1]


def versions(python: str) -> str:
    """Versions of the libraries that this Python has."""
    code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        return f"{python} does not run"
    found = json.loads(done.stdout)
    wanted = ("torch", "transformers", "peft", "mergekit")
    return ", ".join(f"{name} {found[name]}" for name in wanted if name in found)


if __name__ == "__main__":
    main()
