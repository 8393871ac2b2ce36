"""`vigilia events show | convert | simulate`, as people type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vigilia.cli import main
from vigilia.events import make_events, open_events, read_events, write_events

Said = tuple[int, str, str]
Command = Callable[..., Said]


@pytest.fixture
def events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `vigilia events` in a folder with one recording, walk.dat, of 2000 events."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    t = np.sort(random.integers(0, 90_000, 2000))
    x, y, p = (random.integers(0, top, 2000) for top in (64, 48, 2))
    write_events("walk.dat", make_events(t, x, y, p), width=64, height=48)

    def run(*arguments: object) -> Said:
        code = main(["events", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_show_says_what_a_recording_holds(events: Command) -> None:
    code, out, _ = events("show", "walk.dat")
    assert code == 0
    for words in ("64x48", "2,000", "dat", "share of ON"):
        assert words in out
    assert "problem" not in out


def test_show_as_json_and_as_a_picture(events: Command) -> None:
    code, out, _ = events("show", "walk.dat", "--json", "--plot", "walk.png")
    found = json.loads(out)
    assert code == 0
    assert (found["events"], found["width"], found["height"]) == (2000, 64, 48)
    assert found["problems"] == {}
    assert Path("walk.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = events("show", "walk.dat", "--plot", "walk.doc")
    assert (code, err) == (2, "error: walk.doc: pictures are .png, .svg or .pdf\n")


def test_show_names_problems(events: Command) -> None:
    Path("cut.dat").write_bytes(Path("walk.dat").read_bytes()[:-3])
    code, out, _ = events("show", "cut.dat", "--width", "32", "--height", "48")
    assert code == 0
    assert "problem: 5 bytes at the end are less than an event: the file was cut off" in out
    assert "events outside the sensor were left out" in out
    Path("none.dat").write_bytes(Path("walk.dat").read_bytes()[: -8 * 2000])
    code, out, _ = events("show", "none.dat")
    assert "no event at all" in out


def test_convert_keeps_every_event(events: Command) -> None:
    for name in ("walk.raw", "walk.evt2", "walk.bin"):
        code, out, err = events("convert", "walk.dat", name)
        assert (code, err) == (0, "")
        assert "2,000 events, 64x48" in out
        assert np.array_equal(read_events(name, width=64, height=48), read_events("walk.dat"))
    code, _, _ = events("convert", "walk.raw", "back.bs2", "--from", "evt3", "--to", "dat")
    assert Path("back.bs2").read_bytes() == Path("walk.dat").read_bytes()


def test_simulate_makes_events_of_a_video(events: Command, make_video: Callable[..., Path]) -> None:
    make_video(Path("noise.mkv"), 12)
    code, out, _ = events("simulate", "noise.mkv", "-o", "noise.raw")
    assert code == 0
    assert "64x48" in out
    found = read_events("noise.raw")
    assert len(found) > 1000
    assert 0 < found["t"][0] <= 125_000
    assert found["t"][-1] <= 11 * 125_000
    events("simulate", "noise.mkv", "-o", "again.raw")
    assert Path("again.raw").read_bytes() == Path("noise.raw").read_bytes()
    small = ("--width", "32", "--height", "24", "--threshold", "0.5", "--to", "dat")
    code, _, _ = events("simulate", "noise.mkv", "-o", "small.bin", *small)
    with open_events("small.bin") as reader:
        assert (code, reader.format, reader.width, reader.height) == (0, "dat", 32, 24)
        assert sum(len(piece) for piece in reader) < len(found) / 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nothing.raw"], "nothing.raw: there is no such file; check the path"),
        (["show", "film.mp4"], "film.mp4: not an event file of a format known here"),
        (["show", "walk.dat", "--from", "evt3"], "walk.dat"),
        (["show", "walk.dat", "--width", "5"], "width and height go together"),
        (["convert", "walk.dat", "walk.dat"], "is the file that is read"),
        (["convert", "walk.dat", "walk.aedat4"], "its ending means no format that is written"),
        (["convert", "walk.dat", "a.bin", "--to", "mat"], "there is no event format 'mat'"),
        (["simulate", "film.mp4", "-o", "film.dat"], "film.mp4"),
        (["simulate", "walk.dat", "-o", "film.dat"], "walk.dat"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    events: Command, arguments: list[str], says: str
) -> None:
    Path("film.mp4").write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(100))
    if arguments[-1] == "evt3":
        Path("walk.dat").write_bytes(b"% evt 2.0\n% end\n" + bytes(9))
    before = sorted(path.name for path in Path.cwd().iterdir())
    code, out, err = events(*arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert says in err
    assert out == ""
    assert sorted(path.name for path in Path.cwd().iterdir()) == before
