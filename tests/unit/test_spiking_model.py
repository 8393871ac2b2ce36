"""Neuro-SVT keeps the stream contract, computes with spikes, and is silent when nothing moves."""

from __future__ import annotations

import dataclasses
import json
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vigilia.errors import InputError, OptionError
from vigilia.spiking import (
    SPIKING_MEMORIES,
    SPIKING_SIZES,
    NeuroSvt,
    SpikingSpec,
    SpikingState,
    build_spiking_model,
    create_spiking_model,
)
from vigilia.spiking.energy import EnergyMeter
from vigilia.spiking.neuron_layer import FRESH
from vigilia.state import detach, named_tensors, reset, with_tensors

SIDE = 16
PLAIN: dict[str, Any] = {"tau": 2.0, "memory_tokens": 1}
VARIANTS: dict[str, dict[str, Any]] = {
    "event": PLAIN,
    "event, as it is trained": {"tau": None, "memory_tokens": 2},
    "event, two tokens, learned taus": {**PLAIN, "memory_tokens": 2, "learns_tau": True},
    "event, hadamard": {**PLAIN, "attention": "hadamard"},
    "hold30": {**PLAIN, "memory": "hold30"},
    "seed": {"memory": "seed", "memory_tokens": 1},
}
EVENT = [name for name in VARIANTS if name.startswith("event")]
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def build(variant: str) -> NeuroSvt:
    """A small model whose heads are random, so that what it remembers matters."""
    return deepcopy(_build(variant))


@cache
def _build(variant: str) -> NeuroSvt:
    torch.manual_seed(0)
    model = create_spiking_model(
        "neuro_svt_nano",
        num_classes=3,
        height=SIDE,
        width=SIDE,
        bin_seconds=0.5,
        **VARIANTS[variant],
    )
    for head in (model.head, model.paths.place):
        nn.init.normal_(head.weight, std=0.1)
    memory = model.memory
    for layer in (memory.write_pooled, memory.write_anywhere):
        nn.init.constant_(layer.homeostasis.gain, 3.0)
    return model.eval()


def bins(steps: int, rows: int = 2, *, rate: float = 0.25, seed: int = 1) -> Tensor:
    """(T, B, 2, H, W)"""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, rows, 2, SIDE, SIDE, generator=generator) < rate).float()


@torch.no_grad()
def play(
    model: NeuroSvt, sequence: Tensor, state: SpikingState | None = None
) -> tuple[Tensor, SpikingState]:
    """Logits of every step (T, B, K) and the state behind the last."""
    state = state or model.init_state(sequence.shape[1])
    out = []
    for one in sequence:
        logits, state = model.step(one, state)
        out.append(logits)
    return torch.stack(out), state


def same(a: SpikingState, b: SpikingState, rows: Any = slice(None)) -> bool:
    theirs = named_tensors(b)
    return all(
        torch.equal(tensor[rows], theirs[name][rows]) for name, tensor in named_tensors(a).items()
    )


@every_variant
def test_a_fresh_state_is_all_zeros_with_rows_first(variant: str) -> None:
    for name, tensor in named_tensors(build(variant).init_state(3)).items():
        assert tensor.shape[0] == 3, name
        assert not tensor.any(), name


@every_variant
def test_what_it_sees_changes_the_answer(variant: str) -> None:
    model = build(variant)
    a, b = (play(model, bins(5, seed=seed))[0] for seed in (1, 2))
    assert a.isfinite().all()
    assert not torch.allclose(a[-1], b[-1], atol=1e-3)


@every_variant
def test_rows_are_independent_streams(variant: str) -> None:
    model, sequence = build(variant), bins(6)
    together, _ = play(model, sequence)
    for row in range(2):
        alone, _ = play(model, sequence[:, row : row + 1])
        torch.testing.assert_close(together[:, row], alone[:, 0], rtol=1e-4, atol=1e-4)


@every_variant
@torch.no_grad()
def test_idle_rows_come_back_to_the_bit(variant: str) -> None:
    model = build(variant)
    _, state = play(model, bins(3))
    active = torch.tensor([False, True])
    logits, after = model.step(bins(1, seed=3)[0], state, active=active)
    assert same(after, state, ~active)
    assert torch.equal(logits[0], state.logits[0])
    assert not same(after, state, active)
    _, both = model.step(bins(1, seed=3)[0], state)
    assert same(after, both, active)


@every_variant
def test_a_reset_row_starts_anew_and_the_other_goes_on(variant: str) -> None:
    model = build(variant)
    _, state = play(model, bins(3))
    again = reset(state, [True, False])
    assert same(again, model.init_state(2), torch.tensor([True, False]))
    assert same(again, state, torch.tensor([False, True]))
    fresh, _ = play(model, bins(4, seed=5))
    later, _ = play(model, bins(4, seed=5), again)
    torch.testing.assert_close(later[:, 0], fresh[:, 0], rtol=1e-4, atol=1e-4)


@every_variant
def test_a_killed_stream_goes_on_as_if_nothing_had_happened(variant: str) -> None:
    model, sequence = build(variant), bins(7)
    straight, last = play(model, sequence)
    first, state = play(model, sequence[:3])
    saved = load(save({k: v.contiguous() for k, v in named_tensors(state).items()}))
    second, end = play(model, sequence[3:], with_tensors(model.init_state(2), saved))
    assert torch.equal(torch.cat([first, second]), straight)
    assert same(end, last)


@every_variant
def test_a_step_leaves_the_old_state_alone(variant: str) -> None:
    model = build(variant)
    _, state = play(model, bins(2))
    before = {name: tensor.clone() for name, tensor in named_tensors(state).items()}
    play(model, bins(1), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in named_tensors(state).items())


def test_bytes_are_constant_over_ten_thousand_bins() -> None:
    model = create_spiking_model(
        "neuro_svt_nano", num_classes=2, height=8, width=8, dim=8, depth=1, heads=1, regions=1
    ).eval()
    state = model.init_state(1)
    shapes = {name: (t.shape, t.dtype) for name, t in named_tensors(state).items()}
    size, blank = state.nbytes, torch.zeros(1, 2, 8, 8)
    lively = (torch.rand(50, 1, 2, 8, 8) < 0.3).float()
    with torch.inference_mode():
        for _ in range(98):
            _, state = model.sequence(lively, state)
            _, state = model.sequence(torch.zeros(50, 1, 2, 8, 8), state)
        for step in range(200):
            _, state = model.step(lively[step % 50] if step % 100 < 50 else blank, state)
    assert state.nbytes == size
    assert {name: (t.shape, t.dtype) for name, t in named_tensors(state).items()} == shapes
    assert all(tensor.isfinite().all() for tensor in named_tensors(state).values())
    assert state.clips.item() == 10_000


class Operands(TorchDispatchMode):
    """Looks at both operands of every product of matrices and every convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.products: list[tuple[str, bool]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket._qualified_op_name.removeprefix("aten::")
        if name in ("mm", "bmm", "addmm", "baddbmm", "mv", "addmv", "dot", "convolution"):
            first = 1 if name in ("addmm", "baddbmm", "addmv") else 0
            binary = any(
                bool(((x == 0) | (x == 1)).all()) and bool((x != 0).any())
                for x in args[first : first + 2]
            )
            self.products.append((name, binary))
        assert name not in ("linear", "matmul", "scaled_dot_product_attention", "einsum")
        return function(*args, **(kwargs or {}))


@every_variant
def test_every_product_but_the_first_convolution_has_an_operand_of_spikes(variant: str) -> None:
    model = build(variant)
    for parameter in model.memory.pool_weight, model.memory.write_attended.weight:
        nn.init.normal_(parameter)  # nothing passes because a fresh weight happens to be binary
    counts = bins(5) * torch.randint(1, 4, (5, 2, 2, SIDE, SIDE))
    _, state = play(model, counts[:4])
    full = torch.ones_like(state.memory.membrane)  # so that it asks, too
    state = dataclasses.replace(state, memory=dataclasses.replace(state.memory, membrane=full))
    with Operands() as watched, torch.no_grad():
        model.step(counts[4], state)
    assert watched.products[0] == ("convolution", False)
    assert [name for name, binary in watched.products[1:] if not binary] == []
    # Convolutions of the embedding, a block's eight, the memory's, and two heads.
    assert len(watched.products) >= 2 + 7 + 5 + 2


@pytest.mark.parametrize("variant", EVENT)
def test_blank_bins_cost_nothing_and_leave_the_answer_standing(variant: str) -> None:
    model = build(variant)
    logits, state = play(model, bins(4))
    blank = torch.zeros(2, 2, SIDE, SIDE)
    with EnergyMeter(model) as meter, torch.no_grad():
        model.step(bins(1)[0], state)
        lively = meter.reset()
        for _ in range(50):
            after, state = model.step(blank, state)
            assert meter.reset().layers == ()
            assert not state.wake.any()
    assert lively.accumulates > 10_000
    assert torch.equal(after, logits[-1])


def test_a_blank_bin_of_a_recording_stops_the_sums_though_others_are_lively() -> None:
    model = build("event")
    _, state = play(model, bins(4))
    one = bins(1, seed=9)[0]
    one[0] = 0
    with torch.no_grad():
        logits, after = model.step(one, state)
    assert after.wake.tolist() == [False, True]
    assert torch.equal(logits[0], state.logits[0])
    assert torch.equal(after.memory.membrane[0], state.memory.membrane[0])
    assert not torch.equal(logits[1], state.logits[1])


def test_the_seed_forgets_in_thirty_bins_and_the_default_does_not() -> None:
    blank = torch.zeros(30, 1, 2, SIDE, SIDE)
    differences = {}
    for variant in ("seed", "event"):
        model = build(variant)
        ends = [play(model, blank, play(model, bins(6, 1, seed=seed))[1])[0][-1] for seed in (1, 2)]
        differences[variant] = (ends[0] - ends[1]).abs().max().item()
    assert differences["seed"] == 0
    assert differences["event"] > 0.1


@every_variant
@pytest.mark.parametrize("training", [False, True])
def test_a_sequence_is_its_steps(variant: str, training: bool) -> None:
    model = build(variant)
    sequence = bins(7)
    sequence[3:5] = 0  # blank bins in between
    logits, last = play(model, sequence)
    with torch.set_grad_enabled(training):
        outputs, state = model.sequence(sequence, model.init_state(2))
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(outputs.logits, logits, **close)
    torch.testing.assert_close(outputs.position[-1], last.position, **close)
    for name, tensor in named_tensors(last).items():
        torch.testing.assert_close(named_tensors(state)[name], tensor, **close)
    assert outputs.gates.shape[:2] == outputs.activity.shape == (7, 2)


@torch.inference_mode()
def test_a_step_is_one_graph_for_a_compiler_whatever_the_time_constants() -> None:
    for variant in ("event", "seed"):  # of the second tau a compiler makes a symbol
        model = build(variant)
        compiled = torch.compile(model.step, backend="eager", fullgraph=True)
        ours = theirs = model.init_state(2)
        for one in (*bins(2), torch.zeros(2, 2, SIDE, SIDE)):
            logits, ours = model.step(one, ours)
            again, theirs = compiled(one, theirs)
            assert torch.equal(again, logits)
            assert same(theirs, ours)


@torch.no_grad()
def test_a_model_without_objects_tells_no_place_and_keeps_no_paths() -> None:
    model = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16, objects=0)
    outputs, state = model.eval().sequence(torch.ones(3, 2, 2, 16, 16), model.init_state(2))
    assert outputs.position.shape == (3, 2, 0)
    assert outputs.places is None
    assert state.nbytes < 5_000


@torch.no_grad()
def test_a_state_of_training_does_not_fit_a_model_in_use() -> None:
    model = build("event").train()
    state = model.init_state(2)
    model.step(bins(1)[0], state)
    with pytest.raises(InputError, match=r"follows 544 paths and the model 4160.* call eval\(\)"):
        model.eval().step(bins(1)[0], state)


@torch.no_grad()
def test_what_is_hidden_moves_on_with_the_time_and_not_with_the_bins() -> None:
    model = build("event")
    _, state = play(model, bins(3))
    blank = torch.zeros(2, 2, SIDE, SIDE)
    late = torch.tensor([1.5 + 4, 1.5 + 20], dtype=torch.float64)  # a bin is half a second
    _, at_once = model.step(blank, state, seconds=late)
    for bin_ in range(40):
        _, state = model.step(blank, state)
        row = {7: 0, 39: 1}.get(bin_)
        if row is not None:
            assert torch.allclose(at_once.position[row], state.position[row], atol=1e-6)
    assert (at_once.position[0] - at_once.position[1]).abs().max() > 1e-3
    assert torch.equal(at_once.evidence, state.evidence)


@every_variant
def test_every_parameter_learns(variant: str) -> None:
    model = build(variant).train()
    state = model.init_state(4)
    outputs, _ = model.sequence(bins(10, 4), state)
    loss = outputs.logits.square().sum() + outputs.position.sum() + outputs.gates.sum()
    loss.backward()
    for name, parameter in model.named_parameters():
        unused = "ladder" not in name and VARIANTS[variant].get("memory") and "gate_" in name
        if unused:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0 or "memory" in VARIANTS[variant], name


def test_detaching_stops_the_gradient() -> None:
    model = build("event")
    first = bins(1)[0].requires_grad_()
    for cut in (False, True):
        _, state = model.step(first, model.init_state(2))
        logits, _ = model.step(bins(1, seed=2)[0], detach(state) if cut else state)
        [gradient] = torch.autograd.grad(logits.sum(), first, allow_unused=True)
        assert (gradient is not None and bool(gradient.any())) != cut


def test_neurons_find_their_thresholds_whatever_their_currents() -> None:
    model = build("event").train()
    with torch.no_grad():
        model.embed.convolutions[0].weight.mul_(30)
        model.blocks[0].mlp.widen.weight.mul_(0.01)
    for seed in range(60):
        outputs, _ = model.sequence(bins(4, seed=seed), model.init_state(2))
    assert 0.02 < outputs.activity.mean() < 0.5
    assert model.embed.neurons[0].variance.mean() > 1
    assert model.blocks[0].mlp.hidden.variance.mean() < 0.1 * FRESH**2
    trained = float(outputs.activity.detach().mean())
    with torch.no_grad():
        afterwards, _ = model.eval().sequence(bins(4, seed=59), model.init_state(2))
    assert float(afterwards.activity.mean()) == pytest.approx(trained, rel=0.3)


@every_variant
def test_a_model_comes_back_from_its_description_and_weights(variant: str) -> None:
    model = build(variant)
    fields = json.loads(json.dumps(dataclasses.asdict(model.spec)))
    fields["classes"] = tuple(fields["classes"])
    other = build_spiking_model(SpikingSpec(**fields)).eval()
    other.load_state_dict(load(save(model.state_dict())))
    assert torch.equal(play(other, bins(4))[0], play(model, bins(4))[0])


def test_the_default_presets_are_what_they_say() -> None:
    taus = {
        memory: create_spiking_model(
            "neuro_svt_nano", num_classes=2, height=SIDE, width=SIDE, memory=memory
        )
        for memory in SPIKING_MEMORIES
    }
    bank = taus["event"].memory.membrane.taus
    assert bank[[0, -1]].tolist() == pytest.approx([2, 100], rel=1e-4)
    assert taus["hold30"].memory.membrane.taus.tolist() == pytest.approx([43.8] * 32, rel=1e-4)
    assert taus["seed"].memory.membrane.taus.tolist() == pytest.approx([2.0] * 32)
    assert taus["seed"].last.tau == 1.1


@pytest.mark.parametrize("name", SPIKING_SIZES)
def test_every_size_can_be_built(name: str) -> None:
    with torch.device("meta"):
        model = create_spiking_model(name, classes=["here", "gone"])
    assert model.classes == ("here", "gone")
    assert (model.clip_frames, model.stride_frames) == (1, 1)


@torch.no_grad()
def test_a_state_in_bfloat16_halves_the_bytes_and_a_model_in_it_streams() -> None:
    model = build("event")
    full, half = model.init_state(2), model.init_state(2, dtype=torch.bfloat16)
    paths = full.evidence.nbytes  # float32 in either: a sum of hundreds of small terms
    assert half.nbytes - paths < 0.55 * (full.nbytes - paths)
    assert half.seconds.dtype == torch.float64
    _, after = play(model, bins(3), half)
    assert [t.dtype for t in named_tensors(after).values()] == [
        t.dtype for t in named_tensors(half).values()
    ]
    whole = build("event").bfloat16()
    logits, state = play(whole, bins(3))
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()
    fresh = named_tensors(whole.init_state(2))
    assert {n: t.dtype for n, t in named_tensors(state).items()} == {
        n: t.dtype for n, t in fresh.items()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "neuro_svt_xl"},
            "no spiking model named 'neuro_svt_xl'; there are neuro_svt_nano",
        ),
        ({"memory": "fam"}, "a spiking model has no memory named 'fam'; there are event, hold30"),
        ({"slots": 3}, "a spiking model has no option 'slots'; it has dim"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"classes": ["a", "a"], "num_classes": None}, "classes must be different names"),
        ({"classes": ["a"], "num_classes": 2}, "num_classes is 2, but classes has 1 names"),
        ({"height": 30}, "height and width must be multiples of the patch, 4 pixels, got 30 by 32"),
        ({"patch": 5}, "patch must be one of 4, 8, 16, got 5"),
        ({"tau": 1.0}, "tau must be a finite number above 1"),
        ({"tau": float("nan")}, "tau must be a finite number above 1"),
        ({"bin_seconds": 0.0}, "bin_seconds must be positive, got 0.0"),
    ],
)
def test_an_option_that_cannot_work_is_one_clear_line(
    arguments: dict[str, Any], message: str
) -> None:
    options = {"name": "neuro_svt_nano", "num_classes": 2, "height": 32, "width": 32} | arguments
    with pytest.raises(OptionError) as caught:
        create_spiking_model(**options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 16, 16, 2), "got (2, 16, 16, 2); channels last?"),
        ((2, 2, 16, 12), "a bin must be (B, 2, H=16, W=16), ON and OFF events, got (2, 2, 16, 12)"),
        ((2, 3, 8, 16, 16), "a bin must be (B, 2, H=16, W=16)"),
        ((3, 2, 16, 16), "the bin has 3 rows, the state has 2 streams"),
    ],
)
def test_a_bin_of_another_layout_is_one_clear_line(shape: tuple[int, ...], message: str) -> None:
    model = build("event")
    with pytest.raises(InputError) as caught:
        model.step(torch.zeros(shape), model.init_state(2))
    assert message in str(caught.value)


def test_rows_and_times_of_another_shape_or_type_are_one_clear_line() -> None:
    model, one = build("event"), bins(1)[0]
    with pytest.raises(InputError, match=r"active must be \(2,\) torch.bool"):
        model.step(one, model.init_state(2), active=torch.ones(2))
    with pytest.raises(InputError, match=r"seconds must be \(2,\) torch.float64"):
        model.step(one, model.init_state(2), seconds=torch.ones(2))
    with pytest.raises(OptionError, match="batch_size must be at least 1, got 0"):
        model.init_state(0)


def test_a_clip_of_one_bin_is_a_bin() -> None:
    model, one = build("event"), bins(1)[0]
    plain, _ = model.step(one, model.init_state(2))
    clip, _ = model.step(one[:, :, None], model.init_state(2))
    assert torch.equal(plain, clip)
