"""Space-time transformers on clips: shapes, readers, positions, bad input, token selection."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES
from vigilia.backbones.space_time import (
    SPACE_TIME_NANO,
    FactorisedEncoder,
    SpaceTime,
    attention_macs,
    make_schemes,
)
from vigilia.backbones.token_selection import TokenSelection
from vigilia.errors import OptionError
from vigilia.layers.flops import count_flops
from vigilia.layers.grouping import Grouping, group, grouping_mask, ungroup
from vigilia.layers.positions import resize_positions
from vigilia.layers.selection import choose_tokens, gather_tokens, scatter_tokens

TINY = {"dim": 16, "depth": 4, "heads": 4, "tubelet": (2, 4, 4)}
SIZE = {"frames": 8, "height": 16, "width": 16}
SELECTABLE = [name for name, scheme in make_schemes().items() if scheme.choice]
ON_CLIPS = [name for name in SPACE_TIME_NANO if "causal" not in name]


def tiny(attention: str, **options: object) -> SpaceTime:
    torch.manual_seed(0)
    model = SpaceTime(attention=attention, places=4, features=8, **{**TINY, **SIZE, **options})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return model.eval()


def tiny_factorised(**options: object) -> FactorisedEncoder:
    sizes = {**TINY, **SIZE, "depth": 3, "temporal_depth": 1}
    return FactorisedEncoder(**{**sizes, **options}).eval()


@pytest.mark.parametrize("attention", make_schemes())
def test_stages_keep_the_grid_and_odd_sizes_are_padded(attention: str) -> None:
    model = tiny(attention)
    features = model(torch.randn(2, 3, 9, 18, 11))
    assert [x.shape for x in features] == [(2, 5, 5, 3, 16)] * 4
    assert model.stage_dims == (16, 16, 16, 16)
    assert model.pool(features).shape == (2, 16)
    assert model.pool(features).isfinite().all()


def test_zeros_fill_up_the_last_tubelets() -> None:
    model, clip = tiny("joint"), torch.randn(1, 3, 7, 14, 16)
    padded = torch.zeros(1, 3, 8, 16, 16)
    padded[:, :, :7, :14] = clip
    assert all(torch.equal(a, b) for a, b in zip(model(clip), model(padded), strict=True))


@pytest.mark.parametrize(
    ("attention", "rows"), [("joint", 1), ("space", 4), ("divided", 1), ("block_local", 1)]
)
def test_a_class_token_is_one_more_stage(attention: str, rows: int) -> None:
    model = tiny(attention, class_token=True)
    features = model(torch.randn(2, 3, 8, 16, 16))
    assert model.stage_dims == (16,) * 5
    assert features[4].shape == (2, rows, 1, 1, 16)
    expected = model.norm(features[4].mean(dim=(1, 2, 3)))
    torch.testing.assert_close(model.pool(features), expected)


@pytest.mark.parametrize("class_token", [False, True])
def test_the_factorised_encoder_ends_with_one_token_a_time(class_token: bool) -> None:
    model = tiny_factorised(class_token=class_token)
    features = model(torch.randn(2, 3, 10, 16, 12))
    shapes = [tuple(x.shape[1:4]) for x in features]
    assert shapes == [(5, 4, 3)] * 3 + [(5, 1, 1)] + [(1, 1, 1)] * class_token
    assert model.pool(features).shape == (2, 16)


def build(name: str) -> nn.Module:
    if name == "factorised_encoder":
        return tiny_factorised()
    if name == "selected":
        return tiny("divided", keep=0.5)
    return tiny(name)


@pytest.mark.parametrize("name", ["joint", "divided", "factorised_encoder", "selected"])
def test_a_reader_is_called_once_with_the_whole_grid_and_matters_from_then_on(name: str) -> None:
    model, clip = build(name), torch.randn(2, 3, 8, 16, 16)
    plain, calls = model(clip), []

    def reader(x: Tensor) -> Tensor:
        calls.append(tuple(x.shape))
        return torch.ones_like(x)

    read = model(clip, {3: reader})
    assert calls == [(2, 4, 4, 4, 16)]
    same = [torch.equal(a, b) for a, b in zip(plain, read, strict=True)]
    assert same == [True, True, False, False]
    unread = model(clip, {3: torch.zeros_like})
    assert all(torch.equal(a, b) for a, b in zip(plain, unread, strict=True))


def test_a_reader_reads_between_attention_and_mlp_of_the_last_block() -> None:
    model, clip = tiny("joint", depth=8), torch.randn(1, 3, 8, 16, 16)
    seen: list[Tensor] = []
    features = model(clip, {1: lambda x: (seen.append(x), x * 0.5)[1]})
    first, last = model.stages[0]
    x, _ = first(model.positions(model.tubelets(clip)))
    x = x + last.steps[0](x, None)[0]
    torch.testing.assert_close(seen[0], x)
    x = x * 1.5
    torch.testing.assert_close(features[0], x + last.mlp(last.norm(x)))


@pytest.mark.parametrize("model", ["joint", "factorised_encoder"])
def test_a_reader_of_the_class_token_reads_for_it(model: str) -> None:
    backbone = tiny_factorised if model == "factorised_encoder" else (lambda **o: tiny(model, **o))
    net, clip = backbone(class_token=True), torch.randn(2, 3, 8, 16, 16)
    plain, read = net(clip), net(clip, {5: torch.ones_like})
    assert all(torch.equal(a, b) for a, b in zip(plain[:4], read[:4], strict=True))
    assert not torch.allclose(plain[4], read[4])


@pytest.mark.parametrize("attention", ["divided", "performer"])
def test_rows_of_a_batch_do_not_mix(attention: str) -> None:
    model, clip = tiny(attention), torch.randn(3, 3, 8, 16, 16)
    other = clip.clone()
    other[1] = torch.randn_like(other[1])
    for a, b in zip(model(clip), model(other), strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[2], b[2])
        assert not torch.allclose(a[1], b[1])


@pytest.mark.parametrize("attention", ["divided", "block_local"])
def test_recomputing_activations_changes_nothing(attention: str) -> None:
    clip, gradients = torch.randn(1, 3, 8, 16, 16), []
    for recompute in (False, True):
        model = tiny(attention, checkpoint_activations=recompute).train()
        model.pool(model(clip, {2: lambda x: x})).sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_stochastic_depth_rises_to_the_rate_that_was_asked_for() -> None:
    rates = [stage[0].drop_path.probability for stage in tiny("joint", drop_path=0.3).stages]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", ON_CLIPS)
def test_every_parameter_of_a_small_model_learns(name: str) -> None:
    model = BACKBONES[name]().train()
    model.pool(model(torch.randn(2, 3, 8, 24, 24))).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


def test_positions_of_another_grid_are_linear_between_the_learned_ones() -> None:
    positions = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(4, 1, 1, 1)
    assert resize_positions(positions, (4, 1, 1)) is positions
    assert resize_positions(positions, (2, 1, 1)).flatten().tolist() == [1.0, 5.0]
    wide = resize_positions(positions, (8, 2, 1))
    assert wide.shape == (8, 2, 1, 1)
    assert wide[:, 0].flatten().tolist() == pytest.approx([0, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6])


def test_time_and_place_of_a_token_matter() -> None:
    model, clip = tiny("divided"), torch.randn(1, 3, 8, 16, 16)
    x = model.positions(model.tubelets(clip)) - model.tubelets(clip)
    assert (x[0, 0] - x[0, 1]).abs().min() > 0
    torch.testing.assert_close(
        x[0, :, 0, 0] - x[0, :, 1, 1], (x[0, :1, 0, 0] - x[0, :1, 1, 1]).expand(4, -1)
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attention": "sideways"}, "no attention named 'sideways'; there are joint, space"),
        ({"attention": "axial", "class_token": True}, "no class token"),
        ({"attention": "axial", "keep": 0.5}, "needs all tokens"),
        ({"attention": "joint", "keep": 0.5, "class_token": True}, "pool by the mean"),
        ({"attention": "joint", "keep": 0.0}, r"keep must lie in \(0, 1\]"),
        ({"attention": "joint", "depth": 6}, "multiple of the 4 stages, got 6"),
        ({"attention": "joint", "heads": 3}, "heads must divide dim 16"),
        ({"attention": "factorised_dot", "heads": 1}, "divide into 2"),
        ({"attention": "strided", "block_frames": 0}, "block_frames must be at least 1"),
    ],
)
def test_options_that_cannot_work_are_one_clear_line(options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=named) as caught:
        SpaceTime(**{**TINY, **SIZE, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "named"),
    [
        ((1, 8, 3, 16, 16), "frames first"),
        ((1, 4, 8, 16, 16), r"\(B, C=3, T, H, W\)"),
        ((1, 3, 16, 16), r"\(B, C=3, T, H, W\)"),
        ((1, 3, 0, 16, 16), r"\(B, C=3, T, H, W\)"),
    ],
)
@pytest.mark.parametrize("model", ["divided", "factorised_encoder"])
def test_a_clip_of_another_layout_is_refused(model: str, shape: tuple, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        build(model)(torch.randn(shape))
    with pytest.raises(OptionError, match=r"readers name stages \[7\]"):
        build(model)(torch.randn(1, 3, 8, 16, 16), {7: torch.zeros_like})


def test_groups_are_boxes_or_the_places_of_boxes() -> None:
    x = torch.arange(8.0).view(1, 2, 2, 2, 1)  # t, h, w are the bits 4, 2, 1
    rows = Grouping((1, 1, "whole"))
    assert group(x, rows)[0, :, :, 0].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    times = Grouping((1, "whole", "whole"), across=True)
    assert group(x, times)[0, :, :, 0].tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert grouping_mask(rows, (2, 2, 2), x.device) is None


@pytest.mark.parametrize("across", [False, True])
def test_grouping_comes_back_also_from_a_padded_grid(across: bool) -> None:
    x, grouping = torch.randn(2, 3, 5, 4, 6), Grouping((2, "half", 3), across)
    groups = group(x, grouping)
    assert torch.equal(ungroup(groups, grouping, (3, 5, 4)), x)
    real = grouping_mask(grouping, (3, 5, 4), x.device)
    assert real is not None
    assert int(real.sum()) == 60
    assert groups[:, ~real].abs().sum() == 0


def test_the_best_tokens_are_chosen_anywhere_by_frame_or_by_place() -> None:
    scores = torch.tensor([[[[0.0, 5.0, 1.0]], [[4.0, 3.0, 6.0]]]])  # (B=1, T=2, H=1, W=3)
    assert choose_tokens(scores, 3, "tokens").tolist() == [[[1, 3, 5]]]
    assert choose_tokens(scores, 1, "frames").tolist() == [[[1], [5]]]
    assert choose_tokens(scores, 1, "tubes").tolist() == [[[1], [4]]]  # 4.0 on average


def test_chosen_tokens_return_to_their_places_and_others_stay() -> None:
    x, chosen = torch.randn(2, 2, 2, 3, 4), torch.tensor([[[0, 5], [6, 9]], [[1, 2], [7, 8]]])
    kept = gather_tokens(x, chosen)
    assert torch.equal(kept[1, 1, 0, 0], x[1, 1, 0, 1])
    assert torch.equal(scatter_tokens(x, chosen, kept), x)
    moved = scatter_tokens(x, chosen, kept + 1) - x
    assert moved.flatten(1, 3)[0, :, 0].round().nonzero().flatten().tolist() == [0, 5, 6, 9]


def test_later_stages_choose_among_what_earlier_ones_kept() -> None:
    x = torch.randn(2, 3, 2, 4, 8)
    first, second = TokenSelection(8, 0.5, "tubes"), TokenSelection(8, 0.25, "tubes")
    chosen, gates = first(x)
    assert chosen.shape == (2, 3, 4)
    assert gates.shape == (2, 3, 1, 4, 1)
    assert gates.min() > 0
    assert gates.max() < 2
    among, _ = second(x, chosen)
    for row in range(2):
        assert set(among[row].flatten().tolist()) <= set(chosen[row].flatten().tolist())


@pytest.mark.parametrize("attention", SELECTABLE)
def test_tokens_that_are_not_kept_wait_and_the_score_learns(attention: str) -> None:
    model = tiny(attention, keep=0.5)
    features = model(torch.randn(2, 3, 8, 16, 16))
    for number, share in enumerate((0.5, 0.25, 0.125), start=1):
        moved = (features[number] != features[number - 1]).any(dim=-1).flatten(1).sum(dim=1)
        assert moved.tolist() == [64 * share] * 2
    model.pool(features).square().sum().backward()
    for name, parameter in model.selections.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_what_selection_saves_is_counted() -> None:
    """16 x 4 x 4 tokens of 16 features: stages of 256, 128, 64 and 32 tokens."""
    clip, counted = torch.randn(1, 3, 32, 16, 16), []
    for keep in (1.0, 0.5):
        model = tiny("joint", frames=32, keep=keep)
        with torch.inference_mode():
            counted.append(count_flops(lambda model=model: model(clip)) // 2)

    def block(tokens: int) -> int:
        return attention_macs("joint", (1, 1, tokens), 16) + 8 * tokens * 16**2

    scores = 3 * 256 * 16
    saved = 4 * block(256) - sum(map(block, (256, 128, 64, 32))) - scores
    assert counted[0] - counted[1] == saved
    assert counted[1] < 0.45 * counted[0]
