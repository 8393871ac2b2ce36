"""The selective scan against transformers' Mamba, over a sequence and step by step."""

from __future__ import annotations

import torch
from oracles import transformers

from vigilia.backbones.state_space import SelectiveScan


@torch.inference_mode()
def test_the_mixer_agrees_with_mamba() -> None:
    config = transformers.MambaConfig(
        hidden_size=24, state_size=5, num_hidden_layers=1, vocab_size=3, time_step_rank=2
    )
    reference = transformers.MambaModel(config).eval().layers[0].mixer
    for parameter in reference.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.2)
    ours = SelectiveScan(24, states=5)
    theirs = reference.state_dict()
    names = {
        "in_proj.weight": "in_proj.weight",
        "taps": "conv1d.weight",
        "taps_bias": "conv1d.bias",
        "x_proj.weight": "x_proj.weight",
        "rate.weight": "dt_proj.weight",
        "rate.bias": "dt_proj.bias",
        "log_decay": "A_log",
        "skip": "D",
        "out_proj.weight": "out_proj.weight",
    }
    assert set(names.values()) == set(theirs)
    own = ours.state_dict()
    ours.load_state_dict({name: theirs[old].view_as(own[name]) for name, old in names.items()})
    x = torch.randn(2, 11, 24)
    expected = reference(x)
    assert expected.std() > 0.1
    grid, before = x[:, :, None, None], torch.arange(11).expand(2, 11)
    state = ours.init_state(2, (1, 1), device=x.device, dtype=x.dtype)
    torch.testing.assert_close(
        ours(grid, state, before)[0][:, :, 0, 0], expected, rtol=1e-5, atol=1e-5
    )
    for time in range(11):
        out, state = ours(grid[:, time : time + 1], state, before[:, time : time + 1])
        torch.testing.assert_close(out[:, 0, 0, 0], expected[:, time], rtol=1e-5, atol=1e-5)
