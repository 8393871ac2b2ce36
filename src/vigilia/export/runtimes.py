"""Three runtimes behind one function: named arrays in, named arrays out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.errors import CheckpointError, OptionError
from vigilia.export.description import KEY, Description
from vigilia.export.packages import import_extra

__all__ = ["RUNTIMES", "Opened", "open_step"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Opened:
    """A step that is ready to run.

    Attributes:
        description: what the file says about itself.
        call: inputs by name -> outputs by name.
        times_in_float32: the runtime computes float64 in float32, so that times must be small.
    """

    description: Description
    call: Callable[[Arrays], Arrays]
    times_in_float32: bool = False


def open_step(path: Path, runtime: str, *, threads: int) -> Opened:
    """Loads a file into a runtime.

    Args:
        path: from `export_model`.
        runtime: a key of `RUNTIMES`.
        threads: that it may use.

    Raises:
        CheckpointError: the file is missing, damaged or not an exported step.
        OptionError: the runtime does not take such a file.
        MissingExtraError: the runtime is not installed.
    """
    if runtime not in RUNTIMES:
        raise OptionError(f"runtime must be one of {', '.join(RUNTIMES)}, got {runtime!r}")
    if (runtime == "torch") != (path.suffix.lower() == ".pt2"):
        raise OptionError(f"{path}: torch runs .pt2 and nothing else; the others run .onnx")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; make it with `vigilia export`")
    return RUNTIMES[runtime](path, threads)


def _open_onnxruntime(path: Path, threads: int) -> Opened:
    ort = import_extra("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own types, which derive from Exception alone
        raise _unreadable(path, error) from error
    description = _described(path, session.get_modelmeta().custom_metadata_map.get(KEY))
    if description.precision == "bf16":
        raise OptionError(
            f"{path}: was exported for bf16, which onnxruntime does not compute in on a CPU; "
            "use the runtime openvino"
        )
    names = [output.name for output in session.get_outputs()]

    def call(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return Opened(description, call)


def _open_openvino(path: Path, threads: int) -> Opened:
    openvino, onnx = import_extra("openvino"), import_extra("onnx")
    try:
        entries = onnx.load(path).metadata_props
    except Exception as error:
        raise _unreadable(path, error) from error
    description = _described(path, {one.key: one.value for one in entries}.get(KEY))
    if description.precision == "int8":
        raise OptionError(
            f"{path}: was exported for int8, which runs under onnxruntime; for openvino export "
            "bf16 or float32"
        )
    try:
        call = _compiled(openvino, path, threads, description)
    except RuntimeError as error:
        raise _unreadable(path, error) from error
    return Opened(description, call, times_in_float32=True)


def _compiled(
    openvino: Any, path: Path, threads: int, description: Description
) -> Callable[[Arrays], Arrays]:
    """The file in OpenVINO, whose own fusions are held against the plain arithmetic first.

    Its fused attention is 3e-3 off in float32 where heads are 24 wide, and wrong by whole logits in
    bfloat16 where they are 8 wide (2026.4); both are right where heads are 32 wide. So a few steps
    of noise decide whether it may fuse.
    """

    def load(precision: str, **more: str) -> Callable[[Arrays], Arrays]:
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
        }
        compiled = openvino.compile_model(str(path), "CPU", options | more)
        request = compiled.create_infer_request()
        names = [output.any_name for output in compiled.outputs]

        def call(inputs: Arrays) -> Arrays:
            found = request.infer(dict(inputs), share_inputs=True)
            return {name: found[index] for index, name in enumerate(names)}

        return call

    exact = _probe(load("f32", **PLAIN), description)
    if description.precision != "bf16":
        fused = load("f32")
        bound = 1e-5 * max(1.0, float(np.abs(exact).max()))
        return fused if _apart(_probe(fused, description), exact) <= bound else load("f32", **PLAIN)
    fused, plain = load("bf16"), load("bf16", **PLAIN)
    # What bfloat16 costs by itself is as much as may be lost to it, give or take one bit.
    bound = 2 * _apart(_probe(plain, description), exact)
    return fused if _apart(_probe(fused, description), exact) <= bound else plain


PLAIN = {"SNIPPETS_MODE": "DISABLE"}
PROBE_STEPS = 3
"""What is wrong in reading shows from the second step on."""


def _probe(call: Callable[[Arrays], Arrays], description: Description) -> np.ndarray:
    """Logits (steps, B, K) of a stream of noise from an empty memory."""
    random = np.random.default_rng(0)
    batch = description.batch
    state = {one.taken: np.zeros(one.shape, one.dtype) for one in description.state}
    logits = []
    for step in range(PROBE_STEPS):
        outputs = call(
            {
                "clip": random.standard_normal(description.clip_shape, dtype=np.float32),
                "active": np.ones(batch, dtype=bool),
                "seconds": np.full(batch, step + 1.0),
                **state,
            }
        )
        logits.append(np.array(outputs["logits"], np.float32))
        state = {
            one.taken: np.array(outputs[one.given]).astype(one.dtype) for one in description.state
        }
    return np.stack(logits)


def _apart(some: np.ndarray, others: np.ndarray) -> float:
    return float(np.abs(some - others).max())


def _open_torch(path: Path, threads: int) -> Opened:
    extra = {KEY: ""}
    try:
        program = torch.export.load(path, extra_files=extra)
    except Exception as error:
        raise _unreadable(path, error) from error
    description = _described(path, extra[KEY])
    module = program.module()
    names = ["logits", *(one.given for one in description.state)]

    def call(inputs: Arrays) -> Arrays:
        with torch.no_grad():
            found = module(*(torch.from_numpy(array) for array in inputs.values()))
        return {name: tensor.numpy() for name, tensor in zip(names, found, strict=True)}

    return Opened(description, call)


RUNTIMES: dict[str, Callable[[Path, int], Opened]] = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
    "torch": _open_torch,
}


def _described(path: Path, text: str | None) -> Description:
    try:
        return Description.from_json(text or "{}")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a step written by `vigilia export` ({error}); was it made by another "
            "program or a newer Vigilia?"
        ) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path}: cannot be loaded: {' '.join(str(error).split())[:160]}")
