"""How long is learned."""

from __future__ import annotations

_STEPS = {2: 256, 3: 128}
_USUAL_STEPS = 64
"""The fewer bits, the longer it pays; more of them fit the samples better and other text no more."""

_MOST_EPOCHS = 24.0
"""However few the samples are: what is learned from them over and over fits them alone."""


def epochs(bits: int, calls: float) -> float:
    """How often `calls` are gone over: many of them less often, but once at least."""
    return min(_MOST_EPOCHS, max(1.0, _STEPS.get(bits, _USUAL_STEPS) / calls))
