"""The spiking model as the gate: a small net on simulated events says when a clip is worth a step.

Each frame is made smaller and shown to a simulated event camera; what changed since the frame
before is one bin of a `vigilia.spiking.NeuroSvt`, and the frame *wakes* if the bin opens the
memory's gate. A picture in which nothing changes makes no event, and a bin without events costs the
net nothing. From there on the rule is that of `gate.py`: a clip is skipped if fewer than `wakes` of
its frames woke, a step has already been taken on such a clip, and the last step lies no longer ago
than `refresh_seconds`. What the net finds worth waking for is what it was trained to: see
`scripts/train_wake.py`.

Nothing is decided before a clip ends, so the net looks at the bins since the last clip together:
the same answers at a fraction of the time, which for so small a net goes into starting operations.

Letters: H W pixels, T frames of a clip, N bins that wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.errors import OptionError
from vigilia.events import EventCamera, expose
from vigilia.events.camera import CameraState
from vigilia.relevance.gate import GateOptions, GateState, decide, means_of
from vigilia.spiking import NeuroSvt, SpikingState
from vigilia.state import named_tensors, with_tensors

__all__ = ["CONTRAST", "WAKES", "SpikingGate", "SpikingGateState", "bin_of_frame"]

CONTRAST = 0.12
"""Change of log brightness, of a pixel of the small picture, that makes an event."""

WAKES = 3
"""Frames of a clip that must wake: a single one is more often an error than a beginning."""


@dataclass(frozen=True, eq=False)
class SpikingGate:
    """The gate and its net.

    Attributes:
        model: on the CPU, in evaluation mode.
        options: `settle_steps` and `refresh_seconds` are looked at.
        wakes: frames of a clip that must wake for it to be stepped; more save more steps, and lose
            more of what is short.

    Raises:
        OptionError: `wakes` below 1.
    """

    model: NeuroSvt
    options: GateOptions = field(default_factory=GateOptions)
    wakes: int = WAKES

    def __post_init__(self) -> None:
        if self.wakes < 1:
            raise OptionError(f"wakes of the gate must be at least 1, got {self.wakes}")

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
        return SpikingGateState(
            GateState(),
            self.camera.init_state,
            self.model.init_state(1),
            np.zeros(0, bool),
            np.zeros((0, 2, self.model.spec.height, self.model.spec.width), np.float32),
            np.zeros(0),
        )

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
            return replace(state, camera=camera, woke=np.zeros(clip_frames, bool))
        state = replace(
            state,
            camera=camera,
            waiting=np.concatenate([state.waiting, bins[None]]),
            ended=np.append(state.ended, seconds),
        )
        return self._look(state) if len(state.waiting) >= clip_frames else state

    def decide(
        self, state: SpikingGateState, *, clip_frames: int, end_seconds: float
    ) -> tuple[SpikingGateState, bool]:
        """Whether the clip that ends now is to be stepped; see `vigilia.relevance.gate.decide`."""
        state = self._look(state)
        still = clip_frames if state.woke.sum() < self.wakes else 0
        rule, step = decide(
            replace(state.rule, still_frames=still),
            clip_frames=clip_frames,
            end_seconds=end_seconds,
            options=self.options,
        )
        return replace(state, rule=rule), step

    @torch.inference_mode()
    def _look(self, state: SpikingGateState) -> SpikingGateState:
        """Shows the net what waits."""
        if not len(state.waiting):
            return state
        outputs, model = self.model.sequence(
            torch.from_numpy(state.waiting)[:, None],
            state.model,
            seconds=torch.from_numpy(state.ended)[:, None],
        )
        wakes = (outputs.gates[:, 0] > 0).any(-1).numpy()
        frames = len(state.woke)
        woke = np.concatenate([state.woke, wakes])
        busy = np.lib.stride_tricks.sliding_window_view(woke, frames).sum(1) >= self.wakes
        rule = replace(state.rule, settled_steps=0) if busy.any() else state.rule
        return SpikingGateState(
            rule, state.camera, model, woke[-frames:], state.waiting[:0], state.ended[:0]
        )


@dataclass(frozen=True, eq=False)
class SpikingGateState:
    """What the gate knows of one camera.

    Attributes:
        rule: how many still clips were stepped, and when the last step was.
        camera: of the simulated event camera.
        model: of the net.
        woke: (T,) bool, whether each of the last frames woke it; (0,) before the first.
        waiting: (N, 2, H, W) float32, bins that the net has not seen yet, fewer than T.
        ended: (N,) float64, when each of them ended, in seconds.
    """

    rule: GateState
    camera: CameraState
    model: SpikingState
    woke: NDArray[np.bool_]
    waiting: NDArray[np.float32]
    ended: NDArray[np.float64]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays that `with_arrays` turns into this same state, to the last bit."""
        camera = {name: np.asarray(value) for name, value in vars(self.camera).items()}
        return {
            **{f"rule.{name}": array for name, array in self.rule.to_arrays().items()},
            **{f"camera.{name}": array for name, array in camera.items()},
            **{f"net.{name}": tensor.numpy() for name, tensor in named_tensors(self.model).items()},
            "woke": self.woke,
            "waiting": self.waiting,
            "ended": self.ended,
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
            arrays["woke"],
            arrays["waiting"],
            arrays["ended"],
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
