"""The record of a training, kept beside its adapter: what made it, and what has changed since.

PEFT's and transformers' classes are imported where they are used, as in `common`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
import xxhash

from dem import processes
from dem.common import read_json
from dem.config import Config
from dem.errors import RequestError
from dem.layout import RUN_RECORD

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase


def run_record(
    config: Config,
    base_fingerprint: str,
    base_config: "PreTrainedConfig",
    tokenizer: "PreTrainedTokenizerBase",
    data_fingerprint: str | dict[str, str],
    shares: dict[str, float] | None = None,
) -> dict[str, Any]:
    """What makes the adapter. It is kept beside it, and a run goes on only from a state with the same record.

    Args:
        data_fingerprint: of the domain's files or, for a mixture, of each domain's.
        shares: of the mixture's domains, adding up to 1.
    """
    import peft

    from dem.corpus import tokenizer_fingerprint

    full = config.as_dict()
    del full["data"]["mixtures"]  # of which only its own matters to an adapter
    return {
        "base": {
            "name": config.base_model,
            "fingerprint": base_fingerprint,
            "config": config_fingerprint(base_config),
            "tokenizer": tokenizer_fingerprint(tokenizer),
        },
        "data": {**full["data"], "fingerprint": data_fingerprint},
        **({"mixture": shares} if shares else {}),
        "training": full["training"],
        "lora": full["lora"],
        "versions": {m.__name__: m.__version__ for m in (torch, transformers, peft)},
        "sharding": processes.sharding(),  # a saved state has another form with it
    }


def config_fingerprint(config: "PreTrainedConfig") -> str:
    """A hash (128 bits, hexadecimal) of a model's configuration, as this version of transformers understands it."""
    described = {k: v for k, v in config.to_dict().items() if k not in ("_name_or_path", "transformers_version")}
    return xxhash.xxh3_128(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def read_record(adapter: Path) -> dict[str, Any] | None:
    """The record beside the adapter in this folder; None beside one that was not made by stage 1.

    Raises:
        RequestError: the record is damaged.
    """
    path = adapter / RUN_RECORD
    if not path.exists():
        return None
    record = read_json(path)
    sections = ("base", "data", "training", "lora", "versions", "adapter")
    numbers = ("seconds", "tokens", "steps", "asked_steps", "epochs")
    if any(not isinstance(record.get(name, {}), dict) for name in sections) or any(
        not isinstance(record.get(name, 0), int | float) for name in numbers
    ):
        raise RequestError(f"{path} is not the record of a training: remove it or train again")
    return record


WITHOUT_EFFECT = (
    "base.name",
    "training.logging_steps",
    "training.eval_steps",
    "training.save_steps",
    "seconds",
    "tokens",
    "steps",
    "asked_steps",
    "epochs",
    "adapter",
)
"""Entries of a run's record that do not change the adapter, or are what became of it."""

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


def hours_not_reached(made_by: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether a finished training went through all that it was asked for, and would within the hours asked for `now`.

    Its adapter is then the one that these hours give. A record of an earlier version is of a training without a limit.
    """
    hours = now["training"]["max_hours"]
    whole = made_by.get("steps") == made_by.get("asked_steps")
    return whole and (hours is None or made_by.get("seconds", 0) <= 3600 * hours * _domains(now))


def _domains(record: dict[str, Any]) -> int:
    """Of how many domains' text the training is."""
    fingerprints = record["data"]["fingerprint"]
    return len(fingerprints) if isinstance(fingerprints, dict) else 1


def settings_changed(record: dict[str, Any], config: Config) -> list[str]:
    """Where the config differs from what the record's training was asked for: `lora.r 4 -> 8`, a phrase each.

    What the record does not know, being of an earlier version, is passed over.
    """
    before, now = _flat(record), _flat(config.as_dict())
    asked = [key for key in now if key.startswith(("data.", "training.", "lora.")) and key in before]
    return changes({key: before[key] for key in asked}, {key: now[key] for key in asked})


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
