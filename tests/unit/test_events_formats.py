"""Event formats: bytes by hand, round trips of random events, and what damaged words do."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vigilia.events import EVENT, make_events, open_events, read_events, write_events
from vigilia.events.formats import aedat2, atis, dat, event_stream, evt2, evt3, format
from vigilia.events.formats.prophesee import read_header
from vigilia.events.formats.turns import unwrap

WRITTEN = {"atis": (".bin", 256, 240), "dat": (".dat", 1280, 720)}
WRITTEN |= {"evt2": (".evt2", 640, 480), "evt3": (".raw", 1280, 720)}


def some(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT)


def data(raw: bytes) -> np.ndarray:
    return np.frombuffer(raw, np.uint8)


def words16(*words: int) -> np.ndarray:
    return data(struct.pack(f"<{len(words)}H", *words))


def words32(*words: int) -> np.ndarray:
    return data(struct.pack(f"<{len(words)}I", *words))


def random_events(
    random: np.random.Generator, count: int, width: int, height: int, span: int
) -> np.ndarray:
    """Events in order of time; half of the time also by row and column, as arrays of pixels do."""
    events = make_events(
        np.sort(random.integers(0, span, count)),
        random.integers(0, width, count),
        random.integers(0, height, count),
        random.integers(0, 2, count),
    )
    return np.sort(events, order=["t", "y", "p", "x"]) if random.random() < 0.5 else events


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from(list(WRITTEN)),
    count=st.integers(1, 400),
    span=st.sampled_from([1, 50, 20_000, 30_000_000, 1_500_000_000]),
    chunk=st.integers(5, 700),
)
def test_what_is_written_in_any_pieces_is_read_in_any_pieces(
    seed: int, name: str, count: int, span: int, chunk: int, tmp_path: Path
) -> None:
    random = np.random.default_rng(seed)
    ending, width, height = WRITTEN[name]
    events = random_events(random, count, width, height, span)
    pieces = np.split(events, np.sort(random.integers(0, count + 1, 3)))
    path = tmp_path / f"events{ending}"
    written = write_events(path, pieces, width=width, height=height)
    assert (written.events, written.format) == (count, name)
    before = format.CHUNK_BYTES
    try:
        format.CHUNK_BYTES = chunk
        with open_events(path) as reader:
            found = np.concatenate(list(reader))
    finally:
        format.CHUNK_BYTES = before
    assert reader.problems == {}
    found["t"] += written.earlier_us
    np.testing.assert_array_equal(found, events)
    if name != "atis":
        assert (reader.width, reader.height, reader.sensor_from) == (width, height, "file")


def test_an_event_in_column_37_is_no_header(tmp_path: Path) -> None:
    events = some((5, 37, 2, 1), (9, 3, 4, 0))
    path = tmp_path / "digit.bin"
    write_events(path, events, width=256, height=240)
    assert path.read_bytes()[:1] == b"%"
    with open_events(path) as reader:
        assert reader.format == "atis"
        assert np.concatenate(list(reader)).tolist() == events.tolist()


def test_times_beyond_a_turn_are_written_earlier_by_whole_turns(tmp_path: Path) -> None:
    year_2020 = 1_600_000_000_000_000
    events = some((year_2020 + 5, 1, 2, 1), (year_2020 + 20_000_000, 3, 4, 0))
    for name, (ending, width, height) in WRITTEN.items():
        path = tmp_path / f"epoch{ending}"
        written = write_events(path, events, width=width, height=height)
        assert written.earlier_us > 0
        found = read_events(path, width=width, height=height)
        assert np.array_equal(found["t"] + written.earlier_us, events["t"]), name


def test_an_event_of_nmnist_is_five_bytes() -> None:
    # x=7, y=15, OFF... and the second: ON, t = 0x028E13
    raw = bytes([0x07, 0x0F, 0x00, 0x00, 0x09, 0x12, 0x00, 0x82, 0x8E, 0x13])
    decoded = atis.decode(data(raw), 0)
    assert decoded.events.tolist() == [(9, 7, 15, 0), (0x028E13, 0x12, 0, 1)]


def test_row_240_of_nmnist_is_no_event_and_adds_8192_us() -> None:
    mark = [0, 240, 0, 0, 0]
    raw = bytes([1, 2, 0, 0, 5, *mark, 1, 2, 0x80, 0, 6, *mark, *mark, 3, 4, 0, 0, 7])
    decoded = atis.decode(data(raw), 0)
    assert decoded.events.tolist() == [(5, 1, 2, 0), (8192 + 6, 1, 2, 1), (3 * 8192 + 7, 3, 4, 0)]
    assert decoded.state == 3 * 8192


def test_an_event_of_dat_is_two_words_and_time_goes_on_after_71_minutes() -> None:
    raw = words32(0xFFFFFFFF, 1 << 28 | 5 << 14 | 700, 3, 6 << 14 | 701)
    decoded = dat.decode(raw, None)
    assert decoded.events.tolist() == [(2**32 - 1, 700, 5, 1), (2**32 + 3, 701, 6, 0)]


def test_an_event_of_evt2_takes_its_time_from_the_last_high_word() -> None:
    on = 1 << 28 | 33 << 22 | 639 << 11 | 479
    decoded = evt2.decode(words32(on, 8 << 28 | 100, on, 8 << 28 | 101, on & 0x0FFFFFFF), None)
    assert decoded.events.tolist() == [
        (100 * 64 + 33, 639, 479, 1),
        (101 * 64 + 33, 639, 479, 0),
    ]
    assert decoded.found["events_before_time"] == 1


def test_the_high_word_of_evt2_turns_over() -> None:
    on = 1 << 28
    decoded = evt2.decode(words32(8 << 28 | 0xFFFFFFF, on, 8 << 28 | 0, on, 8 << 28 | 1, on), None)
    turn = 2**34
    assert decoded.events["t"].tolist() == [turn - 64, turn, turn + 64]


def test_words_of_evt3_set_what_the_words_after_them_mean() -> None:
    decoded = evt3.decode(
        words16(
            0x8001,  # TIME_HIGH 1
            0x6005,  # TIME_LOW 5
            0x0010,  # row 16
            0x2000 | 1 << 11 | 30,  # ON at 30
            0x3000 | 100,  # vectors of OFF from 100 on
            0x4000 | 0b100000000001,  # 100 and 111
            0x5000 | 0b10000010,  # base 112: 113 and 119
            0x2000 | 7,  # OFF at 7; does not touch the base
            0x4000 | 1,  # base 120
        ),
        evt3.State(),
    )
    t = 4096 + 5
    assert decoded.events.tolist() == [
        (t, 30, 16, 1),
        *[(t, x, 16, 0) for x in (100, 111, 113, 119, 7, 120)],
    ]
    assert decoded.state == evt3.State(high=1, low=5, y=16, base=132, polarity=0)


def test_time_words_of_evt3_may_jitter_and_turn_over() -> None:
    event = 0x2003
    decoded = evt3.decode(
        words16(
            *(0x8FFF, 0x632B, 0x0000, event),  # 811
            *(0x6320, event),  # back to 800: jitter, the high word stays
            *(0x8FFF, event),  # the same high word again keeps the low one
            *(0x8000, event),  # turned over; no low word yet: its beginning
            *(0x8FFF, event),  # a late word: the old turn once more
            *(0x8001, 0x6001, event),
        ),
        evt3.State(),
    )
    base, turn = 0xFFF << 12, 1 << 24
    assert decoded.events["t"].tolist() == [
        *(base + 811, base + 800, base + 800, turn, base, turn + 4097),
    ]


def test_events_of_evt3_before_the_first_time_or_row_are_left_out() -> None:
    decoded = evt3.decode(
        words16(0x0001, 0x2001, 0x8000, 0x2002, 0x4001, 0x3008, 0x4001), evt3.State()
    )
    assert decoded.events.tolist() == [(0, 2, 1, 0), (0, 8, 1, 0)]
    assert decoded.found["events_before_time"] == 1


def test_unknown_words_are_counted_and_change_nothing() -> None:
    known = (0x8001, 0x6005, 0x0010, 0x2001, 0x2002)
    with_others = (0x1234, 0x8001, 0x9999, 0x6005, 0xB000, 0x0010, 0x2001, 0xA001, 0xD000, 0x2002)
    plain, mixed = (evt3.decode(words16(*w), evt3.State()) for w in (known, with_others))
    assert np.array_equal(plain.events, mixed.events)
    assert (plain.found["unknown_words"], mixed.found["unknown_words"]) == (0, 4)
    odd = evt2.decode(words32(8 << 28, 5 << 28, 0, 11 << 28, 0xA << 28), None)
    assert (len(odd.events), odd.found["unknown_words"]) == (1, 2)


def test_a_vector_of_evt3_saves_words(tmp_path: Path) -> None:
    row = make_events(np.full(24, 9), np.arange(24), np.full(24, 3), np.ones(24, np.uint8))
    write_events(tmp_path / "row.raw", row, width=64, height=64)
    written = (tmp_path / "row.raw").read_bytes()[read_header(tmp_path / "row.raw").offset :]
    # TIME_HIGH, TIME_LOW, ADDR_Y, and base and mask for each twelve pixels
    assert written == struct.pack("<7H", 0x8000, 0x6009, 0x0003, 0x3800, 0x4FFF, 0x380C, 0x4FFF)


def test_an_address_of_a_dvs128_counts_from_the_lower_right() -> None:
    raw = struct.pack(">6I", 0, 5, 127 << 8 | 126 << 1 | 1, 7, 1 << 15, 8)
    decoded = aedat2.decode(data(raw), None)
    assert decoded.events.tolist() == [(5, 127, 127, 1), (7, 1, 0, 0)]
    assert decoded.found == {"special_events": 1}


def test_event_stream_spells_long_pauses_and_counts_rows_from_the_bottom() -> None:
    def event(delta: int, p: int, x: int, y: int) -> bytes:
        return struct.pack("<BHH", delta << 1 | p, x, y)

    raw = event(3, 1, 5, 0) + b"\xff\xff\xfe" + event(1, 0, 6, 99) + event(0, 1, 7, 100)
    state = event_stream.State(event_stream.DVS, height=100)
    decoded = event_stream.decode(data(raw), state)
    t = 3 + 2 * 127 + 1
    assert decoded.events.tolist() == [(3, 5, 99, 1), (t, 6, 0, 0), (t, 7, 0xFFFF, 1)]


def test_exposures_of_an_atis_are_no_events() -> None:
    raw = struct.pack("<BHH", 3 << 2 | 0b10, 5, 0) + b"\xfd\xff\xfc"
    raw += struct.pack("<BHH", 2 << 2 | 0b11, 5, 0) + struct.pack("<BHH", 1 << 2, 6, 1)
    state = event_stream.State(event_stream.ATIS, height=10)
    decoded = event_stream.decode(data(raw), state)
    assert decoded.events.tolist() == [(3, 5, 9, 1), (3 + 4 * 63 + 3, 6, 8, 0)]
    assert decoded.found["exposure_events"] == 1


@pytest.mark.parametrize("kind", [event_stream.DVS, event_stream.ATIS])
def test_event_stream_can_be_cut_anywhere(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(kind)
    raw = b""
    for _ in range(200):
        raw += bytes(random.choice([0xFC, 0xFD, 0xFE, 0xFF], random.integers(0, 3)).tolist())
        first = int(random.integers(0, 0xFC))
        raw += struct.pack("<BHH", first, random.integers(0, 2**16), random.integers(0, 2**16))
    state = event_stream.State(kind, height=50)
    if kind == event_stream.DVS:  # 0xFC and 0xFD begin events there
        raw = raw.replace(b"\xfc", b"\xfe").replace(b"\xfd", b"\xff")
    whole = event_stream.decode(data(raw), state)
    monkeypatch.setattr(event_stream, "BLOCK_BYTES", 7)
    pieces = []
    for piece in np.split(data(raw), np.sort(random.integers(0, len(raw), 60))):
        decoded = event_stream.decode(piece, state)
        state = decoded.state
        pieces.append(decoded.events)
    assert np.array_equal(np.concatenate(pieces), whole.events)
    assert state == whole.state


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 2**11 - 1), min_size=1, max_size=60), st.integers(0, 2**14))
def test_a_counter_that_turns_over_is_counted_on(steps: list[int], start: int) -> None:
    true = start + np.cumsum(steps)
    cut = len(steps) // 2
    first = unwrap(true[:cut] % 4096, 12, start)
    latest = int(first[-1]) if cut else start
    second = unwrap(true[cut:] % 4096, 12, latest)
    assert np.concatenate([first, second]).tolist() == true.tolist()
