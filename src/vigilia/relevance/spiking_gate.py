"""The spiking model as the gate: a small net on simulated events says when a clip is worth a step.

Each frame is made smaller and shown to a simulated event camera; what changed since the frame
before is one bin of a `vigilia.spiking.NeuroSvt`, and the frame *wakes* if the bin opens the
memory's gate. A picture in which nothing changes makes no event, and a bin without events costs the
net nothing. From there on the rule is that of `gate.py`: a clip is skipped if none of its frames
woke, a step has already been taken on such a clip, and the last step lies no longer ago than
`refresh_seconds`. What the net finds worth waking for is what it was trained to: see
`scripts/train_wake.py`.

Letters: H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.events import EventCamera, expose
from vigilia.events.camera import CameraState
from vigilia.relevance.gate import GateOptions, GateState, decide, means_of
from vigilia.spiking import NeuroSvt, SpikingState
from vigilia.state import named_tensors, with_tensors

__all__ = ["CONTRAST", "SpikingGate", "SpikingGateState", "bin_of_frame"]

CONTRAST = 0.12
"""Change of log brightness, of a pixel of the small picture, that makes an event."""


@dataclass(frozen=True, eq=False)
class SpikingGate:
    """The gate and its net.

    Attributes:
        model: on the CPU, in evaluation mode.
        options: `settle_steps` and `refresh_seconds` are looked at.
    """

    model: NeuroSvt
    options: GateOptions = field(default_factory=GateOptions)

    @property
    def camera(self) -> EventCamera:
        """What the net's pictures are seen with: an ordinary camera has noise enough of its own."""
        spec = self.model.spec
        return EventCamera(
            width=spec.width,
            height=spec.height,
            on_threshold=CONTRAST,
            off_threshold=CONTRAST,
            mismatch=0.0,
            leak_hz=0.0,
            shot_noise_hz=0.0,
        )

    def init_state(self) -> SpikingGateState:
        """A camera of which nothing is known."""
        return SpikingGateState(GateState(), self.camera.init_state, self.model.init_state(1))

    @torch.inference_mode()
    def watch(
        self,
        state: SpikingGateState,
        pixels: NDArray[np.uint8],
        *,
        seconds: float,
        clip_frames: int,
    ) -> SpikingGateState:
        """Takes the next frame.

        Args:
            state: as returned by the call before.
            pixels: (H, W, 3) uint8.
            seconds: when it was taken.
            clip_frames: T of a clip: the first frame stands for all that came before it.
        """
        first = state.camera.frames == 0
        camera, bins = bin_of_frame(self.camera, state.camera, pixels, seconds)
        if first:
            gate = replace(state.gate, still_frames=clip_frames)
            return replace(state, gate=gate, camera=camera)
        ended = torch.tensor([seconds], dtype=torch.float64)
        _, model = self.model.step(torch.from_numpy(bins)[None], state.model, seconds=ended)
        if bool(model.wake):
            gate = replace(state.gate, still_frames=0, settled_steps=0)
        else:
            gate = replace(state.gate, still_frames=state.gate.still_frames + 1)
        return SpikingGateState(gate, camera, model)

    def decide(
        self, state: SpikingGateState, *, clip_frames: int, end_seconds: float
    ) -> tuple[SpikingGateState, bool]:
        """Whether the clip that ends now is to be stepped; see `vigilia.relevance.gate.decide`."""
        gate, step = decide(
            state.gate, clip_frames=clip_frames, end_seconds=end_seconds, options=self.options
        )
        return replace(state, gate=gate), step


@dataclass(frozen=True, eq=False)
class SpikingGateState:
    """What the gate knows of one camera.

    Attributes:
        gate: how long nothing woke it, and when the last step was.
        camera: of the simulated event camera.
        model: of the net.
    """

    gate: GateState
    camera: CameraState
    model: SpikingState

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays that `with_arrays` turns into this same state, to the last bit."""
        camera = {name: np.asarray(value) for name, value in vars(self.camera).items()}
        return {
            **{f"rule.{name}": array for name, array in self.gate.to_arrays().items()},
            **{f"camera.{name}": array for name, array in camera.items()},
            **{f"net.{name}": tensor.numpy() for name, tensor in named_tensors(self.model).items()},
        }

    def with_arrays(self, arrays: dict[str, np.ndarray]) -> SpikingGateState:
        """Reads `to_arrays` of a state of the same gate.

        Raises:
            KeyError, ValueError: the arrays are no saved state of it.
        """

        def under(prefix: str) -> dict[str, np.ndarray]:
            names = [name for name in arrays if name.startswith(prefix)]
            return {name.removeprefix(prefix): arrays[name] for name in names}

        camera = under("camera.")
        tensors = {name: torch.from_numpy(array) for name, array in under("net.").items()}
        return SpikingGateState(
            GateState.from_arrays(under("rule.")),
            CameraState(int(camera.pop("frames")), int(camera.pop("t")), **camera),
            with_tensors(self.model, tensors),
        )


def bin_of_frame(
    camera: EventCamera, state: CameraState, pixels: NDArray[np.uint8], seconds: float
) -> tuple[CameraState, NDArray[np.float32]]:
    """Shows the camera a frame of any size: its next state, and (2, H, W) ON and OFF, 0 or 1.

    Args:
        camera: of the net's size.
        state: after the frames before.
        pixels: (H', W', 3) uint8.
        seconds: when it was taken.
    """
    small = means_of(pixels, camera.height, camera.width)
    state, events = expose(camera, state, small, round(seconds * 1e6))
    bins = np.zeros((2, camera.height, camera.width), np.float32)
    bins[1 - events["p"].astype(np.intp), events["y"], events["x"]] = 1
    return state, bins
