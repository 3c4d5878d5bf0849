import errno
import os
import random
import time

import pytest

from dem import streams
from dem.streams import BLOCK, NewFile, Source, Writer, buffers, in_order


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 4 * BLOCK)


SIZES = [0, 1, BLOCK - 1, BLOCK, 4 * BLOCK, 4 * BLOCK + 5, 50_001]


@pytest.mark.parametrize("direct", [True, False, "refused when written"])
@pytest.mark.parametrize("size", SIZES)
def test_a_new_file_holds_what_was_written(tmp_path, monkeypatch, size, direct):
    if direct is False:
        monkeypatch.setattr(streams, "O_DIRECT", 0)
    if direct == "refused when written" and streams.O_DIRECT:
        write = os.pwrite

        def picky(file, data, place):
            if streams.fcntl.fcntl(file, streams.fcntl.F_GETFL) & streams.O_DIRECT:
                raise OSError(errno.EINVAL, "not so")
            return write(file, data, place)

        monkeypatch.setattr(os, "pwrite", picky)
    data, chance = random.Random(size).randbytes(size), random.Random(1)
    with Writer() as writer, NewFile(tmp_path / "file", writer) as file:
        done = 0
        while done < size:
            step = chance.choice([1, 100, 30_000])
            file.write(data[done : done + step])
            done += step
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.parametrize("seed", range(20))
def test_runs_in_any_order_make_the_same_file(tmp_path, seed):
    chance = random.Random(seed)
    data = chance.randbytes(50_001)
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(12)), BLOCK, 3 * BLOCK, 3 * BLOCK + 7})
    runs = list(zip(cuts, cuts[1:], strict=False))
    chance.shuffle(runs)
    with Writer() as writer, NewFile(tmp_path / "file", writer) as file:
        for start, end in runs:
            file.seek(start)
            middle = chance.randint(start, end)
            file.write(data[start:middle])
            file.write(data[middle:end])
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.parametrize("seed", range(20))
def test_files_written_in_turns_by_one_writer_are_each_whole(tmp_path, seed):
    chance = random.Random(seed)
    contents = {name: chance.randbytes(chance.randrange(60_000)) for name in "abc"}
    done = dict.fromkeys(contents, 0)
    with Writer() as writer:
        files = {name: NewFile(tmp_path / name, writer) for name in contents}
        while unfinished := [name for name in contents if done[name] < len(contents[name])]:
            name = chance.choice(unfinished)
            step = chance.choice([1, 100, BLOCK, 30_000])
            files[name].seek(done[name])
            files[name].write(contents[name][done[name] : done[name] + step])
            done[name] += min(step, len(contents[name]) - done[name])
        for file in files.values():
            file.close()
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents


def test_a_failed_write_is_told(tmp_path, monkeypatch):
    def full(file, data, place):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"), Writer() as writer, NewFile(tmp_path / "file", writer) as file:
        for _ in range(10):
            file.write(bytes(4 * BLOCK))


@pytest.mark.parametrize("cached", [True, False])
def test_a_source_reads_any_part(tmp_path, monkeypatch, cached):
    data = random.Random(0).randbytes(50_001)
    (tmp_path / "file").write_bytes(data)
    monkeypatch.setattr(Source, "_cached", lambda self, start, size: cached)
    source, (buffer,) = Source(tmp_path / "file"), buffers(1, 50_001 + 2 * BLOCK)
    for start, size in [(0, 50_001), (1, 50_000), (BLOCK, BLOCK), (BLOCK - 1, 2), (4097, 12_345), (50_000, 1)]:
        assert bytes(source.read(start, size, buffer)) == data[start : start + size]
    with pytest.raises(EOFError):
        source.read(50_000, 2, buffer)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system takes no advice on files")
def test_a_prefetched_file_comes_into_the_page_cache_whole(tmp_path):
    size = 5_000_001
    with (tmp_path / "file").open("wb") as file:
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    source = Source(tmp_path / "file")
    source.prefetch()
    until = time.monotonic() + 60
    while not all(source._cached(start, BLOCK) for start in range(0, size, BLOCK)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_work_ahead_comes_in_order_and_its_errors_too():
    def work(item, slot):
        if item == 7:
            raise ValueError("seven")
        slot[0] = item
        return slot[0]

    assert list(in_order(work, range(7), [[0] for _ in range(3)], workers=2)) == list(range(7))
    with pytest.raises(ValueError, match="seven"):
        list(in_order(work, range(10), [[0] for _ in range(3)], workers=2))


def test_a_slot_is_not_used_again_before_its_result_was_used():
    def work(item, slot):
        slot[0] = item
        return slot

    for expected, slot in enumerate(in_order(work, range(20), [[0], [0], [0]], workers=2)):
        assert slot[0] == expected


def test_as_many_results_as_wanted_are_kept():
    def work(item, slot):
        slot[0] = item
        return slot

    last = []
    for number, slot in enumerate(in_order(work, range(30), [[0] for _ in range(5)], workers=2, kept=3)):
        last = [*last, slot][-3:]
        assert [kept[0] for kept in last] == list(range(max(0, number - 2), number + 1))
