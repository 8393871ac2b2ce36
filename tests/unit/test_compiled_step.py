"""A compiled step gives what the plain one gives, over streams that idle, jump and start anew."""

from __future__ import annotations

import pytest
import torch

import vigilia
from vigilia.errors import OptionError
from vigilia.state import named_tensors
from vigilia.stream import StreamClassifier, compiled, create_model, prepared


def model(name: str) -> StreamClassifier:
    torch.manual_seed(0)
    made = create_model(
        name,
        num_classes=3,
        memory="fam",
        slots=3,
        summary_tokens=4,
        feedback_tokens=4,
        write_every=2,
        height=32,
        width=32,
    ).eval()
    with torch.no_grad():
        for parameter in made.memory.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made


@pytest.mark.parametrize("name", ["swin3d_nano", "swin3d_nano_incremental"])
def test_one_graph_gives_the_plain_steps_results(name: str) -> None:
    torch._dynamo.reset()
    plain = prepared(model(name))
    fast = compiled(prepared(plain), backend="eager")
    ours, theirs = plain.init_state(2), fast.init_state(2)
    ended = torch.zeros(2, dtype=torch.float64)
    with torch.inference_mode():
        for step in range(6):
            clip = torch.randn(2, 3, plain.clip_frames, 32, 32)
            ended = ended + (40.0 if step == 4 else 2.0)
            active = torch.tensor([True, step % 2 == 0])
            if step == 3:
                fresh = torch.tensor([False, True])
                ours, theirs = vigilia.reset(ours, fresh), vigilia.reset(theirs, fresh)
            wanted, ours = plain.step(clip, ours, active=active, seconds=ended)
            got, theirs = fast.step(clip, theirs, active=active, seconds=ended)
            assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-5)
    others = named_tensors(theirs)
    for name, tensor in named_tensors(ours).items():
        close = torch.allclose(tensor.double(), others[name].double(), rtol=1e-5, atol=1e-5)
        assert close, name


def test_what_cannot_be_compiled_is_said_in_one_line() -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no compiler\nto be found")

    torch._dynamo.reset()
    fast = compiled(prepared(model("swin3d_nano")), backend=broken)
    clip = torch.randn(1, 3, fast.clip_frames, 32, 32)
    with pytest.raises(
        OptionError, match=r"cannot be compiled here .*; on a CPU that takes"
    ) as said:
        fast.step(clip, fast.init_state(1))
    assert "\n" not in str(said.value)


def test_a_model_that_learns_is_refused() -> None:
    with pytest.raises(OptionError, match="call eval"):
        compiled(model("swin3d_nano").train())
