"""The step as one file that other runtimes run: `.onnx`, or `.pt2` for torch.

    export_model(model, "step.onnx")
    step = ExportedStep("step.onnx", runtime="openvino")
    state = step.init_state(1)
    logits, state = step.step(clip, state, seconds=seconds)

description.py   what the file says about itself: classes, preprocessing, names of the state
tracing.py       a model -> a graph whose inputs and outputs are the clip, the logits, the state
writing.py       the graph -> a file, with all that it says about itself inside
quantising.py    eight-bit products in the backbone
runtimes.py      onnxruntime, openvino and torch behind one function
step.py          ExportedStep: `init_state` and `step`, as of a model
checking.py      the file beside the model it was made from, on a recording
"""

from __future__ import annotations

from vigilia.export.checking import Check, check_export
from vigilia.export.description import Description
from vigilia.export.runtimes import RUNTIMES
from vigilia.export.step import ExportedState, ExportedStep, is_exported
from vigilia.export.writing import PRECISIONS, export_model

__all__ = [
    "PRECISIONS",
    "RUNTIMES",
    "Check",
    "Description",
    "ExportedState",
    "ExportedStep",
    "check_export",
    "export_model",
    "is_exported",
]
