"""A model on disk: what comes back is what was written, and nothing that could run is opened."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vigilia.checkpoint import load_model, read_tensors, save_model, save_tensors
from vigilia.errors import CheckpointError, OutputError
from vigilia.stream import StreamClassifier, create_model

CLASSES = ("wake", "REM", "NREM", "äußerst still")


def tiny(memory: str = "fam", seed: int = 0, **options: Any) -> StreamClassifier:
    torch.manual_seed(seed)
    if memory == "fam":
        options = {"slots": 2, "summary_tokens": 3, "feedback_tokens": 2, "head_dim": 8} | options
    model = create_model(
        "swin3d_nano",
        classes=CLASSES,
        memory=memory,
        fps=2.5,
        clip_frames=8,
        stride_frames=3,
        height=32,
        width=40,
        **options,
    )
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.normal_(parameter)
    return model.eval()


@torch.no_grad()
def stream(model: StreamClassifier, seed: int = 1, steps: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    state, out = model.init_state(2), []
    for _ in range(steps):
        logits, state = model.step(torch.randn(2, 3, 8, 32, 40, generator=generator), state)
        out.append(logits)
    return torch.stack(out)


def message(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("memory", "options"),
    [
        ("fam", {"write_every": 1, "stages": (2, 4)}),
        ("fam", {"consolidate": True}),
        ("pilot", {"slots": 2, "summary_tokens": 3, "head_dim": 8}),
        ("gru", {"hidden": 12}),
        ("none", {}),
    ],
)
def test_what_is_loaded_gives_the_same_logits_bit_for_bit(
    tmp_path: Path, memory: str, options: dict[str, Any]
) -> None:
    model = tiny(memory, **options)
    card = {"trained_on": "7 nights", "best": {"kappa": 0.1 + 0.2, "confusion": [[1, 2], [3, 4]]}}
    model.card = card
    save_model(model, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert not loaded.training
    assert torch.equal(stream(loaded), stream(model))
    assert loaded.spec == model.spec
    assert loaded.card == card


def test_the_order_of_the_classes_is_kept(tmp_path: Path) -> None:
    save_model(tiny(), tmp_path / "m.safetensors")
    assert load_model(tmp_path / "m.safetensors").classes == CLASSES


def test_a_card_given_at_saving_takes_the_place_of_the_models_own(tmp_path: Path) -> None:
    model = tiny("none")
    model.card = {"trained_on": "one thing"}
    save_model(model, tmp_path / "m.safetensors", card={"trained_on": "another"})
    assert load_model(tmp_path / "m.safetensors").card == {"trained_on": "another"}
    assert model.card == {"trained_on": "one thing"}


def test_half_precision_takes_half_the_bytes_and_comes_back_as_float32(tmp_path: Path) -> None:
    model = tiny()
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_model(model, whole)
    save_model(model, half, dtype=torch.float16)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    loaded = load_model(half)
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        assert torch.equal(loaded.state_dict()[name], tensor.half().float())
    assert (stream(loaded) - stream(model)).abs().max() < 0.02
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(tiny(seed=1), path)
    save_model(tiny(seed=2), path)
    assert torch.equal(stream(load_model(path)), stream(tiny(seed=2)))
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_missing_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        save_model(tiny("none"), tmp_path / "nowhere" / "m.safetensors")


class Trap:
    """Runs code as soon as it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return spring, ()


def spring() -> None:
    Trap.sprung = True


def pickled_zip() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": Trap()}, buffer)
    return buffer.getvalue()


def pickled_legacy() -> bytes:
    buffer = io.BytesIO()
    torch.save({"model": torch.zeros(2)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pickled_zip(),
        pickled_legacy(),
        *(pickle.dumps(Trap(), protocol) for protocol in range(2, 6)),
    ],
    ids=["zip", "legacy", "protocol 2", "protocol 3", "protocol 4", "protocol 5"],
)
def test_a_pickled_file_is_refused_without_being_opened(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert "pickled checkpoint can run code and is refused" in message(path)
    assert not Trap.sprung


@pytest.mark.parametrize("start", [0x80, 0x280, 0x580, 0x4B50, 0x10480])
def test_a_header_whose_length_looks_like_a_pickle_or_a_zip_is_read(
    tmp_path: Path, start: int
) -> None:
    # The file begins with the header's length: 0x80 is the pickle's first byte, "PK" is 0x4B50.
    path = tmp_path / "m.safetensors"
    tensors = {"a": torch.arange(3.0)}
    save_tensors(path, tensors, {"note": ""})
    length = int.from_bytes(path.read_bytes()[:8], "little")
    if length < start:
        save_tensors(path, tensors, {"note": "x" * (start - length)})
    else:
        path.write_bytes(
            start.to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}'.ljust(start)
            + path.read_bytes()[-12:]
        )
    assert path.read_bytes()[:8] == start.to_bytes(8, "little")
    assert torch.equal(read_tensors(path)[0]["a"], tensors["a"])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_called_damaged(tmp_path: Path, share: float) -> None:
    path = tmp_path / "m.safetensors"
    save_model(tiny("none"), path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "not a safetensors file, or damaged" in message(path)


@pytest.mark.parametrize("text", ["", "hello", "label,start\nwake,0\n" * 50, "{}", "\x00" * 100])
def test_a_text_file_is_no_model(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    assert "not a safetensors file, or damaged" in message(path)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "is a folder; name the .safetensors file in it" in message(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "no such model file" in message(tmp_path / "gone.safetensors")


def test_safetensors_of_someone_else_are_no_model(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    assert "not a model written by Vigilia" in message(path)
    save_file({"weight": torch.zeros(2)}, path, metadata={"format": "pt"})
    assert "vigilia train" in message(path)


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Path:
    save_model(tiny(), path)
    tensors, header = read_tensors(path)
    spec = json.loads(header["spec"])
    change(spec, tensors)
    save_tensors(path, tensors, header | {"spec": json.dumps(spec)})
    return path


def test_weights_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    rewritten(path, lambda spec, tensors: tensors.pop("head.bias"))
    assert "the weights do not fit" in message(path)
    assert "head.bias" in message(path)
    rewritten(path, lambda spec, tensors: tensors.update({"tail.weight": torch.zeros(1)}))
    assert "tail.weight" in message(path)
    rewritten(path, lambda spec, tensors: tensors.update({"head.bias": torch.zeros(9)}))
    assert "the weights do not fit" in message(path)
    rewritten(path, lambda spec, tensors: spec.update(classes=["a", "b"]))
    assert "the weights do not fit" in message(path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "swin3d_xxl"},
        {"memory": "elephant"},
        {"memory_options": {"trunk": 1}},
        {"memory_options": {"slots": "many"}},
        {"memory_options": [1]},
        {"backbone_options": {"wings": 2}},
        {"preprocessing": {"fps": 4}},
        {"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1], "fps": -1}},
        {"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1], "hue": 1}},
        {"classes": None},
        {"another": 1},
    ],
    ids=str,
)
def test_a_description_of_another_version_is_one_line(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    path = rewritten(tmp_path / "m.safetensors", lambda spec, tensors: spec.update(change))
    assert "newer Vigilia" in message(path)


def test_a_description_that_is_no_json_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(tiny("none"), path)
    tensors, header = read_tensors(path)
    save_tensors(path, tensors, header | {"spec": "{"})
    assert "cannot be read" in message(path)
    save_tensors(path, tensors, {"format": header["format"]})
    assert "cannot be read" in message(path)
