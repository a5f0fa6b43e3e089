"""The page of a report: one file that asks for nothing, whatever the names in it; tables and pictures of the same."""

from __future__ import annotations

import csv
import json
import re
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from replay.cli.report_name import REPORT_IN_FOLDER, with_report_name
from replay.errors import UsageError
from replay.report import find_subject, write_report
from replay.report.document import Document, document_of
from replay.report.html import page
from replay.report.spreadsheet import write_tables
from replay.result.result import Result
from replay.result.tables import Table

PAGE_FILES = sorted((Path(__file__).resolve().parents[2] / "replay" / "report" / "page").iterdir())


def head_of(text: str) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="head">(.*?)</script>', text, re.DOTALL)
    assert match is not None
    head: dict[str, object] = json.loads(match[1])
    return head


def test_a_report_stands_in_the_folder_of_its_run(copied: Path) -> None:
    written = write_report(find_subject(copied / "out"))
    assert written == copied / "out" / "report.html"
    text = written.read_text()
    assert len(text) < 6_000_000 and "{{" not in text.split("<script>")[0]
    head = head_of(text)
    assert head["digest"] == Result.load(copied / "out").digest and head["notes"] == [
        "Refused or cut short: no_liquidity 3"
    ]


def test_the_page_forbids_itself_every_request_and_names_no_address(copied: Path) -> None:
    text = page("report.html", document_of(find_subject(copied / "out")))
    assert "default-src 'none'" in text
    for file in PAGE_FILES:
        assert not re.search(r"""src="|href|https?:|url\(|import\(|fetch\(|XMLHttp""", file.read_text()), file.name


def test_names_cannot_break_out_of_the_page(copied: Path) -> None:
    file = copied / "out" / "result.json"
    document = json.loads(file.read_text())
    document["name"] = "</script><script>alert(1)</script>"
    file.write_text(json.dumps(document))
    text = page("report.html", document_of(find_subject(copied / "out")))
    assert "alert(1)</script>" not in text
    assert head_of(text)["name"] == document["name"]


def test_a_run_with_nothing_but_statistics_makes_a_page(copied: Path) -> None:
    (copied / "market.npy").unlink()
    for name in ("fills", "trades", "equity", "marks", "orders", "positions"):
        (copied / "out" / f"{name}.arrow").unlink()
    document = document_of(find_subject(copied / "out"))
    assert document.head["tables"] == {} and document.columns == {}
    assert page("report.html", document)


def test_the_document_holds_every_point(copied: Path) -> None:
    subject = find_subject(copied / "out")
    document = document_of(subject)
    assert document.columns["fills.time"].count == len(subject.result.fills)
    assert document.columns["trades.net"].count == len(subject.result.trades)
    assert document.columns["equity.equity"].count == len(subject.result.equity)
    assert document.columns["prices.0.price"].count == len(subject.prices[0])
    assert {row["symbol"] for row in document.head["costs"]} == {"SIM-A", "SIM-B"}
    assert [name for name, _ in document.head["months"]] == ["2024-01"]


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, copied: Path) -> None:
    monkeypatch.setattr("replay.report.html.find_spec", lambda name: None)
    from replay.report.html import check_chart_library

    with pytest.raises(UsageError, match="plotly") as caught:
        check_chart_library()
    assert "tickreplay[report]" in str(caught.value.remedy)


def test_a_report_that_cannot_be_written_says_where(copied: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the report") as caught:
        write_report(find_subject(copied / "out"), copied / "nowhere" / "report.html")
    assert "nowhere" in str(caught.value.place)


def test_a_result_writes_its_report_and_prints_without_a_path(result: Result, tmp_path: Path) -> None:
    assert result.report(tmp_path / "r.html") == tmp_path / "r.html"
    assert "Total return" in result.report()


def test_a_result_is_drawn_with_matplotlib(result: Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = result.plot(tmp_path / "run.png")
    assert path == tmp_path / "run.png" and path.read_bytes().startswith(b"\x89PNG")
    labels = [axis.get_ylabel() for axis in result.plot().get_axes()]
    assert {"SIM-A", "SIM-B", "equity USD", "drawdown %", "exposure"} <= set(labels)


def test_a_run_folder_from_before_excursions_were_noted_is_shown_without_them(copied: Path, tmp_path: Path) -> None:
    trades = Result.load(copied / "out").trades
    older = [column for column in trades.schema if column.name not in ("mae", "mfe")]
    Table("trades", older, {c.name: trades.raw(c.name) for c in older}).write(copied / "out" / "trades.arrow")
    _, trades_file = write_tables(find_subject(copied / "out"), tmp_path / "csv")
    with trades_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(trades) and {(row["mae"], row["mfe"]) for row in rows} == {("", "")}
    assert write_report(find_subject(copied / "out")).exists()


def test_csv_tables_are_exact(copied: Path, tmp_path: Path) -> None:
    result = Result.load(copied / "out")
    fills_file, trades_file = write_tables(find_subject(copied / "out"), tmp_path / "csv")
    with fills_file.open(newline="") as file:
        fills = list(csv.DictReader(file))
    assert len(fills) == len(result.fills)
    for row, raw, size, fee in zip(
        fills, result.fills["price_raw"], result.fills["size_raw"], result.fills["fee"], strict=True
    ):
        assert Decimal(row["price"]) == Decimal(int(raw)) / 100 and Decimal(row["size"]) == Decimal(int(size)) / 1000
        assert float(row["fee"]) == pytest.approx(fee, abs=1e-12)
    assert re.fullmatch(r"2024-01-01T\d\d:\d\d:\d\d\.\d{9}Z", fills[0]["time"])
    with trades_file.open(newline="") as file:
        trades = list(csv.DictReader(file))
    assert len(trades) == len(result.trades) and not re.search(r"\dE|\de-", trades_file.read_text())
    for row, gross, net in zip(trades, result.trades["gross"], result.trades["net"], strict=True):
        assert Decimal(row["net"]) == Decimal(row["gross"]) - Decimal(row["fees"])
        assert float(row["gross"]) == gross and float(row["net"]) == pytest.approx(net, abs=1e-9)
    assert all(float(row["mae"]) <= 0 <= float(row["mfe"]) for row in trades)


def test_a_word_that_a_spreadsheet_would_run_is_quoted() -> None:
    from replay.report.spreadsheet import _word

    assert _word("=HYPERLINK(1)") == "'=HYPERLINK(1)" and _word("BTC-USD") == "BTC-USD" and _word(None) == ""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["backtest", "--report"], ["backtest", f"--report={REPORT_IN_FOLDER}"]),
        (["backtest", "--report", "run.toml"], ["backtest", f"--report={REPORT_IN_FOLDER}", "run.toml"]),
        (["backtest", "--report", "a.html", "run.toml"], ["backtest", "--report", "a.html", "run.toml"]),
        (["backtest", "--report=x"], ["backtest", "--report=x"]),
        (["report", "run"], ["report", "run"]),
    ],
)
def test_report_may_go_without_a_name(given: list[str], expected: list[str]) -> None:
    assert with_report_name(given) == expected


def test_head_is_plain_json(copied: Path) -> None:
    document: Document = document_of(find_subject(copied / "out"))
    assert msgspec.json.decode(msgspec.json.encode(document.head)) == document.head
