"""Draws the clips of a benchmark stream as small colour video.

A stream has a textured grey background and a soft grey patch, both at a fixed place, under an
irregular light whose strength and tint flicker. In every clip a soft grey blob drifts by; it means
nothing. A clip with a symbol also shows its sprite for 3 to 6 of the 8 frames, somewhere, moving.
The camera adds fresh noise to every pixel.

Every clip has its own random numbers, from (seed, index of the clip), drawn in the same order
whatever it shows: any part of a stream renders to the same pixels on its own, and the pixels of a
clip depend on its symbol and level alone, not on labels or on other clips.

Letters: n clips, T frames, H W pixels.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import FRAMED, frame_mask, sprite_colour, sprite_mask
from vigilia.bench.streams import CLIP_FRAMES, Stream
from vigilia.errors import OptionError

__all__ = ["render_clips"]

Floats = NDArray[np.float32]

BLOCK = 16
NOISE_LEVELS = 10.0
# A byte of chance -> normally distributed noise in grey levels.
NOISE = np.array(
    [NOISE_LEVELS * NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)], np.float32
)
LIGHT = 0.08
TINT = 0.06
WHITE = (250, 250, 250)
MIN_SIZE = 24
PARAMETERS = 16


def render_clips(
    stream: Stream,
    *,
    frames: int = CLIP_FRAMES,
    size: int = 32,
    seed: int,
    start: int = 0,
    stop: int | None = None,
) -> NDArray[np.uint8]:
    """Renders clips `start` to `stop` (excluded) of a stream.

    Args:
        stream: what is shown.
        frames: T, frames a clip, 4 or more.
        size: H and W in pixels, 24 or more; everything scales with it, sprites measure 9 to 12
            pixels at 32.
        seed: of the background and of everything drawn by chance, 0 or more. Give every stream
            its own.
        start: first clip.
        stop: first clip not rendered; None for the end.

    Returns:
        (n, T, H, W, 3) uint8 RGB.

    Raises:
        OptionError: an argument has a value that cannot work.
    """
    stop = len(stream) if stop is None else stop
    if not 0 <= start <= stop <= len(stream):
        raise OptionError(
            f"start and stop must be 0 <= start <= stop <= {len(stream)}, got {start}, {stop}"
        )
    if frames < 4 or size < MIN_SIZE or seed < 0:
        raise OptionError(
            f"frames must be at least 4, size at least {MIN_SIZE}, seed not negative; "
            f"got {frames}, {size}, {seed}"
        )
    key = np.random.SeedSequence(seed).generate_state(2, np.uint64).astype(np.uint64)
    scene, place = _scene(_chance(key, 0), size)
    patch = _patch(place, size)
    out = np.empty((stop - start, frames, size, size, 3), np.uint8)
    for first in range(start, stop, BLOCK):
        last = min(first + BLOCK, stop)
        _render_block(
            out[first - start : last - start],
            stream.symbols[first:last],
            stream.levels[first:last],
            [_chance(key, 1 + index) for index in range(first, last)],
            scene,
            patch,
        )
    return out


def _chance(key: NDArray[np.uint64], number: int) -> np.random.Generator:
    """Random numbers of their own for the scene (0) and each clip (from 1)."""
    counter = np.array([0, 0, 0, number], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def _scene(random: np.random.Generator, size: int) -> tuple[Floats, tuple[float, float]]:
    """The background (H, W), and the place of the patch (column, row)."""
    grey = np.full((size, size), random.uniform(95.0, 135.0), np.float32)
    for cells, strength in ((4, 14.0), (8, 9.0), (16, 6.0)):
        coarse = random.normal(0.0, strength, (cells + 1, cells + 1))
        at = np.linspace(0.0, cells, size)
        rows = np.stack([np.interp(at, np.arange(cells + 1), column) for column in coarse.T], 1)
        grey += np.stack([np.interp(at, np.arange(cells + 1), row) for row in rows])
    grey += random.normal(0.0, 4.0, (size, size))
    place = random.uniform(0.25, 0.75, 2) * size
    return grey, (float(place[0]), float(place[1]))


def _patch(place: tuple[float, float], size: int) -> Floats:
    """How much of each pixel (H, W) the patch covers."""
    at = np.arange(size, dtype=np.float32) + 0.5
    distance = np.hypot(at - place[0], at[:, None] - place[1]) * 32 / size
    return (0.85 * np.clip((6.0 - distance) / 2.0, 0.0, 1.0)).astype(np.float32)


def _render_block(
    out: NDArray[np.uint8],
    symbols: NDArray[np.int16],
    levels: Floats,
    chances: list[np.random.Generator],
    scene: Floats,
    patch: Floats,
) -> None:
    """Fills out (n, T, H, W, 3) with n clips."""
    frames, size = out.shape[1:3]
    chance = np.stack([random.random(PARAMETERS, dtype=np.float32) for random in chances])
    flicker = np.stack([random.random((frames, 4), dtype=np.float32) for random in chances])
    noise = np.frombuffer(b"".join(random.bytes(out[0].size) for random in chances), np.uint8)
    shown = 255.0 * (0.1 + 0.8 * levels)
    grey = scene + patch * (shown[:, None, None] - scene)  # (n, H, W)
    moving = grey[:, None] + _blob(chance[:, :7], frames, size)  # (n, T, H, W)
    light = 1.0 + LIGHT * (2.0 * flicker[..., 3:] - 1.0)  # (n, T, 1)
    tint = (2.0 * chance[:, None, 7:10] - 1.0) + (2.0 * flicker[..., :3] - 1.0)  # (n, T, 3)
    gain = light * (1.0 + TINT * tint)
    picture = NOISE[noise].reshape(out.shape)
    for channel in range(3):
        picture[..., channel] += moving * gain[:, :, channel, None, None]
    for number in np.flatnonzero(symbols):
        _draw_sprite(
            picture[number], moving[number], gain[number], int(symbols[number]), chance[number, 10:]
        )
    np.clip(picture, 0.0, 255.0, out=picture)
    out[...] = picture


def _blob(chance: Floats, frames: int, size: int) -> Floats:
    """Soft spots that drift through the picture: grey levels to add, (n, T, H, W).

    chance: (n, 7), uniform: place (2), speed (2), width, strength, sign.
    """
    time = np.arange(frames, dtype=np.float32) - (frames - 1) / 2
    centre = size * chance[:, None, :2] + time[:, None] * (chance[:, None, 2:4] - 0.5) * (size / 8)
    width = size * (0.06 + 0.08 * chance[:, 4, None, None])
    at = np.arange(size, dtype=np.float32) + 0.5
    profile = np.exp(-0.5 * ((at - centre[..., None]) / width[..., None]) ** 2)  # (n, T, 2, size)
    strength = (15.0 + 25.0 * chance[:, 5]) * np.where(chance[:, 6] < 0.5, -1.0, 1.0)
    rows = profile[:, :, 1] * strength[:, None, None].astype(np.float32)
    return rows[..., :, None] * profile[:, :, 0, None, :]


def _draw_sprite(picture: Floats, below: Floats, gain: Floats, symbol: int, chance: Floats) -> None:
    """Draws a sprite into one clip.

    Args:
        picture: (T, H, W, 3), changed in place.
        below: (T, H, W) the grey that the sprite covers.
        gain: (T, 3) light and tint, which fall on the sprite too.
        symbol: which sprite.
        chance: (6,) uniform: size, number of frames, onset, place (2), direction.
    """
    frames, size = below.shape[:2]
    unit = size / 32
    framed = symbol > FRAMED
    radius = float((4.5 + 1.5 * chance[0]) * unit)
    shortest, longest = max(1, 3 * frames // 8), max(1, 6 * frames // 8)
    count = shortest + int(chance[1] * (longest - shortest + 1))
    onset = int(chance[2] * (frames - count + 1))
    time = np.arange(count, dtype=np.float32) - np.float32((count - 1) / 2)
    speed = 0.8 * unit * 8 / frames
    reach = (3.5 * unit if framed else unit) + radius + speed * (count - 1) / 2
    place = reach + chance[3:5] * (size - 2 * reach)
    angle = 2 * np.pi * chance[5]
    at = np.arange(size, dtype=np.float32) + np.float32(0.5)
    x = at[None, None, :] - (place[0] + time * speed * np.cos(angle))[:, None, None]
    y = at[None, :, None] - (place[1] + time * speed * np.sin(angle))[:, None, None]
    x, y = x.astype(np.float32), y.astype(np.float32)
    layers = [(sprite_mask(symbol, x, y, radius), sprite_colour(symbol))]
    if framed:
        layers.append((frame_mask(x / unit, y / unit, radius / unit), WHITE))
    seen = slice(onset, onset + count)
    for mask, colour in layers:
        for channel in range(3):
            change = mask * (np.float32(colour[channel]) - below[seen])
            picture[seen, :, :, channel] += change * gain[seen, channel, None, None]
