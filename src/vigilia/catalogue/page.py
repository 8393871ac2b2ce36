"""docs/models.md, written from the catalogue by `vigilia models --markdown`."""

from __future__ import annotations

from typing import Any

from vigilia.catalogue import ENTRIES, FAMILIES, Entry, Family, counts

__all__ = ["markdown"]

_HEAD = """# Models

Written by `vigilia models --markdown > docs/models.md`; the counts come from
`python scripts/count_models.py`, and a test counts a sample of them anew. `vigilia models` shows
the short form, `vigilia models NAME` one model under each memory.

Every model is `state = model.init_state(rows)` and `logits, state = model.step(clip, state)`.

## Who to pick when

| you have | take |
| --- | --- |
| a GPU, labels of a day or more | `swin3d_t` with `fam`, from Kinetics weights |
| live, many cameras | `swin3d_t_incremental`, a quarter of the work: `train --incremental` |
| a CPU and little data | `conv3d_nano`, or `conv3d_nano_incremental` live |
| a CPU, and weights to start from | `r2plus1d_18` at 112 pixels, or `mvit_v2_s` |
| quick movements | `slowfast_r50` |
| a good image model, little video | `cnn_transformer_r18`, its weights loaded into the trunk |
| sound that matters | `audio_visual_swin_t` |
| a past without a last frame, from the backbone alone | `state_space_b` |
| an event camera | `neuro_svt_ti` |
| a question about attention | TimeSformer, ViViT, cheaper attention: the same blocks throughout |

Names that end in `nano` are for pictures of about 64 by 64 pixels and for tests; what is not marked
as published is ours and has no weights but those you train.

## Clips of other lengths and pictures of other sizes

A clip is (B, C=3, T, H, W); other channels, frames before channels and no frames at all are refused
in one line that says so, by every backbone. Pictures need not divide: what patches and windows do
not fill is filled up with zeros behind the last row and column, and strides of convolutions round
up, so that no pixel is left out. Learned positions are resized. A plain backbone takes clips of any
length in the same way; one that streams takes its 8 or 16 new frames, or a multiple of them. An
image network as trunk needs 32 pixels a side and says so.

## How to read the tables

- parameters: millions, with a head of 400 classes and no memory.
- GMAC: billions of multiply-adds, which papers call GFLOPs; of products of matrices and
  convolutions. *Clip*: the clip that the paper counts, frames x pixels. *Step*: as Vigilia runs it
  unless told otherwise: clips of 32 frames at 224 pixels (64 of `nano`), of a streaming model its
  8 or 16 new frames, with no memory and with `fam` in a step that writes.
- state: what a stream remembers under `fam`, megabytes in float32; the same in the first minute and
  a month in. A spiking model has `event` in place of `fam`.
- weights: the licence of weights that can be loaded; "-": none. Code of TimeSformer and MeMViT was
  published under CC BY-NC and is not used here.
- published: parameters, GMAC and top-1 on Kinetics-400 in percent, from the source named. Nobody
  has trained these models on Kinetics here: accuracies are the sources'.

A dash means not published, or not applicable.
"""


def markdown() -> str:
    """The whole page."""
    known = counts()
    parts = [_HEAD]
    for key, family in FAMILIES.items():
        parts.append(_family(key, family, known))
    return "\n".join(parts)


def _family(key: str, family: Family, known: dict[str, Any]) -> str:
    entries = [entry for entry in ENTRIES.values() if entry.family == key]
    lines = [f"## {family.title}", "", f"{family.source}.", "", f"When: {family.pick}.", ""]
    if family.code:
        lines += [f"Weights: {family.code}.", ""]
    lines += [
        "| model | M parameters | GMAC clip | GMAC step | with memory | state MB | weights |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(_row(entry, known[entry.name]) for entry in entries),
        "",
    ]
    if published := [entry for entry in entries if entry.published]:
        lines += [
            "| published | M parameters | GMAC | K400 | source | where ours differs |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_published(entry) for entry in published),
            "",
        ]
    if family.claims:
        lines += ["Said, and wrong:", ""]
        lines += [f"- ~~{said}~~: {right}." for said, right in family.claims]
        lines.append("")
    return "\n".join(lines)


def _row(entry: Entry, row: dict[str, Any]) -> str:
    memories = row["memories"]
    plain = memories.get("none") or memories["event"]
    kept = memories.get("fam") or memories["event"]
    clip = "-"
    if entry.published and row["clip_gmac"]:
        frames, size = entry.published.clip
        clip = f"{row['clip_gmac']:.2f} ({frames} x {size})"
    cells = [
        f"`{entry.name}`",
        f"{plain['parameters'] / 1e6:.2f}",
        clip,
        _short(plain["gmac"]),
        _short(kept["gmac"]),
        f"{kept['state_bytes'] / 1e6:.2f}",
        entry.weights,
    ]
    return f"| {' | '.join(cells)} |"


def _published(entry: Entry) -> str:
    told = entry.published
    assert told is not None
    cells = [
        f"`{entry.name}`",
        "-" if told.parameters is None else f"{told.parameters:g}",
        "-" if told.gmac is None else f"{told.gmac:g}",
        told.accuracy,
        told.source,
        told.difference or "-",
    ]
    return f"| {' | '.join(cells)} |"


def _short(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
