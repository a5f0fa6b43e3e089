"""`replay report`, `replay compare` and `--report` as a user types them: files, messages, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from replay.cli.app import run
from replay.errors import EXIT_DONE, EXIT_HALT, EXIT_USAGE


def test_report_writes_into_the_run_s_folder_or_where_it_is_told(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(copied / "out")]) == EXIT_DONE
    assert capsys.readouterr().out == f"report {copied / 'out' / 'report.html'}\n"
    assert run(["report", str(copied / "out"), "--out", str(tmp_path / "r.html")]) == EXIT_DONE
    assert (tmp_path / "r.html").read_bytes() == (copied / "out" / "report.html").read_bytes()


def test_a_picture_and_tables_are_written_instead(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    out = copied / "out"
    assert run(["report", str(out), "--png", str(copied / "r.svg"), "--csv", str(copied / "csv")]) == EXIT_DONE
    assert capsys.readouterr().out.splitlines() == [
        f"picture {copied / 'r.svg'}",
        f"table {copied / 'csv' / 'fills.csv'}",
        f"table {copied / 'csv' / 'trades.csv'}",
    ]
    assert not (out / "report.html").exists() and (copied / "r.svg").read_text().startswith("<?xml")


def test_a_backtest_writes_its_report(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = copied / "again"
    assert run(["backtest", str(copied / "run.toml"), "--report", "--out", str(out)]) == EXIT_DONE
    assert capsys.readouterr().out.endswith(f"folder {out}\nreport {out / 'report.html'}\n")
    assert (out / "report.html").exists()


def test_play_writes_its_report_under_another_name(copied: Path) -> None:
    named = copied / "played.html"
    command = ["play", str(copied / "run.toml"), "--speed", "max", "--out", str(copied / "played")]
    assert run([*command, "--report", str(named)]) == EXIT_DONE
    assert named.exists() and not (copied / "played" / "report.html").exists()


def test_a_paper_session_s_report_stands_in_its_folder_and_the_session_goes_on(copied: Path) -> None:
    session = copied / "session"
    command = ["paper", str(copied / "run.toml"), "--session", str(session), "--set", "metrics.port=0", "--report"]
    assert run(command) == EXIT_DONE
    assert (session / "report.html").exists()
    assert run(command) == EXIT_DONE


@pytest.mark.parametrize("command", ["backtest", "play", "paper"])
def test_what_a_report_lacks_is_told_before_the_run(
    copied: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied)
    assert run([command, "run.toml", "--report", "nowhere/r.html"]) == EXIT_USAGE
    assert "there is no folder 'nowhere'" in capsys.readouterr().err
    monkeypatch.setattr("replay.report.html.find_spec", lambda name: None)
    assert run([command, "run.toml", "--report"]) == EXIT_USAGE
    error = capsys.readouterr().err
    assert "plotly" in error and "tickreplay[report]" in error
    assert not (copied / "runs").exists() and not (copied / "sessions").exists()


def test_wrong_folders_are_told_in_two_lines(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["report", "nothing"], ["compare", str(copied / "out"), "nothing"], ["report", str(copied)]):
        assert run(command) == EXIT_USAGE
        error = capsys.readouterr().err
        assert error.startswith("replay: ") and len(error.splitlines()) == 2, error


def test_a_result_that_is_none_is_told_with_its_file(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "out" / "result.json").write_text("{}")
    assert run(["report", str(copied / "out")]) == EXIT_HALT
    assert "result.json" in capsys.readouterr().err
    (copied / "out" / "result.json").write_bytes(b"\xff\xfe")
    assert run(["report", str(copied / "out")]) == EXIT_HALT


def test_a_table_that_is_none_is_told_with_its_file(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copied / "out" / "fills.arrow").write_bytes(b"no arrow file at all, whatever its name says")
    assert run(["report", str(copied / "out")]) == EXIT_HALT
    assert "fills.arrow" in capsys.readouterr().err


def test_a_failed_run_has_a_report_that_says_why(copied: Path) -> None:
    file = copied / "run.toml"
    file.write_text(file.read_text().replace("replay.strategies.sma_cross:SmaCross", "broken.py:Broken", 1))
    (copied / "broken.py").write_text(
        "from replay.strategies.sma_cross import SmaCross\n"
        "class Broken(SmaCross):\n"
        "    def on_bar(self, bar):\n"
        "        super().on_bar(bar)\n"
        "        self.seen = getattr(self, 'seen', 0) + 1\n"
        "        assert self.seen < 200, 'enough'\n"
    )
    assert run(["backtest", str(file), "--out", str(copied / "failed")]) == 3
    assert run(["report", str(copied / "failed")]) == EXIT_DONE
    text = (copied / "failed" / "report.html").read_text()
    head = json.loads(text.split('id="head">')[1].split("</script>")[0])
    assert head["interrupted"] and "enough" in head["failure"]["message"] and head["prices"]


def test_compare_prints_and_writes_a_page(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(copied / "out")
    assert run(["compare", out, out, "--html", str(copied / "c.html"), "--stats", "all"]) == EXIT_DONE
    printed = capsys.readouterr().out
    assert "Events: equal" in printed and "Ulcer index" in printed and printed.endswith(f"report {copied / 'c.html'}\n")
