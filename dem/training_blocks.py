"""The text of a training as blocks of tokens: one domain's or, for a mixture, those of all domains."""

from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import xxhash
from transformers import PreTrainedTokenizerBase

from dem import mixtures, processes
from dem.checkpoints import files_fingerprint
from dem.config import Config
from dem.corpus import SPLITS, Corpus, Split, blocks, tokenizer_fingerprint
from dem.errors import RequestError
from dem.split_size import split_warnings

BLOCKS_VERSION = 2
"""Part of the key under which blocks are kept; raise it when `corpus.blocks` changes."""

TUNE_BLOCKS = 256
"""Blocks in an evaluation during training; of a large tune split, all would cost more than training."""


@dataclass(frozen=True)
class TrainingBlocks:
    """Blocks of tokens on disk (`input_ids`, int32)."""

    train: datasets.Dataset
    tune: datasets.Dataset
    """At most TUNE_BLOCKS of them."""
    epochs: float
    """Passes over `train`."""
    notes: list[str]
    """What the log says of them."""
    in_order: bool = False
    """Whether `train` stands in the order in which it is to be trained on; without it, each pass has another."""
    max_steps: int | None = None
    """Optimiser steps at most; None where `epochs` decide."""
    domains: int = 1
    """For how many domains' text they stand: those of a mixture."""

    def steps(self, batch_size: int) -> int:
        """Optimiser steps of the whole training."""
        return mixtures.steps_of(len(self.train), self.epochs, batch_size, self.max_steps)


class TrainingText:
    """The documents that a training is about."""

    def __init__(self, files: dict[str, list[Path]], config: Config, shares: dict[str, float] | None = None):
        """Read through the parquet files of one domain or, for a mixture of these `shares`, of all domains.

        Raises:
            RequestError: a file is not what `Corpus` wants.
        """
        self._config, self._shares = config, shares
        data = replace(config.data, mixtures={})  # all that a domain's blocks depend on
        self._corpora = {domain: Corpus(paths, data) for domain, paths in files.items()}
        self._fingerprints = {domain: files_fingerprint(paths) for domain, paths in files.items()}

    @property
    def fingerprint(self) -> str | dict[str, str]:
        """Of the domain's files or, for a mixture, of each domain's."""
        return self._fingerprints if self._shares else next(iter(self._fingerprints.values()))

    def blocks(self, tokenizer: PreTrainedTokenizerBase) -> TrainingBlocks:
        """What there is to train on and to watch the training by; each domain's blocks are made once.

        Raises:
            RequestError: a domain's text does not fill one block, or the blocks cannot be kept.
        """
        settings, length = self._config.training, self._config.data.max_length
        train = {domain: self._block_dataset(domain, "train", tokenizer) for domain in self._corpora}
        tune = {domain: self._block_dataset(domain, "tune", tokenizer) for domain in self._corpora}
        for domain, some in train.items():
            longest = len(some[0]["input_ids"]) if len(some) else 0
            require_one_block(longest, length, self._corpora[domain].files[0])
        notes = [
            f"{domain}: {', '.join(f'{corpus.counts[split]:,} {split}' for split in SPLITS)} documents"
            for domain, corpus in self._corpora.items()
        ]
        notes += [line for domain, corpus in self._corpora.items() for line in split_warnings(domain, corpus.counts)]
        if self._shares:
            own, how = mixtures.mix_training(train, self._shares, settings)
            watched, with_what = mixtures.mix_tuning(tune, self._shares, length, TUNE_BLOCKS, settings.seed)
            notes += [*how, with_what]
            return TrainingBlocks(own, watched, 1, notes, in_order=True, domains=len(train))
        (own,), (watched,) = train.values(), tune.values()
        if len(watched) > TUNE_BLOCKS:
            notes.append(f"eval_loss is measured on the first {TUNE_BLOCKS:,} of {len(watched):,} tune blocks")
            watched = watched.select(range(TUNE_BLOCKS))
        return TrainingBlocks(own, watched, settings.epochs, notes, max_steps=settings.max_steps)

    def _block_dataset(self, domain: str, split: Split, tokenizer: PreTrainedTokenizerBase) -> datasets.Dataset:
        """The split as blocks, made once for the same data and tokenizer."""
        corpus = self._corpora[domain]
        if not corpus.counts[split]:  # which from_generator does not take
            return datasets.Dataset.from_dict({"input_ids": []})
        key = (BLOCKS_VERSION, self._fingerprints[domain], tokenizer_fingerprint(tokenizer), repr(corpus.data), split)
        datasets.disable_progress_bars()
        try:
            with processes.main_first():  # the others find its blocks in the cache
                return datasets.Dataset.from_generator(
                    lambda: blocks(corpus.documents(split), tokenizer, corpus.data.max_length),
                    features=datasets.Features({"input_ids": datasets.List(datasets.Value("int32"))}),
                    fingerprint=xxhash.xxh3_128(repr(key).encode()).hexdigest(),
                )
        except (OSError, datasets.exceptions.DatasetGenerationError) as error:
            where = datasets.config.HF_DATASETS_CACHE
            raise RequestError(
                f"token blocks cannot be kept in {where} ({error.__cause__ or error}): set HF_HOME to a writable folder"
            ) from None


def require_one_block(tokens: int, max_length: int, source: Path) -> None:
    """Refuse a domain whose training text, of so many tokens, does not fill one block.

    Raises:
        RequestError: it does not.
    """
    if tokens < max_length:
        raise RequestError(
            f"{source}: too little text for one block: {tokens} tokens to train on, data.max_length is {max_length}; "
            "give more text or lower data.max_length"
        )
