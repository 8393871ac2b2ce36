"""Exported steps: the same logits as the model over a stream, in every runtime that takes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import vigilia
from vigilia.backbones import IncrementalSwin3D
from vigilia.backbones.swin3d import Swin3D
from vigilia.errors import CheckpointError, InputError, MissingExtraError, OptionError
from vigilia.export import Description, ExportedStep, export_model, is_exported
from vigilia.memory import MEMORIES
from vigilia.preprocessing import Preprocessing
from vigilia.state import named_tensors
from vigilia.stream import ModelSpec, StreamClassifier

TOLERANCE = 1e-5
"""Of logits around 1, in float32."""

OPTIONS = {
    "fam": {"slots": 3, "summary_tokens": 2, "feedback_tokens": 2, "write_every": 2, "head_dim": 8},
    "pilot": {"slots": 2, "summary_tokens": 2, "head_dim": 8},
    "memvit": {"grid": (2, 3, 3), "write_every": 2, "head_dim": 8},
    "gru": {"hidden": 8},
    "none": {},
}


def small(memory: str, *, incremental: bool = False, **options: object) -> StreamClassifier:
    """Two stages of eight and sixteen features; every gate is open."""
    torch.manual_seed(0)
    shape = {"embed_dim": 8, "depths": (2, 1), "num_heads": (1, 2), "window_size": (4, 2, 2)}
    backbone = (IncrementalSwin3D if incremental else Swin3D)(**shape)
    chosen = OPTIONS[memory] | ({} if memory in ("gru", "none") else {"stages": (1, 2)}) | options
    frames = 4 if incremental else 8
    spec = ModelSpec(
        name="small",
        memory=memory,
        classes=("rest", "walk"),
        preprocessing=Preprocessing(clip_frames=frames, stride_frames=4, height=20, width=20),
        memory_options=chosen,
        backbone_options={},
    )
    model = StreamClassifier(backbone, MEMORIES[memory](backbone, **chosen), spec=spec)
    with torch.no_grad():
        for parameter in model.memory.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        nn.init.normal_(model.head.weight)
    model.card = {"trained_on": "noise"}
    return model.eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def fam() -> StreamClassifier:
    return small("fam", incremental=True, consolidate=True)


@pytest.fixture(scope="module")
def fam_file(fam: StreamClassifier, folder: Path) -> Path:
    path = folder / "fam.onnx"
    export_model(fam, path, batch=2)
    return path


@pytest.fixture(scope="module")
def memvit_file(folder: Path) -> Path:
    path = folder / "memvit.onnx"
    export_model(small("memvit"), path)
    return path


@torch.inference_mode()
def beside(model: StreamClassifier, exported: ExportedStep, *, steps: int = 9) -> float:
    """The greatest difference of logits over a stream with idle rows, a hole and a reset."""
    rows = exported.description.batch
    random = torch.Generator().manual_seed(1)
    wanted, got = model.init_state(rows), exported.init_state(rows)
    apart = 0.0
    for number in range(steps):
        clip = torch.randn(exported.description.clip_shape, generator=random)
        hole = 60.0 * (number > 5)
        ended = torch.full((rows,), 1e9 + number + hole, dtype=torch.float64)
        active = torch.tensor([number != 3, True][:rows])
        before = got
        logits, wanted = model.step(clip, wanted, active=active, seconds=ended)
        shown, got = exported.step(clip, got, active=active, seconds=ended)
        apart = max(apart, float((logits - shown).abs().max()))
        assert torch.equal(wanted.seconds, got.seconds)
        assert torch.equal(wanted.clips, got.clips)
        if number == 3:
            for name, tensor in named_tensors(got).items():
                assert torch.equal(tensor[0], named_tensors(before)[name][0]), name
        if number == 7:
            again = [True, False][:rows]
            wanted, got = vigilia.reset(wanted, again), vigilia.reset(got, again)
    return apart


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_incremental_model_with_both_tiers_gives_the_same_logits(
    fam: StreamClassifier, fam_file: Path, runtime: str
) -> None:
    assert beside(fam, ExportedStep(fam_file, runtime=runtime, threads=1)) < TOLERANCE


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_clip_model_with_cached_tokens_gives_the_same_logits(
    memvit_file: Path, runtime: str
) -> None:
    exported = ExportedStep(memvit_file, runtime=runtime, threads=1)
    assert beside(small("memvit"), exported) < TOLERANCE


@pytest.mark.parametrize("memory", ["none", "gru", "pilot"])
def test_every_other_memory_gives_the_same_logits_through_torch_export(
    memory: str, tmp_path: Path
) -> None:
    model = small(memory)
    export_model(model, tmp_path / "step.pt2")
    assert beside(model, ExportedStep(tmp_path / "step.pt2")) < TOLERANCE


def test_the_file_says_what_it_is(fam: StreamClassifier, fam_file: Path) -> None:
    exported = ExportedStep(fam_file, threads=1)
    assert exported.classes == ("rest", "walk")
    assert exported.preprocessing == fam.preprocessing
    assert exported.card == {"trained_on": "noise"}
    names = [one.name for one in exported.description.state]
    assert names == list(named_tensors(fam.init_state(1)))
    assert "memory.stages.0.keys" in names
    assert Description.from_json(exported.description.to_json()) == exported.description
    assert exported.init_state(2).nbytes == fam.init_state(2).nbytes


def test_the_graph_names_its_state(fam_file: Path) -> None:
    import onnx

    graph = onnx.load(fam_file).graph
    assert [one.name for one in graph.input][:4] == [
        "clip",
        "active",
        "seconds",
        "state.memory.stages.0.keys",
    ]
    assert [one.name for one in graph.output][:2] == ["logits", "next.memory.stages.0.keys"]


def test_another_model_has_another_fingerprint(fam_file: Path, memvit_file: Path) -> None:
    first, second = ExportedStep(fam_file, threads=1), ExportedStep(memvit_file, threads=1)
    assert first.fingerprint != second.fingerprint


def test_bf16_is_for_openvino_only_and_loses_what_bf16_loses(
    fam: StreamClassifier, fam_file: Path, folder: Path
) -> None:
    path = relabelled(fam_file, folder / "bf16.onnx", "bf16")
    exported = ExportedStep(path, runtime="openvino", threads=1)
    assert exported.description.precision == "bf16"
    # Logits reach 14 here: bfloat16 keeps eight bits of them, 0.4 per cent, at every operation.
    # A processor without such products computes in float32 and says so in its capabilities.
    from openvino import Core

    lowers = "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    apart = beside(fam, exported)
    assert (TOLERANCE < apart < 0.3) if lowers else (apart < TOLERANCE)
    with pytest.raises(OptionError, match="bf16, which onnxruntime does not compute in"):
        ExportedStep(path, runtime="onnxruntime")


def test_int8_is_near_and_leaves_memory_alone(fam: StreamClassifier, folder: Path) -> None:
    import onnx

    path = folder / "int8.onnx"
    export_model(fam, path, precision="int8", batch=2)
    products = [node for node in onnx.load(path).graph.node if node.op_type == "MatMulInteger"]
    assert len(products) == 3 * 4 + 1  # three blocks of four products and one merging
    assert TOLERANCE < beside(fam, ExportedStep(path, threads=1)) < 0.2
    with pytest.raises(OptionError, match="int8, which runs under onnxruntime"):
        ExportedStep(path, runtime="openvino")


def relabelled(source: Path, target: Path, precision: str) -> Path:
    """The same file with another precision in its description."""
    import dataclasses

    import onnx

    made = onnx.load(source)
    text = ExportedStep(source, threads=1).description
    entries = {"vigilia": dataclasses.replace(text, precision=precision).to_json()}
    onnx.helper.set_model_props(made, entries)
    onnx.save(made, target)
    return target


def test_the_model_is_left_as_it_was(fam: StreamClassifier) -> None:
    again = small("fam", incremental=True, consolidate=True)
    assert all(torch.equal(a, b) for a, b in zip(fam.parameters(), again.parameters(), strict=True))
    assert not [name for name, _ in fam.named_buffers() if "folded" in name]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("step.bin", {}, "an exported step is called .onnx or .pt2"),
        ("step.onnx", {"precision": "fp4"}, "precision must be one of float32, bf16, int8"),
        ("step.pt2", {"precision": "int8"}, "int8 needs .onnx"),
        ("step.onnx", {"batch": 0}, "batch must be at least 1"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    name: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=message):
        export_model(small("none"), tmp_path / name, **options)
    assert not (tmp_path / name).exists()


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"onnxscript .* pip install .*\[export"):
        export_model(small("none"), tmp_path / "step.onnx")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_files_that_are_no_steps_are_refused(runtime: str, tmp_path: Path, fam_file: Path) -> None:
    import onnx

    with pytest.raises(CheckpointError, match=r"no such file; make it with `vigilia export`"):
        ExportedStep(tmp_path / "absent.onnx", runtime=runtime)
    (tmp_path / "noise.onnx").write_bytes(b"\x08noise" * 20)
    with pytest.raises(CheckpointError, match=r"cannot be loaded|not a step"):
        ExportedStep(tmp_path / "noise.onnx", runtime=runtime)
    foreign = onnx.load(fam_file)
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(CheckpointError, match="not a step written by `vigilia export`"):
        ExportedStep(tmp_path / "foreign.onnx", runtime=runtime)


def test_a_call_that_does_not_fit_is_refused(fam_file: Path) -> None:
    exported = ExportedStep(fam_file, threads=1)
    clip, state = torch.zeros(exported.description.clip_shape), exported.init_state(2)
    with pytest.raises(InputError, match=r"clip must be \(2, 3, 4, 20, 20\)"):
        exported.step(clip[:1], state)
    with pytest.raises(InputError, match="the file steps 2 streams, the state has 3"):
        exported.step(clip, exported.init_state(3))
    with pytest.raises(InputError, match="seconds must be"):
        exported.step(clip, state, seconds=torch.zeros(2))
    with pytest.raises(OptionError, match=r"torch runs \.pt2"):
        ExportedStep(fam_file, runtime="torch")


def test_names_of_exported_steps() -> None:
    assert [is_exported(name) for name in ("a.onnx", "b.PT2", "c.safetensors", "pen")] == [
        True,
        True,
        False,
        False,
    ]
