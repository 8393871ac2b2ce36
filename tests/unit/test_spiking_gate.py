"""The spiking gate: events of what changes wake it, a picture that stands still costs nothing."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from vigilia.checkpoint import save_model
from vigilia.engine import Piece, Place, pieces
from vigilia.errors import CheckpointError, OptionError
from vigilia.models import resolve_model
from vigilia.relevance import GateOptions, SpikingGate
from vigilia.relevance.gates import decide_clip, fresh_gate, gate_with_arrays, watch_sample
from vigilia.relevance.spiking_gate import bin_of_frame
from vigilia.running import gate_named
from vigilia.video import Gap, Sample
from vigilia.video.clips import ClipWindow

FPS, CLIP, STRIDE = 4.0, 16, 4
SIDE = 128


@pytest.fixture(scope="module")
def gate() -> SpikingGate:
    named = gate_named("svt")
    assert isinstance(named, SpikingGate)
    return named


def floor() -> np.ndarray:
    return np.random.default_rng(0).uniform(60, 160, (SIDE, SIDE, 3))


def walk(frames: int, moves: Iterable[int] | None = None) -> list[np.ndarray]:
    """A dark animal on a floor; it goes on a step in the frames `moves`, in all if not given."""
    taken, x, shown = set(range(frames) if moves is None else moves), 8, []
    for k in range(frames):
        x = (x + 6) % 80 if k in taken else x
        picture = floor()
        picture[40:88, x : x + 48] = 40
        shown.append(picture)
    return shown


def filmed(pictures: Iterable[np.ndarray], noise: float = 1.0) -> list[Sample]:
    random = np.random.default_rng(1)
    return [
        Sample(
            np.clip(picture + random.normal(0, noise, picture.shape), 0, 255).astype(np.uint8),
            k / FPS,
            k / FPS,
            tick=k,
        )
        for k, picture in enumerate(pictures)
    ]


def told(items: Iterable[Sample | Gap], gate: SpikingGate) -> str:
    """One letter a piece: s stepped, k kept, h hole."""
    place = Place(ClipWindow(clip_frames=CLIP, stride_frames=STRIDE, interval_seconds=1 / FPS))
    found: list[Piece] = list(pieces(items, place, gate=gate))
    return "".join("h" if p.frames is None else "k" if p.still else "s" for p in found)


@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_still_recording_is_stepped_once_a_minute(gate: SpikingGate, noise: float) -> None:
    letters = told(filmed([floor()] * int(70 * FPS), noise), gate)
    assert len(letters) == 70
    stepped = [second for second, letter in enumerate(letters) if letter == "s"]
    assert stepped == [0, 61]


def test_what_moves_is_stepped(gate: SpikingGate) -> None:
    letters = told(filmed(walk(int(20 * FPS))), gate)
    assert letters.count("s") > 0.9 * len(letters)


def test_a_movement_after_nothing_wakes_it(gate: SpikingGate) -> None:
    begin = int(20 * FPS)
    letters = told(filmed(walk(int(30 * FPS), range(begin, begin + 12))), gate)
    assert "s" not in letters[5:19]
    assert set(letters[20:23]) == {"s"}


def test_after_a_hole_the_next_clip_is_stepped(gate: SpikingGate) -> None:
    still = filmed([floor()] * int(20 * FPS))
    half = len(still) // 2
    later = [
        Sample(one.pixels, one.seconds + 10, one.frame_seconds + 10, tick=one.tick + 40)
        for one in still[half:]
    ]
    hole = Gap(half / FPS, half / FPS + 10)
    letters = told([*still[:half], hole, *later], gate)
    after = letters[letters.index("h") + 1 :].lstrip("h")
    assert after.startswith("s")


def test_saved_in_the_middle_it_decides_as_if_it_had_not_been(gate: SpikingGate) -> None:
    frames = filmed(walk(80, [*range(20, 26), *range(60, 64)]))

    def decisions(saved_at: int | None) -> list[bool]:
        state = fresh_gate(gate)
        found = []
        for k, one in enumerate(frames):
            if k == saved_at:
                assert state is not None
                state = gate_with_arrays(fresh_gate(gate), state.to_arrays())
            state = watch_sample(gate, state, one.pixels, seconds=one.seconds, clip_frames=CLIP)
            if k % STRIDE == STRIDE - 1:
                state, step = decide_clip(gate, state, clip_frames=CLIP, end_seconds=one.seconds)
                found.append(step)
        return found

    whole = decisions(None)
    assert {True, False} == set(whole)
    assert decisions(33) == whole


def wakes_of(gate: SpikingGate, frames: list[Sample]) -> list[bool]:
    """Which frames wake the net, shown to it one by one."""
    camera, state = gate.camera.init_state, gate.model.init_state(1)
    found: list[bool] = []
    for one in frames:
        camera, bins = bin_of_frame(gate.camera, camera, one.pixels, one.seconds)
        if found:
            ended = torch.tensor([one.seconds], dtype=torch.float64)
            _, state = gate.model.step(torch.from_numpy(bins)[None], state, seconds=ended)
        found.append(bool(state.wake) if found else False)
    return found


@pytest.mark.parametrize(("clip", "stride"), [(16, 4), (4, 10)])
@torch.inference_mode()
def test_so_many_frames_of_a_clip_must_wake(gate: SpikingGate, clip: int, stride: int) -> None:
    frames = filmed(walk(160, [20, 40, 44, 60, 62, 64, 66, 68, *range(90, 110)]))
    woke = wakes_of(gate, frames)
    skipped = {}
    for wakes in (1, 3, 6):
        counting = SpikingGate(gate.model, wakes=wakes)
        state, ours, rule, settled = fresh_gate(counting), "", "", False
        for k, one in enumerate(frames, 1):
            state = watch_sample(counting, state, one.pixels, seconds=one.seconds, clip_frames=clip)
            awake = sum(woke[max(0, k - clip) : k]) >= wakes
            settled = settled and not awake
            if k % stride:
                continue
            state, step = decide_clip(counting, state, clip_frames=clip, end_seconds=one.seconds)
            ours += "s" if step else "k"
            rule += "k" if settled else "s"
            settled = not awake
        assert ours == rule
        skipped[wakes] = ours.count("k")
    assert 0 < skipped[1] < skipped[6]


def test_between_clips_the_state_has_one_size(gate: SpikingGate) -> None:
    state, sizes = fresh_gate(gate), set()
    for k, one in enumerate(filmed(walk(80)), 1):
        state = watch_sample(gate, state, one.pixels, seconds=one.seconds, clip_frames=CLIP)
        if k % STRIDE == 0:
            state, _ = decide_clip(gate, state, clip_frames=CLIP, end_seconds=one.seconds)
            sizes.add(sum(array.nbytes for array in state.to_arrays().values()))
    assert len(sizes) == 1


def test_gates_by_name(tmp_path: Path, gate: SpikingGate) -> None:
    assert gate_named("noise") == GateOptions()
    save_model(gate.model, tmp_path / "mine.safetensors")
    mine = gate_named(str(tmp_path / "mine.safetensors"))
    assert isinstance(mine, SpikingGate)
    assert mine.model.spec == gate.model.spec
    assert mine.wakes == 3
    counting = gate_named("svt", wakes=5)
    assert isinstance(counting, SpikingGate)
    assert counting.wakes == 5
    with pytest.raises(OptionError, match="counted by a spiking gate"):
        gate_named("noise", wakes=5)
    with pytest.raises(OptionError, match="wakes of the gate must be at least 1, got 0"):
        gate_named("svt", wakes=0)
    save_model(resolve_model("pen"), tmp_path / "video.safetensors")
    with pytest.raises(OptionError, match="is no model of events"):
        gate_named(str(tmp_path / "video.safetensors"))
    with pytest.raises(OptionError, match="no gate named 'snn': there are noise and svt"):
        gate_named("snn")
    (tmp_path / "broken.safetensors").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="broken"):
        gate_named(str(tmp_path / "broken.safetensors"))
