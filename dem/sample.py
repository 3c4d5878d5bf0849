"""The demo's own input: five small Korean domain corpora, a tokenizer and a tiny Mamba base. Nothing is downloaded.

    python -m dem.sample --root demo

Writes <root>/parquet_ready/<domain>.parquet in the schema of the phase before, and <root>/base_model/. The base is
trained on a general mix of the same kinds of text, without any document that a domain corpus holds.
"""

import argparse
import sys
import time
from pathlib import Path

from dem.layout import Layout
from dem.sample_text import DOMAINS, general_mix, generate
from dem.utf8 import in_utf8

DOCUMENTS = 1500
"""Documents per domain, and per domain in the general mix."""
VOCABULARY = 2048
BLOCK = 128
STEPS = 150
"""Steps of 16 blocks that the base is trained for: about a minute on two cores."""


def main() -> None:
    """Write the corpora and train the base."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder of the demo")
    parser.add_argument("--seed", type=int, default=42, help="seed of text, weights and order (default: 42)")
    options = parser.parse_args()

    began = time.monotonic()
    corpora = {domain: generate(domain, DOCUMENTS, options.seed) for domain in DOMAINS}
    write_corpora(corpora, Layout(options.root.absolute()))
    in_corpora = {text for texts in corpora.values() for text in texts}
    mix = [text for text in general_mix(DOCUMENTS * len(DOMAINS), options.seed) if text not in in_corpora]
    print(f"sample: {len(in_corpora):,} domain documents, {len(mix):,} others for the base", file=sys.stderr)
    train_base(mix, options.root / "base_model", options.seed)
    print(f"sample: done in {time.monotonic() - began:.0f} s -> {options.root}", file=sys.stderr)


def write_corpora(corpora: dict[str, list[str]], layout: Layout) -> None:
    """Write each domain's documents as parquet: text, tokens, source, lang, domain."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dem.atomic import new_file

    for domain, texts in corpora.items():
        columns = {
            "text": texts,
            "tokens": [text.split() for text in texts],
            "source": ["dem.sample_text"] * len(texts),
            "lang": ["ko"] * len(texts),
            "domain": pa.array([domain] * len(texts)).dictionary_encode(),
        }
        layout.parquet(domain).parent.mkdir(parents=True, exist_ok=True)
        with new_file(layout.parquet(domain)) as partial:
            pq.write_table(pa.table(columns), partial, compression="zstd", row_group_size=1000)


def train_base(texts: list[str], folder: Path, seed: int) -> None:
    """Train a tokenizer and a Mamba of under a million parameters on `texts`; write both to `folder`."""
    import torch
    import transformers
    from transformers import MambaConfig, MambaForCausalLM, Trainer, TrainingArguments

    from dem import mamba
    from dem.atomic import new_folder
    from dem.common import progress_wanted
    from dem.corpus import blocks

    mamba.prepare("mamba")
    transformers.set_seed(seed)
    transformers.logging.set_verbosity_error()
    tokenizer = train_tokenizer(texts)
    config = MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=96,
        num_hidden_layers=3,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = MambaForCausalLM(config)
    rows = [{**row, "labels": row["input_ids"]} for row in blocks(iter(texts), tokenizer, BLOCK)]
    with new_folder(folder) as partial:
        arguments = TrainingArguments(
            output_dir=str(partial),
            max_steps=STEPS,
            per_device_train_batch_size=16,
            learning_rate=4e-3,
            lr_scheduler_type="cosine",
            warmup_steps=20,
            weight_decay=0.1,
            seed=seed,
            logging_steps=50,
            save_strategy="no",
            report_to="none",
            disable_tqdm=not progress_wanted(),
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=False,
        )
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


def train_tokenizer(texts: list[str], vocabulary: int = VOCABULARY):
    """A byte-level BPE tokenizer of `vocabulary` tokens: any text, Hangul or not, goes through it and comes back."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(special.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


if __name__ == "__main__":
    in_utf8(main)()
