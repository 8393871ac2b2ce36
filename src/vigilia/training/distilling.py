"""A larger model teaches a smaller one: what it says, and what its memory adds to each clip.

The teacher streams beside the student, over the same clips changed in the same way, with a memory
of its own. It is never trained. Two things are taught, on every clip, labelled or not:

- its probabilities, softened by a temperature (Hinton, Vinyals, Dean, "Distilling the Knowledge in
  a Neural Network", 2015);
- which clips its memory reads alike: memory's additions to any two clips of the chunk, in any rows,
  are to be as similar for the student as they are for the teacher (Tung and Mori, "Similarity-
  Preserving Knowledge Distillation", 2019). Widths and kinds of memory may differ, and nothing has
  to be learned that is thrown away afterwards. A fresh memory reads nothing, and nothing is neither
  alike nor unlike: its gates are opened by the labels and by what the teacher says.

Letters: B rows, K clips of a chunk, C classes, R features of a read, D of a clip.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.state import State, reset
from vigilia.stream import StreamClassifier, StreamState
from vigilia.stream.telling import TellingState, telling
from vigilia.training.features import feature_view
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch
from vigilia.training.seeing import SeenRecording
from vigilia.training.stretch import View, pixel_view

__all__ = [
    "DistillingView",
    "TaughtState",
    "check_teacher",
    "distilling_view",
    "read_loss",
    "soft_loss",
]

FAINT = 0.1
"""A read counts as something if it is this large beside the clip's own embedding: a fresh memory
adds nothing, and nothing has no direction."""


@dataclass(frozen=True)
class TaughtState(State):
    """What both remember.

    Attributes:
        student: of the model that learns.
        teacher: of the one that teaches.
    """

    student: StreamState
    teacher: StreamState


@dataclass(frozen=True)
class DistillingView:
    """A `TeachingView` and a `CarryingView`: it shows the student a clip, and asks the teacher.

    Attributes:
        student: learns; its state tells what memory added.
        teacher: likewise, in evaluation mode.
        show: the student a clip.
        ask: the teacher about it.
        order: (C,) the student's classes as numbers of the teacher's.
        options: weights of the parts, and the temperature.
        identity: of the teacher, for a run that goes on.
    """

    student: StreamClassifier
    teacher: StreamClassifier
    show: View
    ask: View
    order: Tensor
    options: TrainOptions
    identity: str

    def init_state(self, batch_size: int) -> TaughtState:
        """Neither has seen anything."""
        return TaughtState(self.student.init_state(batch_size), self.teacher.init_state(batch_size))

    def __call__(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """As any view: the teacher is not asked."""
        held = cast(TaughtState, state)
        logits, student = self.show(batch, held.student)
        return logits, dataclasses.replace(held, student=student)

    def at(self, course: float) -> DistillingView:
        """The same from beginning to end."""
        return self

    def taught(self, batches: Sequence[Batch], state: Any) -> tuple[list[Tensor], Tensor, Any]:
        """Shows K clips to both; see `TeachingView.taught`."""
        held = cast(TaughtState, state)
        logits, softened = [], []
        reads: tuple[list[Tensor], list[Tensor]] = ([], [])
        for batch in batches:
            if batch.starts.any():
                held = reset(held, torch.from_numpy(batch.starts))
            said, student = self.show(batch, held.student)
            with torch.no_grad():
                told, teacher = self.ask(batch, held.teacher)
            # No tensor is in two places, or the state could not be saved.
            held = TaughtState(
                student, dataclasses.replace(teacher, seconds=teacher.seconds.clone())
            )
            logits.append(said)
            softened.append(told[:, self.order])
            for kept, one in zip(reads, (student, teacher), strict=True):
                kept.append(_direction(cast(TellingState, one)))
        options = self.options
        loss = logits[0].new_zeros(())
        if options.teach:
            temperature = options.teach_temperature
            loss = loss + options.teach * soft_loss(
                torch.cat(logits), torch.cat(softened), temperature=temperature
            )
        if options.teach_memory:
            mine, its = (torch.cat(one) for one in reads)
            loss = loss + options.teach_memory * read_loss(mine, its)
        return logits, loss, held


def soft_loss(said: Tensor, told: Tensor, *, temperature: float) -> Tensor:
    """Kullback-Leibler divergence from the teacher's softened probabilities, times T squared.

    said and told: (N, C) logits -> (). With the square the gradient is about as large at any T.
    """
    target = (told.float() / temperature).softmax(dim=1)
    guess = (said.float() / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(guess, target, reduction="batchmean")


def read_loss(mine: Tensor, its: Tensor) -> Tensor:
    """How unlike the similarities are. mine: (N, R), its: (N, R'), of length 1 or less -> ()."""
    return (mine @ mine.T - its @ its.T).square().mean()


def _direction(state: TellingState) -> Tensor:
    """(B, R) of length nearly 1 where memory added much, and short where it added little."""
    read = state.read.float()
    usual = FAINT * state.pooled.detach().float().norm(dim=1, keepdim=True) + 1e-6
    return read / (read.square().sum(dim=1, keepdim=True) + usual.square()).sqrt()


def check_teacher(
    student: StreamClassifier,
    teacher: StreamClassifier,
    recordings: Sequence[Recording],
    seen_by_teacher: Sequence[Recording],
) -> None:
    """Refuses a teacher that cannot be asked about the student's clips.

    Args:
        student: learns.
        teacher: teaches.
        recordings: as the student sees them.
        seen_by_teacher: the same as the teacher sees them.

    Raises:
        OptionError: other classes, or clips that end at other times.
    """
    if set(student.classes) != set(teacher.classes):
        odd = sorted(set(student.classes) ^ set(teacher.classes))
        raise OptionError(
            f"the teacher must know the same classes, {odd[0]!r} is only on one side; it knows "
            f"{', '.join(teacher.classes[:12])}"
        )
    if teacher.hears:
        raise OptionError("the teacher must not hear: training shows pictures alone")
    for one, other in zip(recordings, seen_by_teacher, strict=True):
        if len(one) != len(other) or not np.allclose(one.end_seconds, other.end_seconds):
            mine, its = student.preprocessing, teacher.preprocessing
            raise OptionError(
                f"{one.name}: teacher and student must step at the same times; the teacher steps "
                f"every {its.stride_frames} frames at {its.fps:g} a second, the student every "
                f"{mine.stride_frames} at {mine.fps:g}; set --fps and --stride-frames to fit"
            )


def distilling_view(
    student: StreamClassifier,
    teacher: StreamClassifier,
    recordings: Sequence[Recording],
    seen_by_teacher: Sequence[Recording],
    options: TrainOptions,
    *,
    identity: str,
    kept: Sequence[SeenRecording] | None = None,
    autocast: Any = None,
) -> DistillingView:
    """What `train_model` takes as its view.

    Args:
        student: learns.
        teacher: teaches; is put into evaluation mode, on the student's device.
        recordings: as the student sees them.
        seen_by_teacher: the same as the teacher sees them.
        options: of the training.
        identity: of the teacher's file.
        kept: what the student's frozen backbone saw, if that was kept.
        autocast: the precision of backbones; None for that of their weights.

    Raises:
        OptionError: a teacher that cannot be asked.
    """
    check_teacher(student, teacher, recordings, seen_by_teacher)
    device = student.head.weight.device
    tells = telling(student)
    asked = telling(teacher.to(device).eval().requires_grad_(False)).eval()
    plain = dataclasses.replace(options, checkpoint_activations=False)
    return DistillingView(
        student=tells,
        teacher=asked,
        show=feature_view(tells, kept, options)
        if kept is not None
        else pixel_view(tells, recordings, options, autocast=autocast),
        # What was kept was seen as it is.
        ask=pixel_view(asked, seen_by_teacher, plain if kept is None else None, autocast=autocast),
        order=torch.tensor(
            [teacher.classes.index(name) for name in student.classes], device=device
        ),
        options=options,
        identity=identity,
    )
