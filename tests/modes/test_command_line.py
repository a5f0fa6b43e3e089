"""The modes as a user starts them: `replay ...` in a process of its own, its exit codes, signals and files."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from replay.feeds import tape

from .market import header, market

RUN_FILE = """
[[strategy]]
class = "{strategy}"
name = "s"
[[feed]]
uri = "market.npy"
[[instrument]]
symbol = "BTCUSDT"
venue = "one"
tick = "0.01"
lot = "0.001"
quote = "USDT"
base = "BTC"
[[instrument]]
symbol = "ETHUSDT"
venue = "two"
tick = "0.01"
lot = "0.001"
quote = "USDT"
base = "ETH"
[[venue]]
name = "one"
latency = {{ entry = "150ms", response = "70ms" }}
[[venue]]
name = "two"
fees = {{ maker = "0.0001", taker = "0.0004" }}
[account]
leverage = "10"
currency = "USDT"
cash = {{ USDT = "1000000" }}
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tape.save(tmp_path / "market.npy", market(4_000), header())
    (tmp_path / "run.toml").write_text(RUN_FILE.format(strategy="tests.modes.market:Busy"))
    (tmp_path / "raises.toml").write_text(RUN_FILE.format(strategy="tests.modes.market:Raises"))
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "replay", *arguments]


def run(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def digest_of(done: subprocess.CompletedProcess[str]) -> str:
    return str(json.loads(done.stdout.splitlines()[-1])["digest"])


def test_all_statistics_are_printed_on_request(folder: Path) -> None:
    shown = run(folder, "backtest", "--out", "a", "--stats", "all", "--set", 'stats.benchmark="none"').stdout
    assert "  system_quality_number " in shown
    assert "n/a (no benchmark)" in shown
    assert "system_quality_number" not in run(folder, "backtest", "--out", "b").stdout


def test_three_modes_three_equal_digests_and_verify_says_so(folder: Path) -> None:
    digests = {
        digest_of(run(folder, "backtest", "--out", "a", "--json")),
        digest_of(run(folder, "play", "--speed", "max", "--out", "b", "--json")),
        digest_of(run(folder, "paper", "--session", "s", "--set", "metrics.port=0", "--json")),
        digest_of(run(folder, "paper", "--session", "s", "--set", "metrics.port=0", "--json")),
    }
    assert len(digests) == 1
    (digest,) = digests
    for paths in (["a", "b"], ["a", "s"], ["s"], ["run.toml"], ["a"]):
        said = run(folder, "verify", *paths).stdout
        assert said.startswith("equal, ")
        assert digest in said


def test_verify_names_the_first_event_that_differs_with_both_sides_tick_and_time(folder: Path) -> None:
    run(folder, "backtest", "--out", "a")
    run(folder, "backtest", "--out", "b", "--set", "strategy.0.params.slow=9")
    said = run(folder, "verify", "a", "b", code=1).stdout
    assert said.startswith("different from event ")
    assert said.count("order") >= 2
    assert "tick: record " in said
    assert "Z" in said.splitlines()[0]


@pytest.mark.parametrize("mode", ["play", "paper"])
def test_ctrl_c_ends_with_130_and_keeps_a_partial_result(folder: Path, mode: str) -> None:
    if mode == "play":
        arguments = ["play", "--speed", "1", "--out", "out"]
        result, begun = folder / "out" / "result.json", folder / "out" / "config.toml"
    else:
        arguments = ["paper", "--session", "s", "--set", "metrics.port=0", "--feed", "sim:"]
        result = folder / "s" / "events" / "result.json"
        begun = folder / "s" / "journal" / "00000000.journal"
    process = subprocess.Popen(
        command(*arguments), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not begun.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, out + err
    assert "INTERRUPTED" in out
    document = json.loads(result.read_text())
    assert document["interrupted"] is True
    assert 0 < document["counts"]["records"] < 4_000
    if mode == "paper":
        assert "equal" in run(folder, "verify", "s").stdout


def test_a_strategy_that_raises_gives_3_with_its_own_traceback(folder: Path) -> None:
    done = run(folder, "backtest", "raises.toml", "--out", "a", code=3)
    assert "RuntimeError: the strategy's own mistake" in done.stderr
    assert "on_quote" in done.stderr
    assert (folder / "a" / "events.bin").stat().st_size > 0


def test_a_data_policy_that_halts_gives_4(folder: Path) -> None:
    broken = market(100)
    broken["ts_event"][50] = broken["ts_recv"][50] = 7
    tape.save(folder / "market.npy", broken, header())
    done = run(folder, "backtest", "--out", "a", code=4)
    assert "implausible_time" in done.stderr


def test_a_port_in_use_gives_2_and_names_it(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(folder, "paper", "--session", "s", "--set", f"metrics.port={port}", code=2)
    assert f"port {port}" in done.stderr
    assert "metrics.port" in done.stderr


def test_a_full_disk_gives_5_and_the_session_goes_on_later(folder: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

    arguments = ["paper", "--session", "s", "--set", "metrics.port=0"]
    done = subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=60, check=False, preexec_fn=limit
    )
    assert done.returncode == 5, done.stderr
    assert "File too large" in done.stderr
    expected = digest_of(run(folder, "backtest", "--out", "a", "--json"))
    assert digest_of(run(folder, *arguments, "--json")) == expected


def test_a_session_of_another_run_file_gives_2(folder: Path) -> None:
    run(folder, "paper", "--session", "s", "--set", "metrics.port=0")
    done = run(folder, "paper", "--session", "s", "--set", "metrics.port=0", "--set", "run.seed=8", code=2)
    assert "run.seed was 0, now it is 8" in done.stderr


def test_a_live_feed_is_refused_where_it_cannot_end(folder: Path) -> None:
    done = run(folder, "backtest", "--feed", "sim:", "--out", "a", code=2)
    assert "live" in done.stderr
    assert "paper" in done.stderr


def test_a_run_that_takes_no_record_gives_4_and_says_why(folder: Path) -> None:
    done = run(folder, "backtest", "--set", 'run.from="2035-01-01"', "--out", "a", code=4)
    assert "no record lies between run.from and run.until" in done.stderr
    (folder / "rows.csv").write_text("time,symbol,bid,ask\nsoon,BTCUSDT,1,2\n")
    (folder / "text.toml").write_text(
        RUN_FILE.format(strategy="tests.modes.market:Busy").replace(
            'uri = "market.npy"',
            'uri = "rows.csv"\nrecords = "quote"\nsymbol = { column = "symbol" }\n'
            'time = { column = "time", unit = "ns" }\nsizes = "none"',
        )
    )
    done = run(folder, "backtest", "text.toml", "--out", "b", code=4)
    assert "no row gave a record, all were set aside: bad_time 1" in done.stderr
    assert not done.stdout, "a run without records has no statistics"


def test_late_records_are_told_of_on_the_screen(folder: Path) -> None:
    reversed_market = market(200)
    reversed_market["ts_event"] = reversed_market["ts_event"][::-1].copy()
    reversed_market["ts_recv"] = reversed_market["ts_event"].max()
    tape.save(folder / "market.npy", reversed_market, header())
    done = run(folder, "backtest", "--out", "a")
    assert "records happened before one that stands earlier" in done.stdout


def test_a_session_without_its_event_log_gives_5_and_the_remedy(folder: Path) -> None:
    run(folder, "paper", "--session", "s", "--set", "metrics.port=0")
    (folder / "s" / "events" / "events.bin").unlink()
    assert "rebuilt when the session is started again" in run(folder, "verify", "s", code=5).stderr
