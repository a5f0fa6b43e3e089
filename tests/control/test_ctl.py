"""Commands through the command line to a real paper process: what they do, that they are on the tape, and errors."""

from __future__ import annotations

import os
import random
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from replay.errors import ControlError
from replay.pipeline.commands import COMMANDS, CommandCause, OperatorCommand
from replay.pipeline.control import ControlRequest, ask

from .paper import Paper

pytestmark = pytest.mark.slow


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Paper]:
    made = Paper(tmp_path)
    made.start()
    try:
        yield made
    finally:
        made.end()


def _traded(paper: Paper) -> bool:
    status = paper.status()
    return bool(status["positions"]) and bool(status["open_orders"])


def test_each_command_is_a_durable_record_and_a_re_run_repeats_it(paper: Paper) -> None:
    paper.wait_for(lambda: _traded(paper))
    paused = paper.reply("pause")
    assert paused["trading"] == "paused"
    shown = paper.ctl("status")
    assert (shown.returncode, "trading    paused since" in shown.stdout) == (0, True)
    held = paper.status()["positions"][0]["quantity"]
    before = paper.status()["seq"]
    paper.wait_for(lambda: paper.status()["seq"] > before + 100)
    assert paper.status()["positions"][0]["quantity"] == held, "nothing is bought while paused"

    assert paper.reply("cancel-all")["ok"]
    paper.wait_for(lambda: not paper.status()["open_orders"])
    flattened = paper.reply("flatten")
    paper.wait_for(lambda: not paper.status()["positions"] and not paper.status()["flattening"])
    resumed = paper.reply("resume")
    assert resumed["trading"] == "active"
    paper.wait_for(lambda: _traded(paper))
    stopped = paper.reply("stop")
    assert stopped["trading"] == "stopped"
    assert paper.wait() == 0, paper.log

    commands = {seq: command for seq, command, _ in paper.commands()}
    assert list(commands.values()) == [
        OperatorCommand.PAUSE,
        OperatorCommand.CANCEL_ALL,
        OperatorCommand.FLATTEN,
        OperatorCommand.RESUME,
        OperatorCommand.STOP,
    ]
    for reply, command in ((paused, "PAUSE"), (flattened, "FLATTEN"), (resumed, "RESUME"), (stopped, "STOP")):
        assert commands[reply["seq"]] == OperatorCommand[command]
    result = msgspec.json.decode((paper.session / "events" / "result.json").read_bytes())
    assert result["interrupted"] is False
    assert '"stopped_by":"operator"' in paper.log
    assert not (paper.session / "control.sock").exists()
    verified = paper.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_a_kill_after_a_command_neither_loses_nor_doubles_it(paper: Paper) -> None:
    paper.wait_for(lambda: _traded(paper))
    paused = paper.reply("pause")
    paper.kill()
    assert (paper.session / "control.sock").exists(), "a killed process leaves its socket"
    refused = paper.ctl("status")
    assert (refused.returncode, "not running" in refused.stderr) == (6, True)

    paper.start()
    status = paper.status()
    assert (status["trading"], status["cause"]) == ("paused", "operator")
    paper.reply("resume")
    paper.kill()
    paper.start()
    assert paper.status()["trading"] == "active"
    paper.reply("stop")
    assert paper.wait() == 0
    commands = paper.commands()
    assert [command for _, command, _ in commands] == [
        OperatorCommand.PAUSE,
        OperatorCommand.RESUME,
        OperatorCommand.STOP,
    ]
    assert commands[0][0] == paused["seq"]
    assert paper.verify().returncode == 0


def test_whatever_was_acknowledged_is_on_the_tape_once_whenever_the_process_is_killed(paper: Paper) -> None:
    dice = random.Random(7)
    acknowledged: list[tuple[int, str]] = []
    for cycle in range(3):
        killer = threading.Timer(dice.uniform(0.0, 0.03), paper.kill)
        before, patience = len(acknowledged), dice.randrange(1, 8)
        try:
            while True:
                if len(acknowledged) == before + patience:
                    killer.start()
                name = "resume" if len(acknowledged) % 2 else "pause"
                reply = ask(paper.session, ControlRequest(command=name), timeout_s=30)  # type: ignore[arg-type]
                assert reply.ok and reply.seq is not None
                acknowledged.append((reply.seq, name))
        except ControlError:
            pass
        killer.join()
        commands = {seq: command for seq, command, _ in paper.commands()}
        assert len(acknowledged) >= before + patience
        for seq, name in acknowledged:
            assert commands[seq] == COMMANDS[name]
        assert len(commands) - len(acknowledged) <= 1 + cycle, "no more than the one that was under way at each kill"
        paper.start()
    paper.reply("stop")
    assert paper.wait() == 0
    assert paper.verify().returncode == 0


def test_a_stopped_session_goes_on_paused_until_it_is_resumed(paper: Paper) -> None:
    paper.wait_for(lambda: _traded(paper))
    paper.reply("stop")
    assert paper.wait() == 0
    paper.start()
    status = paper.status()
    assert (status["trading"], status["cause"]) == ("paused", "restart")
    paper.reply("resume")
    seq = paper.status()["seq"]
    paper.wait_for(lambda: paper.status()["seq"] > seq + 50)
    paper.reply("stop")
    assert paper.wait() == 0
    causes = [(command, cause) for _, command, cause in paper.commands()]
    assert causes[1] == (OperatorCommand.PAUSE, CommandCause.RESTART)
    assert paper.verify().returncode == 0


def test_the_socket_is_for_its_user_alone_and_answers_nonsense(paper: Paper) -> None:
    path = paper.session / "control.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as talk:
        talk.connect(str(path))
        lines = talk.makefile("rwb")
        for line in (b"{}", b"\xff\xff", b'{"command": "pause", "version": 2}', b'{"command": "explode"}'):
            lines.write(line + b"\n")
            lines.flush()
            reply = msgspec.json.decode(lines.readline())
            assert reply["ok"] is False
            assert "version 1" in reply["error"]
        lines.write(b'{"command": "status", "id": "mine"}\n')
        lines.flush()
        assert msgspec.json.decode(lines.readline())["id"] == "mine"
    with socket.socket(socket.AF_UNIX) as talk:
        talk.connect(str(path))
        talk.sendall(b"x" * 200_000 + b"\n")
        assert b"a line above" in talk.makefile("rb").readline()
    assert paper.status()["trading"] == "active"


def test_ctl_names_what_is_no_session_and_what_does_not_run(tmp_path: Path) -> None:
    def ctl(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-m", "replay", "ctl", str(folder), *more]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    missing = ctl(tmp_path, "status")
    assert (missing.returncode, "no session folder" in missing.stderr) == (2, True)
    (tmp_path / "session.toml").write_text("")
    silent = ctl(tmp_path, "pause")
    assert (silent.returncode, "not running" in silent.stderr) == (6, True)
    wrong = ctl(tmp_path, "explode")
    assert wrong.returncode == 2
    late = ctl(tmp_path, "pause", "--timeout", "soon")
    assert (late.returncode, "--timeout" in late.stderr) == (2, True)


def test_a_path_too_long_for_a_socket_works(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    paper = Paper(folder)
    assert len(os.fsencode(paper.session / "control.sock")) > 107
    paper.start()
    try:
        assert paper.reply("pause")["trading"] == "paused"
        paper.reply("stop")
        assert paper.wait() == 0
    finally:
        paper.end()
