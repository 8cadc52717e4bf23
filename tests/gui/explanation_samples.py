"""An explanation made by hand: the panel's tests need neither files nor arithmetic."""

from __future__ import annotations

import struct
from dataclasses import replace

from qtquant_app.core.bits import Number
from qtquant_app.core.explanation import Explanation
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.scheme import Scheme


def single(value: float) -> Number:
    return Number("F32", int.from_bytes(struct.pack("<f", value), "little"), value)


def sample(
    layer: str, scheme: Scheme, row: int, column: int, format: str, shape: tuple[int, int] = (48, 256)
) -> Explanation:
    """A weight of 0.6 in steps of 0.25: code 10 of sixteen, whatever the scheme says about bits."""
    scheme = replace(scheme, bits=4, symmetric=True)
    word, at = divmod(4 * column, 32)
    code = Slot("m.weight_packed", "I32", ((row, word),), tuple((0, at + bit) for bit in range(4)))
    scale = Slot("m.weight_scale", "F32", ((row, 0),), tuple((0, bit) for bit in range(32)))
    weight = single(struct.unpack("<f", struct.pack("<f", 0.6))[0])
    return Explanation(
        layer=layer,
        scheme=scheme,
        format=format,
        shape=shape,
        carried=False,
        row=row,
        column=column,
        stored=weight,
        weight=weight.value,
        group=(0, 128),
        lo=-1.875,
        hi=1.0,
        factor=1.0,
        factors=1,
        exact_scale=0.25,
        single_scale=0.25,
        scale=single(0.25),
        case="",
        exact_zero=None,
        zero=8,
        steps=weight.value / 0.25,
        nearest=2,
        code=10,
        placement=Placement(code, scale, None),
        elements=(0xA << at,),
        restored=0.5,
        decoded=single(0.5),
        error=weight.value - 0.5,
    )
