"""MeMViT against MViTv2, ours and torchvision's; what it remembers, and what learns from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from test_mvit import reference_of, small, spread
from torch import Tensor, nn
from torchvision.models.video import mvit as theirs

from vigilia.backbones import memvit, mvit
from vigilia.backbones.base import BackboneState
from vigilia.backbones.memvit import MeMViT, StageCache
from vigilia.errors import OptionError
from vigilia.layers.flops import count_flops
from vigilia.state import named_tensors, reset


def tiny_memory(**options: Any) -> MeMViT:
    torch.manual_seed(0)
    settings = {"dim": 8, "depths": (1, 2, 1), "clip_size": (4, 48, 48), "stride_kv": 4}
    settings |= {"step_frames": 4, "layers_every": 1} | options
    return spread(MeMViT(**settings))  # type: ignore[return-value]


def empty(model: MeMViT, rows: int = 1) -> BackboneState:
    return model.init_state(
        rows, height=48, width=40, device=torch.device("cpu"), dtype=torch.float32
    )


def clips(steps: int, rows: int = 1, seed: int = 1) -> Tensor:
    """(S, B, C, T, H, W)"""
    return torch.randn(steps, rows, 3, 4, 48, 40, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_with_nothing_remembered_memvit_is_mvit_to_the_bit() -> None:
    model = tiny_memory()
    plain = small(class_token=False, clip_size=(4, 48, 48))
    own = {n: x for n, x in model.state_dict().items() if not n.startswith("memories")}
    plain.load_state_dict(own, strict=True)
    first, second = clips(2)
    features, state = model.step(first, empty(model))
    for ours, expected in zip(features, plain(first), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0.0, atol=1e-6)
    features, _ = model.step(second, state)
    assert (features[-1] - plain(second)[-1]).abs().max() > 1e-2


@pytest.fixture
def without_class_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's patches do not see the class token, as if there were none."""
    original: Callable[..., Tensor] = theirs._add_rel_pos

    def hide(attention: Tensor, *arguments: Any) -> Tensor:
        attention = original(attention, *arguments)
        attention[:, :, 1:, 0] = float("-inf")
        return attention

    monkeypatch.setattr(theirs, "_add_rel_pos", hide)
    return


@torch.no_grad()
@pytest.mark.usefixtures("without_class_token")
def test_the_first_step_of_memvit_is_torchvisions_mvit_without_a_class_token() -> None:
    torch.manual_seed(0)
    reference = reference_of(2, (16, 32, 32))
    reference.norm = nn.Identity()
    seen = []
    reference.norm.forward = lambda x: seen.append(x) or x  # type: ignore[method-assign]
    clip = torch.randn(1, 3, 16, 32, 32)
    reference(clip)
    weights = mvit.from_torchvision(
        {**reference.state_dict(), "norm.weight": torch.ones(768), "norm.bias": torch.zeros(768)},
        clip_size=(16, 32, 32),
    )
    weights.pop("backbone.pos_encoding.class_token")
    model = MeMViT(clip_size=(16, 32, 32)).eval()
    own = {n.removeprefix("backbone."): x for n, x in weights.items() if n.startswith("backbone.")}
    missing = model.load_state_dict(own, strict=False).missing_keys
    assert all(name.startswith("memories.") for name in missing)
    got = model(clip)[-1].flatten(1, 3)
    torch.testing.assert_close(got, seen[0][:, 1:], rtol=0.0, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"remember_every": 2, "clips": 1}, {"layers_every": 2}])
def test_steps_one_by_one_are_the_whole_sequence(options: dict[str, Any]) -> None:
    model, sequence = tiny_memory(**options), clips(7, rows=2)
    whole = model(sequence.movedim(0, 2).flatten(2, 3))
    state, parts = empty(model, 2), []
    for clip in sequence:
        features, state = model.step(clip, state)
        parts.append(features)
    for stage, tokens in enumerate(whole):
        got = torch.cat([features[stage] for features in parts], dim=1)
        torch.testing.assert_close(got, tokens, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_row_that_starts_anew_is_a_fresh_one() -> None:
    model, sequence = tiny_memory(), clips(5, rows=2)
    starts = torch.zeros(2, 5, dtype=torch.bool)
    starts[1, 3] = True
    clip = sequence.movedim(0, 2).flatten(2, 3)
    features, _ = model.run_stages(clip, empty(model, 2), starts=starts)
    alone = model(clip[1:, :, 12:])[-1]
    torch.testing.assert_close(features[-1][1:, 6:], alone, rtol=1e-4, atol=1e-5)
    straight = model(clip)[-1]
    torch.testing.assert_close(features[-1][:1], straight[:1], rtol=1e-4, atol=1e-5)
    assert (features[-1][1, 6:] - straight[1, 6:]).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("seen", [0, 1, 2])
def test_what_lies_in_empty_slots_changes_nothing(seen: int) -> None:
    model, sequence = tiny_memory(clips=3), clips(4)
    state = empty(model)
    for clip in sequence[:seen]:
        _, state = model.step(clip, state)

    def soiled(layer: Any) -> Any:
        keys, values, newest = layer.keys.clone(), layer.values.clone(), layer.newest.clone()
        keys[:, : 3 - max(seen, 1)] = 1e3
        values[:, : 3 - max(seen, 1)] = 1e3
        return type(layer)(newest if seen else newest + 1e3, keys, values, layer.clips)

    foreign = BackboneState(
        tuple(StageCache(tuple(map(soiled, stage.layers))) for stage in state.stages)  # type: ignore[attr-defined]
    )
    clean, _ = model.step(sequence[3], state)
    dirty, _ = model.step(sequence[3], foreign)
    assert all(torch.equal(a, b) for a, b in zip(clean, dirty, strict=True))
    bad = reset(foreign)
    assert not any(tensor.any() for tensor in named_tensors(bad).values())


@torch.no_grad()
@pytest.mark.parametrize(
    ("clips_read", "every", "steps", "remembered"),
    [(2, 1, 5, [4, 5]), (3, 1, 5, [3, 4, 5]), (2, 2, 5, [2, 4]), (2, 3, 7, [3, 6]), (1, 1, 3, [3])],
)
def test_the_first_layer_remembers_the_clips_whose_turn_it_was(
    clips_read: int, every: int, steps: int, remembered: list[int]
) -> None:
    model = tiny_memory(clips=clips_read, remember_every=every)
    sequence, state = clips(steps), empty(model)
    for clip in sequence:
        _, state = model.step(clip, state)
    layer, memory = state.stages[0].layers[0], model.memories["1_0"]  # type: ignore[attr-defined]
    inputs = []
    for number in remembered:
        tokens, grid = model.embed(sequence[number - 1])
        normed = model.stages[0][0].norm1(tokens)  # type: ignore[index]
        inputs.append(memvit._pool(normed, grid, (2, 3, 3)))
    torch.testing.assert_close(layer.newest, inputs[-1])
    for slot, tokens in enumerate(inputs[:-1]):
        keys, values = memory.compress(tokens)  # type: ignore[operator]
        torch.testing.assert_close(layer.keys[:, slot], keys, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(layer.values[:, slot], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("every", [1, 2])
def test_compression_projection_and_positions_of_memory_learn_but_not_through_the_cache(
    every: int,
) -> None:
    model, sequence = tiny_memory(remember_every=every), clips(6).requires_grad_()
    state = empty(model)
    for clip in sequence:
        features, state = model.step(clip, state)
    features[-1].square().sum().backward()
    for name, parameter in model.memories.named_parameters():
        assert parameter.grad is not None, name
        # A layer norm takes a compression's scale away, but never all of its direction.
        assert parameter.grad.abs().max() > 0, name
    assert sequence.grad is not None
    assert not sequence.grad[:-1].any()
    assert sequence.grad[-1].any()


@torch.no_grad()
def test_memory_reaches_as_far_back_as_it_says() -> None:
    model = tiny_memory(depths=(1, 1), clips=2)
    assert model.receptive_frames == (1 + 2 * 2) * 4
    sequence = clips(7)
    whole = model(sequence.movedim(0, 2).flatten(2, 3))[-1][:, -2:]
    for step, reaches in ((1, False), (2, True)):
        touched = sequence.clone()
        touched[step] += torch.randn_like(touched[step])
        other = model(touched.movedim(0, 2).flatten(2, 3))[-1][:, -2:]
        assert (not torch.equal(other, whole)) == reaches


def test_memvit_costs_what_its_page_says() -> None:
    with torch.device("meta"):
        model, plain = memvit.memvit_s().eval(), mvit.MViT(class_token=False).eval()
        clip = torch.empty(1, 3, 16, 224, 224)
        state = model.init_state(
            1, height=224, width=224, device=torch.device("meta"), dtype=torch.float32
        )
    with torch.no_grad():
        step = count_flops(lambda: model.step(clip, state)) / 2e9
        alone = count_flops(lambda: plain(clip)) / 2e9
    assert (step, alone) == (pytest.approx(65.44, abs=0.005), pytest.approx(64.16, abs=0.005))
    parameters = sum(parameter.numel() for parameter in model.parameters()) + 769 * 400
    assert parameters == 34_940_656
    assert model.receptive_frames == 17 * 16
    assert state.nbytes == 6_736_960


def test_a_step_takes_its_frames_and_no_others() -> None:
    model = tiny_memory()
    with pytest.raises(OptionError, match="a step takes the 4 new frames, got 5"):
        model.step(torch.zeros(1, 3, 5, 48, 40), empty(model))
    with pytest.raises(OptionError, match="clips must be at least 1"):
        tiny_memory(clips=0)
