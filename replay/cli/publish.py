"""`replay publish`: a tape, or any feed, to a Kafka topic.

May not live here: how it is published; that is `replay.data.publish` and the adapters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from replay.cli.screen import Progress
from replay.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError


def publish(
    source: Annotated[
        str, Parameter(name="SOURCE", help="A tape (.npy), a run file (.toml), or a feed's URI with --run.")
    ],
    address: Annotated[str, Parameter(name="TOPIC", help="Where to: kafka://host:port/topic.")],
    /,
    *,
    run: Annotated[Path | None, Parameter(help="The run file that says how to read SOURCE.")] = None,
    feeds: Annotated[
        list[str],
        Parameter(
            name="--feed", help="Of a run file: these feeds instead of its own.", negative=(), show_default=False
        ),
    ] = [],  # noqa: B006 (cyclopts reads it, nobody changes it)
    speed: Annotated[str, Parameter(help="max, or paced by the receive times: 1x, 10x.")] = "max",
    create: Annotated[bool, Parameter(help="Make the topic, with the settings that ticks need.", negative=())] = False,
    partitions: Annotated[int | None, Parameter(help="Of the topic; an instrument has one of them.")] = None,
    by_instrument: Annotated[bool, Parameter(help="One partition for each instrument.", negative=())] = False,
) -> int:
    """Publish records as frames. Started again it goes on behind what the topic holds; nothing is sent twice."""
    if partitions is not None and partitions < 1:
        raise UsageError(f"a topic has at least one partition, not {partitions}", place="--partitions")
    from replay import logs
    from replay.data.publish import Publishing
    from replay.data.publish import publish as work
    from replay.pipeline.pacing import check_speed

    logs.configure()  # on stderr: stdout is for what was done
    with Progress("publish") as progress:
        how = Publishing(check_speed(speed), create, partitions, by_instrument, progress=progress)
        done = work(source, address, how, run=run, feeds=tuple(feeds))
    print(done)
    return EXIT_INTERRUPTED if done.is_interrupted else EXIT_DONE
