"""Several machines may write to one folder of results; what is complete is known to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vigilia.checkpoint import save_tensors
from vigilia.errors import OptionError, OutputError, VideoError
from vigilia.scale import attempts
from vigilia.scale.archive import identity_of, on_every_machine, recordings_in

FILES = {"timeline.csv": b"a,b\n", "timeline.json": b"{}\n"}


def unfinished(folder: Path, steps: int) -> Path:
    """A run that was interrupted after so many steps."""
    folder.mkdir(parents=True)
    header = {"place": json.dumps({"steps": steps})}
    save_tensors(folder / "snapshot.safetensors", {"x": torch.full((2,), steps)}, header)
    (folder / "steps.bin").write_bytes(bytes([steps]) * steps)
    return folder


def test_an_attempt_begins_where_the_furthest_before_it_was(tmp_path: Path) -> None:
    unfinished(tmp_path / "unfinished", 3)
    unfinished(tmp_path / "unfinished.0123456789ab" / "unfinished", 7)
    unfinished(tmp_path / "unfinished.ba9876543210" / "unfinished", 5)
    damaged = unfinished(tmp_path / "unfinished.000000000000" / "unfinished", 9)
    (damaged / "snapshot.safetensors").write_bytes(b"half of a fi")
    attempt = attempts.begin(tmp_path)
    assert (attempt / "unfinished" / "steps.bin").read_bytes() == bytes([7]) * 7
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["unfinished", attempt.name], "what vigilia run left stays until the end"


def test_an_attempt_without_one_before_it_is_empty_and_none_has_the_name_of_another(
    tmp_path: Path,
) -> None:
    one = attempts.begin(tmp_path / "out")
    assert list(one.iterdir()) == []
    assert attempts.begin(tmp_path / "out") != one
    assert not one.exists(), "whoever still writes there finds no folder"


def test_results_are_complete_for_what_they_were_made_of_and_nothing_else(tmp_path: Path) -> None:
    identity = {"model": "abc", "video": [["night.mp4", 100]], "sizes": (1, 2)}
    attempts.begin(tmp_path)
    assert not attempts.is_complete(tmp_path, identity)
    attempts.commit(tmp_path, FILES, identity)
    assert attempts.is_complete(tmp_path, identity)
    assert not attempts.is_complete(tmp_path, {**identity, "model": "abd"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "complete.json",
        "timeline.csv",
        "timeline.json",
    ]
    (tmp_path / "timeline.json").write_text("of another run\n")
    assert not attempts.is_complete(tmp_path, identity)


def test_killed_between_any_two_files_a_recording_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, real = {"model": "abc"}, attempts.write_atomically
    for writes in range(len(FILES) + 1):
        out = tmp_path / str(writes)
        attempts.begin(out)
        count = 0

        def write(path: Path, data: bytes) -> None:
            nonlocal count
            if count == writes:  # noqa: B023
                raise KeyboardInterrupt
            count += 1
            real(path, data)

        monkeypatch.setattr(attempts, "write_atomically", write)
        with pytest.raises(KeyboardInterrupt):
            attempts.commit(out, FILES, identity)
        assert not attempts.is_complete(out, identity)


def test_what_began_anew_is_not_complete_and_a_recording_that_broke_never_is(
    tmp_path: Path,
) -> None:
    attempts.commit(tmp_path, FILES, {})
    attempts.begin(tmp_path)
    assert not attempts.is_complete(tmp_path, {})
    attempts.commit(tmp_path, FILES, None)
    assert not attempts.is_complete(tmp_path, {})
    assert (tmp_path / "timeline.csv").read_bytes() == FILES["timeline.csv"]


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    notes = tmp_path / "unfinished.notes"
    notes.mkdir()
    unfinished(tmp_path / "unfinished", 3).joinpath("mine.txt").write_text("mine")
    attempts.drop(attempts.begin(tmp_path))
    attempts.commit(tmp_path, FILES, {})
    assert notes.is_dir()
    assert [path.name for path in (tmp_path / "unfinished").iterdir()] == ["mine.txt"]
    attempts.drop(attempts.begin(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="name another place with --out"):
        attempts.begin(tmp_path / "file")


def test_an_archive_holds_files_and_folders_of_chunks(tmp_path: Path) -> None:
    for name in ("b10.mp4", "b2.MKV", "notes.txt", ".hidden.mp4", "cam/1.mp4", "cam/2.mp4"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"video")
    (tmp_path / "archive" / "b2.vigilia").mkdir()
    archive = str(tmp_path / "archive")
    found = recordings_in([archive, "http://nvr/x.mp4", "night*.mp4"])
    assert [Path(one).name for one in found] == ["b2.MKV", "b10.mp4", "cam", "x.mp4", "night*.mp4"]
    assert identity_of(found[2]) == [["1.mp4", 5], ["2.mp4", 5]]
    assert identity_of("http://me:secret@nvr/x.mp4?key=1") == ["http://nvr/x.mp4?..."]
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="holds no video"):
        recordings_in([str(tmp_path / "empty")])


def test_files_are_named_by_their_whole_path_and_cameras_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.mp4").write_bytes(b"")
    assert on_every_machine("a.mp4") == str(tmp_path / "a.mp4")
    assert on_every_machine("absent.mp4") == str(tmp_path / "absent.mp4")
    assert on_every_machine("http://nvr/x.mp4") == "http://nvr/x.mp4"
    assert on_every_machine(f"file://{tmp_path}/a.mp4") == f"file://{tmp_path}/a.mp4"
    for camera in ("rtsp://me:secret@10.0.0.7/sub", "/dev/video0"):
        with pytest.raises(OptionError, match="a camera cannot be run over Ray") as caught:
            on_every_machine(camera)
        assert "secret" not in str(caught.value)
