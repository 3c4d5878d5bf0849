"""Stage 1 under the conditions that spoil a training."""

import csv
import json
import os
import re
import signal
import time
import types

import pytest
import torch
import transformers
from conftest import make_base, make_workplace, split_off, wait_for
from safetensors.torch import load_file, save_file
from test_mamba import fused_kernel_stand_in
from transformers import AutoModelForCausalLM
from transformers.models.mamba import modeling_mamba

from dem import chunked_loss, convergence, mamba, training, training_checks, training_states
from dem.chunked_loss import summed_loss, use_chunked_loss
from dem.errors import SharedError, WorkError


def adapter_of(place) -> dict[str, torch.Tensor]:
    return torch.load(place.layout.adapter("web") / "adapter_model.bin", weights_only=True)


def log_of(place) -> str:
    return place.layout.train_log("web").read_text(encoding="utf-8")


def test_chunked_loss_equals_the_plain_one(tmp_path, tokenizer, monkeypatch):
    base = make_base(tmp_path / "base", tokenizer)
    ids = torch.randint(3, len(tokenizer), (3, 40), generator=torch.Generator().manual_seed(0))
    labels = ids.clone()
    labels[0, 25:] = -100
    losses, gradients, sizes = [], [], []
    for chunked in (False, True):
        model = AutoModelForCausalLM.from_pretrained(base).train()
        if chunked:
            monkeypatch.setattr(chunked_loss, "LOGITS_AT_ONCE", 10 * len(tokenizer))
            assert "in chunks" in use_chunked_loss(model)
            model.lm_head.register_forward_hook(lambda module, args, out: sizes.append(out.shape[0]))
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        losses.append(loss.detach())
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-6, atol=0)
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-7)
    assert max(sizes) == 10 and sum(sizes) == 2 * 3 * 39  # forward, and again in the backward pass


def test_a_head_that_is_not_all_keeps_its_own_loss(tmp_path, tokenizer, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer))
    own = model.forward

    def scaled(input_ids=None, labels=None, **kwargs):
        out = own(input_ids=input_ids, labels=labels, **kwargs)
        out.loss = out.loss * 1.1
        return out

    model.forward = scaled
    assert "all logits at once" in use_chunked_loss(model)
    assert model.forward is scaled


def test_a_batch_of_four_is_the_mean_of_four_of_one():
    torch.manual_seed(0)
    head, hidden, targets = torch.nn.Linear(8, 50), torch.randn(4, 7, 8), torch.randint(0, 50, (4, 7))
    targets[2, 3:] = -100
    together = summed_loss(hidden, targets, head)
    alone = [summed_loss(hidden[i : i + 1], targets[i : i + 1], head) for i in range(4)]
    torch.testing.assert_close(together[0], sum(total for total, _ in alone))
    assert together[1] == sum(count for _, count in alone) == 24


def test_padding_on_the_right_changes_no_loss(tmp_path, tokenizer):
    """Four texts of different lengths, padded and labelled -100, against each alone: loss and gradients."""
    model = AutoModelForCausalLM.from_pretrained(make_base(tmp_path / "base", tokenizer)).train()
    mamba.prepare("mamba")
    use_chunked_loss(model)
    texts = [torch.randint(3, 500, (n,), generator=torch.Generator().manual_seed(n)) for n in (40, 33, 17, 5)]
    ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=tokenizer.pad_token_id)
    labels = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=-100)
    parameters = list(model.parameters())
    together = model(input_ids=ids, labels=labels).loss
    gradients = torch.autograd.grad(together, parameters)
    targets = sum(len(text) - 1 for text in texts)
    alone = sum(model(input_ids=t[None], labels=t[None], num_items_in_batch=targets).loss for t in texts)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)
    for one, other in zip(gradients, torch.autograd.grad(alone, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_goes_in_parts_with_the_same_result(workplace, monkeypatch):
    options = ("--training.epochs", "0.2", "--training.learning_rate", "1e-3")
    assert workplace.train("web", *options) == 0
    whole = adapter_of(workplace)
    step = training_checks.FiniteTrainer.training_step

    def small_memory(self, model, inputs, *rest):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("no room")
        if len(inputs["input_ids"]) > 1:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
        return step(self, model, inputs, *rest)

    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", small_memory)
    assert workplace.train("web", *options, "--overwrite") == 0
    assert "4 blocks at once do not fit" in log_of(workplace) and "2 blocks at once do not fit" in log_of(workplace)
    for name, tensor in adapter_of(workplace).items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-3, atol=2e-5)

    monkeypatch.setattr(
        training_checks.FiniteTrainer, "training_step", lambda *a: (_ for _ in ()).throw(torch.OutOfMemoryError())
    )
    assert workplace.train("web", *options, "--overwrite") == 1


def test_a_bypassed_adapter_stops_the_run_by_name(workplace, monkeypatch, capsys):
    monkeypatch.setattr(modeling_mamba, "mamba_inner_fn", fused_kernel_stand_in)
    monkeypatch.setattr(mamba, "remove_fused_kernel", lambda model_type: None)
    assert workplace.train("web", "--lora.target_modules", "[in_proj,x_proj,out_proj]") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "4 of 6 modules gets no gradient" in error and "layers.0.mixer.x_proj" in error and "out_proj" in error
    assert not (workplace.layout.adapter("web") / "adapter_model.bin").exists()


def test_a_loss_that_is_no_number_stops_the_run(workplace, capsys):
    path = workplace.base / "model.safetensors"
    tensors = load_file(path)
    tensors["backbone.norm_f.weight"][3] = float("nan")
    save_file(tensors, path, metadata={"format": "pt"})
    assert workplace.train("web") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the loss is nan at step 1" in error and "learning_rate" in error
    assert not (workplace.layout.adapter("web") / "adapter_model.bin").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_an_interrupted_run_ends_as_an_unbroken_one(workplace, number, capsys):
    options = ["--training.epochs", "1", "--training.save_steps", "4"]
    state, heard = workplace.layout.training_state("web"), workplace.root.parent / "stderr"
    run = split_off(lambda: workplace.train("web", *options), heard)
    wait_for(lambda: list(state.glob("checkpoint-*/complete")))
    os.kill(run.pid, number)
    run.join()
    if number == signal.SIGKILL:
        assert run.exitcode == -9
    else:
        assert run.exitcode == 1
        assert "the same command goes on from there" in heard.read_text(encoding="utf-8").splitlines()[-1]
    assert not (workplace.layout.adapter("web") / "adapter_model.bin").exists()
    assert workplace.train("web", *options) == 0 and "going on from" in capsys.readouterr().err
    resumed, table = adapter_of(workplace), workplace.layout.train_summary("web", ".csv").read_text()
    assert not state.exists()

    assert workplace.train("web", *options, "--overwrite") == 0 and "going on from" not in capsys.readouterr().err
    expected = adapter_of(workplace)
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[n], expected[n]) for n in expected)
    unbroken_table = workplace.layout.train_summary("web", ".csv").read_text()
    rates = dict(logged_steps(table))
    assert len(rates) == len(logged_steps(table))  # the first part's rows are kept, none is double
    for step, rate in logged_steps(unbroken_table):  # the step at which it stopped is logged besides
        assert rates[step] == rate or not rate


def test_a_finished_domain_is_trained_again_only_if_told(workplace, capsys):
    assert workplace.train("web") == 0
    adapter, log = adapter_of(workplace), log_of(workplace)
    capsys.readouterr()
    assert workplace.train("web", "--training.logging_steps", "3") == 0  # which changes nothing of the adapter
    assert "already trained" in capsys.readouterr().err and log_of(workplace) == log
    assert workplace.train("web", "--training.learning_rate", "1e-3", "--lora.r", "2") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "training.learning_rate 0.01 -> 0.001; lora.r 4 -> 2; --overwrite trains it again" in error
    assert all(torch.equal(t, adapter[n]) for n, t in adapter_of(workplace).items())

    assert workplace.train("web", "--training.learning_rate", "1e-3", "--overwrite") == 0
    assert not all(torch.equal(t, adapter[n]) for n, t in adapter_of(workplace).items())
    (workplace.layout.adapter("web") / "dem_run.json").unlink()
    assert workplace.train("web") == 2
    assert "an adapter from elsewhere" in capsys.readouterr().err


def test_an_unfinished_training_with_other_settings_begins_anew_if_told_and_says_what_changed(
    workplace, monkeypatch, capsys
):
    stop_at(monkeypatch, step=3)
    assert workplace.train("web", "--training.save_steps", "2") == 1
    assert list(workplace.layout.training_state("web").glob("checkpoint-*/complete"))
    monkeypatch.undo()
    capsys.readouterr()
    assert workplace.train("web", "--training.learning_rate", "1e-3") == 2
    assert "training.learning_rate 0.01 -> 0.001" in capsys.readouterr().err.splitlines()[-1]
    assert workplace.train("web", "--training.learning_rate", "1e-3", "--overwrite") == 0
    messages = capsys.readouterr().err
    assert "beginning anew" in messages and "training.learning_rate 0.01 -> 0.001" in messages
    assert "going on from" not in messages


def test_another_tokenizer_or_another_config_of_the_base_is_a_change(workplace, capsys):
    assert workplace.train("web") == 0
    config = json.loads((workplace.base / "config.json").read_text())
    (workplace.base / "config.json").write_text(json.dumps(config | {"layer_norm_epsilon": 0.1}))
    assert workplace.train("web") == 2
    assert "there changed the base's config.json;" in capsys.readouterr().err
    (workplace.base / "config.json").write_text(json.dumps(config))
    other = json.loads((workplace.base / "tokenizer.json").read_text())
    other["model"]["merges"] = other["model"]["merges"][:10]
    (workplace.base / "tokenizer.json").write_text(json.dumps(other))
    assert workplace.train("web") == 2
    assert "there changed the tokenizer;" in capsys.readouterr().err


def test_the_log_file_begins_with_what_was_read(workplace):
    """What is known before a finished training is found out stands in the new log too, and only once."""
    (workplace.root / "parquet_ready/web").mkdir()
    workplace.layout.parquet("web").rename(workplace.root / "parquet_ready/web/part.parquet")
    (workplace.root / "parquet_ready/web/._part.parquet").write_bytes(b"a copy of a system's own")
    assert workplace.train("web", "--training.epochs", "0.02") == 0
    lines = workplace.layout.train_log("web").read_text(encoding="utf-8").splitlines()
    assert "web: 1 parquet files" in lines[0] and "hidden" in lines[0]
    assert "rows in 1 row group, " in lines[1]
    assert sum("rows in" in line for line in lines) == 1 and "torch " in lines[2]


def test_how_often_is_evaluated_changes_nothing(workplace):
    options = ("--lora.dropout", "0.3", "--training.epochs", "0.1")
    assert workplace.train("web", *options, "--training.eval_steps", "5") == 0
    seldom = adapter_of(workplace)
    assert workplace.train("web", *options, "--training.eval_steps", "2", "--overwrite") == 0
    assert all(torch.equal(t, seldom[n]) for n, t in adapter_of(workplace).items())


def test_tokens_of_a_short_last_step_are_counted_as_they_are(workplace):
    assert workplace.train("web", "--training.batch_size", "100", "--training.epochs", "2") == 0
    blocks = int(re.search(r"([\d,]+) blocks of 64 tokens", log_of(workplace))[1].replace(",", ""))
    assert blocks % 100
    rows = list(csv.DictReader(workplace.layout.train_summary("web", ".csv").read_text().splitlines()))
    assert int(rows[-1]["tokens"]) == 2 * blocks * 64


def test_the_ends_of_a_tied_base_are_refused(tmp_path, tokenizer, capsys):
    place = make_workplace(tmp_path, tokenizer, tied=True)
    assert place.train("web", "--lora.target_modules", "[in_proj,lm_head]") == 2
    assert "are one tensor" in capsys.readouterr().err


def test_there_is_a_whole_state_at_every_moment_after_the_first(workplace, monkeypatch):
    state, whole = workplace.layout.training_state("web"), []
    mark = training_states.write_text

    def write_mark(path, text):
        whole.append(len(list(state.glob("checkpoint-*/complete"))))
        mark(path, text)

    monkeypatch.setattr(training_states, "write_text", write_mark)
    assert workplace.train("web", "--training.save_steps", "1") == 0
    assert whole == [0, 1, 2, 2, 2, 2]  # before each mark: the two states before it are still there, and no older one


def test_time_before_an_interruption_counts(workplace, monkeypatch):
    """The clock runs a thousand times as fast here: what the first part took cannot be lost in rounding."""
    now = time.monotonic
    monkeypatch.setattr(convergence.time, "monotonic", lambda: 1000 * now())
    with monkeypatch.context() as first:
        stop_at(first, step=3)
        assert workplace.train("web", "--training.save_steps", "2") == 1
    first_part = seconds_of_rows(workplace)
    assert workplace.train("web", "--training.save_steps", "2") == 0
    seconds = seconds_of_rows(workplace)
    assert seconds == sorted(seconds) and seconds[: len(first_part) - 1] == first_part[:-1]
    record = json.loads((workplace.layout.adapter("web") / "dem_run.json").read_text())
    assert record["seconds"] >= seconds[-1] > max(first_part[:-1])


@pytest.mark.parametrize("epochs", ["0.1", "1"])
def test_a_run_cut_off_after_its_last_step_trains_no_more(workplace, monkeypatch, epochs):
    options = ("--training.epochs", epochs)
    assert workplace.train("web", *options) == 0
    unbroken = adapter_of(workplace)
    with monkeypatch.context() as first:
        first.setattr(training, "adapter_weights", cut_off)
        assert workplace.train("web", *options, "--overwrite") == 1
    stop_at(monkeypatch, step=0)
    assert workplace.train("web", *options, "--overwrite") == 0
    assert all(torch.equal(t, unbroken[n]) for n, t in adapter_of(workplace).items())


def cut_off(model):
    raise WorkError("the power is gone")


def stop_at(monkeypatch, step):
    """Let the training fail after so many steps, as if the machine had."""
    train = training_checks.FiniteTrainer.training_step
    steps = iter(range(step))

    def fail(self, *arguments):
        if next(steps, None) is None:
            raise WorkError("the power is gone")
        return train(self, *arguments)

    monkeypatch.setattr(training_checks.FiniteTrainer, "training_step", fail)


def seconds_of_rows(place) -> list[float]:
    table = place.layout.train_summary("web", ".csv").read_text()
    return [float(row["elapsed_seconds"]) for row in csv.DictReader(table.splitlines())]


def logged_steps(table: str) -> list[tuple[str, str]]:
    return [(row["step"], row["learning_rate"]) for row in csv.DictReader(table.splitlines())]


def test_a_loss_that_is_no_number_is_found_at_the_end_of_its_step(monkeypatch):
    losses = iter([1.0, float("inf"), float("nan"), 2.0])
    monkeypatch.setattr(transformers.Trainer, "training_step", lambda *_: torch.tensor(next(losses)))
    trainer = training_checks.FiniteTrainer.__new__(training_checks.FiniteTrainer)
    trainer._unseen, trainer.state = [], transformers.TrainerState(global_step=4)
    trainer.processing_class = types.SimpleNamespace(decode=lambda ids: f"text {int(ids[0])}")
    trainer.accelerator = types.SimpleNamespace(sync_gradients=False)
    for number in range(3):
        trainer.training_step(None, {"input_ids": torch.tensor([[number, 0]])})
    trainer.accelerator.sync_gradients = True
    with pytest.raises(SharedError, match="the loss is inf at step 5, in the batch that begins with 'text 1'"):
        trainer.training_step(None, {"input_ids": torch.tensor([[3, 0]])})
