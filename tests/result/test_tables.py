"""Tables: their kinds, absence, Arrow streams that pyarrow reads, cut files, full disks."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.errors import DataError, JournalError, UsageError
from replay.result import tables
from replay.result.projections import TRADES
from replay.result.tables import ABSENT_INTEGER, BATCH_ROWS, ColumnKind, Table, TableWriter, Words

pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pyarrow_ipc = pytest.importorskip("pyarrow.ipc", reason="pyarrow is not installed")

COLUMNS = (
    tables.time("time"),
    tables.text("word"),
    tables.integer("whole"),
    tables.real("real"),
    tables.boolean("flag"),
)
NOON = 1_700_000_000_123_456_789


def _table(rows: int = 3) -> Table:
    return Table(
        "things",
        COLUMNS,
        {
            "time": [NOON + row if row != 1 else ABSENT_INTEGER for row in range(rows)],
            "word": [None if row == 1 else f"w{row % 7}é" for row in range(rows)],
            "whole": [ABSENT_INTEGER if row == 1 else row * 10**12 for row in range(rows)],
            "real": [float("nan") if row == 1 else row / 8 for row in range(rows)],
            "flag": [row % 3 == 0 for row in range(rows)],
        },
    )


def _written(*parts: Table) -> bytes:
    stream = io.BytesIO()
    with TableWriter("things", COLUMNS, stream) as writer:
        for part in parts:
            writer.add(part)
    return stream.getvalue()


def test_pyarrow_reads_what_is_written_with_absence_as_null() -> None:
    read = pyarrow_ipc.open_stream(_written(_table())).read_all()
    assert read.schema.field("time").type == pyarrow.timestamp("ns", tz="UTC")
    assert read.column("word").to_pylist() == ["w0é", None, "w2é"]
    assert read.column("whole").to_pylist() == [0, None, 2 * 10**12]
    assert read.column("real").to_pylist() == [0.0, None, 0.25]
    assert read.column("flag").to_pylist() == [True, False, False]
    assert read.column("time").cast(pyarrow.int64()).to_pylist() == [NOON, None, NOON + 2]


def test_any_arrow_library_takes_a_table_as_it_is() -> None:
    table = _table(BATCH_ROWS + 5)
    taken = pyarrow.table(table)
    assert taken.num_rows == BATCH_ROWS + 5
    assert taken.schema == pyarrow_ipc.open_stream(_written(table)).read_all().schema
    assert taken.column("whole")[BATCH_ROWS + 4].as_py() == (BATCH_ROWS + 4) * 10**12
    assert pyarrow.table(Table.empty("things", COLUMNS)).num_rows == 0
    assert pyarrow.schema(table).names == table.columns


def test_a_table_read_back_is_the_one_written(tmp_path: Path) -> None:
    table = _table(2 * BATCH_ROWS + 17)
    table.write(tmp_path / "things.arrow")
    again = Table.read("things", COLUMNS, tmp_path / "things.arrow")
    assert again.to_dict() == table.to_dict()


def test_a_table_without_rows_is_a_stream_with_a_schema(tmp_path: Path) -> None:
    assert pyarrow_ipc.open_stream(_written()).read_all().column_names == [column.name for column in COLUMNS]
    Table.empty("things", COLUMNS).write(tmp_path / "none.arrow")
    assert len(Table.read("things", COLUMNS, tmp_path / "none.arrow")) == 0


def test_rows_are_written_in_batches_and_a_flush_makes_them_visible(tmp_path: Path) -> None:
    path = tmp_path / "things.arrow"
    writer = TableWriter("things", COLUMNS, path)
    writer.add(_table(3))
    assert path.stat().st_size == 0
    writer.flush()
    assert len(Table.read("things", COLUMNS, path)) == 3
    writer.add(_table(BATCH_ROWS))
    assert len(Table.read("things", COLUMNS, path)) == 3 + BATCH_ROWS
    writer.close()
    writer.close()
    assert writer.rows == 3 + BATCH_ROWS == pyarrow_ipc.open_stream(path).read_all().num_rows


def test_a_stream_cut_anywhere_gives_its_whole_batches() -> None:
    part = _table(3)
    stream = io.BytesIO()
    writer = TableWriter("things", COLUMNS, stream)
    ends = []
    for _ in range(3):
        writer.add(part)
        writer.flush()
        ends.append(stream.tell())
    data = stream.getvalue()
    for cut in range(ends[0], len(data) + 1):
        whole = sum(end <= cut for end in ends)
        assert len(Table.read("things", COLUMNS, io.BytesIO(data[:cut]))) == 3 * whole
    assert len(Table.read("things", COLUMNS, io.BytesIO(b""))) == 0


def test_what_is_no_arrow_stream_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "things.arrow"
    path.write_bytes(b"time,word\n1,2\n" * 20)
    with pytest.raises(DataError, match=r"things\.arrow: not an Arrow IPC stream"):
        Table.read("things", COLUMNS, path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "things.arrow"
    _table().write(path)
    with pytest.raises(DataError, match="lacks colour"):
        Table.read("things", (*COLUMNS, tables.text("colour")), path)


def test_a_column_that_came_later_is_read_as_absent_from_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "trades.arrow"
    later = [column for column in TRADES if column.is_newer]
    assert [column.name for column in later] == ["mae", "mfe"]
    older = [column for column in TRADES if not column.is_newer]
    values = {c.name: ["x", None] if c.kind is ColumnKind.TEXT else [1, 2] for c in older}
    Table("trades", older, values).write(path)
    table = Table.read("trades", TRADES, path)
    assert table["gross"].tolist() == [1.0, 2.0]
    assert table.to_dict()["mae"] == table.to_dict()["mfe"] == [None, None]


def test_a_full_disk_is_a_journal_error() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    writer = TableWriter("things", COLUMNS, Full())
    writer.add(_table())
    with pytest.raises(JournalError, match="No space left on device"):
        writer.flush()


def test_a_folder_that_is_not_there_is_a_journal_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        TableWriter("things", COLUMNS, tmp_path / "absent" / "things.arrow")


def test_columns_are_numpy_arrays() -> None:
    table = _table()
    assert table["time"].dtype == np.dtype("datetime64[ns]") and np.isnat(table["time"][1])
    assert table["word"].tolist() == ["w0é", None, "w2é"]
    assert table["real"].dtype == np.float64 and table["flag"].dtype == np.bool_
    assert list(table.to_numpy()) == table.columns
    with pytest.raises(KeyError, match="no column 'wrod'"):
        table["wrod"]


def test_rows_are_dicts_with_absence_as_none() -> None:
    table = _table()
    assert table.row(1) == {"time": None, "word": None, "whole": None, "real": None, "flag": False}
    assert table.row(-1)["whole"] == 2 * 10**12
    assert [row["flag"] for row in table.rows()] == [True, False, False]
    with pytest.raises(IndexError):
        table.row(3)


def test_columns_of_different_lengths_or_names_are_refused() -> None:
    column = (tables.integer("a"), tables.integer("b"))
    with pytest.raises(ValueError, match="different lengths"):
        Table("bad", column, {"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="expected"):
        Table("bad", column, {"a": [1]})


def test_vocabularies_are_merged_when_tables_are_joined() -> None:
    column = (tables.text("word"),)
    parts = [Table("w", column, {"word": words}) for words in (["b", None], [], ["a", "b"], [None])]
    assert Table.concatenate(parts)["word"].tolist() == ["b", None, "a", "b", None]
    assert Words.of([]).to_objects().tolist() == []


def test_pandas_takes_it_with_times_in_utc() -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = _table().to_pandas()
    assert str(frame["time"].dtype) == "datetime64[ns, UTC]"
    assert frame["time"][0].value == NOON and frame["time"].isna().tolist() == [False, True, False]
    assert frame["whole"].isna().tolist() == [False, True, False] and int(frame["whole"][2]) == 2 * 10**12
    assert frame["word"].isna().tolist() == [False, True, False]
    assert len(Table.empty("things", COLUMNS).to_pandas()) == 0


def test_polars_takes_it() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = _table().to_polars()
    assert isinstance(frame, polars.DataFrame) and frame["whole"].to_list() == [0, None, 2 * 10**12]


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="to_pandas needs pandas"):
        _table().to_pandas()


def test_printed_it_shows_the_first_and_last_rows() -> None:
    text = repr(_table(1000))
    assert text.startswith("things: 1,000 rows") and "..." in text and len(text.splitlines()) == 13
    assert "2023-11-14 22:13:20.123456789" in text and "-" in text
    assert repr(Table.empty("things", COLUMNS)) == "things: 0 rows (time, word, whole, real, flag)"
    html = _table(1000)._repr_html_()
    assert html.count("<tr>") == 12 and "things: 1,000 rows" in html


def test_html_escapes_words() -> None:
    table = Table("x", (tables.text("word"),), {"word": ["<b>"]})
    assert "&lt;b&gt;" in table._repr_html_() and "<b>" not in table._repr_html_()
