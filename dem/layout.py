"""The names of all files through which the stages meet. No other module spells them."""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from dem.errors import RequestError

SUMS = {"found": "_found_sum", "best": "_best_sum"}
"""What the results add to `equal` and `hand` for these weights' shares at the sum of found weights, and at the sum that
is best for them."""
DERIVED = ("regmean", "terms")
"""Kinds of differences that stage 3 makes of the domains' ones: projected by RegMean, with a weight for each term."""
SCALARS = "scalars"
"""What the results call weights found for whole differences, where the merged model has one for each of their parts."""
RESERVED = (
    "base",
    "merged",
    "all",
    SCALARS,
    *(f"{shares}{at}" for shares in ("equal", "hand") for at in ("", *SUMS.values())),
)
"""Names that the results give to other things than domains."""


def domain_name_mistake(name: str) -> str | None:
    """What is wrong with `name` as the name of a domain, or None. It becomes part of file names."""
    if name in RESERVED:
        return f"domain {name!r} has the name of a row or column of the results: choose another"
    if not re.fullmatch(r"\w[\w-]*", name):  # \w holds Hangul
        return f"domain {name!r} is not usable as a file name: use letters, digits, '_' and '-'"
    return f"domain {name!r} is too long for a file name" if len(name.encode()) > 200 else None


@dataclass(frozen=True)
class Output:
    """What one run at a time may write."""

    path: Path
    """What messages call it by."""
    lock: Path
    """The file that is locked meanwhile; in no folder that is ever replaced as a whole."""
    parts: tuple[Path, ...]
    """All files and folders that are written beside their place and then renamed, or hold such."""


@dataclass(frozen=True)
class Layout:
    """The folders below `root` (an absolute path)."""

    root: Path

    def training_output(self, domain: str) -> Output:
        """Everything that the domain's training writes."""
        adapter = self.adapter(domain)
        tables = (self.train_summary(domain, ".csv"), self.train_summary(domain, ".png"))
        return Output(adapter, _lock_beside(adapter), (adapter, *tables))

    def difference_output(self, domain: str) -> Output:
        """Everything that stage 2 writes for the domain."""
        vector, summary = self.diff_vector(domain), self.diff_summary(domain, ".json")
        parts = (vector, self.diff_index(domain), summary, self.diff_summary(domain, ".png"))
        return Output(vector, vector.with_name(f".diff_{domain}.lock"), parts)

    @property
    def merge_output(self) -> Output:
        """The merged model, and the differences that are made for it."""
        parts = (self.merged_model, *map(self.derived, DERIVED))
        return Output(self.merged_model, _lock_beside(self.merged_model), parts)

    @property
    def results_output(self) -> Output:
        """Everything that stage 3 says of the models, and its log."""
        return Output(self.results, self.results / ".results.lock", (self.results,))

    def parquet(self, domain: str) -> Path:
        """The domain's text as one file."""
        return self.root / "parquet_ready" / f"{domain}.parquet"

    def parquet_files(self, domain: str) -> list[Path]:
        """The domain's parquet files, in order of their paths: one file, or all below the folder of its name.

        Below the folder, files and folders whose names begin with `.` or `_` are left out: copies that a system or a
        writer of parquet keeps for itself.

        Raises:
            RequestError: there are none, or both a file and a folder stand for the domain, or a folder cannot be read.
        """
        folder = self.root / "parquet_ready"
        named = sorted(folder.glob("*")) if folder.is_dir() else []
        single = [path for path in named if path.stem == domain and _is_parquet(path)]
        several, found = folder / domain, _parquet_below(folder / domain)[0]
        if len(single) + bool(found) > 1:
            both = " and ".join(map(str, [*single, *([f"{several}/"] if found else [])]))
            raise RequestError(f"both {both} exist: which of them is domain {domain}? Remove one")
        if single and single[0].is_dir():
            raise RequestError(f"{single[0]} is a folder, not a file: rename it to {several}, where files are read")
        if not single and not found:
            there = [p.name for p in named if _is_parquet(p) or p.is_dir()]
            raise RequestError(
                f"no data for domain {domain}: neither {self.parquet(domain)} nor {several}/*.parquet exists; "
                f"{folder} holds {', '.join(there) or 'no parquet'}{_spelt_apart(domain, named)}"
            )
        return found or single

    def parquet_listing(self, domain: str) -> str:
        """How many parquet files the domain has, for people: those in folders below its own, and those left out."""
        folder = self.root / "parquet_ready" / domain
        found, hidden = _parquet_below(folder)
        if not found:
            return f"{domain}: 1 parquet file"
        nested = sum(path.parent != folder for path in found)
        return (
            f"{domain}: {len(found)} parquet files below {folder}, {nested} of them in folders there; "
            f"{hidden} hidden ones are left out (names that begin with . or _)"
        )

    def adapter(self, domain: str) -> Path:
        """Folder of the domain's adapter, as PEFT writes it."""
        return self.root / "checkpoints" / f"lora_{domain}"

    def existing_adapter(self, domain: str) -> Path:
        """Folder of the domain's adapter.

        Raises:
            RequestError: there is no finished adapter.
        """
        folder = self.adapter(domain)
        weights = (folder / "adapter_model.bin", folder / "adapter_model.safetensors")
        if not (folder / "adapter_config.json").is_file() or not any(path.is_file() for path in weights):
            raise RequestError(
                f"no adapter in {folder}: make it with python dem/train_individual.py --config CONFIG --domain {domain}"
            )
        return folder

    def existing_difference(self, domain: str) -> tuple[Path, Path]:
        """The domain's difference vector and its index.

        Raises:
            RequestError: one of them is missing.
        """
        files = (self.diff_vector(domain), self.diff_index(domain))
        if missing := [str(path) for path in files if not path.is_file()]:
            raise RequestError(
                f"domain {domain} has no difference ({' and '.join(missing)} missing): make it with "
                f"python dem/vector_diff.py --config CONFIG --domain {domain}, or take it out of merge.weights"
            )
        return files

    def training_state(self, domain: str) -> Path:
        """Folder of the state of an unfinished training; it goes when the adapter is written."""
        return self.adapter(domain) / "training_state"

    def train_log(self, domain: str) -> Path:
        """Log of the domain's training."""
        return self.root / "logs" / f"train_{domain}.log"

    def train_summary(self, domain: str, suffix: str) -> Path:
        """Convergence of the domain's training, as `.csv` or `.png`."""
        return self.root / "summary" / f"train_{domain}{suffix}"

    def diff_vector(self, domain: str) -> Path:
        """The difference vector."""
        return self.root / "diff_vectors" / f"diff_{domain}.npy"

    def diff_index(self, domain: str) -> Path:
        """Which slice of the difference vector is which parameter."""
        return self.root / "diff_vectors" / f"diff_{domain}.json"

    def derived(self, kind: str) -> Path:
        """Folder of the differences that stage 3 makes of these before it merges (see dem/derived.py)."""
        return self.root / "diff_vectors" / kind

    def derived_parts(self, kind: str) -> Path:
        """Folder of what is there of them while they are being made, from which a run that was cut off goes on."""
        return self.root / "diff_vectors" / f"{kind}.parts"

    def diff_summary(self, domain: str, suffix: str) -> Path:
        """Statistics of the difference vector, as `.json` or `.png`."""
        return self.root / "diff_stats" / f"diff_{domain}_summary{suffix}"

    @property
    def merged_model(self) -> Path:
        """Folder of the merged model."""
        return self.root / "merged_model"

    @property
    def merge_record(self) -> Path:
        """What the merged model was made of."""
        return self.merged_model / "dem_provenance.json"

    @property
    def merge_log(self) -> Path:
        """Log of stage 3."""
        return self.root / "logs" / "merge.log"

    @property
    def results(self) -> Path:
        """Folder of everything that stage 3 says of the models."""
        return self.root / "results"

    @property
    def prompt_comparison(self) -> Path:
        """The answers of all models side by side."""
        return self.results / "eval_prompt_comparison.md"

    @property
    def metric_summary(self) -> Path:
        """A row per model, a column per metric."""
        return self.results / "metric_summary.csv"

    @property
    def metrics(self) -> Path:
        """Everything that was measured, with counts, intervals, settings and versions."""
        return self.results / "metrics.json"

    def evaluated(self, model: str) -> Path:
        """What was measured of one model, for a later run to take up."""
        return self.results / "evaluated" / f"{model}.json"

    @property
    def acceptance(self) -> Path:
        """The plan's criteria, each with what was measured and a verdict."""
        return self.results / "acceptance.md"

    @property
    def report(self) -> Path:
        """Everything on one page, with the pictures."""
        return self.results / "report.md"

    @property
    def interference(self) -> Path:
        """How the domains' differences agree and disagree."""
        return self.results / "interference.json"

    @property
    def durations(self) -> Path:
        """How long the last merge and its evaluation took."""
        return self.results / "durations.json"

    @property
    def perplexity_picture(self) -> Path:
        """Perplexity of each model on each domain."""
        return self.results / "perplexity.png"

    @property
    def loss_picture(self) -> Path:
        """Loss of all trainings."""
        return self.results / "loss_curves.png"

    @property
    def norm_picture(self) -> Path:
        """Norm of each domain's difference in each layer."""
        return self.results / "difference_norms.png"

    @property
    def interference_picture(self) -> Path:
        """How the domains' differences agree and disagree, drawn."""
        return self.results / "interference.png"

    @property
    def weight_picture(self) -> Path:
        """Weight of each domain in the merge."""
        return self.results / "merge_weights.png"

    @property
    def search_table(self) -> Path:
        """Every evaluation of the search for weights."""
        return self.results / "weights_search.csv"

    @property
    def search_summary(self) -> Path:
        """The weights that were found, and what is known of the losses about them."""
        return self.results / "weights_search.json"

    @property
    def search_kept(self) -> Path:
        """The search's evaluations, for a later run to take up."""
        return self.results / "weights_search_evaluations.json"

    @property
    def descent_state(self) -> Path:
        """Where the steps stand by which a weight for each term or module is found, for a later run to take up."""
        return self.results / "weights_search_state.safetensors"

    @property
    def descent_table(self) -> Path:
        """The losses on both halves of the tune documents as these steps go on."""
        return self.results / "weights_search_steps.csv"

    @property
    def leave_one_out(self) -> Path:
        """What each domain's difference does to the loss of each domain's tune documents."""
        return self.results / "leave_one_out.csv"

    @property
    def leave_one_out_record(self) -> Path:
        """The same for a program, with the merge that it is of."""
        return self.results / "leave_one_out.json"

    def evaluated_without(self, domain: str | None) -> Path:
        """What was measured of the merged weights without one domain's term (None: with all)."""
        return self.results / "evaluated" / "leave_one_out" / f"{domain or 'all'}.json"

    @property
    def leave_one_out_picture(self) -> Path:
        """The same, drawn."""
        return self.results / "leave_one_out.png"

    def search_picture(self, what: str) -> Path:
        """Of the search: its `path`, the `losses` along each weight, the `map` of two, or the `steps` of a descent."""
        return self.results / f"weights_search_{what}.png"

    @property
    def answers(self) -> Path:
        """The answers of the last evaluation, from which the report can be written anew."""
        return self.results / "answers.json"

    @property
    def rating_sheet(self) -> Path:
        """The page on which people rate the answers without seeing whose they are."""
        return self.results / RATING_SHEET

    @property
    def ratings(self) -> Path:
        """All ratings of answers so far, by people and by a judge."""
        return self.results / "ratings.json"


def real_place(path: Path) -> Path:
    """The path behind all links.

    Raises:
        RequestError: the links lead in a circle.
    """
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # the latter before Python 3.13
        raise RequestError(f"{path} is a link that leads back to itself: remove it") from None


def _lock_beside(folder: Path) -> Path:
    """The lock of a folder that is replaced as a whole: beside it, or if it is a link beside what that leads to."""
    real = real_place(folder)
    return real.with_name(f".{real.name}.lock")


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet" and not path.name.startswith(HIDDEN)


def _parquet_below(folder: Path) -> tuple[list[Path], int]:
    """The parquet files at any depth below `folder`, and the number of hidden ones. Links are followed, once each."""
    found, hidden, seen = [], 0, set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        seen.add(os.path.realpath(place))
        folders[:] = [name for name in sorted(folders) if os.path.realpath(os.path.join(place, name)) not in seen]
        parquet = [Path(place, name) for name in files if name.lower().endswith(".parquet")]
        shown = [path for path in parquet if not any(p.startswith(HIDDEN) for p in path.relative_to(folder).parts)]
        found += shown
        hidden += len(parquet) - len(shown)
    return sorted(found), hidden


def _refuse_folder(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise RequestError(f"{error.filename} cannot be read: {error.strerror}")


HIDDEN = (".", "_")
"""What the names of files begin with that are not meant to be read."""

RATING_SHEET = "rating_sheet.html"

RUN_RECORD = "dem_run.json"
"""Beside an adapter: the configuration, base, data and versions that made it."""


def _spelt_apart(domain: str, files: list[Path]) -> str:
    """Of a name that looks the same: macOS and archives made there write 가 as its single letters (NFD)."""
    form = unicodedata.normalize
    others = [f for f in files if domain not in (f.stem, f.name)]
    alike = next((f for f in others if form("NFC", domain) in (form("NFC", f.stem), form("NFC", f.name))), None)
    words = "looks the same, but is composed of other characters: rename it to the domain's name"
    return f" ({alike.name} {words})" if alike else ""
