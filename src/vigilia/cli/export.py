"""`vigilia export`: the step as a file that other runtimes run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.show import errors, megabytes, output, print_json, print_table

if TYPE_CHECKING:
    from vigilia.export import Check, Description
    from vigilia.stream import StreamClassifier

__all__ = ["export"]


def export(
    model: Annotated[
        str,
        typer.Argument(help="A model file, a bundled model (pen), or a backbone such as swin3d_t."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The file: .onnx, or .pt2 for torch.export."),
    ] = Path("step.onnx"),
    weights: Annotated[
        str | None, typer.Option(help="With a backbone's name: kinetics400.")
    ] = None,
    memory: Annotated[
        str | None, typer.Option(help="With a backbone's name: none, fam, pilot, gru, memvit.")
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="float32; bf16, which OpenVINO computes in; int8, for onnxruntime: the "
            "backbone's weights and what they are multiplied with."
        ),
    ] = "float32",
    batch: Annotated[
        int, typer.Option(metavar="N", min=1, help="Streams of a step; fixed in the file.")
    ] = 1,
    check: Annotated[
        str | None,
        typer.Option(metavar="VIDEO", help="Run model and file over it and print how they agree."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="With --check: labels, to compare both with.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="With --check: no more steps. [default: all]"),
    ] = None,
    runtime: Annotated[
        list[str] | None,
        typer.Option(
            help="With --check: onnxruntime, openvino, torch; may be repeated. [default: all "
            "that take the file]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a model's step to a file, its state as inputs and outputs.

    The file holds the weights, the classes, the preprocessing and the names of the state; ONNX
    Runtime and OpenVINO run it, and `vigilia run --model step.onnx` does.

    Examples:

        vigilia export pen -o pen.onnx --check barn.mp4 --truth barn.csv

        vigilia export sow.safetensors -o sow.onnx --precision bf16
    """
    from vigilia.errors import OptionError
    from vigilia.export import export_model
    from vigilia.models import resolve_model

    if check is None and (truth is not None or steps is not None or runtime):
        raise OptionError("--truth, --steps and --runtime go with --check VIDEO")
    if check is not None and batch != 1:
        raise OptionError("--check runs one recording: it goes with --batch 1")
    classifier = resolve_model(model, weights=weights, memory=memory)
    description = export_model(classifier, out, precision=precision, batch=batch)
    if precision == "bf16" and check is None:
        errors.print(
            f"{out}: bf16 rounds the memory, too, and can change labels: look at --check VIDEO "
            "before you trust it"
        )
    found = {}
    if check is not None:
        found = _checks(classifier, out, description, check, truth, steps, runtime)
    size = out.stat().st_size
    if as_json:
        print_json(
            {
                "file": str(out),
                "bytes": size,
                "precision": precision,
                "batch": batch,
                "model_hash": description.model_hash,
                "clip": list(description.clip_shape),
                "state": [dataclasses.asdict(one) for one in description.state],
                "checks": {name: dataclasses.asdict(one) for name, one in found.items()},
            }
        )
        return
    output.print(
        f"{out}: {megabytes(size)}, {precision}, clip {description.clip_shape}, "
        f"{len(description.state)} tensors of state"
    )
    if found:
        _print(found)


def _checks(
    model: StreamClassifier,
    path: Path,
    description: Description,
    video: str,
    truth: Path | None,
    steps: int | None,
    runtimes: list[str] | None,
) -> dict[str, Check]:
    from vigilia.export import ExportedStep, check_export
    from vigilia.timeline import check_labels, read_labels

    labels = None
    if truth is not None:
        labels = read_labels(truth)
        check_labels(labels, classes=model.classes)
    able = {"float32": ["onnxruntime", "openvino"], "bf16": ["openvino"], "int8": ["onnxruntime"]}
    default = ["torch"] if path.suffix.lower() == ".pt2" else able[description.precision]
    return {
        name: check_export(
            model, ExportedStep(path, runtime=name), video, labels=labels, max_steps=steps
        )
        for name in runtimes or default
    }


def _print(found: dict[str, Check]) -> None:
    """A column for the model and one for each runtime: so it fits a terminal."""

    def shown(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    checks = list(found.values())
    first = checks[0]
    rows: list[list[Any]] = [
        ["steps", str(first.steps), *(str(one.steps) for one in checks)],
        ["same label", "", *(f"{one.same_label:.4f}" for one in checks)],
        ["probabilities apart by", "", *(f"{one.probability_difference:.1e}" for one in checks)],
        [
            "processor seconds a step",
            f"{first.model_seconds:.4f}",
            *(f"{one.exported_seconds:.4f}" for one in checks),
        ],
    ]
    if first.model_accuracy is not None:
        rows += [
            [
                "accuracy",
                shown(first.model_accuracy),
                *(shown(one.exported_accuracy) for one in checks),
            ],
            ["kappa", shown(first.model_kappa), *(shown(one.exported_kappa) for one in checks)],
        ]
    print_table("The file beside its model", ["", "model", *found], rows)
