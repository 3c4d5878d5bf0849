"""What it costs to measure the perplexities of seven models: base, five adapters, merged.

    python tests/benchmarks/evaluation.py                                # a Mamba of 118M parameters, random
    python tests/benchmarks/evaluation.py --base FOLDER                  # this Mamba
    python tests/benchmarks/evaluation.py --hidden 128 --layers 2 --vocabulary 600 --tokens 800    # tiny, to try it

The base's weights are random, unless there is a base; so are the adapters (rank 16, on in_proj and out_proj), the
documents (token ids; lengths from 20 to 2,000, most of them around 250) and the merged model, a second model on disk.

- ours: stage 3's own comparison.
- plain: the way of the libraries' guides. Each model is loaded in turn, the adapter merged by PEFT, and each document
  goes alone through the model, which computes its loss; with transformers' own scan.
- plain, our scan: the same with `dem.mamba.prepare`, which stage 1 and 3 use where there is no kernel.

Every row is a process of its own, and counts all that it does after its imports: loading too. Memory is the process's
largest resident set; on a GPU, the largest that was allocated there. The difference is the largest relative one, over
all models and domains, of a perplexity from that of plain.
"""

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, MambaConfig, MambaForCausalLM

from dem import mamba
from dem.evaluation.comparison import Questions, compare
from dem.evaluation.documents import Document
from dem.evaluation.subjects import Subject
from dem.sample import train_tokenizer
from dem.sample_text import generate

DOMAINS = ["main_data", "textbook", "assembly", "web", "social"]
ROWS = ["plain", "plain, our scan", "ours"]
SHORTEST, LONGEST = 20, 2000
Perplexities = dict[str, dict[str, float]]
"""By model and domain."""


@dataclass(frozen=True)
class Case:
    """The models and documents of one benchmark, in a folder."""

    work: Path
    base: Path

    @property
    def merged(self) -> Path:
        """A second full model."""
        return self.work / "merged"

    def adapter(self, domain: str) -> Path:
        """The domain's adapter."""
        return self.work / f"lora_{domain}"

    def documents(self) -> dict[str, list[list[int]]]:
        """Token ids of each document, by domain."""
        return json.loads((self.work / "documents.json").read_text())


def build(work: Path, arguments: argparse.Namespace) -> Case:
    """Make the models and documents."""
    torch.manual_seed(0)
    case = Case(work, arguments.base or work / "base")
    if not arguments.base:
        config = MambaConfig(
            hidden_size=arguments.hidden,
            num_hidden_layers=arguments.layers,
            vocab_size=arguments.vocabulary,
            tie_word_embeddings=False,
        )
        MambaForCausalLM(config).save_pretrained(case.base)
    model = AutoModelForCausalLM.from_pretrained(case.base)
    write_documents(case, arguments.tokens, model.config.vocab_size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "in_proj" in name:
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)
    model.save_pretrained(case.merged)
    for domain in DOMAINS:
        settings = LoraConfig(r=16, lora_alpha=32, target_modules=["in_proj", "out_proj"], task_type="CAUSAL_LM")
        with mamba.out_proj_allowed():
            adapted = get_peft_model(model, settings)
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, 0, 1e-2)
        adapted.save_pretrained(case.adapter(domain))
        model = adapted.unload()
    return case


def write_documents(case: Case, tokens: int, vocabulary: int) -> None:
    """About `tokens` tokens a domain, in documents as long as those of the web: log-normal."""
    generator = np.random.default_rng(0)
    documents: dict[str, list[list[int]]] = {domain: [] for domain in DOMAINS}
    for texts in documents.values():
        while (left := tokens - sum(map(len, texts))) >= SHORTEST:
            length = int(np.clip(generator.lognormal(5.5, 0.9), SHORTEST, min(LONGEST, left)))
            texts.append(generator.integers(3, vocabulary, length).tolist())
    (case.work / "documents.json").write_text(json.dumps(documents))


def plain(case: Case) -> Perplexities:
    """Every model in turn, every document alone."""
    found = {"base": plain_perplexities(AutoModelForCausalLM.from_pretrained(case.base), case)}
    for domain in DOMAINS:
        base = AutoModelForCausalLM.from_pretrained(case.base)
        with mamba.out_proj_allowed():
            model = PeftModel.from_pretrained(base, case.adapter(domain)).merge_and_unload()
        found[domain] = plain_perplexities(model, case)
    return found | {"merged": plain_perplexities(AutoModelForCausalLM.from_pretrained(case.merged), case)}


def plain_perplexities(model: torch.nn.Module, case: Case) -> dict[str, float]:
    """exp of the mean loss per token, by domain."""
    model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    found = {}
    for domain, documents in case.documents().items():
        nll = tokens = 0
        for document in documents:
            ids = torch.tensor([document], device=model.device)
            with torch.no_grad():
                nll += float(model(input_ids=ids, labels=ids).loss) * (len(document) - 1)
            tokens += len(document) - 1
        found[domain] = math.exp(nll / tokens)
    return found


def ours(case: Case) -> Perplexities:
    """Stage 3's comparison, without prompts."""
    tokenizer = train_tokenizer(generate("web", 20, 7), vocabulary=300)  # compare asks for one; there is no text
    documents = {d: [Document(np.array(ids, np.int32), 1) for ids in some] for d, some in case.documents().items()}
    subjects = [Subject("base", case.base, "base")]
    subjects += [Subject(domain, case.adapter(domain), domain, is_adapter=True) for domain in DOMAINS]
    subjects.append(Subject("merged", case.merged, "merged"))
    questions = Questions(documents, [], tokenizer, max_length=2048, max_new_tokens=1)
    (case.work / "evaluated").mkdir()
    results = compare(case.base, subjects, questions, "auto", lambda name: case.work / "evaluated" / f"{name}.json")
    return {r.name: {domain: scores.perplexity for domain, scores in r.scores.items()} for r in results}


def child(row: str, case: Case) -> None:
    """Do one row and write its figures."""
    if row == "plain, our scan":
        mamba.prepare("mamba")
    began, cpu = time.monotonic(), time.process_time()
    found = (ours if row == "ours" else plain)(case)
    gpu = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    figures = {"wall": time.monotonic() - began, "cpu": time.process_time() - cpu, "gpu": gpu, "perplexities": found}
    (case.work / "figures.json").write_text(json.dumps(figures))


def measure(row: str, case: Case) -> dict:
    """The row's figures, from a process of its own."""
    command = [sys.executable, __file__, "--child", row, "--work", str(case.work), "--base", str(case.base)]
    process = subprocess.Popen(command)
    status, usage = os.wait4(process.pid, 0)[1:]
    if status:
        sys.exit(f"error: {row} failed")
    figures = json.loads((case.work / "figures.json").read_text())
    return figures | {"memory": figures["gpu"] or usage.ru_maxrss / 2**20}


def difference(found: Perplexities, reference: Perplexities) -> float:
    """The largest relative one of a perplexity."""
    return max(abs(found[m][d] / reference[m][d] - 1) for m in reference for d in reference[m])


def table(rows: dict[str, dict]) -> str:
    """The figures as Markdown."""
    lines = ["| way | wall, s | CPU, s | memory, GiB | largest difference | times as fast |", "|---" * 6 + "|"]
    slowest = rows[ROWS[0]]
    for name, row in rows.items():
        gap = difference(row["perplexities"], slowest["perplexities"])
        speed = slowest["wall"] / row["wall"]
        lines.append(
            f"| {name} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['memory']:.2f} | {gap:.1e} | {speed:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all rows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder of a Mamba in transformers' format")
    parser.add_argument("--hidden", type=int, default=768)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=48000)
    parser.add_argument("--tokens", type=int, default=800, help="of each domain")
    parser.add_argument("--child", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if arguments.child:
        child(arguments.child, Case(arguments.work, arguments.base))
        return
    with tempfile.TemporaryDirectory() as work:
        case = build(Path(work), arguments)
        lengths = [len(document) for some in case.documents().values() for document in some]
        parameters = AutoModelForCausalLM.from_pretrained(case.base).num_parameters()
        rows = {row: measure(row, case) for row in ROWS}
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    versions = f"PyTorch {torch.__version__}, transformers {transformers.__version__}, PEFT {peft.__version__}"
    print(f"{parameters:,} parameters, {len(lengths)} documents of {sum(lengths):,} tokens ", end="")
    print(f"(median {int(np.median(lengths))}, longest {max(lengths)}); {where}; {versions}; {platform.machine()}\n")
    print(table(rows))


if __name__ == "__main__":
    main()
