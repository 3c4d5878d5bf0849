"""Weights found by gradient beside the best of a grid, equal ones and the team's own, on text that none of them saw.

    python tests/benchmarks/weight_search.py --config configs/demo.yaml --root demo --search.tokens 4000 --out table.md

Takes the differences and texts of a root in which stages 1 and 2 are done. All choices are made on the same tune
documents; the grid is the lattice of weights that are multiples of 1 / --parts and add up to 1 (210 candidates for five
domains and six parts). `free` is the search with merge.normalize false. Then each is measured on the test splits, as a
change of the perplexity against the base with its 95% interval (paired bootstrap over documents).

- forward, backward: tokens that were passed through the model to choose.
- memory: peak of the process until then (resident).
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dem.checkpoints import Checkpoint
from dem.command_line import parse_request
from dem.common import base_folder, load_model, load_tokenizer, peak_memory_gib, start_log
from dem.corpus import Corpus
from dem.evaluation.arithmetic import arithmetic
from dem.evaluation.documents import encode_documents
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.intervals import changes
from dem.evaluation.perplexity import score
from dem.merging import open_differences
from dem.search.find import Search, find_weights
from dem.search.losses import Losses
from dem.search.quadratic import Limits
from dem.search.rivals import guesses
from dem.search.stage import open_terms, tune_documents


def main() -> None:
    """Choose in every way, measure all, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=6, help="the grid's weights are multiples of 1 / PARTS")
    parser.add_argument("--out", type=Path, help="file for the table")
    own, rest = parser.parse_known_args()
    request = parse_request("", rest, stage=3)
    config, layout = request.config, request.layout
    start_log(None)
    base = base_folder(config.base_model)
    checkpoint = Checkpoint(base)
    differences = open_differences(config.domains, layout, checkpoint)
    documents = tune_documents(config, layout, base, config.domains)
    terms = open_terms(
        load_model(base, arithmetic(base, "auto").dtype, kernels="auto"), checkpoint, layout, differences
    )
    losses = Losses(terms, documents, config.data.max_length)
    tokens = sum(losses.tokens.values())

    guessed = guesses(config.search, config.domains)
    chosen = {name: (weights[:, None] / weights.sum(), 0, 0, 0.0) for name, weights in guessed.items()}
    hand = chosen[list(guessed)[-1]][0]  # or equal ones, where nobody gave any
    for name, normalize in (("found", True), ("found, free", False)):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            kept = Evaluated(Path(folder) / "kept.json", {})
            table, summary = Path(folder) / "table.csv", Path(folder) / "summary.json"
            search = Search(terms, documents, config.data.max_length, 1.0, kept, table)
            found = find_weights(search, config.search, hand, Limits(normalize, config.search.bound), summary, {})
        passes = found.record["forward_tokens"], found.record["backward_tokens"]
        chosen[name] = (found.weights, *passes, time.monotonic() - began)
    memory = peak_memory_gib()

    began = time.monotonic()
    lattice = [w for w in itertools.product(range(own.parts + 1), repeat=len(hand)) if sum(w) == own.parts]
    values = []
    for number, weights in enumerate(lattice):
        values.append(losses.at(np.array(weights)[:, None] / own.parts, gradient=False).losses.mean())
        print(f"grid: {number + 1} of {len(lattice)}: {values[-1]:.5f}", file=sys.stderr)
    best = np.array(lattice[int(np.argmin(values))])[:, None] / own.parts
    name = f"best of {len(lattice)}"
    chosen[name] = (best, tokens * len(lattice), 0, time.monotonic() - began)

    tokenizer = load_tokenizer(base)
    tests = [
        document
        for domain in config.domains
        for document in encode_documents(Corpus(layout.parquet_files(domain), config.data).documents("test"), tokenizer)
    ]
    scores = {}
    for name, (weights, *_) in {"base": (np.zeros_like(hand),), **chosen}.items():
        with terms.applied(weights, gradient=False):
            scores[name] = score(terms.model, tests, config.data.max_length)
    lines = [
        f"{len(config.domains)} domains, {tokens:,} tune tokens, {int(scores['base'].tokens.sum()):,} test tokens; "
        f"memory up to the end of the searches {memory:.2f} GiB",
        "",
        "| weights | "
        + ", ".join(config.domains)
        + " | tune loss | test perplexity | against the base | found against "
        "it | forward | backward | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, (weights, forward, backward, seconds) in chosen.items():
        loss = losses.at(weights, gradient=False).losses.mean()
        cells = [name, ", ".join(f"{w:.2f}" for w in weights.ravel()), f"{loss:.5f}", f"{scores[name].perplexity:.3f}"]
        cells += [told(scores["base"], scores[name]), told(scores[name], scores["found"])]
        lines.append(f"| {' | '.join(cells)} | {forward:,} | {backward:,} | {seconds:.0f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if own.out:
        own.out.write_text(text, encoding="utf-8")


def told(one, other) -> str:
    """The change of the second's perplexity against the first's, with its interval."""
    change = changes(one, [other])[0]
    interval = "" if change.low is None else f" ({change.low:+.2%} to {change.high:+.2%})"
    return f"{change.relative:+.2%}{interval}" if one is not other else ""


if __name__ == "__main__":
    main()
