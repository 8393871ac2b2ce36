"""Incremental Video Swin: steps equal the whole sequence, windows are those of clip mode."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vigilia.backbones as backbones
from vigilia.backbones import BACKBONES, IncrementalSwin3D, Swin3D
from vigilia.errors import OptionError
from vigilia.layers import attention
from vigilia.layers.flops import count_flops
from vigilia.state import named_tensors, with_tensors
from vigilia.stream import StreamClassifier, create_model, incremental, prepared
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import first_cursor, make_places, next_batch
from vigilia.training.seeing import see_clips, used_stages
from vigilia.training.stretch import StretchView, pixel_view, stretch_loss

VARIANTS = ("swin3d_t", "swin3d_s", "swin3d_b")
FRAMES = 4  # of one step of the small ones


def small(kind: Callable[..., Any] = IncrementalSwin3D, **options: Any) -> Any:
    """Two stages, each with a shifted block, weights far from zero; two time tokens a step."""
    torch.manual_seed(0)
    shape: dict[str, Any] = {"depths": (2, 2), "num_heads": (1, 2)}
    backbone = kind(embed_dim=8, window_size=(4, 3, 2), **shape | options)
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


@pytest.mark.parametrize("size", [(24, 16), (27, 30), (8, 24), (4, 4)])
@torch.no_grad()
def test_one_step_after_another_equals_the_whole_sequence(size: tuple[int, int]) -> None:
    """Windows that fit, that are padded, and that are shrunk in one direction or in both."""
    backbone = small()
    sequence = torch.randn(2, 3, 7 * FRAMES, *size)
    whole = backbone(sequence)
    state = backbone.init_state(
        2, height=size[0], width=size[1], device=sequence.device, dtype=torch.float32
    )
    bytes_at_first = state.nbytes
    for step, clip in enumerate(sequence.split(FRAMES, dim=2)):
        features, state = backbone.step(clip, state)
        for mine, all_steps in zip(features, whole, strict=True):
            expected = all_steps[:, 2 * step : 2 * step + 2]
            torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-5)
    assert state.nbytes == bytes_at_first


@pytest.mark.parametrize("size", [(24, 16), (27, 30), (8, 24), (4, 4)])
@torch.no_grad()
def test_the_later_half_of_a_window_is_that_of_clip_mode(size: tuple[int, int]) -> None:
    # One block, not shifted: its second chunk sees what the later half of a clip's window sees.
    incremental = small(depths=(1,), num_heads=(2,))
    clip_mode = small(Swin3D, depths=(1,), num_heads=(2,))
    clip_mode.load_state_dict(incremental.state_dict(), strict=True)
    sequence = torch.randn(2, 3, 2 * FRAMES, *size)
    [mine], [theirs] = incremental(sequence), clip_mode(sequence)
    torch.testing.assert_close(mine[:, 2:], theirs[:, 2:], rtol=1e-5, atol=1e-5)
    assert (mine[:, :2] - theirs[:, :2]).abs().max() > 1e-3  # the earlier half saw later frames


@torch.no_grad()
def test_a_shifted_block_sees_what_the_paper_says_token_by_token() -> None:
    backbone = small()
    block = backbone.stages[0].blocks[1]
    rows, columns = 6, 4  # two windows of 3 x 2 in each direction; shifted by 1 and 1
    places = list(itertools.product(range(4), range(rows), range(columns)))
    x = torch.randn(1, 4, rows, columns, 8)
    state = backbone.init_state(
        1, height=4 * rows, width=4 * columns, device=x.device, dtype=x.dtype
    ).stages[0]
    _, kept = backbone._attend(block, x[:, :2], state.blocks[1], torch.tensor([True]))
    mine, _ = backbone._attend(block, x[:, 2:], kept, None)

    qkv = block.attention.qkv(block.norm1(x)).view(-1, 3, 8)
    q, k, v = qkv.unbind(1)

    def window(place: tuple[int, int, int]) -> tuple[int, ...]:
        _, row, column = place  # the grid is not a ring: what wraps around stays apart
        return ((row - 1) // 3, (column - 1) // 2)

    expected = torch.zeros(len(places), 8)
    for asking, here in enumerate(places):
        seen = [index for index, there in enumerate(places) if window(there) == window(here)]
        scores = []
        for index in seen:
            dt, dr, dc = (a - b for a, b in zip(here, places[index], strict=True))
            bias = block.attention.bias_table[((dt + 3) * 5 + dr + 2) * 3 + dc + 1, 0]
            scores.append(q[asking] @ k[index] * 8**-0.5 + bias)
        expected[asking] = torch.stack(scores).softmax(0) @ v[seen]
    expected = x + block.attention.proj(expected).view_as(x)
    torch.testing.assert_close(mine, expected[:, 2:], rtol=1e-5, atol=1e-5)


def test_a_step_costs_a_quarter_of_a_clip() -> None:
    with torch.device("meta"):
        flops = []
        for name, frames in (("swin3d_t", 32), ("swin3d_t_incremental", 8)):
            model = create_model(name, num_classes=400, memory="none").eval()
            clip, state = torch.empty(1, 3, frames, 224, 224), model.init_state(1)
            with torch.no_grad():
                flops.append(count_flops(lambda: model.step(clip, state)) / 1e9)  # noqa: B023
    assert flops == pytest.approx([175.53, 43.88], abs=0.005)
    assert state.nbytes == pytest.approx(45.76e6, rel=1e-3)
    assert (model.clip_frames, model.stride_frames, model.latency_frames) == (8, 8, 8)
    assert model.receptive_frames == 104


@pytest.mark.parametrize("name", VARIANTS)
def test_weights_of_clip_mode_fit_strictly(name: str) -> None:
    with torch.device("meta"):
        clip_mode, incremental = BACKBONES[name](), BACKBONES[f"{name}_incremental"]()
    shapes = [
        {key: tensor.shape for key, tensor in backbone.state_dict().items()}
        for backbone in (clip_mode, incremental)
    ]
    assert shapes[0] == shapes[1]
    enum, member = backbones.KINETICS400_WEIGHTS[name]
    assert backbones.KINETICS400_WEIGHTS[f"{name}_incremental"] == (enum, member)
    blocks = {"swin3d_t": 12, "swin3d_s": 24, "swin3d_b": 24}[name]
    assert incremental.receptive_frames == 8 * (blocks + 1)


def test_a_trained_clip_model_becomes_an_incremental_one() -> None:
    options: dict[str, Any] = {"slots": 2, "summary_tokens": 4, "feedback_tokens": 4}
    clip_mode = create_model(
        "swin3d_nano", classes=("a", "b"), fps=5.0, height=32, width=32, **options
    )
    clip_mode.card = {"trained_on": "barn 3"}
    converted = incremental(clip_mode)
    for name, tensor in clip_mode.state_dict().items():
        assert torch.equal(converted.state_dict()[name], tensor), name
    assert converted.spec.name == "swin3d_nano_incremental"
    assert converted.classes == ("a", "b")
    assert (converted.clip_frames, converted.stride_frames) == (8, 8)
    assert converted.preprocessing.stride_seconds == clip_mode.preprocessing.stride_seconds
    assert converted.card["trained_on"].startswith("barn 3; as a clip model")
    with pytest.raises(OptionError, match="swin3d_nano_incremental has no incremental form; "):
        incremental(converted)


@pytest.mark.parametrize("saves", [False, True])
def test_every_parameter_learns_from_a_sequence(saves: bool) -> None:
    backbone = small(checkpoint_activations=saves).train()
    backbone.pool(backbone(torch.randn(2, 3, 4 * FRAMES, 24, 16))).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_what_is_recomputed_gives_the_same_gradient() -> None:
    plain, saving = small().train(), small(checkpoint_activations=True).train()
    sequence = torch.randn(2, 3, 4 * FRAMES, 24, 16)
    for backbone in (plain, saving):
        readers = {1: lambda x: 0.5 * x, 2: lambda x: 0.5 * x}
        backbone.pool(backbone(sequence, readers)).square().sum().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)


@torch.no_grad()
def test_a_saved_state_goes_on_bit_for_bit() -> None:
    model = watching("fam")
    clips = torch.randn(4, 1, 3, 8, 32, 32)
    state = model.init_state(1)
    for clip in clips[:3]:
        _, state = model.step(clip, state)
    saved = {name: tensor.clone() for name, tensor in named_tensors(state).items()}
    assert any(name.startswith("backbone.stages.0.blocks.0.past_keys") for name in saved)
    again = with_tensors(model.init_state(1), saved)
    assert torch.equal(model.step(clips[3], state)[0], model.step(clips[3], again)[0])


def watching(memory: str = "none") -> StreamClassifier:
    torch.manual_seed(1)
    options = {"slots": 3, "summary_tokens": 4, "feedback_tokens": 4} if memory == "fam" else {}
    model = create_model(
        "swin3d_nano_incremental", num_classes=3, memory=memory, height=32, width=32, **options
    )
    for name, parameter in model.named_parameters():
        if name.endswith(("gate", "bias_table")):
            nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.mark.parametrize("memory", ["none", "fam"])
@torch.inference_mode()
def test_a_prepared_copy_gives_the_same_bits_and_a_lowered_one_nearly(memory: str) -> None:
    model = watching(memory)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    same, low = prepared(model), prepared(model, torch.bfloat16)
    states = [each.init_state(2) for each in (model, same, low)]
    for _ in range(6):
        clip = torch.randn(2, 3, 8, 32, 32)
        shown = []
        for index, each in enumerate((model, same, low)):
            logits, states[index] = each.step(clip, states[index])
            shown.append(logits)
        assert torch.equal(shown[0], shown[1])
        assert shown[2].dtype == torch.float32
        torch.testing.assert_close(shown[2], shown[0], rtol=0.0, atol=0.05)
        assert not torch.equal(shown[2], shown[0])
    assert states[2].backbone.nbytes < 0.52 * states[0].backbone.nbytes
    assert {tensor.dtype for tensor in named_tensors(states[2].memory).values()} == {
        tensor.dtype for tensor in named_tensors(states[0].memory).values()
    }
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert same.state_dict().keys() == before.keys()  # what was computed is not saved
    assert not any(parameter.requires_grad for parameter in low.parameters())
    other_size = torch.randn(2, 3, 8, 48, 32)
    assert same.backbone(other_size)[0].shape == model.backbone(other_size)[0].shape


@pytest.mark.parametrize("bias_shape", [None, (1, 2, 10, 14), (3, 2, 1, 14), (3, 2, 10, 14)])
@pytest.mark.parametrize("piece", [1, 2 * 4 * 14, 2 * 2 * 10 * 14, 10**6])
@torch.inference_mode()
def test_attention_in_pieces_is_attention(
    bias_shape: tuple[int, ...] | None, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "PIECE", piece)
    monkeypatch.setattr(attention, "_multiplies_tiles", lambda: False)
    q, k, v = (torch.randn(3, 2, n, 8) for n in (10, 14, 14))
    bias = None if bias_shape is None else torch.randn(bias_shape)
    if bias is not None:
        bias[..., 3] = -torch.inf
    expected = attention.attend_heads(q, k, v, bias)
    low = [None if x is None else x.bfloat16() for x in (q, k, v, bias)]
    assert attention._in_pieces_is_faster(low[0])
    torch.testing.assert_close(attention.attend_heads(*low).float(), expected, rtol=0, atol=0.05)


@torch.inference_mode()
def test_where_the_processor_multiplies_tiles_the_fused_kernel_is_left_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q, k, v = (torch.randn(3, 2, n, 32).bfloat16() for n in (10, 14, 14))
    bias = torch.randn(1, 2, 10, 14).bfloat16()
    shown = []
    for tiles in (True, False):
        monkeypatch.setattr(attention, "_multiplies_tiles", lambda chosen=tiles: chosen)
        assert attention._in_pieces_is_faster(q) == (not tiles)
        shown.append(attention.attend_heads(q, k, v, bias).float())
    torch.testing.assert_close(shown[0], shown[1], rtol=0, atol=0.05)


def recording(clips: int) -> Recording:
    random = np.random.default_rng(3)
    ends = 2.0 * np.arange(1, clips + 1)
    ends[clips // 2 :] += 30  # a hole
    return Recording(
        name="barn",
        frames=random.integers(0, 256, (8 * clips, 32, 32, 3), dtype=np.uint8),
        clips=np.arange(8 * clips).reshape(clips, 8),
        start_seconds=ends - 2,
        end_seconds=ends,
        labels=random.integers(0, 3, clips),
    )


@torch.no_grad()
def test_features_kept_in_shards_are_those_of_the_stream() -> None:
    model, seen = watching("fam"), recording(23)
    state, pooled, tokens = model.init_state(1).backbone, [], []
    last = used_stages(model)[-1]
    for clip in range(len(seen)):
        frames = torch.from_numpy(seen.frames[seen.clips[clip]])[None]
        starts = torch.tensor([clip == 23 // 2])
        features, state = model.backbone.step(  # type: ignore[operator]
            model.preprocessing.to_clip(frames), state, starts=starts
        )
        pooled.append(model.backbone.pool(features))  # type: ignore[operator]
        tokens.append(features[last - 1])
    for clips in (range(23), range(9, 20), range(2, 3)):
        kept = [torch.cat(parts) for parts in zip(*see_clips(model, seen, clips, batch=4))]  # noqa: B905
        torch.testing.assert_close(
            kept[-1], torch.cat(pooled)[clips.start : clips.stop], rtol=1e-4, atol=1e-4
        )
        expected = torch.cat(tokens)[clips.start : clips.stop]
        torch.testing.assert_close(kept[last - 1].float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("memory", ["none", "fam"])
def test_a_stretch_in_parallel_has_the_loss_of_its_steps(memory: str) -> None:
    model, shown = watching(memory), [recording(5), recording(6)]
    losses = []
    for one_by_one in (True, False):
        options = TrainOptions(rows=2, checkpoint_activations=one_by_one)
        places = make_places(shown, options)
        cursor, batches = first_cursor(places), []
        for _ in range(9):  # a recording ends on the way
            batch, cursor = next_batch(places, cursor)
            batches.append(batch)
        view = pixel_view(model, shown, options)
        assert isinstance(view, StretchView) != one_by_one
        loss, _ = stretch_loss(view, batches, model.init_state(2), torch.ones(3))
        losses.append(loss)
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-5)


def test_frames_that_make_no_step_are_one_clear_line() -> None:
    with pytest.raises(OptionError, match="a multiple of 4 frames, got 6"):
        small()(torch.randn(1, 3, 6, 8, 8))
    with pytest.raises(OptionError, match="window_size must be even in time"):
        IncrementalSwin3D(window_size=(7, 7, 7))


def test_a_state_for_frames_of_another_size_is_one_clear_line() -> None:
    backbone = small()
    state = backbone.init_state(
        1, height=24, width=16, device=torch.device("cpu"), dtype=torch.float32
    )
    with pytest.raises(OptionError, match="the state is for frames of another size"):
        backbone.step(torch.randn(1, 3, FRAMES, 48, 16), state)


def test_a_reader_sees_the_grid_of_its_stage() -> None:
    seen: list[tuple[int, ...]] = []

    def reader(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.zeros_like(x)

    small()(torch.randn(2, 3, 3 * FRAMES, 24, 16), {2: reader})
    assert seen == [(2, 6, 3, 2, 16)]
