"""A teacher beside the labels: what it says, what its memory reads, and nothing else."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_noise import (
    QUICK,
    SIZE,
    STRIDE,
    TWO,
    Killed,
    kill_after,
    opened,
    recording,
    same,
    tiny,
    weights_of,
)

from vigilia.errors import CheckpointError, OptionError
from vigilia.preprocessing import Preprocessing
from vigilia.state import named_tensors
from vigilia.stream import StreamClassifier, create_model
from vigilia.stream.telling import TellingState, telling
from vigilia.training import Recording, train_model
from vigilia.training.chunk import plan_chunk
from vigilia.training.distilling import (
    DistillingView,
    check_teacher,
    distilling_view,
    read_loss,
    soft_loss,
)
from vigilia.training.rows import first_cursor, make_places
from vigilia.training.schedule import Moment
from vigilia.training.seeing import see_recording


def view_of(
    student: StreamClassifier,
    teacher: StreamClassifier,
    recordings: list[Recording] = TWO,
    options: Any = QUICK,
    **more: Any,
) -> DistillingView:
    return distilling_view(
        student, teacher, recordings, recordings, options, identity="teacher", **more
    )


def taught(view: DistillingView, options: Any = QUICK, chunks: int = 3) -> list[Tensor]:
    """The teacher's loss of each of some chunks in a row."""
    places, losses = make_places(TWO, options), []
    cursor, state = first_cursor(places), view.init_state(options.rows)
    for update in range(chunks):
        plan = plan_chunk(places, cursor, update, Moment(0, options.chunk_clips, False, None))
        _, loss, state = view.taught(plan.batches, state)
        losses.append(loss)
        cursor = plan.cursor
    return losses


def test_the_divergence_by_hand() -> None:
    said, told = torch.tensor([[0.0, 0.0]]), torch.tensor([[np.log(3.0), 0.0]])
    expected = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    assert float(soft_loss(said, told, temperature=1.0)) == pytest.approx(expected)
    assert float(soft_loss(told, told, temperature=1.0)) == pytest.approx(0, abs=1e-7)
    # At a high temperature it is half the squared difference of centred logits, over the classes.
    high = float(soft_loss(said, told, temperature=1000.0))
    assert high == pytest.approx((np.log(3) ** 2 / 4) / 2, rel=2e-2)


def test_reads_are_compared_by_likeness_whatever_their_width() -> None:
    draw = torch.Generator().manual_seed(0)
    mine = nn.functional.normalize(torch.randn(6, 4, generator=draw), dim=1)
    wider = mine @ torch.linalg.qr(torch.randn(9, 9, generator=draw))[0][:4]  # turned into 9
    assert float(read_loss(mine, wider)) == pytest.approx(0, abs=1e-10)
    # Two reads, alike for one and opposite for the other: of four likenesses two are 2 off.
    alike, apart = torch.tensor([[1.0], [1.0]]), torch.tensor([[1.0], [-1.0]])
    assert float(read_loss(alike, apart)) == pytest.approx(2.0)


@pytest.mark.parametrize("memory", ["fam", "gru", "none"])
@torch.no_grad()
def test_a_model_that_tells_answers_the_same_to_the_bit(memory: str) -> None:
    model = opened(tiny(memory)).eval()
    other = telling(model)
    state, held = model.init_state(2), other.init_state(2)
    assert not any(tensor.any() for tensor in named_tensors(held).values())
    for seed in range(3):
        clip = torch.randn(2, 3, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))
        logits, state = model.step(clip, state)
        again, held = other.step(clip, held)
        assert torch.equal(logits, again)
    assert isinstance(held, TellingState)
    assert {k: v.shape for k, v in named_tensors(held).items()} == {
        k: v.shape for k, v in named_tensors(other.init_state(2)).items()
    }
    if memory == "none":
        assert not held.read.any()
    elif memory == "gru":
        assert torch.equal(held.read, state.memory.hidden)
    else:
        assert held.read.shape == held.pooled.shape
        assert held.read.any()
        assert torch.allclose(model.head(held.pooled + held.read), logits, atol=1e-5)


def test_who_is_taught_by_itself_has_nothing_to_learn() -> None:
    """So teacher and student see the same changed pictures, from memories that begin together."""
    options = dataclasses.replace(
        QUICK, mirror=True, zoom=0.2, brightness=0.3, frame_drop=0.2, tube_mask=0.2, mixup=0.5
    )
    student = opened(tiny())
    losses = taught(view_of(student, copy.deepcopy(student), options=options), options, chunks=4)
    assert [float(loss.detach()) for loss in losses] == pytest.approx([0.0] * 4, abs=1e-6)
    other = taught(view_of(student, opened(tiny(seed=9)), options=options), options, chunks=1)
    assert float(other[0].detach()) > 1e-3


@pytest.mark.parametrize("part", ["teach", "teach_memory"])
def test_each_part_reaches_the_weights_and_neither_the_teacher(part: str) -> None:
    off = {"teach": 0.0, "teach_memory": 0.0}
    options = dataclasses.replace(QUICK, **{**off, part: 1.0})
    student, teacher = tiny(), opened(tiny(seed=1))
    gates = [p for n, p in student.named_parameters() if n.endswith("gate")]
    if part == "teach_memory":
        # Where nothing is read at all nothing is alike or unlike: gates that are shut are opened by
        # the other losses. A hair is enough.
        with torch.no_grad():
            for gate in gates:
                gate.add_(1e-6)
    (loss,) = taught(view_of(student, teacher, options=options), options, chunks=1)
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in gates)
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())
    largest = max(float(p.grad.abs().max()) for p in student.parameters() if p.grad is not None)
    assert largest < 1e3  # what is nothing yet has no direction, and no endless gradient
    assert all(p.grad is None for p in teacher.parameters())
    assert not torch.equal(loss, torch.zeros(()))
    nothing = dataclasses.replace(QUICK, **off)
    assert taught(view_of(student, teacher, options=nothing), nothing, chunks=1)[0] == 0


def test_clips_that_nobody_labelled_are_taught_too(tmp_path: Path) -> None:
    """With the labels left out entirely the student comes to say what the teacher says."""
    blank = [dataclasses.replace(one, labels=one.labels.copy()) for one in TWO]
    for one in blank:
        one.labels[1:] = -1
    teacher = opened(tiny(seed=4))
    with torch.no_grad():
        teacher.head.weight.mul_(20)
    student = tiny(seed=5)
    options = dataclasses.replace(
        QUICK, epochs=12, label_weight=0.0, learning_rate=3e-3, teach_memory=0.1, mirror=False
    )
    view = view_of(student, teacher, blank, options)
    before = float(taught(view, options, chunks=1)[0].detach())
    kept = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    train_model(student, blank, options=options, out=tmp_path / "student.safetensors", view=view)
    after = float(taught(view, options, chunks=1)[0].detach())
    assert after < 0.5 * before
    assert all(torch.equal(kept[name], tensor) for name, tensor in teacher.state_dict().items())


def test_a_killed_run_goes_on_to_the_same_bits_and_only_with_the_same_teacher(
    tmp_path: Path,
) -> None:
    teacher = opened(tiny(seed=1))

    def run(name: str, kill_at: int = -1, identity: str = "teacher") -> Any:
        student = tiny()
        view = dataclasses.replace(view_of(student, teacher), identity=identity)
        return train_model(
            student,
            TWO,
            options=QUICK,
            out=tmp_path / name,
            view=view,
            save_every_seconds=0,
            on_update=kill_after(kill_at),
        )

    run("straight.safetensors")
    with pytest.raises(Killed):
        run("broken.safetensors", kill_at=7)
    with pytest.raises(CheckpointError, match="had another teacher"):
        run("broken.safetensors", identity="somebody else")
    run("broken.safetensors")
    whole, broken = (weights_of(tmp_path / f"{n}.safetensors") for n in ("straight", "broken"))
    assert same(whole, broken)


def test_a_small_streaming_student_is_taught_by_a_clip_model_of_another_size() -> None:
    """It gets the 2 new frames of every step; the teacher sees 4, at twice the size."""
    torch.manual_seed(0)
    student = create_model(
        "conv3d_nano_incremental", classes=("dark", "bright"), memory="none", height=16, width=16
    )
    teacher = create_model(
        "swin3d_nano",
        classes=("bright", "dark"),  # in another order
        memory="gru",
        clip_frames=16,
        stride_frames=8,
        height=32,
        width=32,
        hidden=8,
    )
    mine, its = (clips_of(model.preprocessing) for model in (student, teacher))
    assert mine[0].clips.shape[1] == 8
    assert its[0].clips.shape[1] == 16
    options = dataclasses.replace(QUICK, teach_memory=1.0)
    view = distilling_view(student, teacher, mine, its, options, identity="x")
    places = make_places(mine, options)
    plan = plan_chunk(places, first_cursor(places), 0, Moment(0, 4, False, None))
    logits, loss, state = view.taught(plan.batches, view.init_state(options.rows))
    assert len(logits) == 4
    assert loss.isfinite()
    # The teacher's classes are put into the student's order.
    told = state.teacher.logits[:, view.order]
    assert torch.equal(told, state.teacher.logits.flip(1))


def clips_of(how: Preprocessing) -> list[Recording]:
    """The same two recordings, as models of other sizes see them."""
    found = []
    for seed in range(2):
        one = recording("x.mp4", 8, seed)
        big = np.repeat(one.frames, 8 // STRIDE, axis=0)  # 8 frames of each clip
        big = big.repeat(how.height // SIZE, axis=1).repeat(how.width // SIZE, axis=2)
        last = np.arange(1, 9) * 8 - 1
        clips = np.maximum(last[:, None] - np.arange(how.clip_frames)[::-1], 0)
        ends = np.arange(1, 9) * 2.0
        found.append(dataclasses.replace(one, frames=big, clips=clips, end_seconds=ends))
    return found


def test_a_student_of_kept_features_is_taught_as_well() -> None:
    student = opened(tiny())
    teacher = copy.deepcopy(student)
    kept = [see_recording(student, one) for one in TWO]
    plain = dataclasses.replace(QUICK, mirror=True, brightness=0.3)  # which do not apply here
    with torch.no_grad():  # what was kept was seen without memory: the gates inside are shut
        for model in (student, teacher):
            for stage in model.memory.stages:
                stage.reader.gate.zero_()
    losses = taught(view_of(student, teacher, options=plain, kept=kept), plain, chunks=2)
    # What is kept is rounded to half precision.
    assert [float(one.detach()) for one in losses] == pytest.approx([0.0, 0.0], abs=1e-3)


def test_a_teacher_that_cannot_be_asked_is_refused() -> None:
    student = tiny()
    stranger = create_model("swin3d_nano", classes=("dark", "red"), memory="none")
    with pytest.raises(OptionError, match="must know the same classes, 'bright' is only on one"):
        check_teacher(student, stranger, TWO, TWO)
    later = [dataclasses.replace(one, end_seconds=one.end_seconds + 1) for one in TWO]
    with pytest.raises(OptionError, match=r"a\.mp4: teacher and student must step at the same"):
        check_teacher(student, tiny(seed=1), TWO, later)
    hears = create_model("audio_visual_nano", classes=("dark", "bright"), memory="none")
    with pytest.raises(OptionError, match="must not hear"):
        check_teacher(student, hears, TWO, TWO)
