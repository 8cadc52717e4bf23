"""Adds up how far the outputs of two models are apart, sample after sample. No output is kept.

Perplexity is e to the mean of -log p(token); KL(original || quantized) the sum of p (log p - log q) over the vocabulary, in nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.evaluation import OutputAgreement
from qtquant_app.engine.evaluation.outputs import LOGITS, Part

if TYPE_CHECKING:
    from torch import Tensor

_Z95 = 1.959964
"""Standard deviations either side of the mean that hold 95% of a normal distribution."""
_AT_ONCE = 1 << 22
"""Logits that are looked at together: what is made of them takes several times their memory."""

Numbers = NDArray[np.float64]


@dataclass
class _Likelihoods:
    """Of all positions of one output: four numbers of each are kept."""

    kl: list[Numbers] = field(default_factory=list)
    """Of each sample."""
    base: list[Numbers] = field(default_factory=list)
    own: list[Numbers] = field(default_factory=list)
    """Log-probability of what really comes."""
    same: int = 0


@dataclass
class _Distance:
    """Of all numbers of one output."""

    across: bool
    dot: float = 0.0
    base: float = 0.0
    own: float = 0.0
    error: float = 0.0
    cosines: list[Numbers] = field(default_factory=list)


class Tally:
    """What was found so far."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._distances: dict[str, _Distance] = {}
        self._likelihoods: dict[str, _Likelihoods] = {}

    def add(self, part: Part) -> None:
        """One output of one sample. Raises EvaluateError where the quantized model's is no number."""
        distance = self._distances.setdefault(part.name, _Distance(part.across))
        likelihoods = self._likelihoods.setdefault(part.name, _Likelihoods()) if part.is_logits else None
        kls: list[Numbers] = []
        for base, own, answers in _pieces(part):
            self._add_distance(distance, part.name, base, own)
            if likelihoods is not None:
                kls.append(_add_likelihoods(likelihoods, base, own, answers))
        if likelihoods is not None and kls:
            likelihoods.kl.append(np.concatenate(kls))
            if not np.isfinite(likelihoods.kl[-1]).all():
                raise self._no_numbers(part.name)

    def _no_numbers(self, name: str) -> EvaluateError:
        return EvaluateError(
            f"{self._label} does not give numbers: {name} is NaN or infinite",
            hint="look at its tensors with `qtquant verify --base`; a scheme with more bits may help",
            code="non-finite",
        )

    def _add_distance(self, distance: _Distance, name: str, base: Tensor, own: Tensor) -> None:
        finite = base.isfinite()
        base, own = base.where(finite, 0), own.where(finite, 0)  # logits that a model rules out are -inf in both
        dots = (base * own).sum(-1).double()
        squares, others = base.square().sum(-1).double(), own.square().sum(-1).double()
        error = (base - own).square().sum(dtype=base.dtype).item()
        if not np.isfinite(error):
            raise self._no_numbers(name)
        distance.dot += float(dots.sum())
        distance.base += float(squares.sum())
        distance.own += float(others.sum())
        distance.error += error
        norms = (squares * others).sqrt()
        cosines = dots / norms.where(norms > 0, 1)
        both_zero = (squares == 0) & (others == 0)
        distance.cosines.append(_numbers(cosines.where(~both_zero, 1)))

    @property
    def positions(self) -> int:
        """Where a likelihood was looked at; 0 where the model gives none."""
        return sum(map(len, self._likelihoods[LOGITS].kl)) if LOGITS in self._likelihoods else 0

    def outputs(self) -> tuple[OutputAgreement, ...]:
        """How well each output agrees, the logits first."""
        names = sorted(self._distances, key=lambda name: name != LOGITS)
        return tuple(map(self._agreement, names))

    def _agreement(self, name: str) -> OutputAgreement:
        found, likely = self._distances[name], self._likelihoods.get(name)
        whole = found.dot / sqrt(found.base * found.own) if found.base * found.own else float(found.base == found.own)
        cosine = whole if found.across else float(np.concatenate(found.cosines).mean())
        relative = sqrt(found.error / found.base) if found.base else 0.0 if not found.error else float("inf")
        if likely is None or not likely.kl:
            return OutputAgreement(name, cosine, relative)
        kl = np.concatenate(likely.kl)
        return OutputAgreement(name, cosine, relative, likely.same / len(kl), float(kl.mean()))

    def divergence(self) -> tuple[float, float, float, float] | None:
        """Mean KL divergence, half the width of its 95% interval from the spread between samples, the 99th percentile over
        positions, and how often the likeliest is the same; None where the model gives no logits."""
        likely = self._likelihoods.get(LOGITS)
        if likely is None or not self.positions:
            return None
        kl = np.concatenate(likely.kl)
        means = np.array([sample.mean() for sample in likely.kl if len(sample)])
        spread = _Z95 * float(means.std(ddof=1)) / sqrt(len(means)) if len(means) > 1 else 0.0
        return float(kl.mean()), spread, float(np.percentile(kl, 99)), likely.same / len(kl)

    def perplexities(self) -> tuple[float, float] | None:
        """Of the original and of the other; None where nothing was to be said."""
        likely = self._likelihoods.get(LOGITS)
        if likely is None or not sum(map(len, likely.base)):
            return None
        return _perplexity(likely.base), _perplexity(likely.own)


def _pieces(part: Part) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    """Some positions at a time, in float32."""
    rows = max(1, _AT_ONCE // max(1, part.base.shape[-1]))
    for at in range(0, len(part.base), rows):
        span = slice(at, at + rows)
        answers = None if part.answers is None else part.answers[span]
        yield part.base[span].float(), part.own[span].float(), answers


def _add_likelihoods(found: _Likelihoods, base: Tensor, own: Tensor, answers: Tensor | None) -> Numbers:
    """Positions [n, vocabulary]; gives the divergence of each that is to be judged."""
    import torch

    same = base.argmax(-1) == own.argmax(-1)
    base, own = torch.log_softmax(base, -1), torch.log_softmax(own, -1)
    chances = base.exp()
    kl = (chances * (base - own)).where(chances > 0, 0).sum(-1)
    if answers is not None:
        told = answers >= 0
        wanted = answers.clamp_min(0)[:, None]
        found.base.append(_numbers(base.gather(1, wanted)[told, 0]))
        found.own.append(_numbers(own.gather(1, wanted)[told, 0]))
        kl, same = kl[told], same[told]
    found.same += int(same.sum())
    return _numbers(kl)


def _numbers(values: Tensor) -> Numbers:
    numbers: Numbers = values.double().cpu().numpy()
    return numbers


def _perplexity(parts: list[Numbers]) -> float:
    loss = -float(np.concatenate(parts).mean())
    return exp(loss) if loss < 700 else float("inf")
