"""The picture of a device's ledger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx.api.cli.vram_picture import KINDS, Style, cells, draw, plain
from lmx.workflows.devices import Booking
from tests.support.devices import BUSY, HOLDS, MIB, device

PIPE = Style(width=72, colours=False, ascii=False)
TERMINAL = Style(width=72, colours=True, ascii=False)
OLD = Style(width=72, colours=False, ascii=True)


def test_the_picture_shows_who_holds_what_and_what_the_device_does() -> None:
    shown = plain(list(draw(device(*BUSY, holds=HOLDS), PIPE, waiting=5)))
    assert shown.splitlines() == [
        "cuda:0 on desk · Pretend GPU · 61 °C · 87 %",
        "▕" + "█" * 28 + "▓" * 6 + "▒" * 1 + "+" * 3 + "#" * 14 + "·" * 18 + "▏",
        "█ weights 400 MiB  ▓ KV caches 90 MiB  ▒ compute 10 MiB  + claimed 50 MiB"
        "  # others 200 MiB  · free 250 MiB",
        "750 MiB of 1000 MiB booked, 250 MiB free; the driver counts 1.1 GiB in use",
        "calls: 2 running, 1 in the engine's queue, 5 in the queue of lmx",
        "decode 96 tok/s · prefill 801 tok/s · batch 1.9 · busy 93% · swap out 5.1 GB/s"
        " (last 9.8 s)",
        "     400 MiB  small.gguf  idle for 2.0 s",
        "      20 MiB    ██░██░ 4 layers resident, 2 streamed through 2 slots at 12.3 GB/s,"
        " waited for 8% of the time",
        "     100 MiB    4 x 2048 tokens: 2 running, 1 parked",
        "     100 MiB  game (77)",
        "     100 MiB  held for train (pid 41), 1 min 5 s",
        "      50 MiB  task 9 is about to begin",
        "     900 MiB  render (pid 42) waits to hold them, 5.0 s",
        "  12 s ago: evicted large.gguf (700 MiB) to make room for request 7",
    ]


def test_colours_tell_the_kinds_apart_on_a_terminal_and_signs_elsewhere() -> None:
    bar = list(draw(device(*BUSY), TERMINAL))[1]
    assert set(bar.plain) == {"▕", "█", "·", "▏"}
    styles = {str(span.style) for span in bar.spans}
    assert styles >= {"cyan", "green", "yellow", "red"}
    signs = [kind.sign for kind in KINDS]
    assert len(set(signs)) == len(signs)


def test_an_output_that_knows_only_ascii_gets_only_ascii() -> None:
    assert plain(list(draw(device(*BUSY, holds=HOLDS), OLD))).isascii()


def test_a_device_that_nobody_serves_shows_only_what_is_held() -> None:
    hold = Booking("hold: 3 train", "foreign", 100 * MIB, None)
    shown = plain(list(draw(device(hold, alive=False, holds=HOLDS[:1]), PIPE)))
    assert "not served since" in shown
    assert "held for train" in shown
    assert "tok/s" not in shown
    assert "small.gguf" not in shown


def test_more_than_the_cap_is_said_in_words() -> None:
    game = Booking("game (77)", "foreign", 1100 * MIB, None)
    shown = plain(list(draw(device(game), PIPE)))
    assert "100 MiB more than the cap" in shown


@pytest.mark.parametrize("width", [20, 72, 110])
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from([kind.name for kind in KINDS] + ["new kind"]), st.integers(0)),
        max_size=9,
    ),
    cap=st.integers(0),
)
def test_the_cells_of_a_bar_always_add_up(
    width: int, sizes: list[tuple[str, int]], cap: int
) -> None:
    bookings = [Booking(str(n), kind, size, None) for n, (kind, size) in enumerate(sizes)]
    shares = cells(device(*bookings, cap=cap), width)
    assert sum(count for _, count in shares) == width
    assert all(count >= 0 for _, count in shares)
