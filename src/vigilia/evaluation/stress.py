"""How little it takes to change a model's answer: perturbations in time, as a diagnostic.

A perturbation of a few grey levels that nobody sees is looked for, clip by clip, with the model's
own gradient (projected gradient descent: Madry and others, "Towards Deep Learning Models Resistant
to Adversarial Attacks", 2018), and confined in time in different ways, which tells what the answer
hangs on:

- noise: none is looked for; grey levels up or down by chance. The control.
- clip: any pixel of any frame.
- frame: of the newest frame alone (few frames suffice: Wei, Zhu, Yuan, Su, "Sparse Adversarial
  Perturbations for Videos", 2019).
- flicker: one level for each frame and colour, as of a lamp (Pony, Naeh, Mannor, "Over-the-Air
  Adversarial Flickering Attacks against Video Recognition Networks", 2021).
- past: the clip before; only memory can carry it here.

Two more change no pixel, only time: frozen shows the newest frame throughout, reversed runs the
clip backwards. A model whose answers survive these does not look at movement.

This is no defence, and no proof of anything: a search that finds nothing may have been too short.

Letters: T frames, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.stream import StreamClassifier, StreamState
from vigilia.video import Gap, open_video
from vigilia.video.clips import ClipWindow, flush, push_sample

__all__ = ["KINDS", "Stress", "perturb", "stress_recording"]

KINDS = ("noise", "clip", "frame", "flicker", "past", "frozen", "reversed")
Say = Callable[[Tensor], Tensor]
"""Frames (T, H, W, 3) from 0 to 255 -> logits (K,)."""


@dataclass(frozen=True)
class Stress:
    """How a model did under one kind of change.

    Attributes:
        kind: of `KINDS`.
        clips: that were tried.
        flipped: share of them that were named otherwise.
        confidence: mean probability of the first answer, before.
        left: the same, after.
    """

    kind: str
    clips: int
    flipped: float
    confidence: float
    left: float


def stress_recording(
    video: str | Path,
    model: StreamClassifier,
    *,
    grey_levels: float = 2.0,
    clips: int = 30,
    steps: int = 10,
    seed: int = 0,
    on_clip: Callable[[int], None] | None = None,
) -> list[Stress]:
    """Streams through a recording, and tries every kind of change on some of its clips.

    Args:
        video: file, or folder of recorder chunks.
        model: in evaluation mode.
        grey_levels: no pixel is changed by more, of 0 to 255.
        clips: how many are tried, evenly spread; fewer where there are fewer.
        steps: of the search.
        seed: of the noise.
        on_clip: called with the number of clips tried so far.

    Raises:
        VideoError: the video cannot be read.
        InputError: it has fewer than two clips.
        OptionError: a value that cannot work.
    """
    if not 0 <= grey_levels <= 255 or clips < 1 or steps < 1:
        raise OptionError(
            f"grey_levels must lie in 0..255, clips and steps be at least 1, got {grey_levels}, "
            f"{clips} and {steps}"
        )
    shown = list(_clips(video, model))
    if len(shown) < 2:
        raise InputError(f"{video}: has fewer than two clips; take a longer recording")
    count = min(clips, len(shown) - 1)
    chosen = {1 + round(n * (len(shown) - 2) / max(1, count - 1)) for n in range(count)}
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, list[tuple[bool, float, float]]] = {kind: [] for kind in KINDS}
    model.requires_grad_(False)
    before = state = model.init_state(1)
    for number, (frames, end) in enumerate(shown):
        say = _sayer(model, state, end)
        if number in chosen:
            earlier, ended = shown[number - 1]
            through = _sayer_through(model, before, ended, frames, end)
            for kind in KINDS:
                said = through if kind == "past" else say
                base = earlier if kind == "past" else frames
                found[kind].append(_try(said, base, kind, grey_levels, steps, generator))
            if on_clip is not None:
                on_clip(len(found["noise"]))
        with torch.no_grad():
            before, state = state, _step(model, frames, state, end)[1]
    model.requires_grad_(True)
    return [_summed(kind, tried) for kind, tried in found.items()]


def _try(
    say: Say, frames: Tensor, kind: str, grey_levels: float, steps: int, generator: torch.Generator
) -> tuple[bool, float, float]:
    """Whether the answer flips, and the probability of the first one before and after."""
    with torch.no_grad():
        first = say(frames)
    label = int(first.argmax())
    changed = perturb(
        say, frames, label, kind, grey_levels=grey_levels, steps=steps, generator=generator
    )
    with torch.no_grad():
        after = say(changed)
    return (
        int(after.argmax()) != label,
        float(first.softmax(dim=0)[label]),
        float(after.softmax(dim=0)[label]),
    )


def perturb(
    say: Say,
    frames: Tensor,
    label: int,
    kind: str,
    *,
    grey_levels: float,
    steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Changed frames, (T, H, W, 3) float from 0 to 255, within `grey_levels` of the old ones.

    Args:
        say: what the model says of frames; differentiable.
        frames: (T, H, W, 3) float from 0 to 255.
        label: that is to be left.
        kind: of `KINDS`; "past" is searched for like "clip".
        grey_levels: bound on every pixel; "frozen" and "reversed" do not keep to it.
        steps: of the search.
        generator: of the noise.
    """
    if kind == "frozen":
        return frames[-1:].expand_as(frames)
    if kind == "reversed":
        return frames.flip(0)
    if kind == "noise":
        signs = torch.randint(2, frames.shape, generator=generator).to(frames) * 2 - 1
        return (frames + grey_levels * signs).clamp(0, 255)
    count, _, _, colours = frames.shape
    shape = (count, 1, 1, colours) if kind == "flicker" else frames.shape
    free = torch.ones(count, 1, 1, 1).to(frames)
    if kind == "frame":
        free[:-1] = 0
    change = torch.zeros(shape).to(frames)
    rate = 2.5 * grey_levels / steps
    for _ in range(steps):
        change.requires_grad_(True)
        logits = say((frames + free * change).clamp(0, 255))
        if not logits.requires_grad:
            break  # no memory: the clip before is gone
        loss = F.cross_entropy(logits[None], torch.tensor([label], device=logits.device))
        (slope,) = torch.autograd.grad(loss, change)
        change = (change.detach() + rate * slope.sign()).clamp(-grey_levels, grey_levels)
    return (frames + free * change.detach()).clamp(0, 255)


def _step(
    model: StreamClassifier, frames: Tensor, state: StreamState, end: float
) -> tuple[Tensor, StreamState]:
    device = model.head.weight.device
    seconds = torch.tensor([end], dtype=torch.float64, device=device)
    clip = model.preprocessing.to_clip(frames[None].to(device))
    logits, after = model.step(clip, state, seconds=seconds)
    return logits[0], after


def _sayer(model: StreamClassifier, state: StreamState, end: float) -> Say:
    return lambda frames: _step(model, frames, state, end)[0]


def _sayer_through(
    model: StreamClassifier, state: StreamState, ended: float, now: Tensor, end: float
) -> Say:
    """What is said of the clip now, as a function of the one before it."""
    return lambda frames: _step(model, now, _step(model, frames, state, ended)[1], end)[0]


def _clips(video: str | Path, model: StreamClassifier) -> Iterator[tuple[Tensor, float]]:
    """(T, H, W, 3) float, and when each ends."""
    how = model.preprocessing
    window = ClipWindow(
        clip_frames=how.clip_frames,
        stride_frames=how.stride_frames,
        interval_seconds=1 / how.fps,
    )
    with open_video(video, width=how.width, height=how.height) as reader:
        for item in reader.samples(fps=how.fps):
            if isinstance(item, Gap):
                window, clip = flush(window)
            else:
                window, clip = push_sample(window, item)
            if clip is not None:
                yield torch.from_numpy(clip.frames).float(), clip.end_seconds


def _summed(kind: str, tried: list[tuple[bool, float, float]]) -> Stress:
    flipped, before, after = (
        sum(float(one[index]) for one in tried) / len(tried) for index in range(3)
    )
    return Stress(kind, len(tried), flipped, before, after)
