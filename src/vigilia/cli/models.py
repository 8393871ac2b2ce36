"""`vigilia models`: what there is, what it costs, and who to pick when."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.show import output, print_json, print_table

if TYPE_CHECKING:
    from vigilia.catalogue import Entry

__all__ = ["models"]

BUNDLED = "pen and pen-no-memory come with Vigilia, trained on simulated recordings."
_WIDTH = 80


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="One model, with each memory.")
    ] = None,
    memory: Annotated[
        str, typer.Option(metavar="NAME", help="The memory that a step and its state are of.")
    ] = "fam",
    size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=8,
            help="With NAME: count again at this height and width. [default: 224, nano 64]",
        ),
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/models.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models: parameters, operations, bytes a stream remembers, sources.

    Who to pick when: swin3d_t with fam to begin with, on a GPU, from Kinetics
    weights; swin3d_t_incremental for live cameras, a quarter of the work;
    conv3d_nano for little data and a CPU; slowfast_r50 for quick movements;
    audio_visual_swin_t for what can be heard; neuro_svt_ti for event cameras.
    Below every family is said what it is for.

    Examples:

        vigilia models

        vigilia models swin3d_t --size 112

        vigilia models --memory gru --json
    """
    from vigilia.catalogue import ENTRIES, counts
    from vigilia.errors import OptionError

    if name is not None and name not in ENTRIES:
        from difflib import get_close_matches

        near = " or ".join(get_close_matches(name, ENTRIES, n=3))
        raise OptionError(
            f"no model named {name!r}; "
            f"{f'did you mean {near}? ' if near else ''}`vigilia models` lists what there is"
        )
    known = counts()
    memories = list(dict.fromkeys(one for row in known.values() for one in row["memories"]))
    if memory not in memories:
        raise OptionError(f"no memory named {memory!r}; there are {', '.join(memories)}")
    if size is not None:
        if name is None:
            raise OptionError("--size counts one model anew; name it: vigilia models NAME --size N")
        from vigilia.catalogue.counting import count_model

        known = {name: count_model(ENTRIES[name], pixels=size)}
    if as_markdown:
        from vigilia.catalogue.page import markdown

        typer.echo(markdown(), nl=False)
    elif as_json:
        chosen = ENTRIES if name is None else {name: ENTRIES[name]}
        print_json([row for one in chosen.values() for row in _json_rows(one, known[one.name])])
    elif name is not None:
        _show_one(ENTRIES[name], known[name])
    else:
        _show_all(known, memory)


def _json_rows(entry: Entry, row: dict[str, Any]) -> list[dict[str, Any]]:
    from vigilia.catalogue import FAMILIES

    shared = {key: row[key] for key in ("size", "frames", "stride", "receptive_frames")}
    return [
        {
            "name": entry.name,
            "memory": memory,
            **shared,
            **cost,
            "clip_gmac": row["clip_gmac"],
            "family": entry.family,
            "source": FAMILIES[entry.family].source,
            "weights": entry.weights,
        }
        for memory, cost in row["memories"].items()
    ]


def _show_all(known: dict[str, Any], memory: str) -> None:
    from vigilia.catalogue import ENTRIES, FAMILIES

    head = _line("", "params", "GMAC", "GMAC", "state", "")
    output.print(head)
    output.print(_line("", "M", "clip", "step", "MB", "weights"))
    for key, family in FAMILIES.items():
        output.print(f"\n{family.title}", style="bold")
        for text in (family.source, f"When: {family.pick}."):
            output.print(textwrap.fill(text, _WIDTH), style="dim")
        for entry in ENTRIES.values():
            if entry.family == key:
                output.print(_summary(entry, known[entry.name], memory))
    output.print(
        "\n"
        + textwrap.fill(
            "params: millions, with 400 classes, without memory. GMAC: billions of multiply-adds, "
            "of the clip that the source counts and of a step as Vigilia runs it with memory "
            f"{memory}. state: megabytes in float32 that a stream remembers, a month in as in the "
            "first minute. weights: licence of those that can be loaded. Spiking models have "
            f"memory event. {BUNDLED}",
            _WIDTH,
        )
    )


def _summary(entry: Entry, row: dict[str, Any], memory: str) -> str:
    memories = row["memories"]
    plain = memories.get("none") or memories["event"]
    kept = memories.get(memory)
    if kept is None and "none" not in memories:
        kept = memories["event"]
    return _line(
        entry.name,
        f"{plain['parameters'] / 1e6:.1f}",
        _number(row["clip_gmac"]),
        _number(kept["gmac"] if kept else None),
        _number(kept["state_bytes"] / 1e6 if kept else None),
        entry.weights,
    )


def _line(name: str, params: str, clip: str, step: str, state: str, weights: str) -> str:
    return f"{name:<36}{params:>7}{clip:>8}{step:>8}{state:>7}  {weights}".rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _show_one(entry: Entry, row: dict[str, Any]) -> None:
    from vigilia.catalogue import FAMILIES

    family = FAMILIES[entry.family]
    print_table(
        f"{entry.name}, {row['size']} pixels, 400 classes",
        ["memory", "params M", "GMAC/step", "state MB", "bf16", "reach"],
        [
            [
                memory,
                f"{cost['parameters'] / 1e6:.2f}",
                _number(cost["gmac"]),
                f"{cost['state_bytes'] / 1e6:.3f}",
                f"{cost['state_bytes_bfloat16'] / 1e6:.3f}",
                f"{cost['memory_seconds']:.0f} s" if cost["memory_seconds"] else "-",
            ]
            for memory, cost in row["memories"].items()
        ],
    )
    unbounded = row["receptive_frames"] > 10**6
    reach = "all frames so far" if unbounded else f"{row['receptive_frames']} frames"
    lines = [
        f"A step takes {row['frames']} frames, {row['stride']} of them new; {reach} reach it "
        "without memory. reach: of the memory's queue; fam's feedback has no horizon.",
        f"{family.title}: {family.source}.",
        f"When: {family.pick}.",
        f"Weights that can be loaded: {entry.weights}{f' ({family.code})' if family.code else ''}.",
    ]
    if told := entry.published:
        frames, size = told.clip
        parts = [
            f"{told.parameters:g} M parameters" if told.parameters else "",
            f"{told.gmac:g} GMAC" if told.gmac else "",
            f"{told.accuracy} % on Kinetics-400" if told.accuracy != "-" else "",
        ]
        lines.append(
            f"Published ({told.source}), {frames} frames of {size} pixels: "
            f"{', '.join(filter(None, parts))}. Counted here: "
            f"{_number(row['clip_gmac'])} GMAC{f'; {told.difference}' if told.difference else ''}."
        )
    for text in lines:
        output.print(textwrap.fill(text, _WIDTH))
