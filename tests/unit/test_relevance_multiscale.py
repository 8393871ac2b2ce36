"""Multi-scale relevance: weights that sum to one, bounded and exact, whatever the backbone."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vigilia.errors import InputError, OptionError
from vigilia.memory import MEMORIES
from vigilia.relevance import (
    RelevanceState,
    TemporalRelevance,
    moments_kept,
    moments_of,
    multiscale,
)
from vigilia.state import named_tensors
from vigilia.stream import StreamClassifier, create_model
from vigilia.timeline import Segment, Timeline
from vigilia.timeline.plots import plot_timeline

SMALL = {"frames": 4, "recent_clips": 3, "heads": 2, "value_dim": 8}


def module(seed: int = 0, **options: int) -> TemporalRelevance:
    torch.manual_seed(seed)
    made = TemporalRelevance(embedding_dim=6, stage_dim=5, stage=1, **(SMALL | options))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def clips(count: int, rows: int = 2, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(rows, 4, 2, 2, 5, generator=random),
            torch.randn(rows, 6, generator=random),
        )
        for _ in range(count)
    ]


def stream(
    made: TemporalRelevance, shown: list[tuple[Tensor, Tensor]], every: float = 2.0
) -> tuple[list[Tensor], list[RelevanceState]]:
    rows = len(shown[0][1])
    state = made.init_state(rows, device=torch.device("cpu"), dtype=torch.float32)
    out, states = [], []
    for index, (tokens, pooled) in enumerate(shown):
        seconds = torch.full((rows,), every * (index + 1), dtype=torch.float64)
        number = torch.full((rows,), index)
        embedding, state = made.update((tokens,), pooled, state, seconds=seconds, clips=number)
        out.append(embedding)
        states.append(state)
    return out, states


def test_a_fresh_module_changes_nothing() -> None:
    torch.manual_seed(0)
    fresh = TemporalRelevance(embedding_dim=6, stage_dim=5, stage=1, **SMALL)
    shown = clips(4)
    embeddings, states = stream(fresh, shown)
    for embedding, (_, pooled) in zip(embeddings, shown, strict=True):
        assert torch.equal(embedding, pooled)
    assert torch.allclose(states[-1].frame_weights, torch.full((2, 4), 0.25))
    assert torch.allclose(states[-1].scale_weights, torch.full((2, 3), 1 / 3))


@torch.no_grad()
def test_a_clip_that_surprises_draws_weight_in_proportion_to_its_surprise() -> None:
    """With scores that are all alike, weights are what was seen to be unusual."""
    torch.manual_seed(0)
    made = TemporalRelevance(
        embedding_dim=6, stage_dim=5, stage=1, surprise=True, **(SMALL | {"recent_clips": 5})
    )
    nn.init.zeros_(made.score.weight)
    nn.init.zeros_(made.score.bias)
    shown = clips(5, rows=1)
    usual, step = torch.randn(1, 6), torch.tensor([[1.0, -1.0] * 3])
    for index in range(5):
        # From clip to clip it moves by one, and at the end by two: four times the square.
        at = (0.0, 1.0, 0.0, 1.0, 3.0)[index]
        shown[index] = (shown[index][0], usual + at * step)
    _, states = stream(made, shown)
    weights = states[-1].clip_weights[0]
    torch.testing.assert_close(weights, torch.tensor([1.0, 1, 1, 1, 4]) / 8, rtol=0, atol=1e-4)
    nn.init.zeros_(made.strength)
    _, states = stream(made, shown)
    torch.testing.assert_close(states[-1].clip_weights[0], torch.full((5,), 0.2))


def test_surprise_is_learned_how_much_to_heed_and_costs_few_bytes() -> None:
    made = module(surprise=True)
    embeddings, states = stream(made, clips(5))
    torch.stack(embeddings).square().sum().backward()
    assert made.strength.grad is not None
    assert made.strength.grad.abs().min() > 0
    assert not any(parameter.requires_grad for parameter in made.predictor.parameters())
    plain = module().init_state(2, device=torch.device("cpu"), dtype=torch.float32)
    more = states[0].nbytes - plain.nbytes
    assert more == states[-1].prediction.nbytes == 2 * (6 * 4 + 6 * 4 + 8 + 8)
    fresh = made.init_state(2, device=torch.device("cpu"), dtype=torch.float32)
    assert not any(tensor.any() for tensor in named_tensors(fresh).values())
    assert not any(name.startswith("prediction") for name in named_tensors(plain))


def test_weights_sum_to_one_at_every_scale_and_the_first_clip_is_all_there_is() -> None:
    _, states = stream(module(), clips(6))
    for state in states:
        for name in ("frame_weights", "clip_weights", "scale_weights"):
            assert torch.allclose(getattr(state, name).sum(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose(states[0].clip_weights, torch.tensor([0.0, 0.0, 1.0]).expand(2, 3))
    assert torch.equal(states[0].sequence_shares, torch.ones(2, 2))
    assert (states[1].clip_weights[:, 0] == 0).all()
    assert (states[2].clip_weights > 0).all()


def test_shares_of_1_and_a_half_and_a_half_leave_a_quarter_a_quarter_and_a_half() -> None:
    kept = moments_kept(torch.tensor([1.0, 0.5, 0.5]))
    assert kept.tolist() == [0.25, 0.25, 0.5]
    assert moments_kept(torch.tensor([1.0, 0.0, 1.0, 0.0])).tolist() == [0, 0, 1, 0]


def test_without_fading_the_sequence_is_a_softmax_over_all_clips() -> None:
    made = module()
    with torch.no_grad():
        made.log_half_life.fill_(60.0)
    shown = clips(30)
    scores, values = [], []

    def keep(_: nn.Module, given: tuple[Tensor, ...], score: Tensor) -> None:
        scores.append(score.chunk(2, dim=1)[1])
        values.append(made.value(given[0]))

    hook = made.score.register_forward_hook(keep)
    _, states = stream(made, shown)
    hook.remove()
    weights = torch.stack(scores).softmax(dim=0)  # (S, B, h)
    kept = moments_kept(torch.stack([one.sequence_shares for one in states]))
    assert torch.allclose(kept, weights, atol=1e-5)
    mean = (weights.repeat_interleave(4, dim=2) * torch.stack(values)).sum(dim=0)
    assert torch.allclose(states[-1].held, mean, atol=1e-5)


def test_what_lies_a_half_life_back_weighs_half() -> None:
    made = module()
    with torch.no_grad():
        made.score.weight.zero_()
        made.score.bias.zero_()
        made.log_half_life.fill_(math.log2(10.0))
    _, states = stream(made, clips(2), every=10.0)
    kept = moments_kept(torch.stack([one.sequence_shares for one in states]))
    assert torch.allclose(kept[0], torch.tensor(1 / 3), atol=1e-6)  # 1/2 against 1


def test_ages_count_in_seconds_so_a_hole_fades_what_is_held() -> None:
    made = module()
    shown = clips(3)
    _, near = stream(made, shown, every=2.0)
    _, far = stream(made, shown, every=2000.0)
    assert (far[-1].sequence_shares > near[-1].sequence_shares).all()


def test_a_day_overflows_nothing_and_the_bytes_stay() -> None:
    made = module()
    with torch.no_grad():
        made.score.weight.mul_(50)
    state = made.init_state(1, device=torch.device("cpu"), dtype=torch.bfloat16)
    size = state.nbytes
    with torch.no_grad():
        for index, (tokens, pooled) in enumerate(clips(300, rows=1)):
            _, state = made.update(
                (tokens,),
                pooled,
                state,
                seconds=torch.tensor([300.0 * index], dtype=torch.float64),
                clips=torch.tensor([index]),
            )
    assert state.nbytes == size
    assert all(tensor.isfinite().all() for tensor in named_tensors(state).values())
    assert state.held.dtype == torch.float32
    assert state.recent.dtype == torch.bfloat16


def test_a_longer_or_shorter_clip_is_weighed_at_as_many_moments() -> None:
    made = module()
    for frames in (1, 4, 8, 11):
        tokens, pooled = torch.randn(2, frames, 2, 2, 5), torch.randn(2, 6)
        _, states = stream(made, [(tokens, pooled)])
        assert states[0].frame_weights.shape == (2, 4)


def small_model(backbone: str = "conv3d_nano") -> StreamClassifier:
    torch.manual_seed(0)
    model = create_model(
        backbone, num_classes=3, memory="none", clip_frames=8, stride_frames=4, height=32, width=32
    )
    memory = multiscale(model.backbone, **SMALL)
    spec = dataclasses.replace(model.spec)
    made = StreamClassifier(model.backbone, memory, spec=spec).eval()
    with torch.no_grad():
        for parameter in memory.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        nn.init.normal_(made.head.weight)
    return made


@pytest.mark.parametrize("backbone", ["conv3d_nano", "swin3d_nano"])
def test_it_is_a_memory_of_any_backbone_and_every_parameter_learns(backbone: str) -> None:
    model = small_model(backbone)
    state = model.init_state(2)
    total = torch.zeros(())
    for _ in range(3):
        logits, state = model.step(torch.randn(2, 3, 8, 32, 32), state)
        total = total + logits.square().sum()
    total.backward()
    for name, parameter in model.memory.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_idle_rows_stay_bit_for_bit_and_rows_do_not_mix() -> None:
    model = small_model()
    clip = torch.randn(2, 3, 8, 32, 32)
    with torch.inference_mode():
        _, before = model.step(clip, model.init_state(2))
        _, after = model.step(clip.flip(0), before, active=torch.tensor([True, False]))
        alone, _ = model.step(clip[:1], model.init_state(1))
    for name, tensor in named_tensors(after).items():
        assert torch.equal(tensor[1], named_tensors(before)[name][1]), name
    assert torch.allclose(alone, before.logits[:1], atol=1e-5)


def test_it_can_stand_in_the_table_of_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MEMORIES, "multiscale", multiscale)
    model = create_model("conv3d_nano", num_classes=2, memory="multiscale", value_dim=16, heads=4)
    assert isinstance(model.memory, TemporalRelevance)
    with pytest.raises(OptionError, match="stage must lie"):
        multiscale(model.backbone, stage=9)
    with pytest.raises(OptionError, match="heads divide"):
        multiscale(model.backbone, heads=3, value_dim=16)


def test_the_moments_of_a_recording_are_drawn_on_its_timeline(tmp_path: Path) -> None:
    _, states = stream(module(), clips(5))
    moments = moments_of(states, row=1)
    assert moments.end_seconds.tolist() == [2, 4, 6, 8, 10]
    assert moments.kept.sum() == pytest.approx(1)
    assert moments.taken[0] == 1
    assert moments.frames.shape == (5, 4)
    assert not np.allclose(moments.kept, moments_of(states, row=0).kept)
    seconds, weights = moments.frame_curve(2.0)
    assert seconds[:4].tolist() == [0.25, 0.75, 1.25, 1.75]
    assert weights[:4] == pytest.approx(moments.frames[0])
    timeline = Timeline(("rest",), (Segment(0.0, 10.0, "rest", 0.9),))
    plot_timeline(timeline, tmp_path / "plain.png")
    plot_timeline(timeline, tmp_path / "drawn.png", extra=moments.curves())
    sizes = [(tmp_path / name).stat().st_size for name in ("plain.png", "drawn.png")]
    assert sizes[1] > sizes[0]
    with pytest.raises(InputError, match="no state"):
        moments_of([])
