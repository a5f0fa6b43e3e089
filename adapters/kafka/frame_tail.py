"""The end of a topic of frames: how far its publisher came in each partition, and where its feed goes on.

May not live here: what follows from it; the publisher decides that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from replay.adapters.kafka.reader import TopicReader
from replay.adapters.kafka.wire import Place, is_frame, place_of
from replay.errors import ConfigError

if TYPE_CHECKING:
    from replay.adapters.kafka.address import TopicAddress
    from replay.config.sections import Kafka

CURSOR_HEADER = "replay-cursor"
"""The message header that says where the publisher's feed goes on."""
TAIL_MESSAGES = 64
"""So many messages of a partition's end are looked at."""


class FeedPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a publisher's feed goes on: its cursor, and how many records behind it are in frames already."""

    cursor: msgspec.Raw = msgspec.Raw(b"null")
    skip: int = 0

    def header(self) -> tuple[str, bytes]:
        """Give the header of a message."""
        return CURSOR_HEADER, msgspec.json.encode(self)

    @classmethod
    def of(cls, headers: Any) -> FeedPlace | None:
        """Read the headers of a message; None where it has no such one."""
        for name, value in headers or ():
            if name == CURSOR_HEADER:
                try:
                    return msgspec.json.decode(value, type=cls)
                except msgspec.MsgspecError:
                    return None
        return None


@dataclass(frozen=True)
class FrameTail:
    """What the last frame of a partition says."""

    place: Place
    feed: FeedPlace | None


async def read_frame_tails(address: TopicAddress, kafka: Kafka | None) -> dict[int, FrameTail | None]:
    """Read the end of each partition; None for one without messages.

    Raises ConfigError for a topic that is missing or that holds what is no frame of this version, DataError where the
    broker does not answer.
    """
    async with TopicReader(address, kafka, check_crcs=True) as reader:
        return {
            number: _last(address, number, await reader.last_before(number, has, has.limit, TAIL_MESSAGES))
            for number, has in (await reader.held()).items()
        }


def _last(address: TopicAddress, partition: int, messages: list[Any]) -> FrameTail | None:
    found: FrameTail | None = None
    for message in messages:
        place = place_of(message.value or b"")
        if place is None:
            what = "a frame of another version" if is_frame(message.value) else "no frame of replay's"
            raise ConfigError(
                f"the topic's offset {message.offset} is {what}",
                place=f"{address}, partition {partition}",
                remedy="publish to a topic of its own",
            )
        if found is None or place.limit_seq >= found.place.limit_seq:
            found = FrameTail(place, FeedPlace.of(message.headers))
    return found
