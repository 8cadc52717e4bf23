"""What the errors of tensors do to the model, predicted from the weights alone: no text is read, and the model is not run.

The prediction is a sum over the tensors of (||e||^2 / ||w||^2)^POWER, each weighed by its place. For inputs that know nothing
of the error that ratio is the noise in a layer's output beside its signal, and small noises of different layers add up
(Malinovskii et al., "Pushing the Limits of Large Language Model Quantization via the Linearity Theorem", 2024). It counts a
layer once, whatever its size, so that small layers get more bits: they are cheap. Large noises do more than add up; a POWER
above 1 spreads them over more layers.

The place matters at the ends of a stack of blocks. At the start the stream that blocks add to is small, and all others build
on it; after the end nothing averages the error out. llama.cpp's mixtures give the first and the last eighth more bits.

POWER, FIRST and LAST were chosen among about twenty such predictions by the KL divergence of one model, SmolLM2-135M, on
docstrings of Python's library. FIRST and LAST lowered it at 3.0 bits per weight and made no difference at 3.5; POWER lowered
it at 3.5, while at 3.0, where 2 bits come into play, the trials spoke for 1 or less. `benchmarks.budget` compares the mixes
with uniform schemes on text that had no part in the choice.

What no weight tells stays unknown: a block in the middle whose activations are huge is as sensitive as the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from qtquant_app.core.blocks import spot
from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.report import ErrorSums

POWER = 1.3
"""The same error in one layer does more than when it is spread over two."""
FIRST, LAST = 4.0, 8.0
"""By how much of itself an error weighs more in the first and in the last block of a stack."""
FADING = 4.0
"""By what that shrinks from a block to the next one inwards."""


def predicted(errors: ErrorSums, place: float) -> float:
    """A tensor's part of the predicted error: (||e||^2 / ||w||^2)^POWER times `place`; infinite where the sums overflow."""
    if errors.square_error == 0:
        return 0.0
    return place * (errors.square_error / errors.square_weight) ** POWER if errors.square_weight else inf


def places(tensors: Iterable[TensorInfo]) -> Mapping[str, float]:
    """How much each tensor's error weighs by where it stands, by name: 1 far from the ends of its stack of blocks."""
    spots = {tensor.name: spot(tensor.name) for tensor in tensors}
    depths: dict[str, set[int]] = {}
    for at in spots.values():
        if at.depth is not None:
            depths.setdefault(at.stack, set()).add(at.depth)
    ends = {stack: (min(found), max(found)) for stack, found in depths.items()}
    return {name: 1.0 if at.depth is None else _weight(at.depth, *ends[at.stack]) for name, at in spots.items()}


def _weight(depth: int, first: int, last: int) -> float:
    return 1.0 + FIRST / FADING ** (depth - first) + LAST / FADING ** (last - depth)
