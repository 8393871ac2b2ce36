"""Eight-bit products in the backbone: weights once, tokens as they come.

Memory and head keep their precision: they cost little, and what is rounded there adds up over
hours. Each column of a weight has a scale of its own.

Weights are unsigned: signed ones are summed in sixteen bits and cut off there by processors that
have AVX2 but no VNNI, which puts logits off by half of what they are.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from vigilia.export.packages import import_extra

__all__ = ["quantised"]

_SCOPES = "pkg.torch.onnx.name_scopes"


def quantised(graph: Any) -> Any:
    """The same step with the backbone's products of tokens and weights in int8.

    Args:
        graph: an `onnx.ModelProto`, its nodes as the exporter named them.

    Raises:
        MissingExtraError: onnxruntime or onnx is not installed.
    """
    onnx, quantisation = import_extra("onnx"), import_extra("onnxruntime.quantization")
    chosen = [
        node.name for node in graph.graph.node if node.op_type == "MatMul" and _is_of_backbone(node)
    ]
    log = logging.getLogger()
    level = log.level
    del graph.graph.value_info[:]  # it is inferred anew, and the old one need not fit the new
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        log.setLevel(logging.ERROR)  # it advises a pass that the exporter has made already
        try:
            quantisation.quantize_dynamic(
                graph,
                path,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=chosen,
                per_channel=True,
                weight_type=quantisation.QuantType.QUInt8,
                extra_options={"MatMulConstBOnly": True},
            )
        finally:
            log.setLevel(level)
        return onnx.load(path)


def _is_of_backbone(node: Any) -> bool:
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
    return "'model.backbone." in scopes and "'model.memory." not in scopes
