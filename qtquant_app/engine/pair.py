"""One window of a tensor under two schemes, cell for cell: what is shown side by side, and the difference."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.matrix import find
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Window
from qtquant_app.engine.look import Picture, look
from qtquant_app.engine.preview import Preview, preview

Schemes = tuple[Scheme, Scheme]


@dataclass(frozen=True, slots=True)
class Pair:
    """The largest |e| of each cell of one window under two schemes."""

    layer: str
    schemes: Schemes
    shape: tuple[int, int]
    pictures: tuple[Picture, Picture]
    previews: tuple[Preview, Preview]
    """Of the whole tensor; a later window needs them."""
    largest: float
    """The largest |e| of the whole tensor under either scheme: where the shared colours end."""
    difference: NDArray[np.float32]
    """|e| under the first scheme less |e| under the second, of each cell: below zero where the first is better."""


def pair(
    checkpoint: Checkpoint,
    layer: str,
    schemes: Schemes,
    window: Window | None = None,
    *,
    known: Pair | None = None,
    format: str = "",
    device: str = "auto",
) -> Generator[Event, None, Pair]:
    """Pictures of |e| of `layer` under both schemes, of the whole matrix or of `window`, in cells that agree.

    `known` is an earlier answer whose previews still hold. Raises what `preview` raises.
    """
    if known is None or (known.layer, known.schemes) != (find(checkpoint, layer).name, schemes):
        first = yield from preview(checkpoint, layer, schemes[0], format=format, device=device)
        other = yield from preview(checkpoint, layer, schemes[1], format=format, device=device, known=first)
        previews = (first, other)
    else:
        previews = known.previews
    if window is None:
        pictures = (previews[0].picture, previews[1].picture)
    else:
        left = yield from look(checkpoint, layer, schemes[0], window, previews[0], device=device)
        right = yield from look(checkpoint, layer, schemes[1], window, previews[1], device=device)
        pictures = (left, right)
    return Pair(
        layer=previews[0].layer,
        schemes=schemes,
        shape=previews[0].shape,
        pictures=pictures,
        previews=previews,
        largest=max(shown.errors.max_error for shown in previews),
        difference=pictures[0].extreme - pictures[1].extreme,
    )
