"""A glance as text: every number that it has stands on the screen, and what is absent is blank.

May not live here: terminals.
"""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from replay.cli import panel
from replay.cli.keymap import KeyMap, play_keys
from replay.cli.panel_screen import PanelScreen
from replay.glance import GlancePosition, Glances
from replay.pipeline.pacing import PlayControls
from replay.pipeline.stop import Stop

from .glances import NOON_NS, glance, glances


def text_of(piece: RenderableType, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(piece)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def test_the_line_says_time_speed_state_and_money() -> None:
    assert panel.status_text(glance()) == (
        "2024-08-08T12:00:00.123Z  10x  running  12,345 of 50,000 records  equity 101,234.50 USDT  3 fills  2 orders"
    )
    before = glance(time_ns=None, records=0, total=None, equity=None, fills=0, working=0, state="paused", speed="max")
    assert panel.status_text(before) == "before the first record  max  paused  0 records"
    assert panel.status_text(glance(speed=None, trading="paused")).endswith("trading paused")


def test_the_head_says_how_far_and_how_fast() -> None:
    text = text_of(panel.head(glance()))
    assert text.strip() == ("sma  ▶ running  10x  2024-08-08T12:00:00.123Z  12,345 of 50,000 records  25 %  8.2 k/s")
    assert "live" in text_of(panel.head(glance(speed=None)))
    assert "trading stopped" in text_of(panel.head(glance(trading="stopped")))


def test_prices_have_the_decimals_of_their_instrument_and_a_mark_may_lie_between() -> None:
    lines = text_of(panel.prices(glance()), 60).splitlines()
    assert lines[0].split() == ["bid", "ask", "last", "mark"]
    assert lines[1].split() == ["BTCUSDT", "61,250.1", "61,250.2", "61,250.2", "61,250.15"]
    assert lines[2].split() == ["ETHUSDT", "2,610.11", "2,610.12", "2,610.115"]


def test_positions_that_are_held_come_first() -> None:
    lines = text_of(panel.positions(glance()), 80).splitlines()
    assert lines[1].split() == ["BTCUSDT", "1.5", "60,000.0", "+1,875.22", "+250.00", "42.00"]
    assert lines[2].split() == ["ETHUSDT", "0", "-12.50", "3.25"]
    two = (*glance().positions, GlancePosition("b", "BTCUSDT", 1.0, 1.0, None, 0.0, 0.0))
    assert "strategy" in text_of(panel.positions(glance(positions=two)), 80)


def test_the_newest_order_and_fill_come_first() -> None:
    orders = text_of(panel.orders(glance()), 80).splitlines()
    assert orders[1].split() == ["9", "ETHUSDT", "buy", "stop", "market", "10", "2700.00"]
    assert orders[2].split() == ["7", "BTCUSDT", "sell", "limit", "0.25/1.5", "62000.0"]
    fills = text_of(panel.fills(glance()), 80).splitlines()
    assert fills[1].split() == ["08-08", "11:59:59", "BTCUSDT", "sell", "0.25", "62,000.0", "3.1", "maker"]


def test_equity_shows_its_change_and_its_curve() -> None:
    lines = text_of(panel.equity(glance(), 60, 5), 60).splitlines()
    assert lines[0] == "101,234.50 USDT  +1,234.50  +1.23 %  cash 40,000.00"
    assert len(lines) == 5
    assert lines[1].endswith("102,770.00")
    assert lines[4].endswith("100,000.00")
    assert text_of(panel.equity(glance(equity=None), 60, 5)) == "cash 40,000.00 USDT"
    assert "%" not in text_of(panel.equity(glance(equity=-5.0, equity_curve=(-10.0,)), 60, 1))


def test_counters_count() -> None:
    text = " ".join(text_of(panel.counters(glance())).split())
    assert text == "fills 3 working 2 in flight 1 rejected 2 late 0 stale 0 dead letters 4 events 21"


@pytest.mark.parametrize("width", [60, 140])
def test_the_panel_holds_all_of_it(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = PanelScreen(*_screen(PlayControls(10.0), glance()))
    monkeypatch.setattr(screen._console, "_width", width)
    text = text_of(screen._picture(), width)
    for part in ("sma", "101,234.50", "BTCUSDT", "62000.0", "maker", "rejected"):
        assert part in text


def test_keys_of_the_panel_and_its_prompt() -> None:
    controls = PlayControls(10.0)
    screen = PanelScreen(*_screen(controls, glance()))
    for character in "s9:00x\x7f":
        screen.press(character)
    typed = screen.typed
    assert typed == "9:00"
    assert "seek to: 9:00" in text_of(screen._footer())
    assert not controls.state.paused
    screen.press("\n")
    assert screen.typed is None
    assert controls.state.target_ns == NOON_NS - 3 * 3_600_000_000_000
    for character in "snonsense\r":
        screen.press(character)
    assert "'nonsense' is no time" in text_of(screen._footer())
    screen.press("s")
    screen.press("\x1b")
    screen.press(" ")
    assert controls.state.paused


def test_without_keys_the_panel_says_how_to_end() -> None:
    screen = PanelScreen(Glances(), KeyMap([], Stop()))
    assert "Ctrl-C" in text_of(screen._picture())
    assert "starting" in text_of(screen._picture())


def _screen(controls: PlayControls, latest: object) -> tuple[Glances, KeyMap]:
    made = glances(latest)  # type: ignore[arg-type]
    return made, play_keys(controls, made)
