"""The stream contract: what `init_state` and `step` promise, for every memory and both kinds of
backbone: one that sees whole clips, and one that sees new frames and carries a state."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia.errors import InputError, OptionError
from vigilia.memory import MEMORIES
from vigilia.memory.fam import MemoryState
from vigilia.preprocessing import Preprocessing
from vigilia.state import detach, named_tensors, reset, where_rows
from vigilia.stream import ModelSpec, StreamClassifier, StreamState, create_model, resampled

TINY = {"slots": 3, "summary_tokens": 4, "head_dim": 8}
CACHE = {"clips": 3, "grid": (4, 2, 2), "head_dim": 8}
PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "fam": ("fam", {**TINY, "feedback_tokens": 4, "write_every": 2}),
    "fam, every clip": ("fam", {**TINY, "feedback_tokens": 4, "write_every": 1}),
    "fam, consolidated": (
        "fam",
        {**TINY, "feedback_tokens": 4, "write_every": 1, "consolidate": True},
    ),
    "fam, no slots": ("fam", {**TINY, "slots": 0, "feedback_tokens": 4}),
    "fam, no feedback": ("fam", {**TINY, "feedback_tokens": 0, "write_every": 2}),
    "pilot": ("pilot", TINY),
    "memvit": ("memvit", {**CACHE, "write_every": 2}),
    "memvit, every clip": ("memvit", {**CACHE, "write_every": 1}),
    "memvit, one clip": ("memvit", {**CACHE, "clips": 1, "write_every": 1}),
    "gru": ("gru", {"hidden": 8}),
    "none": ("none", {}),
}
INCREMENTAL = {
    f"incremental, {name}": PRESETS[name] for name in ("fam", "pilot", "memvit", "gru", "none")
}
PRESETS |= INCREMENTAL
REMEMBER = [name for name in PRESETS if name != "none"]
CACHES = [name for name, (memory, _) in PRESETS.items() if memory == "memvit"]  # without gradient
GATED = [name for name, (memory, _) in PRESETS.items() if memory in ("fam", "pilot", "memvit")]
AGEING = [name for name in GATED if name != "fam, no slots"]
QUEUES = [name for name in AGEING if name not in CACHES]


def build(preset: str, *, seed: int = 0, opened: bool = True, **options: Any) -> StreamClassifier:
    """A small model; `opened` gates and age biases are random, so that memory matters."""
    return deepcopy(_build(preset, seed, opened, **options))  # ten times as fast as building


@cache
def _build(preset: str, seed: int, opened: bool, **options: Any) -> StreamClassifier:
    torch.manual_seed(seed)
    memory, own = PRESETS[preset]
    # A step of half a second in either case.
    frames = {"clip_frames": 8, "stride_frames": 2, "fps": 4.0}
    if preset in INCREMENTAL:
        frames = {"fps": 16.0}
    model = create_model(
        f"swin3d_nano{'_incremental' if preset in INCREMENTAL else ''}",
        num_classes=3,
        memory=memory,
        height=32,
        width=32,
        **own,
        **frames | options,
    )
    nn.init.normal_(model.head.weight)
    if opened:
        for name, parameter in model.named_parameters():
            if name.endswith(("gate", "age_bias")):
                nn.init.normal_(parameter)
    return model.eval()


def clips(rows: int, steps: int, seed: int = 1) -> Tensor:
    """(S, B, C, T, H, W)"""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(steps, rows, 3, 8, 32, 32, generator=generator)


@torch.no_grad()
def play(
    model: StreamClassifier, sequence: Tensor, state: StreamState | None = None
) -> tuple[Tensor, StreamState]:
    """Logits of every step (S, B, K) and the state behind the last."""
    state = state or model.init_state(sequence.shape[1])
    out = []
    for clip in sequence:
        logits, state = model.step(clip, state)
        out.append(logits)
    return torch.stack(out), state


def same(a: StreamState, b: StreamState, rows: Tensor | slice = slice(None)) -> bool:
    theirs = named_tensors(b)
    return all(
        torch.equal(tensor[rows], theirs[name][rows]) for name, tensor in named_tensors(a).items()
    )


def rows_of(*chosen: int) -> Tensor:
    return torch.tensor([bool(row) for row in chosen])


every_preset = pytest.mark.parametrize("preset", PRESETS)


def test_every_memory_is_held_to_this_contract() -> None:
    assert {memory for memory, _ in PRESETS.values()} == set(MEMORIES)


@every_preset
def test_a_fresh_state_is_all_zeros_with_rows_first(preset: str) -> None:
    state = build(preset).init_state(3)
    for name, tensor in named_tensors(state).items():
        assert tensor.shape[0] == 3, name
        assert not tensor.any(), name


@every_preset
def test_the_state_never_grows(preset: str) -> None:
    model = build(preset)
    fresh = model.init_state(1)
    _, after_one = play(model, clips(1, 1))
    _, after_fifty = play(model, clips(1, 1).expand(50, -1, -1, -1, -1, -1))
    assert fresh.nbytes == after_one.nbytes == after_fifty.nbytes
    for name, tensor in named_tensors(fresh).items():
        later = named_tensors(after_fifty)[name]
        assert (later.shape, later.dtype) == (tensor.shape, tensor.dtype), name
        assert later.isfinite().all(), name
    assert after_fifty.clips.item() == 50


class OneTokenBackbone(nn.Module):
    """Obeys the backbone contract with one token a clip: nearly all time goes to the memory."""

    stage_dims, embedding_dim = (8,), 8

    def forward(self, clip: Tensor, readers: Mapping[int, Any]) -> tuple[Tensor, ...]:
        x = clip.reshape(len(clip), 1, 1, 1, 8 * 3)[..., ::3]  # (B, 1, 1, 1, D)
        return (x + readers[1](x),)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        return features[-1].mean(dim=(1, 2, 3))


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("consolidate", [False, True])
def test_after_a_thousand_clips_the_state_has_the_bytes_of_the_first(consolidate: bool) -> None:
    torch.manual_seed(0)
    backbone = OneTokenBackbone()
    memory = MEMORIES["fam"](
        backbone,
        stages=(1,),
        slots=3,
        summary_tokens=2,
        feedback_tokens=2,
        write_every=1,
        consolidate=consolidate,
        head_dim=4,
    )
    nn.init.normal_(memory.stages[0].reader.gate)
    preprocessing = Preprocessing(clip_frames=8, stride_frames=2)
    spec = ModelSpec("", "fam", ("a", "b", "c"), preprocessing)
    model = StreamClassifier(backbone, memory, spec=spec)
    logits, state = model.step(torch.randn(1, 3, 8, 1, 1), model.init_state(1))
    size = state.nbytes
    for _ in range(999):
        logits, state = model.step(torch.randn(1, 3, 8, 1, 1), state)
    assert state.nbytes == size
    assert all(tensor.isfinite().all() for tensor in named_tensors(state).values())
    assert logits.isfinite().all()
    assert state.clips.item() == 1000
    assert state.seconds.item() == 1000 * 0.5
    assert isinstance(state.memory, MemoryState)
    assert state.memory.slot_spans.tolist() == [[998, 1, 1] if consolidate else [1, 1, 1]]


@every_preset
def test_rows_do_not_mix(preset: str) -> None:
    model = build(preset)
    one, other = clips(3, 8), clips(3, 8, seed=2)
    other[:, 0] = one[:, 0]
    logits, state = play(model, one)
    theirs, their_state = play(model, other)
    assert torch.equal(logits[:, 0], theirs[:, 0])
    assert same(state, their_state, rows_of(1, 0, 0))
    assert not torch.allclose(logits[:, 1], theirs[:, 1], atol=1e-3)


@every_preset
def test_neither_does_what_another_row_remembers(preset: str) -> None:
    model = build(preset)
    _, one = play(model, clips(2, 5))
    _, foreign = play(model, clips(2, 7, seed=3))
    mixed = where_rows(rows_of(1, 0), one, foreign)
    following = clips(2, 4, seed=4)
    logits, state = play(model, following, one)
    theirs, their_state = play(model, following, mixed)
    assert torch.equal(logits[:, 0], theirs[:, 0])
    assert same(state, their_state, rows_of(1, 0))


@every_preset
@torch.no_grad()
def test_idle_rows_come_back_bit_for_bit_and_show_their_last_logits(preset: str) -> None:
    model = build(preset)
    last, state = play(model, clips(3, 5))
    active = rows_of(1, 0, 1)
    clip = clips(3, 1, seed=5)[0]
    clip[1] = float("nan")  # nobody looks at what an idle camera delivers
    logits, after = model.step(clip, state, active=active)
    assert torch.equal(logits[1], last[-1, 1])
    assert same(after, state, ~active)
    clip[1] = 0.0
    whole, all_active = model.step(clip, state)
    assert torch.equal(logits[active], whole[active])
    assert same(after, all_active, active)
    assert after.clips.tolist() == [6, 5, 6]


@every_preset
@torch.no_grad()
def test_an_idle_row_goes_on_as_if_it_had_not_waited(preset: str) -> None:
    model = build(preset)
    sequence = clips(2, 6)
    straight, _ = play(model, sequence)
    state, seen = model.init_state(2), []
    for index, clip in enumerate(sequence):
        for _ in range(index % 3):
            _, state = model.step(clips(2, 1, seed=9)[0], state, active=rows_of(0, 0))
        logits, state = model.step(clip, state, active=rows_of(1, 1))
        seen.append(logits)
    assert torch.equal(torch.stack(seen), straight)


@every_preset
def test_a_reset_row_equals_a_fresh_one_bit_for_bit(preset: str) -> None:
    model = build(preset)
    _, used = play(model, clips(3, 6))
    following = clips(3, 6, seed=6)
    logits, state = play(model, following, reset(used, rows_of(0, 1, 0)))
    fresh, fresh_state = play(model, following)
    assert torch.equal(logits[:, 1], fresh[:, 1])
    assert same(state, fresh_state, rows_of(0, 1, 0))
    untouched, _ = play(model, following, used)
    assert torch.equal(logits[:, 0], untouched[:, 0])
    assert torch.equal(logits[:, 2], untouched[:, 2])


@pytest.mark.parametrize("preset", REMEMBER)
def test_foreign_memory_matters_before_a_reset_and_not_at_all_after(preset: str) -> None:
    model = build(preset)
    following = clips(2, 5, seed=7)
    empty, _ = play(model, following)
    _, foreign = play(model, clips(2, 5, seed=20))
    with_foreign, _ = play(model, following[:1], foreign)
    assert (with_foreign[0] - empty[0]).abs().max() > 1e-4
    after_reset, _ = play(model, following, reset(foreign))
    assert torch.equal(after_reset, empty)


@pytest.mark.parametrize("preset", REMEMBER)
def test_even_memory_that_went_bad_is_gone_after_a_reset(preset: str) -> None:
    model = build(preset)
    following = clips(1, 4)
    empty, _ = play(model, following)
    _, bad = play(model, torch.full_like(clips(1, 3), float("nan")))
    assert torch.equal(play(model, following, reset(bad, rows_of(1)))[0], empty)


@every_preset
def test_a_batch_of_streams_is_that_many_single_runs(preset: str) -> None:
    model = build(preset)
    sequence = clips(3, 7)
    together, _ = play(model, sequence)
    for row in range(3):
        alone, _ = play(model, sequence[:, row : row + 1])
        assert torch.allclose(together[:, row], alone[:, 0], rtol=1e-4, atol=1e-4)


@every_preset
@torch.no_grad()
def test_rows_with_different_pasts_are_still_single_runs(preset: str) -> None:
    """Cameras start and fall silent at different times, so writing is never in step."""
    model = build(preset)
    sequence = clips(2, 9)
    active = torch.rand(9, 2, generator=torch.Generator().manual_seed(8)) < 0.6
    active[:4] = torch.tensor([[True, False], [True, True], [True, True], [True, True]])
    state, seen = model.init_state(2), []
    for clip, rows in zip(sequence, active, strict=True):
        logits, state = model.step(clip, state, active=rows)
        seen.append(logits)
    for row in range(2):
        chosen = active[:, row]
        alone, _ = play(model, sequence[chosen][:, row : row + 1])
        assert torch.allclose(torch.stack(seen)[chosen, row], alone[:, 0], rtol=1e-4, atol=1e-4)


@every_preset
@torch.no_grad()
def test_a_killed_stream_goes_on_as_if_nothing_had_happened(preset: str) -> None:
    model = build(preset)
    sequence = clips(2, 8)
    straight, _ = play(model, sequence)
    first, state = play(model, sequence[:3])
    second, _ = play(model, sequence[3:], state)
    assert torch.equal(torch.cat([first, second]), straight)


@every_preset
@torch.no_grad()
def test_a_step_leaves_the_old_state_alone(preset: str) -> None:
    model = build(preset)
    _, state = play(model, clips(2, 3))
    before = {name: tensor.clone() for name, tensor in named_tensors(state).items()}
    model.step(clips(2, 1)[0], state)
    assert all(torch.equal(before[name], tensor) for name, tensor in named_tensors(state).items())


@every_preset
@torch.no_grad()
@pytest.mark.parametrize("stride_seconds", [0.5, 1.0])
def test_without_seconds_the_nominal_stride_passes(preset: str, stride_seconds: float) -> None:
    model = build(preset, fps=(8 if preset in INCREMENTAL else 2) / stride_seconds)
    nominal, stated = model.init_state(2), model.init_state(2)
    for step, clip in enumerate(clips(2, 5), start=1):
        now = torch.full((2,), step * stride_seconds, dtype=torch.float64)
        logits, nominal = model.step(clip, nominal)
        theirs, stated = model.step(clip, stated, seconds=now)
        assert torch.equal(logits, theirs)
        assert nominal.seconds.tolist() == [step * stride_seconds] * 2
    assert same(nominal, stated)


@torch.no_grad()
def at_times(model: StreamClassifier, sequence: Tensor, times: list[float]) -> Tensor:
    state, out = model.init_state(sequence.shape[1]), []
    for clip, time in zip(sequence, times, strict=True):
        now = torch.full((sequence.shape[1],), time, dtype=torch.float64)
        logits, state = model.step(clip, state, seconds=now)
        out.append(logits)
    return torch.stack(out)


@pytest.mark.parametrize("preset", AGEING)
def test_only_the_age_of_a_slot_matters_not_the_clock(preset: str) -> None:
    model = build(preset)
    sequence, times = clips(2, 8), [2.0, 4.0, 5.0, 8.0, 8.5, 11.0, 12.0, 40.0]
    logits = at_times(model, sequence, times)
    week = [time + 7 * 86400.0 for time in times]  # sums of halves: float64 is exact
    if preset == "fam, consolidated":
        assert torch.allclose(at_times(model, sequence, week), logits, atol=1e-5)
    else:
        assert torch.equal(at_times(model, sequence, week), logits)
    stretched = [time * 10 for time in times]
    assert (at_times(model, sequence, stretched) - logits).abs().max() > 1e-4


@pytest.mark.parametrize("preset", AGEING)
def test_two_and_four_samples_a_second_mean_the_same_at_the_same_times(preset: str) -> None:
    slow, fast = (build(preset, fps=s * (4 if preset in INCREMENTAL else 1)) for s in (2.0, 4.0))
    sequence, times = clips(2, 6), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert torch.equal(at_times(slow, sequence, times), at_times(fast, sequence, times))
    assert not torch.equal(play(slow, sequence)[0], play(fast, sequence)[0])
    assert torch.equal(play(slow, sequence)[0], at_times(fast, sequence, times))


@every_preset
def test_detaching_stops_the_gradient_and_nothing_else(preset: str) -> None:
    model = build(preset)
    first, second = clips(1, 2)
    first.requires_grad_()
    for cut in (False, True):
        state = model.init_state(1)
        for _ in range(4):
            _, state = model.step(first, state)
        logits, _ = model.step(second, detach(state) if cut else state)
        [gradient] = torch.autograd.grad(logits.sum(), first, allow_unused=True)
        reached = gradient is not None and bool(gradient.abs().max() > 0)
        carries = preset in INCREMENTAL or preset not in ("none", *CACHES)
        assert reached == (carries and not cut)


def used_parameters(model: StreamClassifier, preset: str) -> dict[str, nn.Parameter]:
    unused: tuple[str, ...] = ()
    if preset == "fam, no slots":
        unused = ("writer.", "age_bias")  # nothing is written, nothing has an age
    return {
        name: parameter
        for name, parameter in model.memory.named_parameters()
        if not any(part in name for part in unused)
    }


@pytest.mark.parametrize("preset", REMEMBER)
def test_every_parameter_of_the_memory_learns_from_a_later_clip(preset: str) -> None:
    model = build(preset)
    state = model.init_state(2)
    for clip in clips(2, 6):
        logits, state = model.step(clip, state)
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    for name, parameter in used_parameters(model, preset).items():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("preset", QUEUES)
def test_gradient_reaches_the_writer_in_the_same_step_only_through_the_embedding(
    preset: str,
) -> None:
    model = build(preset)
    logits, state = model.step(clips(1, 1)[0], model.init_state(1))
    logits.sum().backward()
    for stage in model.memory.stages:  # type: ignore[union-attr]
        written = bool((state.memory.slot_spans > 0).any())  # type: ignore[attr-defined]
        at_once = stage.embedding_reader is not None and written
        reached = [p.grad is not None and p.grad.any() for p in stage.writer.parameters()]
        assert any(reached) == at_once


@pytest.mark.parametrize("preset", GATED)
def test_with_fresh_gates_the_logits_are_the_plain_backbones_bit_for_bit(preset: str) -> None:
    model = build(preset, opened=False)
    plain = build("incremental, none" if preset in INCREMENTAL else "none", seed=5)
    plain.load_state_dict(
        {
            name: tensor
            for name, tensor in model.state_dict().items()
            if not name.startswith("memory.")
        }
    )
    sequence = clips(2, 6)
    assert torch.equal(play(model, sequence)[0], play(plain, sequence)[0])
    nn.init.constant_(model.memory.stages[0].reader.gate, 0.1)  # type: ignore[union-attr,arg-type]
    assert not torch.equal(play(model, sequence)[0], play(plain, sequence)[0])


@pytest.mark.parametrize("preset", GATED)
def test_every_gate_starts_at_zero_and_is_there(preset: str) -> None:
    gates = {
        name: parameter
        for name, parameter in build(preset, opened=False).named_parameters()
        if name.rsplit(".", 1)[-1] == "gate"
    }
    # Stages 3 and 4, each read by the clip's tokens, or by its embedding, too; that one hears all
    # feedback tokens together, where there are some.
    model = build(preset)
    plain = PRESETS[preset][0] in ("pilot", "memvit")
    fed = not plain and model.memory.feedback_tokens > 0
    assert len(gates) == (2 if plain else 6 if fed else 4)
    assert not any(gate.any() for gate in gates.values())


@pytest.mark.parametrize("preset", QUEUES)
def test_summary_tokens_of_a_written_slot_differ(preset: str) -> None:
    _, state = play(build(preset), clips(2, 4))
    assert isinstance(state.memory, MemoryState)
    assert (state.memory.slot_spans[:, -1] >= 1).all()
    for stage in state.memory.stages:
        for written in (stage.keys[:, -1], stage.values[:, -1]):  # (B, M, D)
            singular = torch.linalg.svdvals(written)
            assert (singular[:, 1] > 1e-2 * singular[:, 0]).all()


def test_a_queue_fills_from_the_back_and_remembers_when() -> None:
    model = build("fam")  # every second clip, three slots, half a second a clip
    state, spans, times = model.init_state(1), [], []
    for clip in clips(1, 9):
        with torch.no_grad():
            _, state = model.step(clip, state)
        assert isinstance(state.memory, MemoryState)
        spans.append(state.memory.slot_spans[0].tolist())
        times.append(state.memory.slot_seconds[0].tolist())
    assert spans[0] == [0, 0, 0]
    assert spans[1] == spans[2] == [0, 0, 1]
    assert spans[3] == [0, 1, 1]
    assert times[3] == [0.0, 1.0, 2.0]
    assert times[5] == times[6] == [1.0, 2.0, 3.0]
    assert times[7] == times[8] == [2.0, 3.0, 4.0]


def test_a_consolidated_queue_drops_nothing() -> None:
    _, state = play(build("fam, consolidated"), clips(2, 7))
    assert isinstance(state.memory, MemoryState)
    assert state.memory.slot_spans.tolist() == [[5, 1, 1]] * 2
    # Clips 1 to 5 ended at half a second each: the mean is that of the third.
    assert torch.allclose(
        state.memory.slot_seconds[0], torch.tensor([1.5, 3.0, 3.5], dtype=torch.float64)
    )


def test_a_queue_holds_its_last_slots_and_nothing_older() -> None:
    # With closed gates, so that no slot was written while reading an older one.
    model = build("pilot", opened=False)
    tail = clips(1, 3, seed=3)
    for kept in (2, 3):
        one, other = (
            play(model, torch.cat([clips(1, 2, seed=seed), tail[:kept]]))[1] for seed in (4, 5)
        )
        assert same(one, other) == (kept == 3)


@pytest.mark.parametrize("preset", ["fam", "none"])
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 8, 3, 32, 32), "got (2, 8, 3, 32, 32); frames first?"),
        ((2, 8, 32, 32, 3), "got (2, 8, 32, 32, 3); channels last?"),
        ((2, 1, 8, 32, 32), "clip must be (B, C=3, T=8, H, W), got (2, 1, 8, 32, 32)"),
        ((3, 8, 32, 32), "clip must be (B, C=3, T=8, H, W), got (3, 8, 32, 32)"),
        ((3, 3, 8, 32, 32), "clip has 3 rows, the state has 2 streams"),
    ],
)
def test_a_clip_of_another_layout_is_one_clear_line(
    preset: str, shape: tuple[int, ...], message: str
) -> None:
    model = build(preset)
    with pytest.raises(InputError) as caught:
        model.step(torch.randn(shape), model.init_state(2))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"active": torch.ones(3, dtype=torch.bool)}, "active must be (2,) torch.bool, got (3,)"),
        ({"active": torch.ones(2)}, "active must be (2,) torch.bool, got (2,) torch.float32"),
        ({"active": torch.ones(2, 1, dtype=torch.bool)}, "active must be (2,) torch.bool"),
        ({"seconds": torch.ones(2)}, "seconds must be (2,) torch.float64, got (2,) torch.float32"),
        ({"seconds": torch.ones(1, dtype=torch.float64)}, "seconds must be (2,) torch.float64"),
    ],
)
def test_rows_and_times_of_another_shape_or_type_are_one_clear_line(
    arguments: dict[str, Tensor], message: str
) -> None:
    model = build("none")
    with pytest.raises(InputError) as caught:
        model.step(clips(2, 1)[0], model.init_state(2), **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_batch_of_no_streams_is_refused() -> None:
    with pytest.raises(OptionError, match="batch_size must be at least 1, got 0"):
        build("none").init_state(0)


@every_preset
def test_models_declare_what_they_see_and_when(preset: str) -> None:
    model = build(preset)
    streams = preset in INCREMENTAL
    assert (model.clip_frames, model.stride_frames) == (8, 8 if streams else 2)
    assert model.receptive_frames == (48 if streams else 8)
    assert model.latency_frames == (8 if streams else 2)


@torch.no_grad()
@pytest.mark.parametrize("preset", ["none", "incremental, none"])
def test_what_a_model_declares_to_see_is_what_it_sees(preset: str) -> None:
    model = build(preset)
    for parameter in model.backbone.parameters():  # else what comes through six blocks is too faint
        nn.init.normal_(parameter, std=0.5)
    reach = model.receptive_frames // 8
    sequence = clips(1, reach + 2)
    straight, _ = play(model, sequence)
    for step in range(reach + 2):
        other = sequence.clone()
        other[step, 0, :, 0] += 1
        changed = (play(model, other)[0] != straight).any(dim=(1, 2))
        assert changed.tolist() == [step <= now < step + reach for now in range(reach + 2)]


@every_preset
def test_a_state_of_another_precision_keeps_clocks_exact(preset: str) -> None:
    model = build(preset)
    state, half = model.init_state(2), model.init_state(2, dtype=torch.bfloat16)
    assert half.seconds.dtype == torch.float64
    assert half.clips.dtype == torch.int64
    assert half.logits.dtype == state.logits.dtype  # what is reported keeps its precision
    assert half.nbytes < state.nbytes or preset == "none"
    assert half.nbytes < 0.6 * state.nbytes or preset not in INCREMENTAL


@every_preset
@torch.no_grad()
def test_a_whole_model_in_half_precision_streams(preset: str) -> None:
    model = build(preset).bfloat16()
    state = model.init_state(2)
    for clip in clips(2, 3):
        logits, state = model.step(clip.bfloat16(), state)
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
    for name, tensor in named_tensors(model.init_state(2)).items():
        assert named_tensors(state)[name].dtype == tensor.dtype, name


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_state_in_bfloat16_halves_the_bytes_and_hardly_moves_the_logits(memory: str) -> None:
    torch.manual_seed(0)
    small: dict[str, Any] = {"slots": 3, "summary_tokens": 4} if memory in ("fam", "pilot") else {}
    model = create_model(
        "swin3d_nano", num_classes=3, memory=memory, clip_frames=8, height=32, width=32, **small
    ).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.constant_(parameter, 0.5)
    full, half = model.init_state(2), model.init_state(2, dtype=torch.bfloat16)
    size = half.nbytes
    with torch.no_grad():
        for _ in range(9):
            clip = torch.randn(2, 3, 8, 32, 32)
            exact, full = model.step(clip, full)
            rounded, half = model.step(clip, half)
    assert half.nbytes == size
    assert rounded.dtype == exact.dtype
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)
    if memory in ("fam", "pilot", "memvit"):
        assert half.nbytes < 0.52 * full.nbytes


@pytest.mark.parametrize("preset", INCREMENTAL)
@pytest.mark.parametrize("holes", [False, True])
def test_steps_in_parallel_equal_steps_one_by_one(preset: str, holes: bool) -> None:
    """The definition of the mode: at every position, the first and those behind a reset too."""
    model = build(preset)
    sequence = clips(3, 9)
    starts = torch.zeros(9, 3, dtype=torch.bool)
    starts[4, 1] = starts[7, 1] = starts[8, 2] = True
    seconds = 0.5 * torch.arange(1, 10, dtype=torch.float64)[:, None].repeat(1, 3)
    if holes:
        seconds[3:, 0] += 1.5
        seconds[5:, 1] += 60.0
    _, before = play(model, clips(3, 2, seed=3))
    before = detach(replace(before, seconds=torch.zeros(3, dtype=torch.float64)))
    state, logits, gradients = before, [], []
    for clip, anew, now in zip(sequence, starts, seconds, strict=True):
        state = reset(state, anew)
        shown, state = model.step(clip, state, seconds=now)
        logits.append(shown)
    together, behind = model.steps(
        sequence.transpose(0, 1), before, starts=starts.T, seconds=seconds.T
    )
    # Logits of tens: the sums of a whole sequence are made in another order.
    for one, other in zip(logits, together, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=5e-5)
    for name, tensor in named_tensors(state).items():
        torch.testing.assert_close(named_tensors(behind)[name], tensor, rtol=1e-5, atol=5e-5)
    for shown in (logits, together):
        model.zero_grad()
        torch.stack(shown).square().sum().backward()
        gradients.append(
            {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        scale = gradient.abs().max() + 1e-6
        torch.testing.assert_close(gradients[1][name] / scale, gradient / scale, rtol=0, atol=1e-4)


@pytest.mark.parametrize("preset", INCREMENTAL)
@torch.no_grad()
def test_a_hole_of_more_than_a_step_empties_the_backbone_and_not_the_memory(preset: str) -> None:
    model = build(preset)
    _, state = play(model, clips(2, 6))
    following = clips(2, 1, seed=5)[0]
    for late, forgotten in ((0.5, False), (1.0, False), (1.1, True), (3600.0, True)):
        now = state.seconds + torch.tensor([late, 0.5], dtype=torch.float64)
        logits, after = model.step(following, state, seconds=now)
        emptied = replace(state, backbone=reset(state.backbone, rows_of(forgotten, 0)))
        expected, behind = model.step(following, emptied, seconds=now)
        assert torch.equal(logits, expected)
        assert same(after, behind)
        plain, _ = model.step(following, state, seconds=state.seconds + 0.5)
        assert torch.equal(plain[1], logits[1])


@torch.no_grad()
def test_what_went_bad_before_a_hole_is_gone_behind_it() -> None:
    model = build("incremental, none")
    _, bad = play(model, torch.full_like(clips(1, 3), float("nan")))
    logits, _ = model.step(clips(1, 1)[0], bad, seconds=bad.seconds + 60)
    assert logits.isfinite().all()


@pytest.mark.parametrize("frames", [{"clip_frames": 32}, {"stride_frames": 4}])
def test_a_streaming_backbone_says_which_frames_it_takes(frames: dict[str, int]) -> None:
    with pytest.raises(OptionError, match="swin3d_nano_incremental takes 8 new frames a step"):
        create_model("swin3d_nano_incremental", num_classes=2, **frames)
    with pytest.raises(OptionError, match="must both be 8"):
        resampled(build("incremental, none"), **frames)
    assert resampled(build("incremental, none"), fps=8.0).preprocessing.stride_seconds == 1.0


def test_a_step_takes_the_new_frames_alone() -> None:
    model = build("incremental, none")
    with pytest.raises(OptionError, match="takes the 8 new frames, got 16"):
        model.step(torch.randn(2, 3, 16, 32, 32), model.init_state(2))
