"""Several models that watch side by side and answer with the mean of their probabilities.

Lakshminarayanan, Pritzel, Blundell, "Simple and scalable predictive uncertainty estimation using
deep ensembles", 2017. It has `init_state` and `step` like one model: `vigilia.run` takes it.

Letters: B streams, C channels, T frames, H W pixels, K classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.fingerprints import add_weights
from vigilia.preprocessing import Preprocessing
from vigilia.state import State
from vigilia.stream.classifier import StreamClassifier
from vigilia.stream.values import ModelSpec, StreamState

__all__ = ["Ensemble", "EnsembleState"]


@dataclass(frozen=True)
class EnsembleState(State):
    """What the models remember.

    Attributes:
        members: one state a model.
        seconds: (B,) float64, when each row's last clip ended.
        clips: (B,) int64, how many clips each row has seen.
        logits: (B, K) logarithms of the mean probabilities of each row's last clip.
    """

    members: tuple[StreamState, ...]
    seconds: Tensor
    clips: Tensor
    logits: Tensor


@dataclass(frozen=True)
class _Described:
    precision: str = "float32"


class Ensemble(nn.Module):
    """Models of the same classes and the same preprocessing.

    Args:
        models: two or more.

    Raises:
        OptionError: fewer than two, or models that do not fit together.
    """

    def __init__(self, models: Sequence[StreamClassifier]) -> None:
        super().__init__()
        if len(models) < 2:
            raise OptionError(f"an ensemble has at least 2 models, got {len(models)}")
        first, *others = models
        for number, other in enumerate(others, start=2):
            for name in ("classes", "preprocessing", "hears"):
                if getattr(other, name) != getattr(first, name):
                    raise OptionError(
                        f"model {number} of the ensemble has another {name} than the first: "
                        f"{getattr(other, name)} and {getattr(first, name)}"
                    )
        self.models = nn.ModuleList(models)
        self.description = _Described()
        self.runtime = f"mean of {len(models)} models"
        self.eval()

    @property
    def _members(self) -> list[StreamClassifier]:
        return [cast(StreamClassifier, model) for model in self.models]

    @property
    def spec(self) -> ModelSpec:
        """The first model's; the name is everybody's."""
        names = [model.spec.name for model in self._members]
        memories = [model.spec.memory for model in self._members]
        return replace(self._members[0].spec, name=" + ".join(names), memory=" + ".join(memories))

    @property
    def card(self) -> dict[str, Any]:
        """What the models were trained on."""
        told = [str(model.card.get("trained_on", "not said")) for model in self._members]
        return {"trained_on": " + ".join(dict.fromkeys(told))}

    @property
    def fingerprint(self) -> str:
        """A hash of all weights and arguments."""
        digest = hashlib.sha256()
        for model in self._members:
            digest.update(json.dumps(asdict(model.spec), sort_keys=True).encode())
            add_weights(digest, model)
        return digest.hexdigest()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self._members[0].classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How frames become clips."""
        return self._members[0].preprocessing

    @property
    def hears(self) -> bool:
        """Whether the models take sound beside the clip."""
        return self._members[0].hears

    def init_state(self, batch_size: int) -> EnsembleState:
        """The state of streams that have seen nothing: all zeros."""
        members = tuple(model.init_state(batch_size) for model in self._members)
        first = members[0]
        return _joined(members, first.logits.clone())

    def step(
        self,
        clip: Tensor,
        state: EnsembleState,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
        audio: Tensor | None = None,
    ) -> tuple[Tensor, EnsembleState]:
        """One clip for every model; as `StreamClassifier.step`.

        clip: (B, C, T, H, W) -> logarithms of mean probabilities (B, K).
        """
        members, logits = [], []
        for model, held in zip(self._members, state.members, strict=True):
            # A gate may have let time pass without a step.
            told, after = model.step(
                clip,
                replace(held, seconds=state.seconds),
                active=active,
                seconds=seconds,
                audio=audio,
            )
            members.append(after)
            logits.append(told)
        mean = torch.stack(logits).softmax(dim=-1).mean(dim=0)
        said = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        if active is not None:
            said = torch.where(active[:, None], said, state.logits)
        return said, _joined(tuple(members), said)


def _joined(members: tuple[StreamState, ...], logits: Tensor) -> EnsembleState:
    """No tensor is in two places, or the state could not be saved."""
    first = members[0]
    apart = (first, *(replace(one, seconds=one.seconds.clone()) for one in members[1:]))
    return EnsembleState(apart, first.seconds.clone(), first.clips.clone(), logits)
