"""Reading events: what is repaired and counted, what is refused in one line, what it may cost."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import InputError, MissingExtraError, OptionError, OutputError
from vigilia.events import (
    EVENT,
    PROBLEMS,
    detect,
    empty_events,
    make_events,
    open_events,
    read_events,
    summarise,
    write_events,
)
from vigilia.events.formats import FORMATS, format
from vigilia.events.formats.dat import DAT
from vigilia.events.repair import JITTER_US, MOST_RESTARTS, Clock, repair_times

HEADER = DAT.encoder.header(64, 48) if DAT.encoder else b""


def write_dat(path: Path, *rows: tuple[int, int, int, int]) -> Path:
    """Writes rows as they are, also such as a writer refuses."""
    words = [struct.pack("<II", t, p << 28 | y << 14 | x) for t, x, y, p in rows]
    path.write_bytes(HEADER + b"".join(words))
    return path


def random_events(seed: int, count: int = 500) -> np.ndarray:
    random = np.random.default_rng(seed)
    return make_events(
        np.sort(random.integers(0, 100_000, count)),
        random.integers(0, 64, count),
        random.integers(0, 48, count),
        random.integers(0, 2, count),
    )


def test_a_small_step_back_gets_the_time_before_it(tmp_path: Path) -> None:
    path = write_dat(tmp_path / "a.dat", (50, 1, 1, 1), (47, 2, 1, 1), (49, 3, 1, 0), (51, 4, 1, 0))
    with open_events(path) as reader:
        events = np.concatenate(list(reader))
    assert events["t"].tolist() == [50, 50, 50, 51]
    assert events["x"].tolist() == [1, 2, 3, 4]
    assert reader.problems == {"jittered_times": 2}


def test_a_large_step_back_is_a_clock_that_started_anew(tmp_path: Path) -> None:
    late = 5_000_000
    path = write_dat(
        tmp_path / "a.dat", (late, 1, 1, 1), (100, 2, 1, 1), (130, 3, 1, 0), (120, 4, 1, 0)
    )
    with open_events(path) as reader:
        events = np.concatenate(list(reader))
    assert events["t"].tolist() == [late, late, late + 30, late + 30]
    assert reader.problems == {"clock_restarts": 1, "jittered_times": 1}


@pytest.mark.parametrize("seed", range(8))
def test_repaired_times_never_go_back_and_do_not_depend_on_pieces(seed: int) -> None:
    random = np.random.default_rng(seed)
    t = np.cumsum(random.integers(-20, 60, 400))
    t[200:] -= 3_000_000
    t[random.integers(0, 400, 5)] -= JITTER_US * random.integers(0, 3, 5)
    whole, after, found = repair_times(t, Clock())
    clock, pieces, counted = Clock(), [], {"clock_restarts": 0, "jittered_times": 0}
    for piece in np.split(t, np.sort(random.integers(0, 400, 30))):
        repaired, clock, of_piece = repair_times(piece, clock)
        pieces.append(repaired)
        counted = {name: counted[name] + of_piece.get(name, 0) for name in counted}
    assert np.array_equal(np.concatenate(pieces), whole)
    assert (np.diff(whole) >= 0).all()
    assert clock == after
    assert counted["clock_restarts"] == found["clock_restarts"] >= 1
    assert set(counted) <= set(PROBLEMS)


def test_times_that_keep_jumping_back_are_refused(tmp_path: Path) -> None:
    rows = [(1_000_000 * (k % 2), 1, 1, 1) for k in range(3 * MOST_RESTARTS)]
    path = write_dat(tmp_path / "a.dat", *rows)
    with pytest.raises(InputError, match=rf"a\.dat: its times jump back more than {MOST_RESTARTS}"):
        read_events(path)


def test_events_outside_the_sensor_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_dat(tmp_path / "a.dat", (1, 63, 47, 1), (2, 64, 0, 1), (3, 0, 48, 1), (4, 0, 0, 0))
    with open_events(path) as reader:
        assert np.concatenate(list(reader))["t"].tolist() == [1, 4]
    assert reader.problems == {"outside_sensor": 2}
    assert len(read_events(path, width=65, height=49)) == 4


@pytest.mark.parametrize("cut", [1, 3, 7])
def test_of_a_file_that_was_cut_off_all_whole_events_are_read(tmp_path: Path, cut: int) -> None:
    events = random_events(cut)
    path = tmp_path / "a.dat"
    write_events(path, events, width=64, height=48)
    path.write_bytes(path.read_bytes()[:-cut])
    with open_events(path) as reader:
        assert np.array_equal(np.concatenate(list(reader)), events[:-1])
    assert reader.problems == {"cut_off_bytes": 8 - cut}


def test_a_cut_off_event_stream_is_counted(tmp_path: Path) -> None:
    header = b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", 10, 10)
    (tmp_path / "a.es").write_bytes(header + b"\x03\x01\x00\x01\x00" + b"\x05\x01\x00")
    with open_events(tmp_path / "a.es") as reader:
        assert np.concatenate(list(reader)).tolist() == [(1, 1, 8, 1)]
    assert reader.problems == {"cut_off_bytes": 3}


def test_a_sensor_that_no_header_says_is_guessed_and_that_is_said(tmp_path: Path) -> None:
    for largest, sensor in ((33, (34, 34)), (40, (240, 180)), (239, (240, 180)), (250, (256, 240))):
        path = tmp_path / "a.bin"
        events = make_events(*np.array([[1, 2], [0, largest], [0, 30], [1, 1]]))
        write_events(path, events, width=256, height=240)
        with open_events(path) as reader:
            assert (reader.width, reader.height) == sensor
            assert reader.sensor_from == "guess"
            assert len(np.concatenate(list(reader))) == 2
    assert open_events(path, width=256, height=240).sensor_from == "given"


def test_a_constant_polarity_and_an_empty_recording_are_named(tmp_path: Path) -> None:
    events = random_events(0)
    events["p"] = 0
    write_events(tmp_path / "off.dat", events, width=64, height=48)
    summary, activity = summarise(open_events(tmp_path / "off.dat"))
    assert summary.problems == {"constant_polarity": 500}
    assert summary.on_share == 0
    assert activity.counts[0].sum() == 500
    write_events(tmp_path / "none.dat", empty_events(), width=64, height=48)
    summary, _ = summarise(open_events(tmp_path / "none.dat"))
    assert summary.problems == {"no_events": 1}
    assert (summary.events, summary.start_us, summary.on_share) == (0, None, None)


def test_a_summary_counts_what_is_there(tmp_path: Path) -> None:
    events = random_events(3)
    events["t"] *= 70  # so long that buckets must double
    write_events(tmp_path / "a.raw", events, width=64, height=48)
    with open_events(tmp_path / "a.raw") as reader:
        summary, activity = summarise(reader)
    assert summary.events == 500 == activity.rates.sum() == activity.counts.sum()
    assert summary.duration_seconds == (events["t"][-1] - events["t"][0]) / 1e6
    assert summary.on_share == events["p"].mean()
    bucket = (events["t"] - events["t"][0]) // activity.bucket_us
    assert activity.bucket_us == 8000
    assert np.array_equal(activity.rates.sum(axis=0), np.bincount(bucket, minlength=1000))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.dat", b"", "the file is empty"),
        ("a.bin", b"", "the file is empty"),
        ("a.mp4", b"\x00\x00\x00\x20ftypisom" * 9, "not an event file of a format known here"),
        ("a.bin", bytes(np.random.default_rng(0).bytes(5000)), "its times do not rise"),
        ("a.raw", bytes(range(1, 200)), "has no header that says its encoding"),
        ("a.raw", b"% Date 2020\nxx", "does not say the encoding; name it with --from"),
        ("a.raw", b"% evt 2.1\n% end\n", "encoded as EVT21; EVT2 and EVT3 are read"),
        ("a.raw", b"% evt 3.0", "its header is cut off or damaged"),
        ("a.dat", b"% Data file\n", "ends within its header"),
        ("a.dat", b"% Data file\n\x0e\x14" + bytes(40), "holds records of type 14 with 20 bytes"),
        ("a.aedat", b"#!AER-DAT3.1\r\n", "AEDAT 3.1; versions 2.0 and 4.0 are read"),
        ("a.aedat", b"#!AER-DAT2.0\r\n# AEChip: eu.x.DAVIS240C\r\n", "AEDAT 2 of a DAVIS240C"),
        ("a.es", b"Event Stream\x02\x00\x00\x00", "holds generic data, not events of pixels"),
        ("a.es", b"Event Stream\x02\x00\x00\x04", "holds color events, not events of pixels"),
        ("a.es", b"Event Stream\x01\x00\x00\x01\x00", "version 1; only version 2"),
        ("a.es", b"Event Stream\x02\x00", "ends within its header"),
        ("a.es", b"Event Stream\x02\x00\x00\x01\x00", "ends within its header"),
        ("a.es", b"Event Stream\x02\x00\x00\x01" + bytes(9), "a sensor of 0x0; give the width"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as refused:
        read_events(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_missing_files_folders_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.dat: there is no such file"):
        open_events(tmp_path / "none.dat")
    with pytest.raises(InputError, match="it is a folder"):
        open_events(tmp_path)
    path = write_dat(tmp_path / "a.dat", (1, 1, 1, 1))
    with pytest.raises(OptionError, match="there is no event format 'mat'; choose one of atis"):
        open_events(path, format="mat")
    with pytest.raises(OptionError, match="width and height go together"):
        open_events(path, width=3)
    (tmp_path / "b.raw").write_bytes(b"% evt 3.0\n% end\n")
    with pytest.raises(InputError, match="its header says EVT3, not EVT2"):
        open_events(tmp_path / "b.raw", format="evt2")


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("aedat", "h5py"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(MissingExtraError, match=r"read by aedat; pip install .*\[events"):
        open_events(tmp_path / "a.aedat4")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(MissingExtraError, match=r"h5py and hdf5plugin; pip install .*\[ev"):
        open_events(tmp_path / "a.h5")


def test_dsec_is_read_and_other_hdf5_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    plugin = pytest.importorskip("hdf5plugin")
    events = random_events(5)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=events[name], **plugin.Blosc())
        file["t_offset"] = 50_000_000_000
    found = read_events(tmp_path / "a.h5")
    events["t"] += 50_000_000_000
    assert np.array_equal(found, events)
    assert detect(tmp_path / "a.h5") == "dsec"
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["CD/events"] = np.zeros(3)
    with pytest.raises(InputError, match=r"HDF5 without events/x, y, p, t .it holds CD"):
        open_events(tmp_path / "b.h5")
    (tmp_path / "c.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:900])
    with pytest.raises(InputError, match="HDF5 that is cut off or damaged"):
        open_events(tmp_path / "c.h5")


def test_damaged_aedat4_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("aedat")
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n" + bytes(range(60)))
    with pytest.raises(InputError, match=r"a\.aedat4: damaged AEDAT4"):
        read_events(tmp_path / "a.aedat4")


def test_no_piece_is_larger_than_a_chunk_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path / "a.dat", random_events(1), width=64, height=48)
    monkeypatch.setattr(format, "CHUNK_BYTES", 80)
    sizes = [len(piece) for piece in open_events(tmp_path / "a.dat")]
    assert max(sizes) <= 10
    assert sum(sizes) == 500


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"t": 0}, "event 250 is earlier than the one before it"),
        ({"x": 64}, "event 250 is x=64"),
        ({"p": 2}, r"p=2: outside 64x48, or its polarity is not 0 or 1"),
    ],
)
def test_events_that_no_file_can_hold_are_refused_and_nothing_is_left(
    tmp_path: Path, change: dict[str, int], says: str
) -> None:
    events = random_events(2)
    events["t"] += 5
    for name, value in change.items():
        events[name][250] = value
    (tmp_path / "a.dat").write_bytes(b"what was there")
    with pytest.raises(InputError, match=says):
        write_events(tmp_path / "a.dat", np.array_split(events, 7), width=64, height=48)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dat"]
    assert (tmp_path / "a.dat").read_bytes() == b"what was there"


def test_writing_where_it_cannot_be_is_refused(tmp_path: Path) -> None:
    events = random_events(4)
    with pytest.raises(OptionError, match="its ending means no format that is written; use one of"):
        write_events(tmp_path / "a.mp4", events, width=64, height=48)
    with pytest.raises(OptionError, match="aedat2 is only read"):
        write_events(tmp_path / "a.aedat", events, width=64, height=48, format="aedat2")
    with pytest.raises(OptionError, match="atis holds sensors up to 256x240"):
        write_events(tmp_path / "a.bin", events, width=640, height=480)
    with pytest.raises(OutputError, match=r"the folder .* does not exist"):
        write_events(tmp_path / "no" / "a.dat", events, width=64, height=48)
    with pytest.raises(OutputError, match="it is a folder"):
        write_events(tmp_path, events, width=64, height=48, format="dat")
    with pytest.raises(InputError, match="of type EVENT, got"):
        write_events(tmp_path / "a.dat", np.zeros(3), width=64, height=48)
    pause = np.array([(0, 1, 1, 1), (1 << 31, 1, 1, 1)], EVENT)
    with pytest.raises(InputError, match="event 1 comes 2147 s after the one before it"):
        write_events(tmp_path / "a.dat", pause, width=64, height=48)
    write_events(tmp_path / "a.raw", pause, width=64, height=48)
    assert np.array_equal(read_events(tmp_path / "a.raw"), pause)


def test_every_format_names_itself() -> None:
    for name, one in FORMATS.items():
        assert one.title
        assert all(suffix.startswith(".") for suffix in one.suffixes), name
