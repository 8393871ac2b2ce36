"""What `vigilia run` says of a recording that looks unlike those of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vigilia.cli.show import errors

if TYPE_CHECKING:
    from vigilia.evaluation.familiar import AppearanceWatch

__all__ = ["appearance_watch", "note_unfamiliar"]


def appearance_watch(options: dict[str, Any]) -> AppearanceWatch | None:
    """Watches the pictures of one recording; None where there is nothing to compare them with.

    Args:
        options: of `vigilia.run`.
    """
    from vigilia.evaluation.familiar import AppearanceWatch
    from vigilia.evaluation.known import known_of
    from vigilia.stream import StreamClassifier

    model = options["model"]
    # At another rate frames are further apart, and that alone looks unlike the training.
    if not isinstance(model, StreamClassifier) or options["fps"] is not None:
        return None
    known = known_of(model.card)
    if known is None or known.appearance is None:
        return None
    return AppearanceWatch(known.appearance, options["stride_frames"] or model.stride_frames)


def note_unfamiliar(watch: AppearanceWatch | None) -> None:
    """A line on standard error, if most of the recording lies beyond the training."""
    verdict = None if watch is None else watch.verdict()
    if verdict is not None and verdict.unfamiliar:
        errors.print(
            "note: this recording looks unlike those the model learned from "
            f"({100 * verdict.share_beyond:.0f} % of its clips lie beyond); be wary of the "
            "timeline, and see `vigilia familiar`"
        )
