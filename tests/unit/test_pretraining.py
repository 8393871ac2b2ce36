"""Pre-training: nothing hidden is seen, what is alike is near, and a kill costs nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_noise import FRAMES, SIZE, STRIDE, Killed, recording, same, weights_of

from vigilia.backbones import BACKBONES, NANO
from vigilia.errors import CheckpointError, InputError, OptionError
from vigilia.pretraining import METHODS, PretrainOptions, pretrain_model, why_not
from vigilia.pretraining.contrastive import ContrastivePairs, different, pair_loss
from vigilia.pretraining.cubes import cut_cubes, divide, draw_tubes, hide_tubes, place_of_cubes
from vigilia.pretraining.draws import draw_clips, draw_pairs, frames_of, make_pool
from vigilia.pretraining.looks import look_at
from vigilia.pretraining.masked import MaskedAutoencoder
from vigilia.pretraining.which import ask_what, takes_tubes
from vigilia.spiking import SPIKING_SIZES
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import Recording

SMALL = {"decoder_dim": 24, "decoder_depth": 1, "targets": 12}
UNTAUGHT = ("backbone.norm.", "backbone.fast_norm.", "backbone.sound.", "backbone.ask.")
"""What stands behind the tokens, in the pooling, or waits for sound, is not taught by pixels."""
TUBES = [name for name in NANO if takes_tubes(BACKBONES[name]())]


def model_of(name: str, frames: int = 8, pixels: int = 32) -> StreamClassifier:
    torch.manual_seed(0)
    streams = create_model(name, num_classes=1, memory="none").streams
    many = {} if streams else {"clip_frames": frames, "stride_frames": 4}
    return create_model(name, num_classes=1, memory="none", height=pixels, width=pixels, **many)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tiny() -> StreamClassifier:
    torch.manual_seed(3)
    return create_model(
        "swin3d_nano",
        num_classes=1,
        memory="none",
        clip_frames=FRAMES,
        stride_frames=STRIDE,
        height=SIZE,
        width=SIZE,
    )


THREE = [recording(f"{seed}.mp4", 9 + seed, seed) for seed in range(3)]


def test_a_clip_is_cut_into_cubes_by_hand() -> None:
    # 2 frames of 2 x 4 pixels, cubes of 1 frame and 2 x 2: two times, two squares.
    clip = torch.arange(2 * 2 * 4).view(1, 1, 2, 2, 4).float().expand(1, 3, 2, 2, 4)
    cubes = divide(2, 2, 4, cube_frames=1, side=2)
    cut = cut_cubes(clip, cubes)
    assert cut.shape == (1, 2, 2, 12)
    assert cut[0, 0, 0].view(4, 3)[:, 0].tolist() == [0, 1, 4, 5]
    assert cut[0, 0, 1].view(4, 3)[:, 0].tolist() == [2, 3, 6, 7]
    assert cut[0, 1, 1].view(4, 3)[:, 2].tolist() == [10, 11, 14, 15]
    places = place_of_cubes(cubes)
    assert places[0].tolist() == [[0.25, 0.5, 0.25], [0.25, 0.5, 0.75]]


@pytest.mark.parametrize(
    ("height", "width", "side"),
    [(64, 64, 8), (224, 224, 28), (32, 32, 4), (100, 100, 10), (48, 64, 4)],
)
def test_a_square_is_about_an_eighth_of_the_picture_and_fills_it(
    height: int, width: int, side: int
) -> None:
    cubes = divide(7, height, width, cube_frames=2)
    assert cubes.side == side
    assert (cubes.rows * side, cubes.columns * side) == (height, width)
    assert (cubes.frames, cubes.times) == (1, 7)  # an odd clip has no pairs of frames


def test_pictures_that_do_not_divide_are_refused() -> None:
    with pytest.raises(OptionError, match="does not divide into squares of 4 pixels"):
        divide(8, 97, 97, cube_frames=2)
    with pytest.raises(OptionError, match="must divide 64 x 64 pixels, got 7; 4, 8, 16, 32, 64 do"):
        divide(8, 64, 64, cube_frames=2, side=7)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.75, 0.999])
def test_tubes_hide_as_many_squares_in_every_clip_and_the_same_in_every_frame(share: float) -> None:
    cubes = divide(4, 32, 32, cube_frames=2)
    torch.manual_seed(1)
    hidden = draw_tubes(cubes, share, 5)
    count = min(max(1, round(share * 64)), 63)
    assert hidden.sum(dim=1).tolist() == [count] * 5
    clip = noise(5, 3, 4, 32, 32)
    covered = hide_tubes(clip, hidden, torch.tensor([9.0, 8.0, 7.0]), cubes)
    changed = (covered != clip)[:, 0]  # (B, T, H, W)
    assert (changed == changed[:, :1]).all()
    assert changed[:, 0].sum(dim=(1, 2)).tolist() == [count * 16] * 5
    assert set(covered[changed[:, None].expand_as(covered)].tolist()) == {7.0, 8.0, 9.0}
    if 0.4 < share < 0.8:
        assert not torch.equal(hidden[0], hidden[1])


@pytest.mark.parametrize("name", ["timesformer_joint_nano", "conv3d_nano", "swin3d_nano"])
@torch.no_grad()
def test_the_backbone_never_sees_a_hidden_pixel(name: str) -> None:
    """Not one bit of what it makes depends on them, and all of it on the visible ones."""
    pretext = MaskedAutoencoder(model_of(name), PretrainOptions(**SMALL), frames=8).eval()
    assert pretext.visible_only == (name == "timesformer_joint_nano")
    clip, cubes = noise(2, 3, 8, 32, 32), pretext.cubes
    torch.manual_seed(0)
    hidden = draw_tubes(cubes, 0.5, 2)
    other = hide_tubes(clip, hidden, torch.tensor([5.0, -5.0, 0.0]), cubes)
    seen, _ = pretext.encode(clip, hidden)
    blind, _ = pretext.encode(other, hidden)
    assert all(torch.equal(a, b) for a, b in zip(seen, blind, strict=True))
    moved, _ = pretext.encode(hide_tubes(clip, ~hidden, torch.zeros(3), cubes), hidden)
    assert not any(torch.allclose(a, b) for a, b in zip(seen, moved, strict=True))
    # But the loss is about them.
    losses = []
    for shown in (clip, other):
        torch.manual_seed(1)
        losses.append(float(pretext.loss(shown, hidden)))
    assert losses[0] != losses[1]


@pytest.mark.parametrize("name", TUBES)
@torch.no_grad()
def test_all_places_in_one_row_are_encoded_like_the_picture(name: str) -> None:
    """Leaving patches out is then only a matter of which come along."""
    backbone: Any = model_of(name).backbone.eval()
    x = backbone.embed(noise(2, 3, 8, 32, 32))
    whole = backbone.encode(x)
    row = backbone.encode(x.flatten(2, 3)[:, :, None])
    for one, other in zip(whole, row, strict=True):
        assert torch.allclose(one.flatten(2, 3), other.flatten(2, 3), atol=1e-5)


def test_who_encodes_the_visible_alone() -> None:
    whole = {"axial", "linformer", "local_global"}  # these need the whole picture
    schemes = {name.removesuffix("_nano").split("_", 1)[1] for name in TUBES}
    assert not schemes & whole
    assert {"timesformer_joint_nano", "vivit_factorised_encoder_nano"} <= set(TUBES)
    assert not takes_tubes(BACKBONES["swin3d_nano"]())


@pytest.mark.parametrize("name", NANO)
def test_every_backbone_learns_by_either_method(name: str) -> None:
    """Every weight that the tokens come from gets a gradient."""
    assert why_not(name) is None
    model = model_of(name, frames=16 if name in ("i3d_nano", "s3d_nano") else 8, pixels=64)
    frames = model.clip_frames * (2 if model.streams else 1)  # what is kept is used in the next
    masked = MaskedAutoencoder(model, PretrainOptions(**SMALL), frames=frames).train()
    loss, _ = masked(noise(2, 3, frames, 64, 64))
    loss.backward()
    left = _without_gradient(masked)
    assert not [one for one in left if not one.startswith(UNTAUGHT)]
    model.zero_grad(set_to_none=True)
    pairs = ContrastivePairs(model, PretrainOptions(method="contrastive")).train()
    clips = noise(4, 3, frames, 64, 64)
    loss, figures = pairs(clips, torch.tensor([0, 1, 0, 1]), torch.zeros(4))
    loss.backward()
    assert set(figures) == {"loss", "found"}
    left = _without_gradient(pairs)
    assert not [one for one in left if not one.startswith(("backbone.sound.", "backbone.ask."))]


def _without_gradient(module: torch.nn.Module) -> list[str]:
    return [
        name
        for name, parameter in module.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum() > 0
    ]


def test_both_pathways_are_asked_and_a_stage_without_places_brings_the_one_before() -> None:
    assert ask_what(model_of("slowfast_nano", pixels=64), 8).stages == (4, 5)
    assert ask_what(model_of("conv3d_nano", pixels=64), 8).stages == (4,)
    # At 64 pixels the last stage of Swin is one cell.
    assert ask_what(model_of("swin3d_nano", pixels=64), 8).stages == (3, 4)


@pytest.mark.parametrize("name", SPIKING_SIZES)
def test_models_of_events_are_refused_with_the_reason(name: str) -> None:
    assert "events" in str(why_not(name))
    assert "no backbone named" in str(why_not("nonsense"))


def test_the_loss_of_pairs_by_hand() -> None:
    # Two recordings; partners are equal, the others orthogonal: exp(1/t) against one exp(0) each.
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    apart = different(torch.tensor([0, 1, 0, 1]), torch.zeros(4))
    loss, found = pair_loss(z, apart, temperature=1.0)
    assert float(loss) == pytest.approx(np.log(1 + 2 * np.exp(-1)))
    assert found == 1.0
    # Partners that are orthogonal, others that are equal: never found.
    _, found = pair_loss(z[[0, 1, 1, 0]], apart, temperature=1.0)
    assert found == 0.0


def test_other_clips_of_one_recording_are_neither_alike_nor_different() -> None:
    z = torch.nn.functional.normalize(noise(6, 4), dim=1)
    recordings, seconds = torch.tensor([0, 0, 1] * 2), torch.tensor([0.0, 100, 0, 4, 104, 4])
    apart = different(recordings, seconds)
    before, _ = pair_loss(z, apart, temperature=0.5)
    moved = z.clone()
    moved[[1, 4]] = moved[[4, 1]]  # pairs exchange places within a recording: partners stay
    after, _ = pair_loss(moved, apart, temperature=0.5)
    assert float(before) == pytest.approx(float(after))
    assert not apart[0, 1]
    far = different(recordings, seconds, far_seconds=96)
    assert far[0, 1]
    assert far[0, 4]
    assert not far[0, 3]
    assert not different(recordings, seconds, far_seconds=105)[0, 4]
    alone, found = pair_loss(z, torch.zeros(6, 6, dtype=torch.bool), temperature=0.5)
    assert (float(alone), found) == (0.0, 0.0)


def test_an_epoch_shows_every_clip_once_and_pairs_are_near_in_time() -> None:
    options = PretrainOptions(rows=5, seed=2)
    pool = make_pool(THREE, steps=1, stride_seconds=0.5, options=options)
    assert len(pool) == 30
    shown = [draw_clips(pool, update, options) for update in range(12)]
    first = [pair for one in shown[:6] for pair in zip(one.recordings, one.places, strict=True)]
    second = [pair for one in shown[6:] for pair in zip(one.recordings, one.places, strict=True)]
    assert len(set(first)) == len(set(second)) == 30
    assert first != second
    near = dataclasses.replace(options, method="contrastive", near_seconds=0.6)
    gaps = set()
    for update in range(30):
        pairs = draw_pairs(pool, update, near)
        assert (pairs.recordings[:5] == pairs.recordings[5:]).all()
        assert set(pairs.recordings.tolist()) == {0, 1, 2}
        gaps |= set(np.abs(pairs.seconds[:5] - pairs.seconds[5:]).tolist())
    assert gaps == {0.0, 0.5}
    assert frames_of(pool, pairs).shape == (10, FRAMES, SIZE, SIZE, 3)


def test_clips_of_several_steps_do_not_run_over_a_hole() -> None:
    one = THREE[2]
    ends = one.end_seconds.copy()
    ends[5:] += 60
    broken = dataclasses.replace(one, end_seconds=ends)
    pool = make_pool([broken], steps=3, stride_seconds=0.5, options=PretrainOptions())
    assert pool.starts[0].tolist() == [0, 1, 2, 5, 6, 7, 8]
    shown = draw_clips(pool, 0, PretrainOptions(rows=1))
    frames = frames_of(pool, shown)[0]
    first = pool.starts[0][shown.places[0]]
    assert np.array_equal(frames[FRAMES : 2 * FRAMES], one.frames[one.clips[first + 1]])


def test_recordings_that_cannot_teach_are_refused() -> None:
    with pytest.raises(InputError, match="no recording has 40 clips in a row"):
        make_pool(THREE, steps=40, stride_seconds=0.5, options=PretrainOptions())
    pairs = PretrainOptions(method="contrastive")
    with pytest.raises(InputError, match=r"0\.mp4: contrastive needs two recordings or more"):
        make_pool(THREE[:1], steps=1, stride_seconds=0.5, options=pairs)
    far = dataclasses.replace(pairs, near_seconds=1.0, far_seconds=2.0)
    make_pool(THREE[:1], steps=1, stride_seconds=0.5, options=far)


def test_two_clips_of_a_pair_are_changed_differently_and_always_the_same_way() -> None:
    options = PretrainOptions(method="contrastive", rows=2, seed=4)
    clip = noise(1, 3, 4, 16, 16).expand(4, -1, -1, -1, -1)
    first = look_at(clip, 7, options)
    assert torch.equal(first, look_at(clip, 7, options))
    assert not torch.equal(first, look_at(clip, 8, options))
    assert not torch.allclose(first[0], first[2])
    plain = PretrainOptions(mirror=False, zoom=0.0, brightness=0.0, colour=0.0)
    assert torch.equal(look_at(clip, 7, plain), clip)


def striped(seed: int, clips: int = 12) -> Recording:
    """Each recording has drifting stripes in a tint of its own: the visible part tells the rest."""
    random = np.random.default_rng(seed)
    one = recording(f"stripes{seed}.mp4", clips, seed)
    wave = 2 * np.pi * (np.arange(SIZE)[None] * random.uniform(0.05, 0.25))
    shift = np.arange(len(one.frames))[:, None] * random.uniform(0.2, 1.0)
    level = 128 + 80 * np.sin(wave + shift)  # (N, W)
    frames = np.repeat(level[:, None, :, None], SIZE, axis=1) * random.uniform(0.3, 1, 3)
    return dataclasses.replace(one, frames=frames.astype(np.uint8))


@pytest.mark.parametrize("method", METHODS)
def test_what_can_be_learned_is_learned(method: str) -> None:
    recordings = [striped(seed) for seed in range(8)]
    options = PretrainOptions(
        method=method, epochs=8, rows=8, side=4, mask=0.5, learning_rate=3e-3, colour=0.0, zoom=0.0
    )
    history = pretrain_model(tiny(), recordings, options=options)
    assert len(history) == 8
    if method == "mae":
        assert history[-1]["loss"] < 0.7 < history[0]["loss"]  # 1 is what knowing nothing costs
    else:
        assert history[-1]["found"] > 0.6 > history[0]["found"]  # one of 15 by chance


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_goes_on_to_the_same_bits(method: str, tmp_path: Path) -> None:
    options = PretrainOptions(method=method, epochs=2, rows=8, seed=1, **SMALL)

    def run(out: Path, kill_at: int = -1, **more: Any) -> list[dict[str, Any]]:
        def on_update(update: Any) -> None:
            if update.update == kill_at:
                raise Killed

        return pretrain_model(
            tiny(),
            THREE,
            options=options,
            out=out,
            save_every_seconds=0,
            on_update=on_update,
            **more,
        )

    straight = run(tmp_path / "straight.safetensors")
    broken = tmp_path / "broken.safetensors"
    with pytest.raises(Killed):
        run(broken, kill_at=5)
    assert not broken.exists()
    with pytest.raises(CheckpointError, match="had another options"):
        pretrain_model(tiny(), THREE, options=dataclasses.replace(options, mask=0.5), out=broken)
    assert run(broken) == straight
    assert same(weights_of(broken), weights_of(tmp_path / "straight.safetensors"))
    assert not broken.with_name("broken.safetensors.pretraining").exists()


def test_a_loss_that_is_no_number_ends_it_with_a_line() -> None:
    model = tiny()
    with torch.no_grad():
        next(model.backbone.parameters()).fill_(float("nan"))
    with pytest.raises(Exception, match="the loss is nan and its gradient nan at update 0"):
        pretrain_model(model, THREE, options=PretrainOptions(**SMALL))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"method": "guess"}, "method must be one of mae, contrastive"),
        ({"mask": 1.0}, "mask must lie between 0 and 1"),
        ({"mask": 0.0}, "mask must lie between 0 and 1"),
        ({"decoder_dim": 100}, "decoder_dim must be a multiple of 24"),
        ({"far_seconds": 5.0}, "far_seconds must be above near_seconds"),
        ({"method": "contrastive", "rows": 1}, "contrastive needs at least 2 rows"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"zoom": 1.0}, "zoom must lie in 0..1, below 1"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        PretrainOptions(**options)
