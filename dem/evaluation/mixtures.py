"""The adapters trained on mixtures of the domains: which of them the merged model can be compared with.

A mixture never takes part in a merge. One that cannot be compared is left out, with the reason, and stops nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dem.checkpoints import Checkpoint, files_fingerprint
from dem.common import log
from dem.config import FOUND, Config
from dem.errors import RequestError
from dem.evaluation.metrics import Mixture
from dem.found_shares import with_found_shares
from dem.layout import Layout
from dem.run_record import changes
from dem.sources import adapter_deltas
from dem.trained_adapter import base_files, log_settings_changed, require_as_trained


def find_mixtures(
    config: Config,
    layout: Layout,
    files: dict[str, list[Path]],
    base: Path,
    base_fingerprint: str,
    names: Sequence[str] | None = None,
) -> dict[str, Mixture]:
    """The config's mixtures by name, or those of `names`; the log says which of them are left out, and why.

    Compared is a finished adapter of this base, of these shares, of the split that is tested on, and of the text that
    `files` hold now, by domain.
    """
    found = {}
    now: dict[str, Any] | None = None
    beside: dict[str, str | None] | None = None
    for name in config.data.mixtures if names is None else names:
        shares, adapter, of_weights = {}, layout.adapter(name), config.data.mixtures[name] == FOUND
        how = f"python dem/train_individual.py --config CONFIG --domain {name}"
        try:
            shares = with_found_shares(config, layout, name)[0].data.shares(name)
            layout.existing_adapter(name)
            now = now or _as_recorded(config, files, base_fingerprint)
            beside = beside or base_files(base)
            record = require_as_trained(adapter, beside) or {}
            if changed := changes(_part(record), now | {"mixture": shares}):
                raise RequestError(f"since it was trained there changed {'; '.join(changed)}: {how} --overwrite")
            adapter_deltas(adapter, base, Checkpoint(base))  # it loads, and fits the base
            log_settings_changed(name, record, config)
            found[name] = Mixture(shares, None, record.get("seconds"), record.get("tokens"), of_weights)
        except RequestError as mistake:
            found[name] = Mixture(shares, str(mistake), found=of_weights)
            log.info(f"evaluation: the mixture {name} is left out: {mistake}")
    return found


SPLIT = ("tune_fraction", "test_fraction", "group_column", "fingerprint")
"""Of a record's data, what decides which text was trained on."""


def _as_recorded(config: Config, files: dict[str, list[Path]], base_fingerprint: str) -> dict[str, Any]:
    data = {**vars(config.data), "fingerprint": {domain: files_fingerprint(paths) for domain, paths in files.items()}}
    return _part({"base": {"fingerprint": base_fingerprint}, "data": data})


def _part(record: dict[str, Any]) -> dict[str, Any]:
    """What must be equal in a training's record for the adapter to be compared."""
    data, base = (record.get(name) if isinstance(record.get(name), dict) else {} for name in ("data", "base"))
    return {
        "base": {"fingerprint": base.get("fingerprint")},
        "data": {name: data.get(name) for name in SPLIT},
        "mixture": record.get("mixture"),
    }
