"""An adapter of stage 1, for the stages after it: whether it, its base and the settings are what its record says."""

from pathlib import Path
from typing import Any

import transformers

from dem.checkpoints import files_fingerprint
from dem.common import load_tokenizer, log, model_config
from dem.config import Config
from dem.errors import RequestError
from dem.run_record import config_fingerprint, read_record, settings_changed

TRAIN_AGAIN = "train again (dem/train_individual.py with --overwrite)"
RESTORE = f"put back the file that it wrote, or {TRAIN_AGAIN}"

PARTS = {"config": "config.json", "tokenizer": "tokenizer"}
"""Of what `base_files` describes, what it is called."""


def adapter_files(adapter: Path) -> dict[str, str]:
    """A hash (128 bits, hexadecimal) of each file of the adapter in this folder, by name: the record's `adapter`."""
    files = sorted(path for path in adapter.glob("adapter_*") if path.suffix in (".bin", ".safetensors", ".json"))
    return {path.name: files_fingerprint([path]) for path in files}


def base_files(base: Path) -> dict[str, str | None]:
    """What decides, beside its weights, what the base in this folder computes.

    Returns:
        Hashes of its `config` and its `tokenizer` (None where none can be loaded), and the version of `transformers`,
        without which the hashes cannot be compared.
    """
    from dem.corpus import tokenizer_fingerprint  # which brings transformers' classes

    try:
        tokenizer = tokenizer_fingerprint(load_tokenizer(base))
    except RequestError:
        tokenizer = None
    return {
        "config": config_fingerprint(model_config(base)),
        "tokenizer": tokenizer,
        "transformers": transformers.__version__,
    }


def require_as_trained(adapter: Path, files: dict[str, str | None]) -> dict[str, Any] | None:
    """Refuse an adapter that is not what its training wrote, or whose base is not what it was trained on.

    Args:
        adapter: its folder.
        files: of the base now, from `base_files`.

    Returns:
        The record of its training; None of an adapter that has none, which is taken as it is.

    Raises:
        RequestError: the record is damaged, a file of the adapter is missing or another, or the base's config.json or
            tokenizer is.
    """
    record = read_record(adapter)
    if record is None:
        return None
    require_untouched(adapter, record)
    trained_on = {**record.get("base", {}), "transformers": record.get("versions", {}).get("transformers")}
    require_same_base_files(trained_on, files, f"{adapter} was trained", TRAIN_AGAIN)
    return record


def require_untouched(adapter: Path, record: dict[str, Any]) -> None:
    """Refuse an adapter that is not what its training wrote; a record of an earlier version does not say.

    Raises:
        RequestError: a file is missing, cannot be read or has changed.
    """
    for name, fingerprint in record.get("adapter", {}).items():
        try:
            same = files_fingerprint([adapter / name]) == fingerprint
        except OSError as error:
            raise RequestError(f"{adapter / name} cannot be read ({error.strerror}): {RESTORE}") from None
        if not same:
            raise RequestError(f"{adapter / name} is not what the training wrote: {RESTORE}")


def require_same_base_files(before: dict[str, Any], now: dict[str, str | None], since: str, again: str) -> None:
    """Refuse what was made with another config.json or tokenizer of the base.

    Args:
        before: of what `base_files` returns, what was recorded then.
        now: what `base_files` returns now.
        since: what was made, as a clause.
        again: what to do, if the change is meant.

    Raises:
        RequestError: one of them has changed. Where transformers has changed as well, that is not known, and the log
            says so.
    """
    changed = [part for part in PARTS if before.get(part) and before[part] != now[part]]
    names = " and ".join(PARTS[part] for part in changed)
    if not changed:
        return
    if before.get("transformers") != now["transformers"]:
        log.info(
            f"WARNING: since {since} transformers has changed ({before.get('transformers')} -> {now['transformers']}), "
            f"and it reads the base's {names} in another way; whether these have changed too is not known"
        )
        return
    raise RequestError(f"since {since} the base's {names} changed: put that back, or {again}")


def log_settings_changed(domain: str, record: dict[str, Any], config: Config) -> None:
    """Say where the config differs from what the domain's adapter was trained with, if it does."""
    if changed := settings_changed(record, config):
        log.info(
            f"{domain}: changed since its training, and without effect on its adapter: {'; '.join(changed)}; "
            f"if that is meant, {TRAIN_AGAIN}"
        )
