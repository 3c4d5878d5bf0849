"""The record of a training, kept beside its adapter: what made it, and what has changed since."""

import json
from typing import Any

import peft
import torch
import transformers
import xxhash
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from dem import processes
from dem.config import Config
from dem.corpus import tokenizer_fingerprint


def run_record(
    config: Config,
    base_fingerprint: str,
    base_config: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    data_fingerprint: str | dict[str, str],
    shares: dict[str, float] | None = None,
) -> dict[str, Any]:
    """What makes the adapter. It is kept beside it, and a run goes on only from a state with the same record.

    Args:
        data_fingerprint: of the domain's files or, for a mixture, of each domain's.
        shares: of the mixture's domains, adding up to 1.
    """
    full = config.as_dict()
    del full["data"]["mixtures"]  # of which only its own matters to an adapter
    described = {k: v for k, v in base_config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    return {
        "base": {
            "name": config.base_model,
            "fingerprint": base_fingerprint,
            "config": xxhash.xxh3_128(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest(),
            "tokenizer": tokenizer_fingerprint(tokenizer),
        },
        "data": {**full["data"], "fingerprint": data_fingerprint},
        **({"mixture": shares} if shares else {}),
        "training": full["training"],
        "lora": full["lora"],
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "sharding": processes.sharding(),  # a saved state has another form with it
    }


WITHOUT_EFFECT = (
    "base.name",
    "training.logging_steps",
    "training.eval_steps",
    "training.save_steps",
    "seconds",
    "tokens",
)
"""Entries of a run's record that do not change the adapter."""

_NAMES = {
    "base.fingerprint": "the base's weights",
    "base.config": "the base's config.json",
    "base.tokenizer": "the tokenizer",
    "data.fingerprint": "the domain's text",
}


def changes(before: dict[str, Any], now: dict[str, Any], ignored: tuple[str, ...] = WITHOUT_EFFECT) -> list[str]:
    """What differs between two run records, a phrase each: `training.learning_rate 5e-05 -> 0.0001`."""
    old, new = _flat(before), _flat(now)
    different = [k for k in {**old, **new} if old.get(k) != new.get(k) and not k.startswith(ignored)]
    return [_name(key) or f"{key} {old.get(key)} -> {new.get(key)}" for key in different]


def _name(key: str) -> str | None:
    """What to call an entry whose values say nothing to people."""
    domain = key.removeprefix("data.fingerprint.")
    return _NAMES.get(key) or (f"the text of {domain}" if domain != key else None)


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """The leaves of a tree of dictionaries by their dotted names."""
    leaves = {}
    for key, value in tree.items():
        leaves |= {f"{key}.{k}": v for k, v in _flat(value).items()} if isinstance(value, dict) else {key: value}
    return leaves
