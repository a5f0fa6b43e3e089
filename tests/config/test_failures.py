"""What a user is told: short messages with code, the user's own traceback for a strategy, and progress in words.

No process is started here.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from replay import errors
from replay.cli.failures import explain, say, user_traceback
from replay.cli.screen import Progress, progress_text

CODES = {
    errors.UsageError: 2,
    errors.EngineMissing: 2,
    errors.ConfigError: 2,
    errors.NothingYet: 2,
    errors.StrategyError: 3,
    errors.HaltError: 4,
    errors.DataError: 4,
    errors.JournalError: 5,
    errors.SessionLocked: 5,
    errors.ControlError: 6,
}


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_every_error_has_its_exit_code(kind: type[errors.ReplayError], code: int) -> None:
    assert kind.exit_code == code
    assert issubclass(kind, errors.ReplayError)
    assert kind.__name__ in str(errors.__doc__)


def test_the_tree_of_errors_is_drawn_whole() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert defined == {kind.__name__ for kind in CODES} | {"ReplayError"}


SAMPLES = [
    errors.ConfigError("fact", place="run.toml:3", remedy="do this"),
    errors.HaltError("leap", "row 7 is a leap", place="tape.npy"),
    errors.DataError("empty", place="x.csv"),
    errors.StrategyError("sma", "on_bar", 12, "Bar BTCUSDT", "ValueError: no"),
    errors.EngineMissing("no module"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_crosses_processes_whole(error: errors.ReplayError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_message_states_place_fact_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(SAMPLES[0]) == 2
    assert capsys.readouterr().err == "replay: run.toml:3: fact\n  do this\n"


def test_a_long_message_is_cut_to_five_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("\n".join(str(number) for number in range(20)))
    assert capsys.readouterr().err.splitlines() == ["replay: 0", "  1", "  2", "  3", "  ..."]


def test_a_full_disk_is_code_5_and_a_missing_file_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(OSError(28, "No space left on device", "events.bin")) == 5
    assert explain(FileNotFoundError(2, "No such file or directory", "x.csv")) == 2
    assert "events.bin: No space left on device" in capsys.readouterr().err


def test_a_mistake_of_our_own_shows_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(KeyError("inner")) == 70
    assert "a mistake of replay itself" in capsys.readouterr().err


USER_CODE = """
def helper(bar):
    return 1 / 0

def on_bar(bar):
    helper(bar)
"""


def test_a_strategy_error_shows_the_users_frames_and_the_tick(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(USER_CODE)
    namespace: dict[str, object] = {}
    exec(compile(USER_CODE, str(path), "exec"), namespace)
    error = errors.StrategyError("sma", "on_bar", 12, "Bar BTCUSDT 2022-01-01", "ZeroDivisionError: division by zero")
    handler = namespace["on_bar"]
    assert callable(handler)
    try:
        handler(None)
    except ZeroDivisionError as cause:
        error.__cause__ = cause
    assert explain(error) == 3
    told = capsys.readouterr().err
    assert f'File "{path}", line 6, in on_bar' in told
    assert f'File "{path}", line 3, in helper' in told
    assert "ZeroDivisionError: division by zero" in told
    assert "strategy 'sma' raised in on_bar at record 12" in told
    assert "tick: Bar BTCUSDT 2022-01-01" in told


def test_frames_of_the_package_are_left_out_of_a_users_traceback() -> None:
    from replay import units

    try:
        units.parse_duration("x")
    except ValueError as error:
        told = user_traceback(error)
    assert "units.py" not in told
    assert "test_failures.py" in told
    assert "is not a duration" in told


def test_progress_says_rate_and_remaining_time() -> None:
    second_ns = 1_000_000_000
    assert progress_text(1_000, 4_000, None, second_ns) == "1,000 of 4,000 records, 1.0 k/s, 3 s left"
    assert progress_text(0, 4_000, None, second_ns) == "0 of 4,000 records, 0/s"
    assert progress_text(5_000_000, None, 0, 2 * second_ns) == "5,000,000 records, 2.5 M/s, at 1970-01-01T00:00:00Z"
    assert progress_text(1, 10_001, None, second_ns).endswith("2 h 46 min left")


def test_progress_is_silent_in_the_first_second(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("run") as progress:
        progress(1, 2, None)
    assert capsys.readouterr().err == ""


def test_progress_without_a_terminal_writes_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("run") as progress:
        progress.next_ns = 0
        progress(1, 2, None)
        progress(2, 2, None)
    assert capsys.readouterr().err.count("\n") == 1
