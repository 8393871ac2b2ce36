"""What every backbone of `BACKBONES` promises: one contract, on tiny pictures.

Small ones are run, with no memory and with `fam`; large ones are the same code with other numbers
and are only built, where that costs nothing, and compared with what `vigilia models` says of them.
"""

from __future__ import annotations

import math
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES, NANO, StreamingBackbone
from vigilia.backbones.space_time import UNBOUNDED_FRAMES
from vigilia.checkpoint import load_model, read_tensors, save_model, save_tensors
from vigilia.errors import OptionError
from vigilia.export import ExportedStep, export_model
from vigilia.memory import MEMORIES
from vigilia.state import named_tensors, with_tensors
from vigilia.stream import StreamClassifier, StreamState, create_model

OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "fam": {
        "slots": 2,
        "summary_tokens": 2,
        "feedback_tokens": 2,
        "write_every": 1,
        "head_dim": 8,
    },
    "pilot": {"slots": 2, "summary_tokens": 2, "head_dim": 8},
    "gru": {"hidden": 8},
    "memvit": {"write_every": 1, "grid": (2, 2, 2), "head_dim": 8},
}
CASES = [(name, memory) for name in NANO for memory in ("none", "fam")] + [
    (name, memory)
    for name in ("conv3d_nano", "swin3d_nano_incremental")
    for memory in ("pilot", "gru", "memvit")
]
STREAMING = [name for name in NANO if isinstance(BACKBONES[name](), StreamingBackbone)]
NO_GRADIENT = ("memvit_nano",)
"""What these remember is detached, as published."""
PIXELS = 32

every_case = pytest.mark.parametrize(("name", "memory"), CASES, ids=lambda value: str(value))
every_nano = pytest.mark.parametrize("name", NANO)


@cache
def build(name: str, memory: str) -> StreamClassifier:
    """A small model whose gates are open and whose head answers, so that everything matters."""
    torch.manual_seed(0)
    streams = name in STREAMING
    # Of 8 frames I3D and S3D make one token, and a choice among one has no gradient.
    count = 16 if name in ("i3d_nano", "s3d_nano") else 8
    frames = {} if streams else {"clip_frames": count, "stride_frames": 4}
    model = create_model(
        name, num_classes=3, memory=memory, height=PIXELS, width=PIXELS, **frames, **OPTIONS[memory]
    )
    nn.init.normal_(model.head.weight)
    for named, parameter in model.named_parameters():
        if "gate" in named.rsplit(".", 1)[-1] or (parameter == 0).all():
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


def inputs(model: StreamClassifier, steps: int, *, rows: int = 2, seed: int = 1) -> list[Any]:
    """Arguments of that many steps: a clip (B, C, T, H, W) and, where it hears, sound."""
    draw = torch.Generator().manual_seed(seed)
    dtype = model.head.weight.dtype
    out: list[Any] = []
    for _ in range(steps):
        clip = torch.randn(rows, 3, model.clip_frames, PIXELS, PIXELS, generator=draw).to(dtype)
        one: dict[str, Any] = {"clip": clip}
        if model.hears:
            one["audio"] = torch.randn(model.unheard(rows).shape, generator=draw).to(dtype)
            one["audio"][:, 30:60] = math.nan
        out.append(one)
    return out


def play(
    model: StreamClassifier, steps: list[Any], state: StreamState | None = None
) -> tuple[list[Tensor], StreamState]:
    """Logits (B, K) of every step, and the state behind the last."""
    state = state or model.init_state(len(steps[0]["clip"]))
    shown = []
    for one in steps:
        logits, state = model.step(state=state, **one)
        shown.append(logits)
    return shown, state


@cache
def played(name: str, memory: str) -> tuple[StreamClassifier, list[Tensor], StreamState]:
    """A model that has seen two steps of `inputs(model, 4)`."""
    model = build(name, memory)
    with torch.no_grad():
        return (model, *play(model, inputs(model, 4)[:2]))


def same(one: StreamState, other: StreamState, rows: slice = slice(None)) -> bool:
    theirs = named_tensors(other)
    return all(
        torch.equal(tensor[rows], theirs[name][rows]) for name, tensor in named_tensors(one).items()
    )


def test_every_memory_is_held_to_this_contract() -> None:
    assert {memory for _, memory in CASES} == set(MEMORIES)


@every_nano
@torch.no_grad()
def test_tokens_of_every_stage_have_the_declared_width_and_are_finite(name: str) -> None:
    model = build(name, "none")
    backbone = model.backbone
    features = backbone(inputs(model, 1)[0]["clip"])
    assert tuple(tokens.shape[-1] for tokens in features) == backbone.stage_dims
    for tokens in features:
        assert tokens.ndim == 5
        assert len(tokens) == 2
        assert tokens.isfinite().all()
    pooled = backbone.pool(features)
    assert pooled.shape == (2, backbone.embedding_dim)
    assert pooled.isfinite().all()
    assert not torch.allclose(pooled[0], pooled[1], rtol=1e-2, atol=1e-3)


@every_case
@torch.no_grad()
def test_logits_are_finite_and_the_state_never_grows(name: str, memory: str) -> None:
    model, shown, state = played(name, memory)
    fresh = named_tensors(model.init_state(2))
    later = named_tensors(state)
    assert shown[-1].shape == (2, 3)
    assert shown[-1].isfinite().all()
    assert not any(tensor.any() for tensor in fresh.values())
    assert {key: (value.shape, value.dtype) for key, value in fresh.items()} == {
        key: (value.shape, value.dtype) for key, value in later.items()
    }
    assert all(tensor.isfinite().all() for tensor in later.values())
    assert state.clips.tolist() == [2, 2]


@every_case
def test_every_parameter_gets_a_gradient(name: str, memory: str) -> None:
    model = deepcopy(build(name, memory)).train()
    shown, _ = play(model, inputs(model, 3))
    torch.stack(shown).square().sum().backward()
    without = [
        named
        for named, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]
    assert not without


@every_case
@torch.no_grad()
def test_rows_do_not_mix(name: str, memory: str) -> None:
    model, _, state = played(name, memory)
    following = inputs(model, 4)[2]
    other = {key: value.clone() for key, value in following.items()}
    for value in other.values():
        value[1] = torch.randn_like(value[1])
    logits, after = model.step(state=state, **following)
    theirs, their_state = model.step(state=state, **other)
    assert torch.equal(logits[0], theirs[0])
    assert same(after, their_state, slice(0, 1))
    assert not torch.allclose(logits[1], theirs[1], atol=1e-4)


@every_case
@torch.no_grad()
def test_idle_rows_come_back_bit_for_bit(name: str, memory: str) -> None:
    model, shown, state = played(name, memory)
    following = inputs(model, 4)[2]
    whole, all_active = model.step(state=state, **following)
    following["clip"][1] = math.nan  # nobody looks at what an idle camera delivers
    logits, after = model.step(state=state, active=torch.tensor([True, False]), **following)
    assert torch.equal(logits[1], shown[-1][1])
    assert same(after, state, slice(1, 2))
    assert torch.equal(logits[0], whole[0])
    assert same(after, all_active, slice(0, 1))


@every_case
@torch.no_grad()
def test_a_stream_that_was_saved_goes_on_to_the_same_bits(
    name: str, memory: str, tmp_path: Path
) -> None:
    """In another process: model and state come back from files."""
    model, _, state = played(name, memory)
    save_model(model, tmp_path / "model.safetensors")
    save_tensors(tmp_path / "state.safetensors", named_tensors(state), {})
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.spec == model.spec
    tensors, _ = read_tensors(tmp_path / "state.safetensors")
    resumed = with_tensors(loaded.init_state(2), tensors)
    following = inputs(model, 4)[2:]
    straight, behind = play(model, following, state)
    again, behind_again = play(loaded, following, resumed)
    assert all(torch.equal(a, b) for a, b in zip(straight, again, strict=True))
    assert same(behind, behind_again)


@every_nano
@pytest.mark.filterwarnings("ignore:No complete tensor found")
@torch.no_grad()
def test_the_step_is_exported_and_says_the_same(name: str, tmp_path: Path) -> None:
    """With memory, and to other runtimes, in `tests/unit/test_export.py`."""
    model = build(name, "none")
    if model.hears:
        with pytest.raises(OptionError, match=f"{name} hears; .* cannot be exported"):
            export_model(model, tmp_path / "step.pt2")
        return
    export_model(model, tmp_path / "step.pt2")
    exported = ExportedStep(tmp_path / "step.pt2")
    state, held = model.init_state(1), exported.init_state(1)
    for one in inputs(model, 3, rows=1):
        expected, state = model.step(state=state, **one)
        logits, held = exported.step(one["clip"], held)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@every_nano
@torch.no_grad()
def test_a_clip_of_another_length_or_size_is_taken_or_refused_in_one_clear_line(name: str) -> None:
    """Pictures that do not divide are padded or rounded up, as the backbone's page says."""
    model = build(name, "none")
    backbone = model.backbone
    for frames in (1, 2, 5):
        clip = torch.randn(1, 3, frames, PIXELS, PIXELS)
        try:
            features = backbone(clip)
        except OptionError as error:
            told = str(error)
        else:
            told = str(frames)
            assert all(tokens.isfinite().all() for tokens in features)
        assert str(frames) in told
        assert "\n" not in told
    odd = torch.randn(1, 3, model.clip_frames, PIXELS + 5, PIXELS - 3)
    assert backbone.pool(backbone(odd)).isfinite().all()
    with pytest.raises(OptionError, match=r"clip must be \(B, C=3, T, H, W\), got \(1, 4, "):
        backbone(torch.randn(1, 4, model.clip_frames, PIXELS, PIXELS))
    with pytest.raises(OptionError, match="frames first"):
        backbone(torch.randn(1, model.clip_frames, 3, PIXELS, PIXELS))


@every_nano
def test_no_pixel_of_a_picture_that_does_not_divide_is_left_out(name: str) -> None:
    model = build(name, "none")
    clip = torch.randn(1, 3, model.clip_frames, PIXELS + 5, PIXELS - 3, requires_grad=True)
    total = torch.stack([tokens.square().sum() for tokens in model.backbone(clip)]).sum()
    (gradient,) = torch.autograd.grad(total, clip)
    for edge in (gradient[:, :, -1], gradient[..., -1, :], gradient[..., -1]):
        assert edge.abs().sum() > 0


@pytest.mark.parametrize("name", [name for name in BACKBONES if name not in NANO])
@torch.no_grad()
def test_large_ones_refuse_the_same_clips_and_take_pictures_of_any_size(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        frames = getattr(backbone, "step_frames", 8)
        for shape, told in (
            ((1, 4, frames, 64, 64), r"clip must be \(B, C=3, T, H, W\), got \(1, 4, "),
            ((1, frames, 3, 64, 64), "frames first"),
            ((3, frames, 64, 64), r"clip must be \(B, C=3, T, H, W\)"),
            ((1, 3, 0, 64, 64), r"clip must be \(B, C=3, T, H, W\)"),
        ):
            with pytest.raises(OptionError, match=told):
                backbone(torch.empty(shape))
        if isinstance(backbone, StreamingBackbone):
            with pytest.raises(OptionError, match=f"a multiple of {frames} frames, got 5"):
                backbone(torch.empty(1, 3, 5, 64, 64))
        odd = backbone(torch.empty(1, 3, frames, 69, 61))
        assert backbone.pool(odd).shape == (1, backbone.embedding_dim)
        if name in ("cnn_transformer_r18", "pcsa_mobilenet"):
            with pytest.raises(OptionError, match="at least 32 pixels, got \\(31, 64\\)"):
                backbone(torch.empty(1, 3, frames, 31, 64))


@pytest.mark.parametrize("name", STREAMING)
@torch.no_grad()
def test_streaming_equals_the_whole(name: str) -> None:
    model = build(name, "none")
    backbone = model.backbone
    clips = [one["clip"] for one in inputs(model, 4)]
    together = backbone(torch.cat(clips, dim=2))
    state, parts = model.init_state(2).backbone, []
    for clip in clips:
        features, state = backbone.step(clip, state)
        parts.append(features)
    for number, whole in enumerate(together):
        streamed = torch.cat([features[number] for features in parts], dim=1)
        torch.testing.assert_close(streamed, whole, rtol=1e-4, atol=1e-4)


@every_nano
def test_the_declared_receptive_field_and_latency_are_true(name: str) -> None:
    """In float64, where the influence of a far frame is small and not zero."""
    model = deepcopy(build(name, "none")).double()
    reach, step = model.receptive_frames, model.stride_frames
    if reach == UNBOUNDED_FRAMES:
        reach = 6 * step  # as many as are shown: the first must still matter
        steps = inputs(model, 6, rows=1)
    else:
        steps = inputs(model, -(-reach // model.clip_frames) + 1, rows=1)
    matters = _by_changing(model, steps) if name in NO_GRADIENT else _by_gradient(model, steps)
    assert matters[-reach:] == [True] * reach
    assert not any(matters[:-reach])
    # An event shows at the end of the step in which it falls: all new frames matter there.
    assert model.latency_frames == step <= reach


def _by_gradient(model: StreamClassifier, steps: list[Any]) -> list[bool]:
    """Of every frame, whether the last logits depend on it."""
    for one in steps:
        one["clip"].requires_grad_()
    shown, _ = play(model, steps)
    shown[-1][0, 0].backward()
    return (torch.cat([_by_frame(one["clip"]) for one in steps]) > 0).tolist()


@torch.no_grad()
def _by_changing(model: StreamClassifier, steps: list[Any]) -> list[bool]:
    """The same for whole clips, where what is remembered has no gradient."""
    expected = play(model, steps)[0][-1]
    matters = []
    for index, one in enumerate(steps):
        other = [*steps[:index], {"clip": one["clip"].flip(2)}, *steps[index + 1 :]]
        changed = not torch.equal(play(model, other)[0][-1], expected)
        matters += [changed] * model.clip_frames
    return matters


def _by_frame(clip: Tensor) -> Tensor:
    if clip.grad is None:
        return torch.zeros(clip.shape[2], dtype=clip.dtype)
    return clip.grad.abs().amax(dim=(0, 1, 3, 4))
