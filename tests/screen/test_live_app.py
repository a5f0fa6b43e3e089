"""The full screen, driven by textual's pilot: what it shows, what its keys do, and when it leaves.

May not live here: a real terminal (test_terminal).
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import sys
from typing import Any

import msgspec
import pytest
from rich.console import Console
from textual.pilot import Pilot

from replay.cli.captured import captured_output
from replay.cli.keymap import paper_keys, play_keys
from replay.cli.live_app import LiveApp, SeekPrompt
from replay.pipeline.commands import CommandQueue, OperatorCommand
from replay.pipeline.pacing import Advance, PlayControls, PlayState
from replay.pipeline.stop import Stop

from .glances import NOON_NS, glance, glances, show

SIZE = (120, 40)


class Playing:
    """An app over glances made by hand."""

    def __init__(self, **changes: Any) -> None:
        self.controls = PlayControls(10.0)
        self.glances = glances(glance(**changes))
        self.is_over = False
        self.app = LiveApp(self.glances, play_keys(self.controls, self.glances), is_over=lambda: self.is_over)


def seen(app: LiveApp) -> str:
    """Give what stands on the screen as text."""
    width, height = app.size
    console = Console(
        width=width, height=height, file=io.StringIO(), color_system=None, force_terminal=True, record=True
    )
    console.print(app.screen._compositor.render_update(full=True))
    return console.export_text()


async def shown(pilot: Pilot[None], app: LiveApp, *parts: str) -> str:
    """Wait until all of the parts stand on the screen."""
    for _ in range(200):
        text = seen(app)
        if all(part in text for part in parts):
            return text
        await pilot.pause(0.05)
    raise AssertionError(f"{[part for part in parts if part not in text]} is not on\n{text}")


def asks(app: LiveApp) -> bool:
    return isinstance(app.screen, SeekPrompt)


async def test_it_shows_all_that_a_glance_says() -> None:
    playing = Playing()
    parts = (
        "sma", "▶ running", "10x", "2024-08-08T12:00:00.123Z", "12,345 of 50,000", "61,250.15", "101,234.50 USDT",
        "+1,875.22", "stop market", "2700.00", "62,000.0", "maker", "rejected 2", "dead letters 4", "Working orders 2",
        "Last fills of 3", "space pause", ". step", "next fill", "next day", "fast", "slow", "seek", "quit",
    )  # fmt: skip
    async with playing.app.run_test(size=SIZE) as pilot:
        await shown(pilot, playing.app, *parts)


@pytest.mark.parametrize("size", [(80, 24), (120, 30), (200, 60)])
async def test_it_fits_small_and_large_terminals(size: tuple[int, int]) -> None:
    playing = Playing()
    parts = ("running", "101,234.50", "61,250.1", "60,000.0", "2700.00", "62,000.0", "dead letters 4", "▇")
    async with playing.app.run_test(size=size) as pilot:
        await shown(pilot, playing.app, *parts)


async def test_it_follows_the_newest_glance() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE) as pilot:
        await shown(pilot, playing.app, "stop market")
        show(playing.glances, glance(state="paused", equity=99.5, fills=4, working=0, orders=()))
        text = await shown(pilot, playing.app, "‖ paused", "99.50 USDT")
        assert "stop market" not in text


async def test_each_key_does_what_the_footer_says() -> None:
    playing = Playing()
    controls = playing.controls

    def advance() -> str:
        return controls.state.advance.value

    async with playing.app.run_test(size=SIZE) as pilot:
        for key, expected in (
            ("space", "pause"), ("space", "run"), ("full_stop", "step"), ("n", "next fill"), ("d", "next day"),
        ):  # fmt: skip
            await pilot.press(key)
            assert advance() == expected, key
        await pilot.press("plus")
        await pilot.press("equals_sign")
        assert controls.state.speed == 50.0
        await pilot.press("minus")
        assert controls.state.speed == 20.0
        await pilot.press("q")
        assert controls.stop_request.requested
        assert not playing.app.was_forced


async def test_a_seek_is_typed_and_refused_until_it_is_a_time() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE) as pilot:
        await pilot.press("s")
        await pilot.pause()
        assert asks(playing.app)
        await pilot.press(*"soon", "enter")
        await shown(pilot, playing.app, "'soon' is no time")
        assert playing.controls.state == PlayState(10.0, Advance.RUN)
        await pilot.press("ctrl+u", *"11:30", "enter")
        await pilot.pause()
        assert not asks(playing.app)
        assert playing.controls.state == PlayState(10.0, Advance.SEEK, NOON_NS - 1_800_000_000_000)
        await pilot.press("s")
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
        assert not asks(playing.app)


async def test_a_glance_that_comes_while_a_seek_is_typed_is_drawn_behind_it() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE) as pilot:
        await pilot.press("s")
        await pilot.pause()
        show(playing.glances, glance(records=33_333))
        await pilot.pause(0.3)
        await pilot.press("escape")
        await shown(pilot, playing.app, "33,333")


async def test_a_refused_seek_is_said() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE, notifications=True) as pilot:
        playing.controls.notice = "cannot go back: on purpose"
        await shown(pilot, playing.app, "cannot go back: on purpose")


async def test_it_leaves_when_the_run_is_over() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE) as pilot:
        playing.is_over = True
        for _ in range(200):
            if not playing.app.is_running:
                break
            await pilot.pause(0.05)
        assert not playing.app.is_running
    assert not playing.app.was_forced


async def test_ctrl_c_asks_for_the_end_and_the_second_one_forces_it() -> None:
    playing = Playing()
    async with playing.app.run_test(size=SIZE) as pilot:
        await pilot.press("ctrl+c")
        assert playing.controls.stopped
        assert not playing.app.was_forced
        await pilot.press("ctrl+c")
        await pilot.pause()
    assert playing.app.was_forced


async def test_what_the_run_prints_is_shown_and_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    playing = Playing()
    with captured_output() as captured:
        app = LiveApp(
            playing.glances,
            play_keys(playing.controls, playing.glances),
            is_over=lambda: False,
            begin=lambda: print("a word of the strategy"),
            captured=captured,
        )
        async with app.run_test(size=SIZE) as pilot:
            print("and [one] to stderr", file=sys.stderr)
            await shown(pilot, app, "a word of the strategy", "and [one] to stderr")
    said = capsys.readouterr()
    assert said.out == "a word of the strategy\n"
    assert said.err == "and [one] to stderr\n"


async def test_the_keys_of_a_session_pause_its_trading() -> None:
    commands, stop = CommandQueue(), Stop()
    made = glances(glance(speed=None, total=None))
    app = LiveApp(made, paper_keys(commands, stop, made), is_over=lambda: False)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.press("space")
        show(made, glance(speed=None, trading="paused"))
        await pilot.press("space")
        await pilot.press("s", "n", "d")
        assert "next fill" not in await shown(pilot, app, "trading paused")
        await pilot.press("q")
    assert [request.command for request in commands.take()] == [OperatorCommand.PAUSE, OperatorCommand.RESUME]
    assert stop.requested


async def test_a_replay_is_paced_from_when_its_first_glance_stands_on_the_screen() -> None:
    controls = PlayControls(10.0)
    controls.holds_at_start = True
    made = glances(None)
    keys, began = play_keys(controls, made), list[str]()

    def begin() -> None:
        began.append(seen(app))
        keys.begin()

    app = LiveApp(made, dataclasses.replace(keys, begin=begin), is_over=lambda: False)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.3)
        assert began == [], "there was no glance to draw"
        show(made, glance())
        async with asyncio.timeout(20):
            while not began:
                await pilot.pause(0.01)
        assert "stop market" in began[0]
        assert not controls.holds_at_start


async def test_the_screen_is_laid_out_anew_only_where_rows_come_or_go(monkeypatch: pytest.MonkeyPatch) -> None:
    playing = Playing()
    laid_out: list[int] = []
    async with playing.app.run_test(size=SIZE) as pilot:
        await shown(pilot, playing.app, "stop market")
        real = type(playing.app.screen)._refresh_layout

        def counted(screen: Any, *args: Any, **more: Any) -> None:
            laid_out.append(1)
            real(screen, *args, **more)

        monkeypatch.setattr(type(playing.app.screen), "_refresh_layout", counted)
        laid_out.append(1)
        while laid_out:  # what the start still has to lay out
            laid_out.clear()
            await pilot.pause(0.5)
        for records in (20_001, 20_002, 20_003):
            changed = [msgspec.structs.replace(price, bid=float(records)) for price in glance().prices]
            show(playing.glances, glance(records=records, prices=tuple(changed), equity=float(records)))
            await shown(pilot, playing.app, f"{records:,}", f"{records:,}.0")
        assert laid_out == []
        show(playing.glances, glance(orders=glance().orders[:1]))
        async with asyncio.timeout(20):
            while not laid_out:
                await pilot.pause(0.01)
        await pilot.pause()
        assert "stop market" not in seen(playing.app)
