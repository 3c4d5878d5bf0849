"""In which numbers models are run on a false GPU."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from dem import common
from dem.evaluation import comparison
from dem.evaluation.arithmetic import Arithmetic, arithmetic
from dem.evaluation.comparison import Questions, _key, compare
from dem.evaluation.documents import encode_documents
from dem.evaluation.subjects import Subject


@pytest.fixture
def card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    return monkeypatch


@pytest.fixture
def old_card(card):
    card.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)


def stored_in(base, dtype):
    path = base / "model.safetensors"
    tensors = load_file(path)
    other = {name: tensor.to(dtype) for name, tensor in tensors.items() if not name.endswith(".D")}
    save_file({**tensors, **other}, path, metadata={"format": "pt"})
    return base


STORED = [(torch.float32, "tf32"), (torch.bfloat16, "bf16"), (torch.float16, "fp16")]


@pytest.mark.parametrize(("dtype", "name"), STORED)
def test_a_gpu_runs_what_is_stored(card, workplace, dtype, name):
    chosen = arithmetic(stored_in(workplace.base, dtype), "auto")
    assert chosen.name == name and chosen.dtype == dtype
    assert ("--evaluation.precision bf16" in chosen.reason) == (dtype == torch.float32)


def test_a_gpu_runs_what_is_asked_for(card, workplace):
    for asked, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        assert arithmetic(workplace.base, asked) == Arithmetic(asked, "as asked")
        assert arithmetic(workplace.base, asked).dtype == dtype


def test_an_old_gpu_is_not_asked_for_what_it_only_emulates(old_card, workplace):
    for asked, name in (("auto", "fp32"), ("tf32", "fp32"), ("bf16", "fp16"), ("fp16", "fp16")):
        assert arithmetic(workplace.base, asked).name == name
    assert "--evaluation.precision fp16" in arithmetic(workplace.base, "auto").reason
    stored = arithmetic(stored_in(workplace.base, torch.bfloat16), "auto")
    assert stored == Arithmetic("fp16", "as the base is stored it would be bf16, which this GPU does not have")


def test_products_are_short_only_while_they_may_be():
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    for name in ("tf32", "fp32", "bf16"):
        with pytest.raises(KeyError), Arithmetic(name, "").in_force():
            assert [kind.allow_tf32 for kind in kinds] == [name == "tf32"] * 2
            raise KeyError
        assert [kind.allow_tf32 for kind in kinds] == before


def test_what_was_measured_in_other_numbers_is_measured_again(tmp_path):
    keys = [_key(Subject("base", tmp_path, "f"), Arithmetic(name, ""), "auto") for name in ("fp32", "tf32", "bf16")]
    assert all(one != other for i, one in enumerate(keys) for other in keys[:i])


@pytest.mark.parametrize("name", ["bf16", "fp32"])
def test_a_model_is_loaded_so_and_the_settings_say_it(workplace, tokenizer, monkeypatch, name):
    texts, loaded = {"web": encode_documents(["오늘 날씨는 맑다."], tokenizer)}, []
    questions = Questions(texts, [], tokenizer, 64, 1, Arithmetic(name, "for the test"))
    monkeypatch.setattr(comparison, "load_model", lambda *a, **k: loaded.append(a[1]) or common.load_model(*a, **k))
    base = Subject("base", workplace.base, "f")
    (result,) = compare(workplace.base, [base], questions, "auto", lambda _: workplace.root / "kept.json")
    assert loaded == [questions.arithmetic.dtype] and questions.settings()["precision"] == name
    assert result.scores["web"].perplexity > 1
