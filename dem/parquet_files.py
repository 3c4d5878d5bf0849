"""Parquet files of text: which of them are a domain's, what they hold, and their rows a few at a time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dem.columns import in_bytes
from dem.common import log
from dem.errors import RequestError
from dem.reading import damage_named, first_line, require_file

ROWS_AT_ONCE = 1024
FEWEST_ROWS = 16
"""Rows that are read together even of the longest texts."""
BYTES_AT_ONCE = 1 << 30
"""That the rows read together may take, by the size of the longest text that there can be among them."""
SAYS_EVERY = 30.0
"""Seconds between two lines on how far the reading is."""


def examine(files: list[Path], columns: list[str]) -> None:
    """Check that each file is parquet and has `columns`, the first of strings; say in the log what will be read.

    Raises:
        RequestError: names the file, and the column that is missing, there twice, or of another type.
    """
    count = groups = disk = unpacked = 0
    for path in files:
        require_file(path)
        with damage_named(f"{path} is not a parquet file that can be read"), pq.ParquetFile(path) as file:
            schema, metadata = file.schema_arrow, file.metadata
            own = [metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)]
            disk += path.stat().st_size
        require_columns(path, schema.names, columns)
        _require_strings(path, schema.field(columns[0]))
        count, groups, unpacked = count + metadata.num_rows, groups + len(own), unpacked + sum(own)
    log.info(
        f"reading {_names(files)}: {count:,} rows in {groups:,} row group{'s' * (groups != 1)}, {in_bytes(disk)} on "
        f"disk, {in_bytes(unpacked)} decompressed (and more, where a text is repeated)"
    )


def require_columns(path: Path, names: list[str], wanted: list[str]) -> None:
    """Refuse a file in which one of the `wanted` columns does not stand once.

    Raises:
        RequestError: says which, and which there are.
    """
    for name in wanted:
        if name not in names:
            raise RequestError(f"{path} has no column {name!r}; it has {', '.join(names) or 'none'}")
        if names.count(name) > 1:
            raise RequestError(f"{path} has several columns {name!r}")


def _require_strings(path: Path, column: pa.Field) -> None:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise RequestError(f"{path}: column {column.name!r} holds {kind}, not strings")


def _names(files: list[Path]) -> str:
    return str(files[0]) if len(files) == 1 else f"{len(files)} files from {files[0]} on"


def rows(path: Path, columns: list[str]) -> Iterator[tuple]:
    """The values of `columns`, a row at a time; at each time a few rows are in memory.

    A file may unfold to much more than it says: the log tells how far it is, twice a minute.

    Raises:
        RequestError: the file cannot be read to its end; the message has the row group, or the row of a text that is
            no Unicode.
    """
    before, size, said = 0, 0, time.monotonic()
    for batch in _batches(path, columns):
        values = [_values(path, batch.column(name), before) for name in columns]
        yield from zip(*values, strict=True)
        before, size = before + batch.num_rows, size + sum(len(v) for v in values[0] if isinstance(v, str))
        if time.monotonic() - said >= SAYS_EVERY:
            said = time.monotonic()
            log.info(f"reading {path}: {before:,} rows so far, {size:,} characters of text")


def _batches(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    require_file(path)
    broken = f"{path} cannot be read to its end"
    with damage_named(broken):
        file = pq.ParquetFile(path)
    with file:
        for group in range(file.num_row_groups):
            where = f"{broken}: row group {group + 1} of {file.num_row_groups}"
            with damage_named(where):
                at_once = _rows_at_once(file.metadata.row_group(group), columns[0])
                batches = file.iter_batches(at_once, row_groups=[group], columns=columns)
            yield from _each(batches, where)


def _each(batches: Iterator[pa.RecordBatch], where: str) -> Iterator[pa.RecordBatch]:
    """The batches; what goes wrong with one of them is told as `where`, and what goes wrong with its use is not."""
    while True:
        with damage_named(where):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _rows_at_once(group: pq.RowGroupMetaData, column: str) -> int:
    """No text is longer than its whole column, before what is repeated in it unfolds."""
    sizes = [group.column(i).total_uncompressed_size for i in range(group.num_columns)
             if group.column(i).path_in_schema == column]  # fmt: skip
    return min(max(BYTES_AT_ONCE // max([*sizes, 1]), FEWEST_ROWS), ROWS_AT_ONCE)


def _values(path: Path, column: pa.Array, before: int) -> list:
    """The column's values as Python's; `before` is the number of rows before the first one."""
    try:
        return column.to_pylist()
    except UnicodeDecodeError as error:
        row = before + next(i for i in range(len(column)) if not _is_unicode(column[i])) + 1
        raise RequestError(f"{path}, row {row}: a text is not valid UTF-8: {error}") from None
    except (pa.ArrowException, ValueError, OverflowError, TypeError) as error:
        raise RequestError(f"{path}: {column.type} values from row {before + 1} on: {first_line(error)}") from None


def _is_unicode(value: pa.Scalar) -> bool:
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True
