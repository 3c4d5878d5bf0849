"""Answers that are made together are those that each prompt gets alone."""

import copy

import pytest
import torch
from conftest import make_base
from test_families import FAMILIES, random_model
from transformers import AutoModelForCausalLM, GenerationConfig

from dem.evaluation import generation
from dem.evaluation.generation import answer_all

PROMPTS = [
    "오늘 날씨는",
    "가",
    "민호: 어제 그 영화 정말 재미있었어. 너도 봤니? 같이 갈걸 그랬다.",
    "오늘 날씨는",
    "서울의 봄,",
]


def alone(model, tokenizer, prompt, max_new_tokens) -> list[int]:
    """Greedy decoding by hand: the whole text through the model for each token, without any cache."""
    ids = tokenizer(prompt)["input_ids"]
    new = []
    while len(new) < max_new_tokens and (not new or new[-1] != tokenizer.eos_token_id):
        with torch.no_grad():
            new.append(int(model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1].argmax()))
    return new


def varied(model) -> None:
    """Larger weights, so that the most likely token is not the same at every place."""
    torch.manual_seed(3)
    with torch.no_grad():
        model.get_output_embeddings().weight.normal_(0, 0.5)
        model.get_input_embeddings().weight.normal_(0, 0.5)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_answers_together_are_those_of_each_prompt_alone(model_type, tokenizer):
    model = random_model(model_type, tokenizer).eval()
    varied(model)
    assert len({len(tokenizer(p)["input_ids"]) for p in PROMPTS}) == 4
    expected = [alone(model, tokenizer, prompt, 12) for prompt in PROMPTS]
    assert len({tuple(new) for new in expected}) == 4
    assert max(len(set(new)) for new in expected) > 4 or model.config.tie_word_embeddings  # which repeat themselves
    told = []
    answers = answer_all(model, tokenizer, PROMPTS, 12, told.append)
    assert answers == [tokenizer.decode(new, skip_special_tokens=True).strip() for new in expected]
    assert sum(told) == 12 * len(PROMPTS)


def test_each_answer_ends_at_its_own_eos(tmp_path, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).eval()
    varied(model)
    whole = [alone(model, tokenizer, prompt, 12) for prompt in PROMPTS]
    end = whole[0][5]  # let a token that comes be EOS
    expected = [tokenizer.decode(new[: new.index(end)] if end in new else new).strip() for new in whole]
    inside = next(p for p in PROMPTS if len(tokenizer(p)["input_ids"]) > 5)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    assert tokenizer.eos_token_id == end and sum(end in new for new in whole) < len(whole)
    assert answer_all(model, tokenizer, PROMPTS, 12) == expected

    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(tokenizer(inside)["input_ids"][4])
    new = alone(model, tokenizer, inside, 12)
    assert len(new) == 12  # in the prompt it is text
    assert answer_all(model, tokenizer, [PROMPTS[1], inside], 12)[1] == tokenizer.decode(new).strip()


def test_a_models_own_settings_of_generation_do_not_count(tmp_path, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).eval()
    varied(model)
    plain = answer_all(model, tokenizer, PROMPTS, 12)
    model.generation_config = GenerationConfig(repetition_penalty=5.0, do_sample=True, max_length=3, num_beams=3)
    assert answer_all(model, tokenizer, PROMPTS, 12) == plain


def test_prompts_go_together_only_where_that_is_quicker():
    batches = list(generation._batches([5, 900, 7, 6, 30, 8], 25, 3))
    assert batches == [[0, 3, 2], [5, 4], [1]]
    assert list(generation._batches([], 20, 3)) == []
