"""Convolutions with cached borders: chunk by chunk is the whole, and nothing sees the future."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import StreamingBackbone
from vigilia.backbones.families import FAMILIES
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, BorderState, walk
from vigilia.state import named_tensors

SMALL = (
    "conv3d_nano_incremental",
    "c3d_nano_incremental",
    "r3d_nano_incremental",
    "r2plus1d_nano_incremental",
)


def chain() -> nn.Sequential:
    """Kernels longer, equal to and shorter than their strides."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv3d(2, 3, (3, 3, 3), padding=1),
        nn.Sequential(nn.GELU(), nn.Conv3d(3, 4, (5, 1, 1), (2, 1, 1), (2, 0, 0))),
        nn.Conv3d(4, 3, (1, 1, 1), (2, 1, 1)),
        nn.MaxPool3d((1, 2, 2)),
        nn.Conv3d(3, 2, (2, 1, 1), (2, 1, 1)),
    )


@pytest.mark.parametrize(("frames", "stride"), [(3, 1), (5, 2), (3, 2), (2, 2), (1, 2), (4, 1)])
def test_a_causal_convolution_is_one_with_zeros_before_the_clip_alone(
    frames: int, stride: int
) -> None:
    conv = nn.Conv3d(2, 3, (frames, 3, 3), (stride, 2, 1), (frames // 2, 1, 0))
    x = torch.randn(2, 2, 8, 6, 5)
    padded = F.pad(x, (0, 0, 1, 1, max(frames - stride, 0), 0))
    expected = F.conv3d(padded, conv.weight, conv.bias, (stride, 2, 1))
    torch.testing.assert_close(Borders().convolve(conv, x), expected)
    assert expected.shape[2] == 8 // stride


def test_a_running_sum_of_three_goes_on_over_chunks() -> None:
    conv = nn.Conv3d(1, 1, (3, 1, 1), bias=False)
    nn.init.ones_(conv.weight)
    state, out = None, []
    for chunk in (torch.tensor([1.0, 2.0]), torch.tensor([3.0]), torch.tensor([4.0, 5.0])):
        borders = Borders(state)
        out += borders.convolve(conv, chunk.view(1, 1, -1, 1, 1)).flatten().tolist()
        state = borders.state()
    assert out == [1, 3, 6, 9, 12]
    assert [border.flatten().tolist() for border in state.borders] == [[4.0, 5.0]]


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[8, 8, 8], [16, 8], [8, 16]])
def test_chunks_give_the_whole_clip(chunks: list[int]) -> None:
    network, x = chain(), torch.randn(2, 2, 24, 4, 4)
    whole = walk(network, x, Borders())
    state: BorderState | None = None
    parts = []
    for chunk in x.split(chunks, dim=2):
        borders = Borders(state)
        parts.append(walk(network, chunk, borders))
        state = borders.state(state)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole)
    assert [border.shape[2] for border in state.borders] == [2, 3]  # type: ignore[union-attr]


def test_without_borders_the_module_runs_as_it_is() -> None:
    network, x = chain(), torch.randn(1, 2, 8, 4, 4)
    assert torch.equal(walk(network, x, None), network(x))


@torch.no_grad()
def played(model: StreamingBackbone, clip: Tensor) -> list[tuple[Tensor, ...]]:
    state = model.init_state(
        len(clip),
        height=clip.shape[3],
        width=clip.shape[4],
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert not any(tensor.any() for tensor in named_tensors(state).values())
    size, out = state.nbytes, []
    for chunk in clip.split(model.step_frames, dim=2):
        features, state = model.step(chunk, state)
        assert state.nbytes == size
        out.append(features)
    return out


def build(name: str) -> StreamingBackbone:
    torch.manual_seed(0)
    return FAMILIES[name]().eval()


@torch.no_grad()
@pytest.mark.parametrize("name", [*SMALL, "r3d_18_incremental"])
def test_steps_are_the_whole_sequence(name: str) -> None:
    model, clip = build(name), torch.randn(2, 3, 24, 24, 21)
    steps = played(model, clip)
    for stage, whole in enumerate(model(clip)):
        got = torch.cat([features[stage] for features in steps], dim=1)
        torch.testing.assert_close(got, whole, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_a_frame_changes_nothing_before_it_and_as_much_behind_it_as_is_declared(name: str) -> None:
    model = build(name)
    steps = 2 + -(-model.receptive_frames // model.step_frames)
    clip = torch.randn(1, 3, 8 * steps, 16, 16)
    last = model(clip)[-1][:, -(model.step_frames // model.time_stride) :]
    reached = clip.shape[2] - model.receptive_frames
    for frame, reaches in ((reached - 1, False), (reached, True)):
        touched = clip.clone()
        touched[:, :, frame] += 100.0
        other = model(touched)[-1]
        assert torch.equal(other[:, -last.shape[1] :], last) != reaches
        assert torch.equal(  # what came before it is as it was
            other[:, : frame // model.time_stride],
            model(clip)[-1][:, : frame // model.time_stride],
        )


@torch.no_grad()
@pytest.mark.parametrize("name", SMALL)
def test_a_row_that_starts_anew_is_a_fresh_one(name: str) -> None:
    model, clip = build(name), torch.randn(2, 3, 24, 16, 16)
    state = model.init_state(
        2, height=16, width=16, device=torch.device("cpu"), dtype=torch.float32
    )
    starts = torch.tensor([[False, False, False], [False, True, False]])
    calls = []
    readers = {1: lambda x: calls.append(x.shape) or torch.zeros_like(x)}
    features, _ = model.run_stages(clip, state, starts=starts, readers=readers)
    third = features[-1].shape[1] // 3
    torch.testing.assert_close(
        features[-1][1:, third:], model(clip[1:, :, 8:])[-1], rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(features[-1][:1], model(clip)[-1][:1], rtol=1e-4, atol=1e-5)
    assert len(calls) == 1


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_those_of_the_clip_mode(name: str) -> None:
    plain = FAMILIES[name.removesuffix("_incremental")] if name[:4] != "conv" else None
    if plain is None:
        from vigilia.backbones.conv3d import conv3d_nano as plain
    build(name).load_state_dict(plain().state_dict(), strict=True)


def test_steps_of_other_frames_are_refused() -> None:
    model = build("r3d_nano_incremental")
    with pytest.raises(OptionError, match="a step takes the 8 new frames, got 7"):
        played(model, torch.randn(1, 3, 7, 16, 16))
    with pytest.raises(OptionError, match="step_frames must be a multiple of 8"):
        type(model)(kind="r3d", step_frames=12)
