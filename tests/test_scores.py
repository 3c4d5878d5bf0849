"""Perplexity, bits per byte and intervals, against independent computations."""

import json
import math

import numpy as np
import pytest
import torch
from conftest import make_base
from peft import LoraConfig, get_peft_model
from test_families import FAMILIES, random_model
from transformers import AutoModelForCausalLM

from dem import mamba
from dem.errors import RequestError
from dem.evaluation import perplexity
from dem.evaluation.documents import Document, encode_documents
from dem.evaluation.intervals import Change, changes
from dem.evaluation.metrics import make_metrics, read_metrics
from dem.evaluation.perplexity import score, windows
from dem.evaluation.report import ModelResult
from dem.evaluation.scores import Scores
from dem.evaluation.tables import metric_table, perplexity_lines, without_interval
from dem.sample_text import generate

TEXTS = [
    "뷁, 그 글자가 왔다.",
    "한국어 문장 하나.",
    "  앞에 빈칸",
    "a b",
    "😀 웃음",
    "뷁",
    "값\n\n둘째 줄",
    "쓩쓩 날아라",
]


@pytest.fixture
def model(tmp_path, tokenizer):
    return AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).eval()


def plain_scores(model, documents, max_length):
    """Sum of the losses of transformers' own forward pass, a window of a document at a time, in float64."""
    found = []
    for document in documents:
        nll = 0.0
        for start in range(0, len(document.ids) - 1, max_length - 1):
            ids = torch.tensor(np.array(document.ids[start : start + max_length]), dtype=torch.long)[None]
            with torch.no_grad():
                nll += float(model(input_ids=ids, labels=ids).loss.double()) * (ids.shape[1] - 1)
        found.append(nll)
    return found


@pytest.mark.parametrize("model_type", FAMILIES)
@pytest.mark.parametrize("by", ["hidden states", "logits"])
def test_scores_equal_a_plain_loop(model_type, by, tokenizer, monkeypatch):
    model = random_model(model_type, tokenizer).eval()
    documents = encode_documents(generate("web", 9, 5) + ["짧다"], tokenizer)
    plain = plain_scores(model, documents, 40)
    monkeypatch.setitem(perplexity.TOKENS_AT_ONCE, "cpu", 100)  # several batches and windows
    monkeypatch.setitem(perplexity.LOGITS_AT_ONCE, "cpu", 7 * 600)
    assert perplexity.head_is_all(model)
    if by == "logits":
        monkeypatch.setattr(perplexity, "head_is_all", lambda model: False)
    seen = []
    ours = score(model, documents, 40, seen.append)
    assert ours.nll.dtype == np.float64
    np.testing.assert_allclose(ours.nll, plain, rtol=2e-5)
    assert ours.tokens.tolist() == [len(d.ids) - 1 for d in documents] and sum(seen) == ours.tokens.sum()
    assert ours.perplexity == pytest.approx(math.exp(sum(plain) / ours.tokens.sum()), rel=1e-5)


def test_never_more_logits_at_once_than_allowed(model, tokenizer, monkeypatch):
    monkeypatch.setitem(perplexity.LOGITS_AT_ONCE, "cpu", 50 * 600)
    seen = []
    model.lm_head.register_forward_hook(lambda module, args, out: seen.append(out.numel()))
    assert perplexity.head_is_all(model)  # on 64 tokens
    del seen[:]
    monkeypatch.setattr(perplexity, "head_is_all", lambda model: True)
    score(model, encode_documents(generate("web", 9, 5), tokenizer), 64)
    assert len(seen) > 3 and max(seen) <= 50 * 600


def test_a_model_that_caps_its_logits_is_scored_by_them(model, tokenizer):
    plain_forward, documents = model.forward, encode_documents(generate("web", 3, 5), tokenizer)

    def capped(**keywords):
        out = plain_forward(**keywords)
        out.logits = 0.2 * torch.tanh(out.logits / 0.2)
        return out

    uncapped = score(model, documents, 64).perplexity
    model.forward = capped
    assert not perplexity.head_is_all(model)
    assert score(model, documents, 64).perplexity != pytest.approx(uncapped, rel=1e-4)


ON_THE_HEAD = [
    {"target_modules": ["embeddings", "lm_head", "in_proj"]},
    {"target_modules": ["in_proj"], "modules_to_save": ["lm_head"]},
]


@pytest.mark.parametrize("settings", ON_THE_HEAD, ids=["LoRA", "saved"])
def test_an_adapter_on_embedding_and_head_takes_part(settings, model, tokenizer):
    with mamba.out_proj_allowed():
        adapted = get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM", **settings)).eval()
    torch.manual_seed(0)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, 0, 0.2)
    documents = encode_documents(generate("web", 3, 5), tokenizer)
    plain = plain_scores(adapted, documents, 4096)
    np.testing.assert_allclose(score(adapted.get_base_model(), documents, 4096).nll, plain, rtol=2e-5)


def test_long_documents_go_in_windows_that_predict_every_token_once(model):
    ids = list(range(3, 103))
    pieces = windows(ids, 32)
    assert [t for piece in pieces for t in piece[1:]] == ids[1:]
    assert all(len(piece) <= 32 for piece in pieces)
    assert all(a[-1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))
    separately = score(model, [Document(piece, 1) for piece in pieces], 4096)
    together = score(model, [Document(ids, 1)], 32)
    assert together.tokens.tolist() == [99]
    assert together.nll[0] == pytest.approx(separately.nll.sum(), rel=1e-6)


@pytest.mark.parametrize("documents", [[], [Document([], 0)], [Document([5], 0)]])
def test_what_holds_no_predicted_token_is_not_measured(model, documents):
    scores = score(model, documents, 32)
    assert scores.perplexity is None and scores.bits_per_byte is None and scores.documents == 0
    assert make_metrics([ModelResult("base", {"web": scores})], {}, {}).models["base"].perplexity["web"] is None


def test_a_model_without_numbers_is_said_and_the_others_are_measured():
    documents = [Document(range(5), 9), Document(range(9), 20)]
    good, bad = Scores.of([9.0, 15.0], documents), Scores.of([float("nan"), 15.0], documents)
    metrics = make_metrics(
        [ModelResult(n, {"web": s}) for n, s in {"base": good, "web": bad, "merged": good}.items()], {}, {}
    )
    assert metrics.models["web"].perplexity["web"].perplexity is None
    assert metrics.models["merged"].perplexity["web"].change == Change(0.0, None, None)
    assert "not a number" in perplexity_lines(metrics)[3]


def test_bits_per_byte_are_the_same_for_tokenizers_that_cut_otherwise():
    """A uniform model over bytes costs 8 bits a byte, whether its tokens are bytes or pairs of them."""
    text = "같은 글이다"
    size = len(text.encode())
    single = Scores.of([(size - 1) * math.log(256)], [Document(range(size), size - 1)])
    pairs = Scores.of([(size // 2 - 1) * math.log(65536)], [Document(range(size // 2), size - 2)])
    assert single.bits_per_byte == pytest.approx(8) and pairs.bits_per_byte == pytest.approx(8)
    assert single.perplexity != pytest.approx(pairs.perplexity)


# Intervals


def simulated(generator, documents, true_change=-0.03):
    """Scores of a base and of a model that is better by `true_change` on average, with documents unlike each other."""
    tokens = generator.integers(20, 400, documents)
    made = [Document(range(n + 1), 3 * n) for n in tokens]
    base = generator.normal(3.0, 0.4, documents)
    gain = generator.normal(math.log1p(true_change), 0.08, documents)
    return Scores.of(base * tokens, made), Scores.of((base + gain) * tokens, made)


def test_too_few_documents_have_no_interval_and_that_is_said():
    one = [Document(range(11), 30), Document([4], 0)]  # nothing is predicted in the second
    base, model = Scores.of([30.0, 0.0], one), Scores.of([29.0, 0.0], one)
    assert changes(base, [model]) == [Change(pytest.approx(math.expm1(-0.1)), None, None)]
    metrics = make_metrics([ModelResult("base", {"web": base}), ModelResult("merged", {"web": model})], {}, {})
    assert without_interval(metrics) == ["web (1)", "all (1)"]
    assert perplexity_lines(metrics)[1].split() == ["documents", "1", "1"]
    assert perplexity_lines(metrics)[3].split()[1:3] == [f"{math.exp(2.9):.2f}", "(-9.5%)"]


def test_scores_of_other_documents_are_not_compared():
    base, model = simulated(np.random.default_rng(2), 30)
    with pytest.raises(ValueError, match="same documents"):
        changes(base, [Scores(model.nll[1:], model.tokens[1:], model.bytes[1:])])


# Metrics


def test_metrics_come_back_as_they_were_written(tmp_path):
    generator = np.random.default_rng(3)
    (web, better), (social, worse) = simulated(generator, 30), simulated(generator, 1, 0.5)
    results = [
        ModelResult("base", {"web": web, "social": social}, seconds=1.23456),
        ModelResult("merged", {"web": better, "social": worse}, text_metrics={"bleu": 3.0, "pairs": 2}),
    ]
    results[1].harness = {"kmmlu": {"metrics": {"acc": {"value": 0.25, "stderr": 0.02}}, "rows": 100, "few_shot": 0}}
    metrics = make_metrics(results, {"max_length": 64}, {"base": "f"}, "no extra")
    metrics.write(tmp_path / "metrics.json")
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert read_metrics(tmp_path / "metrics.json") == metrics
    assert list(content["models"]) == ["base", "merged"] and content["models"]["base"]["seconds"] == 1.235
    whole = content["models"]["merged"]["perplexity"]["all"]
    tokens = int(web.tokens.sum() + social.tokens.sum())
    assert whole["tokens"] == tokens and whole["documents"] == 31
    assert whole["perplexity"] == pytest.approx(math.exp((better.nll.sum() + worse.nll.sum()) / tokens))
    assert whole["bits_per_byte"] == pytest.approx(whole["nll"] / math.log(2) / whole["bytes"])
    assert content["models"]["base"]["perplexity"]["all"]["change"] is None
    assert content["models"]["merged"]["perplexity"]["social"]["change"]["low"] is None
    assert content["settings"]["bootstrap"]["resamples"] == 10_000 and content["harness_note"] == "no extra"
    assert {"dem", "torch", "transformers", "peft", "sacrebleu"} <= content["versions"].keys()

    header, base, merged = (line.split(",") for line in metric_table(metrics).splitlines())
    row = dict(zip(header, merged, strict=True))
    assert float(row["change_all_low"]) < float(row["change_all"]) < float(row["change_all_high"])
    assert row["kmmlu_acc"] == "0.25" and row["kmmlu_acc_stderr"] == "0.02" and row["bleu"] == "3"
    assert dict(zip(header, base, strict=True))["kmmlu_acc"] == ""
    assert float(row["bits_per_byte_all"]) == pytest.approx(whole["bits_per_byte"], rel=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "evaluate first"),
        ("{}", "format None"),
        ('{"format": 1}', "format 1, not 2"),
        ('{"format": 2}', "damaged"),
    ],
)
def test_metrics_that_cannot_be_read(tmp_path, text, words):
    path = tmp_path / "metrics.json"
    if text:
        path.write_text(text)
    with pytest.raises(RequestError, match=words):
        read_metrics(path)
