"""What the stages share around the base model: finding and loading it, precision, the log.

transformers' and PEFT's classes take seconds to import: they are named where they are used, not at the top, so that the
stages begin to read and write before.
"""

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from tqdm import tqdm
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from dem import native, processes
from dem.checkpoints import Checkpoint
from dem.errors import RequestError, WorkError
from dem.gpu_memory import out_of_memory
from dem.gpu_presence import unseen_gpu
from dem.model_folder import require_model_files, require_sane
from dem.reading import damage_named
from dem.reading import read_json as read_json  # most who log also read
from dem.whole_model import require_whole

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

log = logging.getLogger("dem")


class _Console(logging.Handler):
    """Lines on stderr that do not cut through a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _Kept(logging.Handler):
    """Keeps what is said before the file is there that it belongs into."""

    def __init__(self, said: list[logging.LogRecord]):
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record)


class _LogFile(logging.FileHandler):
    """A file that stops no work when it cannot be written (the disk is full): the console says so, once."""

    _told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Say what failed; see logging.Handler."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._told:
            self._told = True
            log.info(f"WARNING: {self.baseFilename} cannot be written ({error.strerror}): it goes on without")

    def close(self) -> None:
        """Close the file; what could not be written before cannot be written now."""
        with suppress(OSError):
            super().close()


def start_log(path: Path | None, append: bool = False, said: list[logging.LogRecord] | None = None) -> None:
    """Send the project's log to stderr and, if `path` is given, to a new file there (or to the end of the old one).

    Without a path, what is logged is put into `said` as well; the file begins with what was `said` before. Of several
    processes only the main one is heard.

    Raises:
        RequestError: the file cannot be opened.
    """
    said = [] if said is None else said
    handlers: list[logging.Handler] = [_Console() if processes.is_main() else logging.NullHandler()]
    if path and processes.is_main():
        try:
            handlers.append(_LogFile(path, mode="a" if append else "w", encoding="utf-8"))
        except OSError as error:
            raise RequestError(f"the log {path} cannot be written: {error.strerror}") from None
    if not path:
        handlers.append(_Kept(said))
    for handler in log.handlers:
        handler.close()
    log.handlers = handlers
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    if path:
        for record in said:
            handlers[-1].handle(record)
    log.setLevel(logging.INFO)
    log.propagate = False
    # Libraries speak up for errors; their advice (install this kernel, set that option) is not this user's concern.
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    if not progress_wanted():
        transformers.logging.disable_progress_bar()


def base_folder(base_model: str) -> Path:
    """The folder of the base model, downloaded from the hub if `base_model` is a name there.

    Raises:
        RequestError: there is no such folder or name, or what is there is not a causal language model, is quantised, or
            has an adapter beside it.
    """
    folder = Path(base_model)
    if folder.is_file():
        raise RequestError(f"base_model {base_model} is a file: give the folder that holds the model")
    if not folder.is_dir():
        if folder.is_absolute():
            raise RequestError(f"base_model {base_model} does not exist: give a model folder or a name on the hub")
        folder = _download(base_model)
    require_model_files(folder)
    require_whole(folder, f"base_model {base_model}")
    _require_causal_lm(folder)
    return folder


def _download(name: str) -> Path:
    wanted = ["*.json", "*.safetensors", *TOKENIZER_FILES, "*.txt", "*.jinja", "LICENSE*"]
    try:
        folder = Path(snapshot_download(name, allow_patterns=wanted))
        if native.transformers_config(folder) or not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(name, allow_patterns=[*wanted, "*.bin"]))
        return folder
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RequestError(
            f"base_model {name} is neither a folder here nor to be had from the Hugging Face hub ({reason})"
        ) from None


def model_config(folder: Path) -> "PreTrainedConfig":
    """transformers' configuration of the model in `folder`, which may be a native mamba_ssm checkpoint.

    Raises:
        RequestError: there is none that transformers knows.
    """
    with damage_named(f"base_model {folder} is not a model that transformers can load"):
        config = native.transformers_config(folder) or transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False
        )
        require_sane(config)
    return config


def _require_causal_lm(folder: Path) -> None:
    config = model_config(folder)
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(config.model_type)
    known = {known} if isinstance(known, str) else set(known or ())
    if not known or (config.architectures and not known & set(config.architectures)):
        what = ", ".join(config.architectures or [config.model_type])
        raise RequestError(f"base_model {folder} is not a causal language model (it is {what})")


TOKENIZER_FILES = ("tokenizer*", "vocab*", "*.model", "*.spm", "*.codes", "*.tiktoken", "*.tokenizer", "tekken.json")
"""The files from which transformers loads a tokenizer, as patterns; not those that only add to one."""


def has_tokenizer(folder: Path) -> bool:
    """Whether `folder` holds any file of a tokenizer. Of none, transformers may make an empty one for some models."""
    return any(any(folder.glob(pattern)) for pattern in TOKENIZER_FILES)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in `folder`.

    Raises:
        RequestError: there is none, or it has no end-of-sequence token to put between documents.
    """
    if not has_tokenizer(folder):
        raise RequestError(f"{folder} holds no tokenizer: put tokenizer files into it")
    with damage_named(f"{folder} holds no tokenizer that transformers can load: put tokenizer files into it"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        tokenizer("글")  # some settings of wrong types are found only in use
    if tokenizer.eos_token_id is None:
        raise RequestError(f"the tokenizer in {folder} has no end-of-sequence token (eos_token): set one")
    return tokenizer


SENSITIVE_TO_ROUNDING = (r"\.A_log$", r"\.D$", "norm")
"""Parameters, as patterns of their names, that a training in half precision keeps in float32."""


_TOLD: set[str] = set()
"""What the log of this process has heard of kernels."""


def load_model(
    folder: Path, dtype: torch.dtype | str, *, kernels: str, to_train: bool = False, device: str | None = None
) -> "PreTrainedModel":
    """The causal language model in `folder`, in `dtype` ("auto": its own), to evaluate.

    It is put on `device`, and without one on the GPU if there is one. `kernels` says which a Mamba gets
    (dem/kernel_choice.py). `to_train` keeps A_log, D and the norms in float32; the forward pass then needs autocast,
    which Trainer sets.

    Raises:
        RequestError: a weight is missing or cannot be read, or a native checkpoint holds one too many; or the folder
            holds an adapter beside the model, which transformers would attach; or `kernels` cannot be had.
        WorkError: it does not fit into memory.
    """
    from dem import mamba

    require_whole(folder, f"the model in {folder}")
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    # Tensor by tensor, so that a GPU's model is never whole in this machine's own memory.
    straight = {} if place.type == "cpu" else {"device_map": place}
    with (
        damage_named(f"the model in {folder} cannot be loaded"),
        _memory_told(folder),
        _kept_in_float32(folder, SENSITIVE_TO_ROUNDING if to_train else ()),
    ):
        if config := native.transformers_config(folder):
            model, report = _load_native(folder, config, dtype, straight)
        else:
            model, report = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, trust_remote_code=False, weights_only=True, output_loading_info=True, **straight
            )
    if missing := sorted(report["missing_keys"]):
        raise RequestError(f"the model in {folder} lacks {len(missing)} of its weights, such as {missing[0]}")
    for kernel in mamba.prepare(model.config.model_type, kernels):
        if to_train or kernel not in _TOLD:  # stage 3 loads several models
            log.info(kernel)
        _TOLD.add(kernel)
    with _memory_told(folder):
        return model.to(place).eval()


@contextmanager
def _memory_told(folder: Path) -> Iterator[None]:
    """While it lasts, memory that does not suffice for the model in `folder` is told in one line.

    Raises:
        WorkError: it did not.
    """
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        where = "this machine's memory"
        if torch.cuda.is_available():
            free, whole = (size / 2**30 for size in torch.cuda.mem_get_info())
            where = f"the GPU: {free:.1f} of its {whole:.1f} GiB are free"
        raise WorkError(f"the model in {folder} does not fit into {where}") from None


def stored_names(model: "PreTrainedModel", checkpoint: Checkpoint) -> dict[str, str]:
    """The checkpoint's name of each parameter of the model, by the model's name of it.

    transformers renames some parameters when it loads, and ties others to one that the checkpoint holds.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [rule for rule in get_model_conversion_mapping(model) if isinstance(rule, WeightRenaming)]
    expected = model.state_dict()
    renamed = {rename_source_key(n, renamings, [], model.base_model_prefix, expected)[0]: n for n in checkpoint}
    names = {name: stored for name, stored in renamed.items() if name in expected}
    for name, tied_to in model.all_tied_weights_keys.items():
        if name not in names and tied_to in names:
            names[name] = names[tied_to]
    return names


@contextmanager
def _kept_in_float32(folder: Path, patterns: tuple[str, ...]) -> Iterator[None]:
    """While it lasts, transformers loads the parameters of these names in float32, whatever dtype is asked for."""
    model_class = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(model_config(folder))]
    kept = model_class._keep_in_fp32_modules_strict
    model_class._keep_in_fp32_modules_strict = [*(kept or ()), *patterns]
    try:
        yield
    finally:
        model_class._keep_in_fp32_modules_strict = kept


def _load_native(
    folder: Path, config: "PreTrainedConfig", dtype: torch.dtype | str, straight: dict[str, torch.device]
) -> "tuple[PreTrainedModel, dict]":
    checkpoint = Checkpoint(folder)
    weights = {name: checkpoint.read(name) for name in checkpoint}
    model, report = transformers.MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True, **straight
    )
    if unexpected := sorted(report["unexpected_keys"]):
        raise RequestError(f"{folder / native.WEIGHTS} holds {unexpected[0]}, which by its config.json does not exist")
    # PEFT compares the vocabulary with that in the config.json where the model has its name from. A native one gives it
    # before padding: PEFT would think that the embedding was resized, and save it with each adapter.
    model.name_or_path = model.config.name_or_path = ""
    return model, report


def require_vocabulary(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    """Refuse a tokenizer that can give ids the model has no embedding for."""
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise RequestError(f"the tokenizer has {len(tokenizer):,} tokens, the model embeddings for {rows:,} only")


@dataclass(frozen=True)
class Precision:
    """In what arithmetic the model runs: `name` fp16, bf16 or fp32, the dtype of that name, and why."""

    name: str
    dtype: torch.dtype
    reason: str


def choose_precision(requested: str) -> Precision:
    """The precision to compute in: `requested` on a GPU that has it, fp32 on a CPU.

    Raises:
        RequestError: `requested` is for a GPU, and PyTorch does not see the one that is here.
    """
    if requested != "fp32" and (unseen := unseen_gpu()):
        raise RequestError(
            f"training.precision {requested}: {unseen}: install a driver and a PyTorch that fit each other, or set "
            "device: cpu to train on the CPU in fp32, many times slower"
        )
    if not torch.cuda.is_available():
        return Precision("fp32", torch.float32, f"no GPU here, and a CPU computes in fp32 (asked for: {requested})")
    if requested == "bf16" and not has_bf16():
        return Precision("fp16", torch.float16, "bf16 was asked for and this GPU does not have it")
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[requested]
    safer = requested == "fp16" and has_bf16()
    reason = "as asked; this GPU has bf16, which cannot overflow: --training.precision bf16" if safer else "as asked"
    return Precision(requested, dtype, reason)


def has_bf16() -> bool:
    """Whether the GPU computes in bfloat16 itself; older ones (T4, V100) only seem to, many times slower."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def peak_memory() -> str:
    """Most memory in use so far, in words; on a GPU with what was reserved for it, which is what has to fit."""
    reserved = f" ({torch.cuda.max_memory_reserved() / 2**30:.2f} reserved)" if torch.cuda.is_available() else ""
    return f"{peak_memory_gib():.2f} GiB{reserved}"


def peak_memory_gib() -> float:
    """Most memory in use so far in GiB: of the GPU if there is one, else of this process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource  # not on Windows

    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / 2**20 if sys.platform != "darwin" else kilobytes / 2**30


def reuse_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensors rather than hand it back to the system; elsewhere do nothing.

    Every page of fresh memory costs a fault, and a training on a CPU that gets fresh memory for each large tensor
    spends a fifth of its time on them. The price is a larger process between two steps.
    """
    M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h; -1 disables trimming
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return
    # The largest value that glibc takes. Larger pieces, the logits above all, still go back: kept, they would stay
    # in the way of each other and treble the memory at a vocabulary of 96,000.
    mallopt(M_MMAP_THRESHOLD, 32 << 20)
    mallopt(M_TRIM_THRESHOLD, -1)


def progress_wanted() -> bool:
    """Whether a progress bar would be seen by someone (a terminal) rather than fill a file."""
    return processes.is_main() and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def progress_bar(total: int, what: str, unit: str) -> tqdm:
    """A bar on stderr for `total` units of work, with an estimate of the time left; silent without a terminal."""
    return tqdm(total=total, desc=what, unit=unit, unit_scale=True, disable=not progress_wanted())
