"""The other way round: the fewest bytes within an error, exactly.

The same problem as `allocation` with bytes and errors exchanged, the errors as whole numbers of which `_STEPS` make the bound:
what is found may exceed the bound by one part in 10^10 at most, so that a mix as good as another is found whatever order its errors
are added up in.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtquant_app.engine.allocation import Allocation, Choices, allocate

_STEPS = 1 << 46


def cheapest(classes: Sequence[Choices], error: float) -> Allocation | None:
    """The allocation of the fewest bytes whose error does not exceed `error`, and of these that of the least error.

    None where even the best of everything exceeds it. It takes twice the time of `allocate`.
    """
    if not classes:
        return Allocation((), 0, 0.0, 0.0)
    if error <= 0:
        return _faultless(classes)
    exchanged = [_exchanged(choices, error) for choices in classes]
    if not all(choices.bytes for choices in exchanged):
        return None
    found = allocate(exchanged, _STEPS + len(classes))
    return None if found is None else allocate(classes, round(found.error))


def _exchanged(choices: Choices, most: float) -> Choices:
    """Errors in the place of bytes, bytes in that of errors; choices that exceed the bound alone are left out."""
    pairs = [(size, error) for size, error in zip(choices.bytes, choices.errors, strict=True) if error <= most]
    return Choices([round(error / most * _STEPS) for _, error in pairs], [float(size) for size, _ in pairs])


def _faultless(classes: Sequence[Choices]) -> Allocation | None:
    """The fewest bytes without any error."""
    lossless = [min((s for s, e in zip(c.bytes, c.errors, strict=True) if e <= 0), default=None) for c in classes]
    sizes = [size for size in lossless if size is not None]
    return allocate(classes, sum(sizes)) if len(sizes) == len(classes) else None
