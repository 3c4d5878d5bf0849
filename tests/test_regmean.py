"""RegMean on factors: moments and projections against NumPy on whole matrices, and the merge that comes of them."""

import json

import numpy as np
import pytest
import torch
from conftest import DOMAINS, make_adapter, make_workplace
from test_search import documents, plain_loss
from transformers import AutoModelForCausalLM

from dem.changed_modules import places_of
from dem.checkpoints import Checkpoint
from dem.config import DataConfig
from dem.corpus import Corpus, encode
from dem.diffs import Difference
from dem.errors import WorkError
from dem.evaluation.arithmetic import Arithmetic
from dem.evaluation.documents import Document
from dem.evaluation.perplexity import windows
from dem.search import regmean
from dem.search.calibration import calibrated
from dem.search.losses import Losses
from dem.search.moments import second_moments
from dem.search.regmean import normalised, projection_of, solved
from dem.search.stage import open_terms

LENGTH = 16


def load(base, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype).eval()


def modules_of(model, base, names):
    places = places_of(model, Checkpoint(base))
    return {name: [module for _, module, _ in places[name]] for name in names}


def plain_moments(model, module, some: list[Document]) -> np.ndarray:
    """One window at a time through the whole model, in float64."""
    seen = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].double().flatten(0, -2)))
    with torch.no_grad():
        for document in some:
            for window in windows(document.ids, LENGTH):
                model(input_ids=torch.tensor(window).long()[None])
    hook.remove()
    return sum((x.T @ x for x in seen), torch.zeros(1, dtype=torch.float64)).numpy()


NAMES = [f"backbone.layers.{i}.mixer.{part}.weight" for i in (0, 1) for part in ("in_proj", "x_proj", "out_proj")]


def test_moments_are_those_of_all_inputs(workplace):
    model, some, told = load(workplace.base), documents(3), []
    found = second_moments(model, modules_of(model, workplace.base, NAMES), some, LENGTH, told.append)
    for name, moment in found.items():
        module = model.get_submodule(name.removesuffix(".weight"))
        exact = plain_moments(model, module, some)
        assert moment.dtype == torch.float32 and moment.numpy() == pytest.approx(exact, rel=1e-4, abs=1e-5)
    assert sum(told) == sum(len(window) for document in some for window in windows(document.ids, LENGTH))


def test_the_model_runs_no_further_than_needed(workplace):
    model, calls = load(workplace.base), []
    model.backbone.layers[1].register_forward_hook(lambda *_: calls.append(1))
    first = modules_of(model, workplace.base, NAMES[:3])
    some = documents(3)
    alone = second_moments(model, first, some, LENGTH)
    assert not calls
    both = second_moments(model, modules_of(model, workplace.base, NAMES), some, LENGTH)
    assert calls and all(torch.equal(alone[name], both[name]) for name in alone)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in first[NAMES[0]])


def made(width=12, domains=3, rank=2, rows=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rights = [torch.randn(rank, width, generator=generator) for _ in range(domains)]
    lefts = [torch.randn(rows, rank, generator=generator) for _ in range(domains)]
    inputs = [torch.randn(40, width, generator=generator) * torch.rand(width, generator=generator) for _ in rights]
    return lefts, rights, [x.T @ x for x in inputs]


def project(rights, moments, alpha, n=None):
    moments = [normalised(moment.clone(), alpha, "w") for moment in moments]
    turned = [right.double() @ moment.double() for right, moment in zip(rights, moments, strict=True)]
    return solved(rights, turned, sum(moments), n or len(rights))


@pytest.mark.parametrize("alpha", [0.3, 0.9, 1.0])
def test_projected_factors_are_regmean_on_whole_matrices(alpha):
    lefts, rights, moments = made()
    grams = []
    for moment in moments:  # the paper's reduction of what is off the diagonal, and one trace for all
        own = moment.double().numpy() / np.trace(moment.double().numpy())
        grams.append(alpha * own + (1 - alpha) * np.diag(np.diag(own)))
    pairs = list(zip(lefts, rights, grams, strict=True))
    mean = sum((le @ r).double().numpy() @ g for le, r, g in pairs) @ np.linalg.inv(sum(grams))
    new, condition = project(rights, moments, alpha)
    merged = sum((le.double() @ r.double()).numpy() for le, r in zip(lefts, new, strict=True)) / len(lefts)
    assert merged == pytest.approx(mean, rel=1e-4, abs=1e-5)
    assert all(r.dtype == torch.float32 for r in new) and condition >= 1


def test_the_same_change_and_the_same_text_change_nothing():
    _, (right, *_), (moment, *_) = made()
    new, _ = project([right, right], [moment, 5 * moment], 0.9)  # the trace takes the amount of text away
    assert new[0] == pytest.approx(right, abs=1e-5) and new[1] == pytest.approx(right, abs=1e-5)


def test_inputs_that_never_come_keep_what_acts_on_them():
    _, rights, moments = made()
    for moment in moments:
        moment[3] = 0
        moment[:, 3] = 0
    new, _ = project(rights, moments, 0.9)
    for right, old in zip(new, rights, strict=True):
        assert right[:, 3] == pytest.approx(old[:, 3]) and not torch.allclose(right, old)
    none, _ = project(rights, [torch.zeros(12, 12)] * 3, 0.9)
    assert all(torch.allclose(right, old) for right, old in zip(none, rights, strict=True))


def test_text_of_few_tokens_still_gives_finite_factors():
    _, rights, _ = made()
    one = [torch.outer(x, x) for x in torch.randn(3, 12, generator=torch.Generator().manual_seed(5))]
    new, condition = project(rights, one, 1.0)
    assert all(torch.isfinite(right).all() for right in new) and condition > regmean.BADLY_CONDITIONED


def test_moments_that_are_no_numbers_are_refused():
    with pytest.raises(WorkError, match="w.*NaN or Inf"):
        normalised(torch.full((2, 2), float("inf")), 0.9, "w")


def ready(place, storage="lowrank", **adapter):
    for seed, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed, **adapter)
        assert place.diff(domain, "--diff.storage", storage) == 0
    return place


REGMEAN = ("--merge.method", "regmean", "--evaluation.enabled", "false", "--merge.tokens", "3000")


def opened(place, folder=None):
    folder = folder or place.root / "diff_vectors"
    return {d: Difference(folder / f"diff_{d}.npy", folder / f"diff_{d}.json") for d in DOMAINS}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_loss_of_the_written_model_is_the_predicted_one(tmp_path, tokenizer, dtype):
    place = ready(make_workplace(tmp_path, tokenizer, dtype=dtype), storage="dense")
    assert place.merge(*REGMEAN, "--merge.scale", "1.3", "--merge.weights", "{web: 0.7, social: 0.3}") == 0
    derived = opened(place, place.layout.derived("regmean"))
    terms = open_terms(load(place.base), Checkpoint(place.base), place.layout, derived)
    texts = {"web": documents(1), "social": documents(2)}
    predicted = Losses(terms, texts, 1000).at(1.3 * np.array([[0.7], [0.3]]), gradient=False).losses
    written = [plain_loss(load(place.layout.merged_model), some) for some in texts.values()]
    rounding = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 5e-3}[dtype]
    assert written == pytest.approx(predicted, rel=rounding)
    record = json.loads(place.layout.merge_record.read_text())
    assert record["method"] == "regmean" and record["alpha"] == 0.9 and record["regmean"]["parameters"] == len(NAMES)
    own = opened(place)
    for domain in DOMAINS:
        assert record["domains"][domain]["difference_fingerprint"] == derived[domain].index.vector_fingerprint
        assert derived[domain].index.source["fingerprint"] == own[domain].index.vector_fingerprint
        assert record["domains"][domain]["source"]["kind"] == "adapter"


def test_what_is_no_product_keeps_the_weighted_sum(workplace, caplog):
    place = ready(workplace, modules_to_save=["norm_f"], targets=("in_proj", "dt_proj"))
    assert place.merge(*REGMEAN) == 0
    derived, own = opened(place, place.layout.derived("regmean")), opened(place)
    for domain in DOMAINS:
        for parameter in own[domain].index.parameters:
            same = torch.allclose(derived[domain].read(parameter.name), own[domain].read(parameter.name), atol=1e-6)
            assert same == ("in_proj" not in parameter.name)
    assert "keep the weighted sum" in place.layout.merge_log.read_text()


def test_a_run_that_was_cut_off_ends_alike_in_groups_of_any_size(workplace, monkeypatch):
    place = ready(workplace)
    assert place.merge(*REGMEAN) == 0
    names = [f"diff_{domain}.npy" for domain in DOMAINS]
    folder, parts = place.layout.derived("regmean"), place.layout.derived_parts("regmean")
    whole = [(folder / name).read_bytes() for name in names]
    assert not parts.exists()

    calls, real = [], regmean.second_moments
    monkeypatch.setattr(regmean, "second_moments", lambda *options: calls.append(options[1]) or real(*options))
    assert place.merge(*REGMEAN) == 0 and not calls  # taken again
    (folder / names[0]).write_bytes(b"")
    monkeypatch.setattr(regmean, "room_for_moments", lambda *_: 1)  # a group for each parameter

    def cut_off(*options):
        if len(calls) == 5:
            raise KeyboardInterrupt
        calls.append(options[1])
        return real(*options)

    monkeypatch.setattr(regmean, "second_moments", cut_off)
    assert place.merge(*REGMEAN) == 130
    kept = sorted(parts.iterdir())
    assert len(kept) == 2  # of five passes of one domain each, two groups were whole
    content = kept[1].read_bytes()
    kept[1].write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])  # and a bit of one has flipped
    calls.clear()
    monkeypatch.setattr(regmean, "second_moments", lambda *options: calls.append(options[1]) or real(*options))
    assert place.merge(*REGMEAN) == 0
    assert len(calls) == (len(NAMES) - 1) * len(DOMAINS) and not parts.exists()
    assert [(folder / name).read_bytes() for name in names] == whole
    calls.clear()
    assert place.merge(*REGMEAN, "--merge.alpha", "0.5") == 0 and calls
    assert (folder / names[0]).read_bytes() != whole[0]


def test_moments_are_of_tune_text_and_of_train_text_where_that_is_too_little(workplace):
    place = ready(workplace)
    config = place_config(place)
    projection = projection_of(config, place.layout, place.base, opened(place))
    for domain, some in projection.documents.items():
        sides = {"train": [], "tune": [], "test": []}
        for text, side in Corpus(place.layout.parquet_files(domain), DataConfig(64, 0.1, 0.1)).sides():
            (ids,) = encode([text], tokenizer_of(place))
            sides[side] += [tuple(window) for window in windows(ids, 64)]
        read = [tuple(document.ids) for document in some]
        tune, rest = read[: len(sides["tune"])], read[len(sides["tune"]) :]
        assert sorted(tune) == sorted(sides["tune"])
        assert projection.tokens()[domain] >= min(4 * max(projection.widths.values()), config.merge.tokens)
        assert all(any(window == own[: len(window)] for own in sides["train"]) for window in rest)
    again = projection_of(config, place.layout, place.base, opened(place))
    assert all(
        [tuple(x.ids) for x in again.documents[d]] == [tuple(x.ids) for x in projection.documents[d]] for d in DOMAINS
    )


def place_config(place):
    from dem.command_line import parse_request

    return parse_request("", ["--config", str(place.config), "--root", str(place.root)], stage=3).config


def tokenizer_of(place):
    from dem.common import load_tokenizer

    return load_tokenizer(place.base)


def test_calibrated_left_factors_are_pico_s():
    lefts, *_ = made(rows=9)
    values, directions = np.linalg.eigh(sum(left.double() @ left.double().T for left in lefts).numpy())
    shrink = (directions / (1 + 2 * values / values.sum())) @ directions.T
    for own, left in zip(calibrated(lefts), lefts, strict=True):
        assert own.dtype == torch.float32 and own.numpy() == pytest.approx(shrink @ left.numpy(), abs=1e-5)
    same = torch.ones(4, 1)
    assert all(torch.allclose(own, same / 3) for own in calibrated([same, same, same]))
    assert all(torch.equal(own, 0 * same) for own in calibrated([0 * same, 0 * same]))


def test_moments_are_summed_in_float32_whatever_a_gpu_would_do(workplace, monkeypatch):
    place, seen, real = ready(workplace), [], regmean.second_moments
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)

    def watched(*arguments):
        seen.extend(kind.allow_tf32 for kind in kinds)
        return real(*arguments)

    monkeypatch.setattr(regmean, "second_moments", watched)
    with Arithmetic("tf32", "").in_force():
        assert place.merge(*REGMEAN) == 0
    assert seen and not any(seen)


def test_what_is_calibrated_is_what_is_projected(workplace):
    place = ready(workplace)
    folder, factors = place.layout.derived("regmean"), {}
    for asked in ("true", "false"):
        assert place.merge(*REGMEAN, "--merge.calibrate", asked) == 0
        factors[asked] = {d: {name: o.factors(name) for name in NAMES} for d, o in opened(place, folder).items()}
    record = json.loads(place.layout.merge_record.read_text())
    assert record["calibrate"] is False
    for name in NAMES:
        wanted = calibrated([factors["false"][domain][name][0] for domain in DOMAINS])
        for domain, left in zip(DOMAINS, wanted, strict=True):
            assert torch.equal(factors["true"][domain][name][0], left)
            assert torch.equal(factors["true"][domain][name][1], factors["false"][domain][name][1])


def test_weights_are_found_for_projected_differences(workplace):
    place = ready(workplace)
    options = ("--merge.method", "regmean", "--merge.weights", "auto", "--merge.normalize", "false")
    assert place.merge(*options, "--evaluation.max_new_tokens", "2") == 0
    record = json.loads(place.layout.merge_record.read_text())
    found = json.loads(place.layout.search_summary.read_text())
    assert found["differences"] == {d: own.index.vector_fingerprint for d, own in opened(place).items()}
    assert record["search"]["rivals"] and record["regmean"]["tokens"]
    metrics = json.loads(place.layout.metrics.read_text())
    assert {"base", "merged", "equal"} <= set(metrics["models"])
    assert "regmean" in json.loads(place.layout.durations.read_text())
    assert "RegMean" in place.layout.report.read_text(encoding="utf-8")


def test_what_has_no_factors_is_refused(workplace, refused):
    place = ready(workplace, storage="dense")
    make_adapter(place.base, place.layout.adapter("web"), 7)
    assert place.diff("web", "--diff.storage", "lowrank") == 0
    moved = place.layout.adapter("social")
    moved.rename(moved.with_name("elsewhere"))
    refused(place.merge(*REGMEAN), "regmean", "diff_social", "stored densely", "lowrank")
    model = load(place.base)
    model.backbone.layers[0].mixer.in_proj.weight.data += 0.01
    model.save_pretrained(place.root / "tuned")
    assert place.diff("social", "--model", str(place.root / "tuned")) == 0
    refused(place.merge(*REGMEAN), "regmean", "diff_social", "full model")
    assert not place.layout.merged_model.exists()


@pytest.mark.parametrize("storage", ["dense", "lowrank"])
def test_an_adapters_whole_matrices_are_refused_by_name(workplace, refused, storage):
    """They would keep the weighted sum beside the other domains' projected changes of the same parameter."""
    place = ready(workplace, storage)
    make_adapter(place.base, place.layout.adapter("social"), 1, targets=("in_proj",), use_dora=True)
    assert place.diff("social", "--diff.storage", storage) == 0
    refused(place.merge(*REGMEAN), "regmean", "diff_social", "in_proj.weight", "whole matrix", "DoRA")
    assert not place.layout.derived("regmean").exists()


def test_a_dry_run_says_what_regmean_needs(workplace, capsys):
    place = ready(workplace)
    assert place.merge(*REGMEAN, "--dry-run") == 0
    told = capsys.readouterr().err
    assert "regmean: second moments of the inputs of 6 parameters, up to 64 wide" in told and "1 pass" in told
    assert not place.layout.derived("regmean").exists()
