"""`replay ctl`: commands to a running session, and its status.

May not live here: what a command does, and the socket's protocol; that is `replay.pipeline.control`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from replay.cli.options import JsonOption
from replay.errors import EXIT_CONTROL, EXIT_DONE

if TYPE_CHECKING:
    from replay.pipeline.control import Reply, Status

CtlCommand = Literal["pause", "resume", "cancel-all", "flatten", "stop", "status"]


def ctl(
    session: Annotated[Path, Parameter(help="The session's folder, or its name under ./sessions.")],
    command: Annotated[CtlCommand, Parameter(help="What the session is to do.")],
    /,
    *,
    timeout: Annotated[str, Parameter(help="How long to wait for the reply; 0s for ever.")] = "10s",
    json: JsonOption = False,
) -> int:
    """Command a running session; the reply comes when the command is durable on its tape."""
    import msgspec

    from replay.config.values import DurationText
    from replay.errors import UsageError
    from replay.pipeline.control import ControlRequest, ask

    try:
        timeout_ns = DurationText.parse(timeout).ns
    except ValueError as error:
        raise UsageError(f"--timeout {error}") from None
    if timeout_ns < 0:
        raise UsageError(f"--timeout cannot be negative: {timeout}")
    folder = _folder(session)
    reply = ask(folder, ControlRequest(command=command), timeout_s=timeout_ns / 1e9 or None)
    if json:
        print(msgspec.json.encode(reply).decode(), flush=True)
    if not reply.ok:
        if not json:
            print(f"replay: {folder}: {reply.error}", file=sys.stderr)
        return EXIT_CONTROL
    if not json:
        print(_text(reply), flush=True)
    return EXIT_DONE


def _folder(session: Path) -> Path:
    from replay.errors import UsageError
    from replay.session import is_session

    for folder in (session, Path("sessions") / session):
        if is_session(folder):
            return folder
    raise UsageError(
        f"{session} is no session folder: it has no session.toml", remedy="`replay sessions list` shows what there is"
    )


def _text(reply: Reply) -> str:
    if reply.status is not None:
        return _status_text(reply.status)
    place = "without a record" if reply.seq is None else f"record {reply.seq}, durable"
    return f"{reply.command}: {place}; trading is {reply.trading}"


def _status_text(status: Status) -> str:
    from replay.units import format_time

    def time_text(time_ns: int | None) -> str:
        return "-" if time_ns is None else format_time(time_ns)

    since = "" if status.since_ns is None else f" since {time_text(status.since_ns)}, by {status.cause}"
    lines = [
        f"session    {status.session} (process {status.process}), {status.state}",
        f"trading    {status.trading}{since}{', flattening' if status.flattening else ''}",
        f"tape       {status.seq:,} records, {status.durable_seq:,} durable; time {time_text(status.now_ns)}",
        f"equity     {'-' if status.equity is None else status.equity}",
        f"orders     {len(status.open_orders)} open, {status.in_flight} commands in flight, {status.pending} pending",
    ]
    lines += [f"position   {row['symbol']} {row['quantity']:g} ({row['strategy']})" for row in status.positions]
    lines += [
        f"switch     {name}: {'tripped' if row['tripped'] else 'armed'}, {row['trips']} trips"
        for name, row in status.switches.items()
    ]
    return "\n".join(lines)
