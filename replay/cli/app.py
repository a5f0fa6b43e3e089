"""The commands and their help; runs one and turns what it raises into a message and an exit code.

May not live here: a command itself. Nothing heavy may be imported: `replay --help` loads not even numpy.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING

from cyclopts import App, CycloptsError, UnusedCliTokensError

from replay.cli.failures import explain, explain_interruption, say
from replay.cli.report_name import with_report_name
from replay.errors import EXIT_DONE, EXIT_PIPE, EXIT_USAGE

if TYPE_CHECKING:
    from collections.abc import Sequence


def version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("tickreplay")
    except PackageNotFoundError:
        return "0 (not installed)"


def build() -> App:
    """Name every command with its one-line help and the place of its code."""
    app = App(
        name="replay",
        help="One strategy, one engine, three clocks: backtest, replay and paper trading with equal results.",
        version=version,
        help_format="plaintext",
        result_action="return_value",
        suppress_keyboard_interrupt=False,  # or it would end here without a word
    )
    app.command("replay.cli.init:init", name="init", help="Make a folder with a strategy, a run file, data and a test.")
    app.command(
        "replay.cli.doctor:doctor", name="doctor", help="Say what is installed and what is missing, with remedies."
    )
    app.command(
        "replay.cli.backtest:backtest",
        name="backtest",
        help="Run a strategy over stored data, as fast as the machine allows.",
    )
    app.command(
        "replay.cli.play:play", name="play", help="Run it paced by its time stamps: 0.1x to 1000x, pause, step."
    )
    app.command("replay.cli.paper:paper", name="paper", help="Run it on live data with simulated fills and a journal.")
    app.command(
        "replay.cli.verify:verify", name="verify", help="Show that two runs are equal, or where they first differ."
    )
    app.command(
        "replay.cli.report:report", name="report", help="Write the report of a run: HTML, a picture, or CSV tables."
    )
    app.command(
        "replay.cli.compare:compare",
        name="compare",
        help="Set two runs side by side: configuration, statistics, equity, the first event that differs.",
    )
    app.command(
        "replay.cli.publish:publish",
        name="publish",
        help="Send a tape, or any feed, to a Kafka topic; goes on after a crash.",
    )
    app.command("replay.cli.record:record", name="record", help="Record any feed as tapes; goes on after a crash.")
    app.command(
        "replay.cli.ctl:ctl", name="ctl", help="Command a running session: pause, resume, cancel-all, flatten, stop."
    )
    data = App(name="data", help="Convert, describe, show, check and cut market data.", help_format="plaintext")
    data.command(
        "replay.cli.data:convert", name="convert", help="Convert files of many formats to tapes, Parquet and CSV."
    )
    data.command("replay.cli.data:info", name="info", help="Describe files: what they hold, and what is odd in a tape.")
    data.command("replay.cli.data:head", name="head", help="Print the first records of a file.")
    data.command("replay.cli.data:check", name="check", help="Look for what is wrong with data; 1 if anything is.")
    data.command("replay.cli.data:sample", name="sample", help="Cut a part out of files, by records or times.")
    app.command(data)
    sessions = App(name="sessions", help="List, show and remove paper sessions.", help_format="plaintext")
    sessions.command("replay.cli.sessions:list_sessions", name="list", help="List sessions and what they are doing.")
    sessions.command("replay.cli.sessions:show", name="show", help="Show one session, its journal and its cursor.")
    sessions.command("replay.cli.sessions:prune", name="prune", help="Remove sessions that are over.")
    app.command(sessions)
    app.command(
        "replay.cli.demo:demo",
        name="demo",
        help="Run the moving-average example three ways on a synthetic market; the digests are equal.",
    )
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing that a user can cause leaves here as a traceback."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = build()(with_report_name(list(arguments)), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        say(_usage_message(error), remedy=f"see {_help_of(error)}")
        return EXIT_USAGE
    except KeyboardInterrupt as interruption:
        return explain_interruption(interruption)
    except BrokenPipeError:
        _close_quietly()
        return EXIT_PIPE
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else EXIT_DONE
    except Exception as error:  # noqa: BLE001 (the last resort: explained, never swallowed)
        return explain(error)
    finally:
        signal.signal(signal.SIGTERM, previous)
    return result if isinstance(result, int) else EXIT_DONE


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _usage_message(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        left = ", ".join(repr(token) for token in error.unused_tokens)
        return f"{left} is one argument too many" if len(error.unused_tokens) == 1 else f"{left} are arguments too many"
    return " ".join(str(error).split())


def _help_of(error: CycloptsError) -> str:
    """Name the help of the command that was meant."""
    chain = [name for name in error.command_chain or () if not name.startswith("-")]
    return " ".join(("replay", *chain, "--help"))


def _close_quietly() -> None:
    """Whoever read our output is gone (`replay data head .. | head`): leave without a second complaint."""
    import os
    import sys

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
