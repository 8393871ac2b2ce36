"""Training on features seen once, and the small things that grew around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from training_noise import flashes

from vigilia.backbones import Swin3D
from vigilia.errors import OptionError
from vigilia.preprocessing import Preprocessing
from vigilia.stream import StreamClassifier, create_model, resampled
from vigilia.training import Recording, TrainOptions
from vigilia.training.entrance import calibrate_memory
from vigilia.training.features import train_on_features
from vigilia.training.seeing import see_recording


def tiny() -> StreamClassifier:
    torch.manual_seed(0)
    return create_model(
        "swin3d_nano",
        classes=["dark", "bright"],
        clip_frames=4,
        stride_frames=2,
        height=16,
        width=16,
        stages=(3,),
        slots=3,
        summary_tokens=2,
        feedback_tokens=2,
        write_every=1,
    )


def recording(seed: int, clips: int = 24) -> Recording:
    return flashes(seed, clips, every=6)


def test_what_is_seen_is_what_the_backbone_says_of_each_clip() -> None:
    model, one = tiny().eval(), recording(1)
    seen = see_recording(model, one, batch=5)
    frames = torch.from_numpy(one.frames[one.clips[7]])[None]
    with torch.no_grad():
        features = model.backbone(model.preprocessing.to_clip(frames))
        pooled = model.backbone.pool(features)
    assert torch.allclose(seen.pooled[7], pooled[0], atol=1e-5)
    assert torch.allclose(seen.features[2][7].float(), features[2][0], atol=1e-2)
    assert seen.features[0].shape[1:].numel() == 0  # not used, not kept


def test_calibrated_norms_give_every_feature_the_same_spread() -> None:
    model = tiny()
    seen = [see_recording(model, recording(seed)) for seed in range(6)]
    calibrate_memory(model, seen)
    norm = model.memory.stages[0].feedback.norm_summary  # type: ignore[union-attr,index]
    pooled = torch.cat([one.pooled[::7] for one in seen[::3]])
    spread = norm(pooled).std(dim=0)
    moving = spread > 0.5  # a feature that never changes stays as it is
    assert moving.float().mean() > 0.5
    assert torch.allclose(spread[moving], torch.ones(int(moving.sum())), atol=0.2)


def test_memory_learns_what_no_single_clip_shows_and_the_backbone_stays() -> None:
    model = tiny()
    seen = [see_recording(model, recording(seed)) for seed in range(12)]
    calibrate_memory(model, seen)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    losses: list[float] = []
    train_on_features(
        model,
        seen,
        options=TrainOptions(rows=8, chunk_clips=12, learning_rate=5e-3, balance=0.0),
        updates=120,
        on_update=lambda update, loss: losses.append(loss),
    )
    # Half of the clips before the first flash of a stretch cannot be known; the rest can.
    assert np.mean(losses[-20:]) < 0.45 < 0.55 < np.mean(losses[:5])
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_stretches_longer_than_every_recording_are_refused() -> None:
    model = tiny()
    seen = [see_recording(model, recording(0))]
    with pytest.raises(OptionError, match="no recording has 99 clips"):
        train_on_features(model, seen, options=TrainOptions(chunk_clips=99), updates=1)


def test_a_dimmed_background_keeps_what_moves() -> None:
    frames = torch.full((1, 4, 8, 8, 3), 100, dtype=torch.uint8)
    frames[0, 2, 3, 3] = 200
    kept = Preprocessing(height=8, width=8).to_clip(frames)
    dimmed = Preprocessing(height=8, width=8, background=0.25).to_clip(frames)
    mean = kept.mean(dim=2, keepdim=True)
    assert torch.allclose(dimmed, kept - 0.75 * mean, atol=1e-6)
    assert torch.allclose(dimmed.diff(dim=2), kept.diff(dim=2), atol=1e-6)
    with pytest.raises(OptionError, match="background"):
        Preprocessing(background=1.5)


def test_pooling_every_stage_finds_one_token_among_many() -> None:
    torch.manual_seed(0)
    backbone = Swin3D(embed_dim=8, depths=(1, 1), num_heads=(1, 2), pools_stages=True).eval()
    features = (torch.randn(1, 2, 4, 4, 8), torch.randn(1, 2, 2, 2, 16))
    changed = features[0].clone()
    changed[0, 1, 2, 3] = torch.tensor([50.0, 0, 0, 0, 0, 0, 0, 0])
    assert backbone.pool(features).shape == (1, backbone.embedding_dim) == (1, 24)
    difference = backbone.pool((changed, features[1])) - backbone.pool(features)
    assert difference[:, :8].abs().max() > 0.1
    assert torch.equal(difference[:, 8:], torch.zeros(1, 16))


def test_a_resampled_model_shares_its_weights_and_leaves_the_first_alone() -> None:
    model = tiny()
    other = resampled(model, fps=2.0, stride_frames=1)
    assert (other.preprocessing.fps, other.stride_frames) == (2.0, 1)
    assert (model.preprocessing.fps, model.stride_frames) == (4.0, 2)
    assert other.head.weight is model.head.weight
    state = other.init_state(1)
    _, state = other.step(torch.randn(1, 3, 4, 16, 16), state)
    assert state.seconds.tolist() == [0.5]  # one new frame at two frames a second
    with pytest.raises(OptionError, match="stride_frames"):
        resampled(model, stride_frames=5)
