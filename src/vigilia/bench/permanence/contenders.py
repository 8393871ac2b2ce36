"""Who takes part, and of whom it is known beforehand that they must remember or must forget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from vigilia.bench.permanence.baselines import ConvLstm, Gru, MemorylessVit
from vigilia.bench.permanence.digits import CLASSES
from vigilia.bench.permanence.scenes import PICTURE
from vigilia.spiking import create_spiking_model

__all__ = ["CONTENDERS", "EYES", "Contender"]


@dataclass(frozen=True)
class Contender:
    """A network, or something done to one.

    Attributes:
        name: key of tables and files.
        title: what it is, in a few words.
        build: objects -> network with fresh weights; None for those who are told the truth.
        trained_as: name of the contender whose weights are taken; its own, for most.
        treatment: what is done when everything is hidden: "", "reset" or "shuffled"; "observed" for
            whom no place is told but those that were to be seen.
        must: "remember" or "forget" where that is known beforehand, else "".
        rate: factor on the learning rate: a transformer learns less at that of the others.
    """

    name: str
    title: str
    build: Callable[[int], nn.Module] | None
    trained_as: str
    treatment: str = ""
    must: str = ""
    rate: float = 1.0


EYES: dict[str, Any] = {"dim": 96, "heads": 4, "convolutions": 2}
"""Thrice as wide as the nano preset: what is not seen well cannot be remembered well. Chosen by
the digits that choices are made by."""


def _spiking(memory: str) -> Callable[[int], nn.Module]:
    def build(objects: int) -> nn.Module:
        options = {**EYES, **({"objects": objects} if objects > 1 else {})}
        return create_spiking_model(
            "neuro_svt_nano",
            classes=[
                f"{name}{'' if objects == 1 else f' {which}'}"
                for which in range(objects)
                for name in CLASSES
            ],
            memory=memory,
            height=PICTURE,
            width=PICTURE,
            **options,
        )

    return build


CONTENDERS: dict[str, Contender] = {
    one.name: one
    for one in (
        Contender("event", "Neuro-SVT, spike-gated memory", _spiking("event"), "event"),
        Contender("hold30", "Neuro-SVT, leaks to half in 30 bins", _spiking("hold30"), "hold30"),
        Contender("seed", "Neuro-SVT, tau = 2, no gate", _spiking("seed"), "seed", must="forget"),
        Contender(
            "reset",
            "event, started anew when all is hidden",
            _spiking("event"),
            "event",
            "reset",
            "forget",
        ),
        Contender(
            "shuffled",
            "event, with the memory of another scene",
            _spiking("event"),
            "event",
            "shuffled",
            "forget",
        ),
        Contender(
            "vit",
            "vision transformer, bin by bin",
            lambda objects: MemorylessVit(len(CLASSES), objects),
            "vit",
            must="forget",
            rate=0.25,
        ),
        Contender("gru", "GRU", lambda objects: Gru(len(CLASSES), objects), "gru", must="remember"),
        Contender(
            "convlstm",
            "ConvLSTM",
            lambda objects: ConvLstm(len(CLASSES), objects),
            "convlstm",
            must="remember",
        ),
        Contender("oracle", "a latch that was told the truth", None, "oracle", must="remember"),
        Contender(
            "observer", "an ideal observer of paths", None, "observer", "observed", "remember"
        ),
    )
}
