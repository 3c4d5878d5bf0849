"""How many tokens a model has positions for, where it looks them up in a table: beyond its end there is no answer.

Rotary positions, ALiBi and the state of a Mamba go on for ever; a learned table does not, and neither does one of
sines that is made when the model is built.
"""

import re
from pathlib import Path

from torch import nn
from transformers import PreTrainedModel

from dem.errors import RequestError
from dem.names import Names

WITHOUT_A_TABLE = {"mpt": "max_seq_len"}
"""Models whose positions end although they have no table of them, and the setting that says where."""


def position_limit(model: PreTrainedModel) -> int | None:
    """Tokens that `model` has positions for, whether or not it holds weights; None where they do not end."""
    ends = _ends(model.get_decoder())
    if setting := WITHOUT_A_TABLE.get(model.config.model_type):
        ends.append(getattr(model.config, setting))
    return min(ends, default=None)


def require_positions(base: Path, max_length: int) -> None:
    """Refuse blocks and windows of more tokens than the model in the folder `base` has positions for.

    Raises:
        RequestError: it has fewer than `max_length`.
    """
    limit = position_limit(Names.of(base).model)
    if limit is not None and max_length > limit:
        raise RequestError(
            f"data.max_length is {max_length:,}, and the base model in {base} has positions for {limit:,} tokens only: "
            f"set data.max_length to {limit} or less"
        )


def _ends(decoder: nn.Module) -> list[int]:
    """The number of tokens that each table of positions in `decoder` is for."""
    learned = [_places(m) for name, m in decoder.named_modules() if isinstance(m, nn.Embedding) and _is_table(name)]
    made = [len(b) for name, b in decoder.named_buffers() if b.dim() == 2 and b.is_floating_point() and _is_table(name)]
    return learned + made


def _is_table(path: str) -> bool:
    """Whether this is the name of a table of a text's positions, such as wpe, embed_positions or pos_encoding."""
    name = path.removesuffix(".base_layer").rpartition(".")[2]  # PEFT's around an adapted one
    return (name == "wpe" or "pos" in name) and not re.search("vision|image|audio", path)


def _places(table: nn.Embedding) -> int:
    """Rows of the table but for those before the first token's: BART's and OPT's offset, RoBERTa's up to padding's."""
    before = getattr(table, "offset", 0) if table.padding_idx is None else table.padding_idx + 1
    return table.num_embeddings - before
