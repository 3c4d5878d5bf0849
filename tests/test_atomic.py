import pytest

from dem.atomic import new_file, new_folder, require_replaceable, require_writable
from dem.errors import RequestError


def test_a_file_is_whole_or_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ValueError), new_file(path) as partial:
        partial.write_text("half")
        raise ValueError
    assert path.read_text() == "old"
    with new_file(path) as partial:
        partial.write_text("new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_whole_or_the_old_one_and_keeps_its_note(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / ".note").write_text("what lands here")
    (path / "old").touch()
    with pytest.raises(ValueError), new_folder(path) as partial:
        (partial / "half").touch()
        raise ValueError
    assert sorted(p.name for p in path.iterdir()) == [".note", "old"]
    with new_folder(path) as partial:
        (partial / "new").touch()
    assert sorted(p.name for p in path.iterdir()) == [".note", "new"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_mended(tmp_path):
    aside, partial = tmp_path / ".out.old", tmp_path / ".out.partial"
    aside.mkdir()
    (aside / "old").touch()
    partial.mkdir()
    (partial / "half").touch()
    with pytest.raises(ValueError), new_folder(tmp_path / "out"):
        raise ValueError
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "large disk" / "model").mkdir(parents=True)
    link = tmp_path / "out"
    link.symlink_to(tmp_path / "large disk" / "model")
    for name in ("first", "second"):
        require_replaceable(link)
        with new_folder(link) as partial:
            (partial / name).touch()
        assert link.is_symlink() and [p.name for p in link.iterdir()] == [name]
    assert [p.name for p in (tmp_path / "large disk").iterdir()] == ["model"]


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for check in (require_writable, require_replaceable):
        with pytest.raises(RequestError, match="cannot be written"):
            check(tmp_path / "file")
        with pytest.raises(RequestError, match="cannot be written"):
            check(tmp_path / "file" / "below")
    with pytest.raises(RequestError, match="mount point"):
        require_replaceable(tmp_path.__class__("/proc"))


def test_what_was_set_aside_is_put_back_before_any_work(tmp_path):
    """A process killed between the two renames of `new_folder` leaves this."""
    (tmp_path / ".lora.old").mkdir()
    (tmp_path / ".lora.old" / "state").touch()
    require_replaceable(tmp_path / "lora")
    assert (tmp_path / "lora" / "state").exists() and not (tmp_path / ".lora.old").exists()
