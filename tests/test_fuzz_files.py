"""Input files of the three stages damaged at random: each time one line, or the result of the undamaged file.

`pytest tests/test_fuzz_files.py --fuzz-cases 5000` for more; DEM_FUZZ_SEED=7 for others.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DOMAINS, Workplace, make_adapter, make_workplace
from damage import damage
from merged_place import MergedPlace, write_json
from safetensors.torch import save_file

from dem.checkpoints import Checkpoint
from dem.common import base_folder, load_tokenizer
from dem.config import DataConfig
from dem.corpus import Corpus
from dem.errors import RequestError, WorkError
from dem.evaluation.answers import read_answers
from dem.evaluation.evaluated import Evaluated
from dem.evaluation.multiple_choice import read_questions
from dem.evaluation.prompts import read_prompts
from dem.evaluation.ratings import read_ratings
from dem.evaluation.team_report import publish_report
from dem.full_model import model_deltas, open_model
from dem.merging import open_differences, require_base, require_same_split
from dem.names import Names
from dem.sources import adapter_deltas

SEED = int(os.environ.get("DEM_FUZZ_SEED", "15"))
WHOLE_STAGES = 60
"""Every so many cases, the stage itself runs in place of what it reads with."""


@dataclass
class Target:
    """A file to damage, and the reading of it by a stage."""

    path: Path
    read: Callable[[], Any]
    free: bool = True
    """Whether other content may pass for what is meant: no hash of it was taken before."""
    stage: Callable[[], int] | None = None
    output: Path | None = None
    """What the stage writes: as before where it refuses, and where nothing but the same may pass."""
    whole: Any = field(default=None, init=False)


@pytest.fixture(scope="module")
def targets(tmp_path_factory, tokenizer) -> list[Target]:
    place = make_workplace(tmp_path_factory.mktemp("stages"), tokenizer, tied=False)
    for number, domain in enumerate(DOMAINS):
        make_adapter(place.base, place.layout.adapter(domain), seed=number)
        assert place.diff(domain) == 0
    merge = ("--evaluation.enabled", "false")
    assert place.merge(*merge) == 0
    reported = MergedPlace(tmp_path_factory.mktemp("reports") / "root")
    found = [*_of_stages(place, merge), *_of_results(reported)]
    for target in found:
        target.whole = _seen(target.read)
        assert target.whole == _seen(target.read)  # it is the same twice
    return found


def _of_stages(place: Workplace, merge: tuple[str, ...]) -> list[Target]:
    layout, base = place.layout, place.base
    fingerprint = Checkpoint(base).fingerprint()
    adapter = layout.adapter("web")
    safe = adapter.parent / "safe"
    shutil.copytree(adapter, safe)
    save_file(torch.load(safe / "adapter_model.bin", weights_only=True), safe / "adapter_model.safetensors")
    (safe / "adapter_model.bin").unlink()
    vector, model = layout.diff_vector("web"), layout.merged_model / "model.safetensors"
    tuned = base.with_name("tuned")
    shutil.copytree(base, tuned)
    content = bytearray((tuned / "model.safetensors").read_bytes())
    content[-4:] = bytes(4)
    (tuned / "model.safetensors").write_bytes(content)
    questions = place.root / "questions.jsonl"
    questions.write_text('{"question": "하나?", "choices": ["가", "나"], "answer": 0, "subject": "수"}\n' * 5, "utf-8")

    def differences():
        checkpoint = Checkpoint(base)
        opened = open_differences(DOMAINS, layout, checkpoint)
        require_base(opened, fingerprint)
        return {d: [(p.name, o.read(p.name)) for p in o.index.parameters] for d, o in opened.items()}

    def texts():
        corpus = Corpus(layout.parquet_files("web"), DataConfig())
        return [list(corpus.documents(split)) for split in ("train", "tune", "test")]

    def of_base():
        folder = base_folder(str(base))
        return [load_tokenizer(folder)("가나다 라마").input_ids, sorted(Names.of(folder).model.state_dict())]

    def of_adapter(folder: Path):
        return lambda: [_whole(delta) for delta in adapter_deltas(folder, base, Checkpoint(base))]

    def weights():
        checkpoint = Checkpoint(base)
        if checkpoint.fingerprint() != fingerprint:
            raise RequestError("another base")  # as stages 2 and 3 say
        return [(name, checkpoint.read(name)) for name in checkpoint]

    def diff():
        return place.diff("web")

    def merged():
        return place.merge(*merge)

    def full():
        return [(delta.name, _whole(delta)) for delta in model_deltas(open_model(tuned), Checkpoint(base))]

    return [
        Target(layout.parquet("web"), texts),
        Target(base / "config.json", of_base, stage=diff, output=vector),
        Target(base / "tokenizer.json", of_base),
        Target(base / "tokenizer_config.json", of_base),
        Target(base / "model.safetensors", weights, free=False, stage=merged, output=model),
        Target(tuned / "model.safetensors", full),
        *(
            Target(adapter / name, of_adapter(adapter), stage=diff, output=vector)
            for name in ("adapter_config.json", "adapter_model.bin")
        ),
        Target(safe / "adapter_model.safetensors", of_adapter(safe)),
        Target(vector, differences, free=False, stage=merged, output=model),
        Target(layout.diff_index("web"), differences, free=False, stage=merged, output=model),
        Target(place.config.parent / "prompts.jsonl", lambda: read_prompts(place.config.parent / "prompts.jsonl")),
        Target(questions, lambda: read_questions(questions)),
    ]


def _of_results(place: MergedPlace) -> list[Target]:
    layout = place.layout
    kept = layout.evaluated("base")
    kept.parent.mkdir()
    Evaluated(kept, {"model": "a"}).put("scores", {"on": "web"}, [1.5, float("nan"), 2.0], 1.0)
    effects = {"web": {"all": {"relative": -0.1, "low": -0.2, "high": -0.05}}}
    write_json(layout.leave_one_out_record, {"format": 1, "merged": place.merged, "effects": effects})
    write_json(layout.interference, {"merged": place.merged, "domains": ["web"]})
    record = layout.adapter("web") / "dem_run.json"

    def report():
        publish_report(layout)
        return layout.report.read_text(encoding="utf-8") + layout.acceptance.read_text(encoding="utf-8")

    def measured():
        found = Evaluated(kept, {"model": "a"}).get("scores", {"on": "web"}, lambda value: len(value) == 3)
        if found is None:
            raise RequestError("damaged and not used, as the log says: it is measured again")
        return found

    def split():
        try:
            require_same_split(record.parent, DataConfig(), [])
        except RequestError as mistake:
            if "was trained on" not in str(mistake):
                raise
        return report()

    return [
        *(
            Target(path, report)
            for path in (
                layout.metrics, layout.merge_record, layout.leave_one_out_record, layout.interference, layout.durations,
                layout.diff_summary("web", ".json"),
            )
        ),
        Target(layout.answers, lambda: (report(), read_answers(layout.answers))),
        Target(layout.ratings, lambda: (report(), read_ratings(layout.ratings))),
        Target(record, split),
        Target(kept, measured, free=False),
    ]  # fmt: skip


def _whole(delta) -> tuple[str, torch.Tensor]:
    height = delta.shape[0] if len(delta.shape) == 1 else int(np.prod(delta.shape[:-1]))
    out = torch.empty(height, int(np.prod(delta.shape)) // height)
    delta.rows(0, height, out)
    return delta.name, out


def _seen(read: Callable[[], Any]) -> str:
    """A hash of everything that was read."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        elif isinstance(value, (list, tuple)):
            for each in value:
                add(each)
        else:
            digest.update(repr(value).encode("utf-8", "surrogatepass"))

    add(read())
    return digest.hexdigest()


class Hung(BaseException):
    """After a minute."""


def _hung(*_) -> None:
    raise Hung


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _outcome(target: Target) -> str:
    """What becomes of the damaged file: `refused`, `same`, `other`, or what must not be."""
    try:
        return "same" if _seen(target.read) == target.whole else "other"
    except (RequestError, WorkError) as error:
        return "refused" if str(error).strip() else "a line that says nothing"
    except Hung:
        return "it hangs"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = "".join(traceback.format_exception(error)[-4:])
        return f"a traceback: {where}"


def _stage_outcome(target: Target, capsys) -> str:
    """The same of the whole stage."""
    before = target.output.read_bytes()
    status = target.stage()
    lines = capsys.readouterr().err.strip().splitlines()
    unchanged = target.output.read_bytes() == before
    if status in (1, 2) and lines and lines[-1].startswith("error: "):
        return "refused" if unchanged else f"{target.output} is damaged"
    return f"status {status}: {lines[-3:]}" if status else "same" if unchanged else "other"


def test_damaged_files_are_refused_in_one_line_or_change_nothing(targets, request, capsys):
    draw = random.Random(SEED)
    counts: Counter[str] = Counter()
    wrong = []
    before = signal.signal(signal.SIGALRM, _hung)
    paths = [target.path for target in targets]
    for number in range(request.config.getoption("--fuzz-cases")):
        target = targets[number % len(targets)]
        content = target.path.read_bytes()
        how = damage(target.path, paths, draw)
        as_stage = target.stage and draw.randrange(WHOLE_STAGES) == 0
        try:
            signal.alarm(60)
            outcome = _stage_outcome(target, capsys) if as_stage else _outcome(target)
        except Exception as error:
            outcome = f"a traceback: {''.join(traceback.format_exception(error)[-4:])}"
        finally:
            signal.alarm(0)
            _remove(target.path)
            target.path.write_bytes(content)
        if as_stage and outcome in ("same", "other"):  # other content, or the same from other files
            assert target.stage() == 0
        counts[outcome if len(outcome) < 9 else "wrong"] += 1
        bad = outcome not in ("refused", "same") and not (outcome == "other" and target.free)
        if bad:
            wrong.append(f"case {number} of seed {SEED}: {target.path.name}, {how}: {outcome}")
            print(wrong[-1], file=sys.stderr)
    signal.signal(signal.SIGALRM, before)
    print(dict(counts), file=sys.stderr)
    assert not wrong, f"{len(wrong)} of {sum(counts.values())}:\n" + "\n".join(wrong[:15])
    assert counts["refused"] > 0.4 * sum(counts.values())
    for target in targets:  # nothing that was refused has damaged anything else
        assert _seen(target.read) == target.whole, target.path
