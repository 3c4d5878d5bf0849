"""What stages 2 and 3 refuse when an adapter, its base or the settings are no longer those of the training."""

import json
import shutil
from pathlib import Path

import datasets.config
import pytest
from conftest import Workplace, make_adapter, make_workplace

NO_EVALUATION = ("--evaluation.enabled", "false", "--merge.weights", "{web: 1.0}")


@pytest.fixture(scope="module")
def made(tmp_path_factory, tokenizer) -> Path:
    """A folder with a root in which web was trained and its difference made."""
    place = make_workplace(tmp_path_factory.mktemp("made"), tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", place.root.parent / "datasets")
        assert place.train("web") == 0 and place.diff("web") == 0
    return place.root.parent


@pytest.fixture
def place(made, tmp_path) -> Workplace:
    """A copy of it."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return Workplace(tmp_path / "root", tmp_path / "base", tmp_path / "config.yaml")


def with_other_config(place) -> None:
    path = place.base / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_epsilon": 0.1}))


def with_other_tokenizer(place) -> None:
    path = place.base / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["model"]["merges"] = tokenizer["model"]["merges"][:10]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def without_tokenizer(place) -> None:
    for path in place.base.glob("tokenizer*"):
        path.unlink()


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"data/0") + 200  # within the first tensor
    content[place] ^= 1
    path.write_bytes(content)


def outputs(place) -> dict[Path, bytes]:
    folders = (place.layout.diff_vector("web").parent, place.layout.merged_model)
    return {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (with_other_config, "base's config.json changed"),
        (with_other_tokenizer, "base's tokenizer changed"),
        (without_tokenizer, "base's tokenizer changed"),
        (lambda place: (with_other_config(place), with_other_tokenizer(place)), "config.json and tokenizer changed"),
    ],
    ids=["config", "tokenizer", "no tokenizer", "both"],
)
def test_a_base_that_changed_beside_its_weights_is_refused(place, refused, change, what):
    before = outputs(place)
    change(place)
    refused(place.diff("web"), "lora_web was trained", what, "put that back", "dem/train_individual.py")
    refused(place.merge(*NO_EVALUATION), "lora_web was trained", what)
    shutil.rmtree(place.layout.adapter("web"))  # then the index of the difference knows
    refused(place.merge(*NO_EVALUATION), "diff_web.npy was made", what, "dem/vector_diff.py")
    assert outputs(place) == before


def test_an_evaluation_refuses_them_too(place, refused):
    with_other_config(place)
    refused(place.merge("--merge.weights", "{web: 1.0}"), "lora_web was trained", "base's config.json changed")
    assert not place.layout.merged_model.exists() and not place.layout.metrics.exists()


def test_a_difference_of_an_older_version_asks_the_adapters_record(place, refused):
    index = json.loads(place.layout.diff_index("web").read_text(encoding="utf-8"))
    for part in ("config", "tokenizer", "transformers"):
        del index["base"][part]
    place.layout.diff_index("web").write_text(json.dumps(index), encoding="utf-8")
    assert place.merge(*NO_EVALUATION, "--dry-run") == 0
    with_other_config(place)
    refused(place.merge(*NO_EVALUATION), "lora_web was trained", "base's config.json changed")


def test_a_difference_of_an_adapter_from_elsewhere_asks_its_index(place, refused):
    shutil.rmtree(place.layout.adapter("web"))
    make_adapter(place.base, place.layout.adapter("web"), seed=3)
    assert place.diff("web") == 0 and place.merge(*NO_EVALUATION, "--dry-run") == 0
    with_other_config(place)
    refused(place.merge(*NO_EVALUATION), "diff_web.npy was made", "base's config.json changed")
    assert place.diff("web") == 0 and place.merge(*NO_EVALUATION, "--dry-run") == 0


def test_what_computes_the_same_is_no_change(place):
    for name in ("config.json", "tokenizer.json"):
        path = place.base / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=7), encoding="utf-8")
    assert place.diff("web") == 0 and place.merge(*NO_EVALUATION, "--dry-run") == 0


def test_with_another_transformers_it_is_not_known_and_said(place, capsys):
    for path in (place.layout.adapter("web") / "dem_run.json", place.layout.diff_index("web")):
        path.write_text(path.read_text(encoding="utf-8").replace('"transformers": "', '"transformers": "0.'))
    with_other_config(place)
    capsys.readouterr()
    assert place.merge(*NO_EVALUATION, "--dry-run") == 0
    heard = capsys.readouterr().err
    assert heard.count("transformers has changed (0.") == 2 and "base's config.json in another way" in heard
    assert place.diff("web") == 0 and "transformers has changed (0." in capsys.readouterr().err
    assert place.train("web") == 0 and "already trained" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "damage", "what"),
    [
        ("adapter_model.bin", flipped, "is not what the training wrote"),
        ("adapter_model.bin", lambda path: path.write_bytes(path.read_bytes()[:-30]), "is not what the training wrote"),
        ("adapter_config.json", lambda path: path.write_text(path.read_text() + " "), "is not what the training wrote"),
    ],
    ids=["flipped", "cut short", "config"],
)
def test_an_adapter_that_is_not_what_the_training_wrote_is_refused(place, refused, name, damage, what):
    before, path = outputs(place), place.layout.adapter("web") / name
    damage(path)
    refused(place.train("web"), str(path), what, "put back the file", "--overwrite")
    refused(place.diff("web"), str(path), what, "put back the file", "--overwrite")
    refused(place.merge(*NO_EVALUATION), str(path), what)
    assert outputs(place) == before


def test_an_adapter_in_place_of_the_trained_one_is_refused(place, refused):
    adapter = place.layout.adapter("web")
    make_adapter(place.base, adapter, seed=9)
    refused(place.diff("web"), "is not what the training wrote")
    (adapter / "adapter_model.bin").rename(adapter / "adapter_model.old")
    refused(place.diff("web"), "adapter")
    (adapter / "adapter_model.old").rename(adapter / "adapter_model.bin")
    (adapter / "dem_run.json").unlink()  # then it is one from elsewhere
    assert place.diff("web") == 0


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"base": 3}', '{"adapter": []}', '{"seconds": "long"}', "[" * 3], ids=lambda c: c[:20]
)
def test_a_damaged_record_is_refused_by_name_in_every_stage(place, refused, content):
    (place.layout.adapter("web") / "dem_run.json").write_text(content)
    refused(place.train("web"), "dem_run.json")
    refused(place.diff("web"), "dem_run.json")
    refused(place.merge(*NO_EVALUATION), "dem_run.json")


def test_a_record_of_an_older_version_is_read(place):
    path = place.layout.adapter("web") / "dem_run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["adapter"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert place.train("web") == 0 and place.diff("web") == 0


def test_settings_that_came_after_the_training_get_a_line(place, capsys):
    options = ("--lora.r", "8", "--training.learning_rate", "1e-3", "--training.save_steps", "7")
    line = "web: changed since its training, and without effect on its adapter: training.learning_rate 0.01 -> 0.001; "
    line += "lora.r 4 -> 8; if that is meant, train again (dem/train_individual.py with --overwrite)"
    assert place.diff("web", *options) == 0
    assert capsys.readouterr().err.count(line) == 1
    assert place.merge(*NO_EVALUATION, *options) == 0
    assert capsys.readouterr().err.count(line) == 1
    assert place.merge(*NO_EVALUATION, "--dry-run") == 0 and "without effect" not in capsys.readouterr().err


def test_a_base_without_a_tokenizer_that_loads_still_has_differences(place):
    (place.layout.adapter("web") / "dem_run.json").unlink()
    (place.base / "tokenizer.json").write_text("{", encoding="utf-8")
    assert place.diff("web") == 0
    assert json.loads(place.layout.diff_index("web").read_text(encoding="utf-8"))["base"]["tokenizer"] is None
