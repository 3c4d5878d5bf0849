"""What must hold of the files in a model's folder before libraries read them, which would wait for a pipe for ever."""

from pathlib import Path
from typing import TYPE_CHECKING

from dem.reading import damage_named, read_json, require_file

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

READ = (".json", ".jinja", ".txt", ".model", ".tiktoken", ".safetensors", ".bin")
"""Ends of the names of files that transformers, tokenizers and PEFT read."""

OBJECTS = ("config.json", "generation_config.json", "adapter_config.json")
"""Files that hold a JSON object, if they are there. Of a damaged tokenizer its library tells."""

MOST_LAYERS = 10_000
"""Of a model; more are a mistake, and building them would take for ever."""


def require_model_files(folder: Path) -> None:
    """Refuse a folder in which something else stands where a library would read a file, or a JSON file is damaged.

    Raises:
        RequestError: names it.
    """
    with damage_named(f"{folder} cannot be read"):
        paths = sorted([*folder.iterdir(), *folder.glob("additional_chat_templates/*")])
    for path in paths:
        if path.suffix in READ and not path.name.startswith("."):
            require_file(path)
        if path.name in OBJECTS:
            read_json(path)


def require_sane(config: "PreTrainedConfig") -> None:
    """Refuse a configuration of more layers than any model has, or whose architectures are no names.

    Raises:
        ValueError: says which.
    """
    architectures = config.architectures
    if not (
        architectures is None or isinstance(architectures, list) and all(isinstance(a, str) for a in architectures)
    ):
        raise ValueError(f"architectures is {architectures!r:.80}")
    layers = getattr(config, "num_hidden_layers", 0)
    if isinstance(layers, int) and layers > MOST_LAYERS:
        raise ValueError(f"num_hidden_layers is {layers}")
