"""The graph into a file, and with it everything that running it needs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vigilia.errors import OptionError
from vigilia.export.description import KEY, Description, StateTensor
from vigilia.export.packages import import_extra
from vigilia.export.quantising import quantised
from vigilia.export.tracing import INPUTS, example_inputs, trace
from vigilia.files import write_atomically
from vigilia.running import fingerprint
from vigilia.state import named_tensors
from vigilia.stream import StreamClassifier

__all__ = ["PRECISIONS", "export_model"]

PRECISIONS = ("float32", "bf16", "int8")


def export_model(
    model: StreamClassifier, path: str | Path, *, precision: str = "float32", batch: int = 1
) -> Description:
    """Writes the step to one file.

    Args:
        model: what to export; it is left as it is.
        path: ends in .onnx, or in .pt2 for `torch.export.load`.
        precision: "float32"; "bf16", which is the same file with the wish that OpenVINO computes
            in bfloat16; or "int8", the backbone's products in eight bits (.onnx, onnxruntime).
        batch: B, how many streams one call steps; it is fixed in the file.

    Raises:
        OptionError: a value that cannot work, or a model that cannot be exported.
        MissingExtraError: .onnx needs the extra `export`.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in (".onnx", ".pt2"):
        raise OptionError(f"{path}: an exported step is called .onnx or .pt2")
    if precision not in PRECISIONS:
        raise OptionError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if kind == ".pt2" and precision != "float32":
        raise OptionError(f"{path}: {precision} needs .onnx; a .pt2 file holds float32")
    if batch < 1:
        raise OptionError(f"batch must be at least 1, got {batch}")
    if kind == ".onnx":
        for package in ("onnx", "onnxscript"):
            import_extra(package)
    description = _describe(model, precision, batch)
    program = trace(model, description)
    if kind == ".pt2":
        data = io.BytesIO()
        torch.export.save(program, data, extra_files={KEY: description.to_json()})
        write_atomically(path, data.getvalue())
    else:
        graph = _to_onnx(program, description)
        write_atomically(path, graph.SerializeToString())
    return description


def _describe(model: StreamClassifier, precision: str, batch: int) -> Description:
    tensors = named_tensors(model.init_state(batch, device="cpu"))
    return Description(
        spec=model.spec,
        card=model.card,
        batch=batch,
        precision=precision,
        state=tuple(
            StateTensor(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
            for name, tensor in tensors.items()
        ),
        model_hash=fingerprint(model),
    )


def _to_onnx(program: torch.export.ExportedProgram, description: Description) -> Any:
    """An `onnx.ModelProto`."""
    with _quietly():
        made = torch.onnx.export(
            program,
            example_inputs(description),
            dynamo=True,
            verbose=False,
            input_names=[*INPUTS, *(one.taken for one in description.state)],
            output_names=["logits", *(one.given for one in description.state)],
        )
    assert made is not None
    graph = made.model_proto
    if description.precision == "int8":
        graph = quantised(graph)
    entry = graph.metadata_props.add()
    entry.key, entry.value = KEY, description.to_json()
    graph.producer_name = "vigilia"
    for node in graph.graph.node:  # where each node came from: half of a small file, and no use
        del node.metadata_props[:]
    return graph


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells of its passes and of what other packages have deprecated."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
