"""Output that is captured: shown while a screen stands, and whole where it belongs after it.

May not live here: screens.
"""

from __future__ import annotations

import io
import sys
import threading

import pytest

from replay.cli.captured import LINES_KEPT, captured_output


def test_what_is_printed_meanwhile_is_written_afterwards_to_its_own_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with captured_output() as captured:
        print("one")
        print("two", file=sys.stderr)
        print("thr", end="")
        print("ee")
        assert capsys.readouterr().out == ""
        assert captured.last(2) == ["two", "three"]
    said = capsys.readouterr()
    assert said.out == "one\nthree\n"
    assert said.err == "two\n"


def test_a_stream_that_somebody_kept_writes_through_afterwards(capsys: pytest.CaptureFixture[str]) -> None:
    with captured_output():
        kept = sys.stderr
        print("half a line", end="", file=kept)
    print(", the rest", file=kept)
    assert capsys.readouterr().err == "half a line, the rest\n"


def test_memory_has_a_bound_and_what_is_forgotten_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    target, said = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", target)
    monkeypatch.setattr(sys, "__stderr__", said)
    with captured_output() as captured:
        threads = [threading.Thread(target=lambda: [print("x") for _ in range(LINES_KEPT)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert captured.lines == 3 * LINES_KEPT
    assert target.getvalue().count("\n") == LINES_KEPT
    assert "2,000 lines more" in said.getvalue()


def test_the_streams_are_put_back_where_something_raises() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(RuntimeError), captured_output():
        raise RuntimeError("on purpose")
    assert (sys.stdout, sys.stderr) == before
