"""The cache after MeMViT: what it holds clip by clip, what it reads, and where gradient ends."""

from __future__ import annotations

import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia import load_model, save_model
from vigilia.errors import OptionError
from vigilia.memory import memvit
from vigilia.memory.memvit import CachedStage, MemvitMemory, MemvitState
from vigilia.models import describe_model
from vigilia.stream import StreamClassifier, create_model

WIDTH, HEADS = 16, 2


def build(**options: Any) -> MemvitMemory:
    """One stage of 16 features, opened, with a random bias for every age."""
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"clips": 3, "write_every": 1, "grid": (4, 3, 3)} | options
    memory = MemvitMemory(
        stage_dims=(WIDTH,), embedding_dim=WIDTH, stages=(1,), head_dim=WIDTH // HEADS, **arguments
    )
    for name, parameter in memory.named_parameters():
        if name.endswith(("gate", "age_bias")):
            nn.init.normal_(parameter)
    return memory


def times(rows: int, clip: int) -> dict[str, Tensor]:
    """When a row's clip number `clip` ends, at two seconds a clip, and how many came before it."""
    return {
        "seconds": torch.full((rows,), 2.0 * clip, dtype=torch.float64),
        "clips": torch.full((rows,), clip - 1),
    }


def cache(memory: MemvitMemory, sequence: Tensor) -> MemvitState:
    """sequence: (S, B, T, H, W, D) of features, clips 1 to S -> what is cached behind them."""
    rows = sequence.shape[1]
    state = memory.init_state(rows, device=torch.device("cpu"), dtype=torch.float32)
    for clip, x in enumerate(sequence, start=1):
        _, state = memory.update((x,), x.mean(dim=(1, 2, 3)), state, **times(rows, clip))
    return state


def read(memory: MemvitMemory, x: Tensor, state: MemvitState, clip: int) -> Tensor:
    return memory.readers(state, **times(len(x), clip))[1](x)


def numbered(last: int) -> Tensor:
    """Clips 1 to `last` of one row, every token of a clip its number. (S, 1, 4, 3, 3, D)"""
    return torch.arange(1.0, last + 1).view(-1, 1, 1, 1, 1, 1).expand(-1, 1, 4, 3, 3, WIDTH)


def copying(**options: Any) -> MemvitMemory:
    """A cache whose compression leaves every token as it is."""
    memory = build(compression=(1, 1, 1), **options)
    for name, parameter in memory.named_parameters():
        if "compress" in name:
            nn.init.constant_(parameter, float(name.endswith("weight")))
    return memory


@pytest.mark.parametrize(
    ("last", "write_every", "older", "newest", "seconds"),
    [
        (1, 1, [0, 0], 1, [0, 0, 2]),
        (2, 1, [0, 1], 2, [0, 2, 4]),
        (3, 1, [1, 2], 3, [2, 4, 6]),
        (6, 1, [4, 5], 6, [8, 10, 12]),
        (1, 2, [0, 0], 0, [0, 0, 0]),
        (6, 2, [2, 4], 6, [4, 8, 12]),
        (7, 2, [2, 4], 6, [4, 8, 12]),
    ],
)
def test_after_clips_1_to_6_the_newest_is_6_and_the_compressed_ones_are_4_and_5(
    last: int, write_every: int, older: list[int], newest: int, seconds: list[int]
) -> None:
    state = cache(copying(write_every=write_every), numbered(last))
    [stage] = state.stages
    assert stage.newest.unique().tolist() == [newest]
    for compressed in (stage.keys, stage.values):
        assert compressed.shape == (1, 2, 36, WIDTH)
        assert [slot.unique().tolist() for slot in compressed[0]] == [[clip] for clip in older]
    assert state.slot_seconds.tolist() == [seconds]


def test_the_newest_clip_is_kept_whole_and_the_older_ones_compressed() -> None:
    memory, sequence = build(compression=(2, 3, 2)), torch.randn(5, 2, 4, 3, 3, WIDTH)
    [stage] = cache(memory, sequence).stages
    assert torch.equal(stage.newest, sequence[4])
    assert stage.keys.shape == stage.values.shape == (2, 2, 2 * 1 * 2, WIDTH)
    for slot, clip in enumerate(sequence[2:4]):
        keys, values = memory.stages[0].compress(clip)  # type: ignore[operator]
        assert torch.allclose(stage.keys[:, slot], keys, atol=1e-6)
        assert torch.allclose(stage.values[:, slot], values, atol=1e-6)
        assert not torch.allclose(keys, values, atol=0.1)


def expected_reading(memory: MemvitMemory, x: Tensor, past: list[tuple[Tensor, float]]) -> Tensor:
    """One row, (N, D), by the formula; `past` holds cached clips (T, H, W, D) and their ages."""
    stage: Any = memory.stages[0]
    reader = stage.reader
    keys, values = [reader.no_memory[:1]], [reader.no_memory[1:]]
    bias = [torch.zeros(HEADS, 1)]
    for clip, age in past:
        for compress, entries, part in (
            (stage.compress_keys, keys, slice(0, WIDTH)),
            (stage.compress_values, values, slice(WIDTH, None)),
        ):
            tokens = compress(clip.permute(3, 0, 1, 2)[None])[0].flatten(1).T  # (S, D)
            entries.append(reader.key_value(reader.norm_memory(tokens))[:, part])
        knot = math.log2(1 + age)
        low = int(knot)
        left, right = reader.age_bias[:, low], reader.age_bias[:, low + 1]
        level = left + (right - left) * (knot - low)
        bias.append(level[:, None].expand(-1, len(keys[-1])))
    q, k, v, b = (
        reader.query(reader.norm(x)),
        torch.cat(keys),
        torch.cat(values),
        torch.cat(bias, 1),
    )
    mixed = []
    for head in range(HEADS):
        part = slice(head * WIDTH // HEADS, (head + 1) * WIDTH // HEADS)
        scores = q[:, part] @ k[:, part].T / math.sqrt(WIDTH // HEADS) + b[head]
        mixed.append(scores.softmax(-1) @ v[:, part])
    return reader.gate * reader.output(torch.cat(mixed, 1))


@torch.no_grad()
@pytest.mark.parametrize("slots", [1, 2, 4])
@pytest.mark.parametrize("write_every", [1, 3])
def test_a_clip_attends_to_the_last_m_cached_clips_of_its_own_row(
    slots: int, write_every: int
) -> None:
    """Rows are written at different times; the oracle keeps lists of whole clips."""
    memory, rows = build(clips=slots, write_every=write_every), 3
    state = memory.init_state(rows, device=torch.device("cpu"), dtype=torch.float32)
    clips = torch.tensor([0, 0, 0])
    seconds = torch.tensor([0.0, 50.0, 900.0], dtype=torch.float64)
    past: list[list[tuple[Tensor, float]]] = [[], [], []]
    for step in range(14):
        now = seconds + torch.rand(rows, dtype=torch.float64) * 5
        x = torch.randn(rows, 2, 3, 2, WIDTH)
        features = torch.randn(rows, 4, 3, 3, WIDTH)
        got = memory.readers(state, seconds=now, clips=clips)[1](x)
        for row in range(rows):
            kept = [(clip, now[row].item() - then) for clip, then in past[row][-slots:]]
            wanted = expected_reading(memory, x[row].flatten(0, 2), kept)
            assert torch.allclose(got[row].flatten(0, 2), wanted, atol=1e-5)
        active = torch.tensor([True, step % 2 == 0, step > 4])
        _, new = memory.update((features,), x.mean((1, 2, 3)), state, seconds=now, clips=clips)
        for row in active.nonzero().flatten().tolist():
            if (clips[row] + 1) % write_every == 0:
                past[row].append((features[row], now[row].item()))
        [mine], [old] = new.stages, state.stages
        choose = active.view(-1, 1, 1, 1, 1)
        stage = CachedStage(
            newest=torch.where(choose, mine.newest, old.newest),
            keys=torch.where(choose[..., 0], mine.keys, old.keys),
            values=torch.where(choose[..., 0], mine.values, old.values),
        )
        state = MemvitState(
            (stage,), torch.where(active[:, None], new.slot_seconds, state.slot_seconds)
        )
        clips, seconds = clips + active, torch.where(active, now, seconds)


def test_the_first_clip_reads_the_learned_token_alone() -> None:
    memory = build()
    reader: Any = memory.stages[0].reader
    got = read(memory, torch.randn(2, 4, 3, 3, WIDTH), cache(memory, torch.randn(0, 2)), clip=1)
    expected = reader.gate * reader.output(reader.no_memory[1])
    assert torch.allclose(got, expected.expand_as(got), atol=1e-6)
    assert got.abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("written", [0, 1, 2])
def test_what_lies_in_an_empty_slot_changes_nothing_bit_for_bit(written: int) -> None:
    memory, x = build(), torch.randn(2, 4, 3, 3, WIDTH)
    state = cache(memory, torch.randn(written, 2, 4, 3, 3, WIDTH))
    [stage] = state.stages
    keys, values, newest = stage.keys.clone(), stage.values.clone(), stage.newest.clone()
    empty = 3 - written
    assert not keys[:, :empty].any()
    for older in (keys, values):
        older[:, :empty] = 1e4 * torch.randn_like(older[:, :empty])
    if not written:
        newest = 1e4 * torch.randn_like(newest)
    full = MemvitState((CachedStage(newest, keys, values),), state.slot_seconds)
    clip = written + 1
    assert torch.equal(read(memory, x, full, clip), read(memory, x, state, clip))
    assert not torch.equal(read(memory, x, full, clip + 1), read(memory, x, state, clip + 1))


def test_no_gradient_reaches_what_an_earlier_clip_saw() -> None:
    memory, sequence = build(), torch.randn(4, 1, 4, 3, 3, WIDTH, requires_grad=True)
    state = cache(memory, sequence)
    for tensor in (*vars(state.stages[0]).values(), state.slot_seconds):
        assert not tensor.requires_grad
    x = torch.randn(1, 4, 3, 3, WIDTH, requires_grad=True)
    increment = read(memory, x, state, clip=5).square().sum()
    past, present = torch.autograd.grad(increment, [sequence, x], allow_unused=True)
    assert past is None
    assert present.abs().max() > 0


def test_the_compression_learns_from_the_newest_clip_and_from_no_other() -> None:
    memory, sequence = build(), torch.randn(3, 1, 4, 3, 3, WIDTH)
    state, x = cache(memory, sequence), torch.randn(1, 4, 3, 3, WIDTH)
    stage: Any = memory.stages[0]
    weights = [stage.compress_keys.weight, stage.compress_values.weight]
    for gradient in torch.autograd.grad(read(memory, x, state, 4).square().sum(), weights):
        assert gradient.abs().max() > 0
    [kept] = state.stages
    nothing_new = MemvitState(
        (CachedStage(torch.zeros_like(kept.newest), kept.keys, kept.values),), state.slot_seconds
    )
    for gradient in torch.autograd.grad(read(memory, x, nothing_new, 4).square().sum(), weights):
        assert not gradient.any()  # the older clips' tokens were made without gradient


def test_within_three_clips_every_parameter_of_the_memory_gets_a_gradient() -> None:
    model = small_model(write_every=1)
    for name, parameter in model.named_parameters():
        if name.endswith(("gate", "age_bias")):
            nn.init.normal_(parameter)
    state = model.init_state(2)
    for clip in torch.randn(3, 2, 3, 8, 32, 32):
        logits, state = model.step(clip, state)
    nn.functional.cross_entropy(logits, torch.tensor([0, 2])).backward()
    for name, parameter in model.memory.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@torch.no_grad()
def test_older_clips_keep_their_compression_but_are_projected_anew_at_every_reading() -> None:
    memory, sequence = build(clips=2), torch.randn(2, 1, 4, 3, 3, WIDTH)
    state, x = cache(memory, sequence), torch.randn(1, 4, 3, 3, WIDTH)
    changed = deepcopy(memory)
    nn.init.normal_(changed.stages[0].compress_keys.weight)  # type: ignore[union-attr,arg-type]
    again = cache(changed, sequence)
    assert not torch.allclose(again.stages[0].keys, state.stages[0].keys, atol=1e-2)
    _, later = changed.update((sequence[0],), x.mean((1, 2, 3)), state, **times(1, 3))
    assert torch.equal(
        later.stages[0].keys,
        changed.stages[0].compress(sequence[1])[0][:, None],  # type: ignore[operator]
    )

    projected = deepcopy(memory)
    nn.init.normal_(projected.stages[0].reader.key_value.weight)  # type: ignore[union-attr,arg-type]
    assert torch.equal(cache(projected, sequence).stages[0].keys, state.stages[0].keys)
    assert not torch.allclose(read(projected, x, state, 3), read(memory, x, state, 3), atol=1e-3)


@pytest.mark.parametrize("shape", [(4, 3, 3), (16, 6, 9), (3, 1, 2)])
def test_tokens_of_any_grid_are_brought_to_the_caches(shape: tuple[int, ...]) -> None:
    memory, x = build(), torch.randn(2, *shape, WIDTH)
    [stage] = cache(memory, x[None]).stages
    assert stage.newest.shape == (2, 4, 3, 3, WIDTH)
    if shape[0] % 4 == shape[1] % 3 == shape[2] % 3 == 0:
        cells = x.unflatten(3, (3, -1)).unflatten(2, (3, -1)).unflatten(1, (4, -1))
        assert torch.allclose(stage.newest, cells.mean(dim=(2, 4, 6)), atol=1e-6)


def test_no_token_of_the_default_grid_is_left_out_by_the_compression() -> None:
    stage: Any = build(grid=(4, 7, 7)).stages[0]
    newest = torch.randn(1, 4, 7, 7, WIDTH, requires_grad=True)
    for tokens in stage.compress(newest):
        assert tokens.shape == (1, 2 * 4 * 4, WIDTH)
        [gradient] = torch.autograd.grad(tokens.square().sum(), newest)
        assert (gradient != 0).all()


def test_the_compression_is_depthwise_and_knows_where_a_token_lies() -> None:
    stage: Any = build(grid=(4, 4, 4)).stages[0]
    newest = torch.randn(1, 4, 4, 4, WIDTH)
    touched = newest.clone()
    touched[0, 3, 3, 3, 5] += 1.0
    for before, after in zip(stage.compress(newest), stage.compress(touched), strict=True):
        changed = (before != after)[0]  # (S, D)
        assert changed.any(dim=0).nonzero().flatten().tolist() == [5]
        assert changed.any(dim=1).nonzero().flatten().tolist() == [7]  # the last of 2 x 2 x 2


@torch.no_grad()
def test_the_embedding_is_the_backbones_own() -> None:
    memory, pooled = build(), torch.randn(2, WIDTH)
    state = cache(memory, torch.randn(3, 2, 4, 3, 3, WIDTH))
    embedding, _ = memory.update((torch.randn(2, 4, 3, 3, WIDTH),), pooled, state, **times(2, 4))
    assert embedding is pooled


def small_model(**options: Any) -> StreamClassifier:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"grid": (4, 2, 2), "head_dim": 8} | options
    return create_model(
        "swin3d_nano",
        num_classes=3,
        memory="memvit",
        clip_frames=8,
        stride_frames=2,
        height=32,
        width=32,
        **arguments,
    ).eval()


def test_swin_t_caches_1198096_bytes_a_stream_by_default() -> None:
    with torch.device("meta"):
        model = create_model("swin3d_t", num_classes=4, memory="memvit")
        facts = describe_model(model, torch.empty(1, 3, 32, 224, 224))
    # 196 whole tokens, and 32 for the keys and 32 for the values of one clip more; two clocks.
    tokens = (196 + 32 + 32) * (384 + 768)
    memory = model.init_state(1).memory.nbytes
    assert memory == tokens * 4 + 2 * 8 == 1_198_096
    assert facts.state_bytes - memory == facts.state_bytes_bfloat16 - (tokens * 2 + 2 * 8)
    assert facts.memory_seconds == 2 * 4 * 2.0


def test_options_that_went_through_json_build_the_same_model(tmp_path: Path) -> None:
    model = small_model(stages=[4], grid=[4, 2, 2], compression=[2, 1, 1], clips=3)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    states = [model.init_state(1), again.init_state(1)]
    for clip in torch.randn(6, 1, 3, 8, 32, 32):
        with torch.no_grad():
            logits, states[0] = model.step(clip, states[0])
            theirs, states[1] = again.step(clip, states[1])
        assert torch.equal(logits, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (5,)}, "stages must lie in 1..4, got (5,)"),
        ({"stages": ()}, "stages must lie in 1..4, got ()"),
        ({"clips": 0}, "clips and write_every must be at least 1, got 0 and 4"),
        ({"write_every": 0}, "clips and write_every must be at least 1, got 2 and 0"),
        ({"grid": (4, 7)}, "grid must be three numbers of at least 1"),
        ({"grid": (4, 0, 7)}, "for time, height and width, got (4, 0, 7)"),
        ({"compression": (2, 2, 0)}, "compression must be three numbers of at least 1"),
        ({"head_dim": 7}, "head_dim must divide the features of stage 3, got 7 and 96"),
        ({"head_dim": 0}, "head_dim must divide the features of stage 3, got 0 and 96"),
    ],
)
def test_options_that_cannot_work_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    class Backbone:
        stage_dims, embedding_dim = (24, 48, 96, 192), 192

    with pytest.raises(OptionError) as caught:
        memvit(Backbone(), **options)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
