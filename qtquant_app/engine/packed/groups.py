"""How many columns share a scale: what the shapes say, held against what the config says."""

from __future__ import annotations

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import nbytes
from qtquant_app.core.packed import Note, Packed


def group_size(columns: int, groups: int, said: int | None) -> int | None:
    """Columns to a group where `groups` make up a row: what the config says, if it can be so. 0 where nothing can be so."""
    if groups == 1:
        return None
    if said is not None and said > 0 and -(-columns // said) == groups:
        return said
    if columns % groups == 0:
        return columns // groups
    fitting = (size for power in range(3, 20) if -(-columns // (size := 1 << power)) == groups)
    return next(fitting, 0)


def group_notes(columns: int, size: int | None, said: int | None) -> tuple[Note, ...]:
    """Where the config says another group size than the scales are for."""
    if said is None or size == said or (size is None and (said <= 0 or said >= columns)):
        return ()
    found = "there is one scale for each row" if size is None else f"its scales are for groups of {size}"
    claim = f"group size {said}" if said > 0 else "one scale for each row"
    return (Note("group-size", f"config.json says {claim}, but {found}"),)


def bits_notes(bits: int, said: int | None) -> tuple[Note, ...]:
    """Where the config says other bits than the shapes."""
    if said is None or said == bits:
        return ()
    return (Note("bits", f"config.json says {said} bits, but its shapes are those of {bits}"),)


def weight(name: str, dtype: str, shape: tuple[int, ...], packed: Packed) -> TensorInfo:
    """The float weight `name`.weight that `packed` stands for, in the file that its codes are in."""
    codes = packed.parts[0][1]
    return TensorInfo(f"{name}.weight", dtype, shape, codes.file, 0, nbytes(dtype, shape), packed=packed)


def float_dtype(scale: str, model: str) -> str:
    """The dtype that a weight is decoded in: that of its scales where they are half-width floats, else the model's."""
    return scale if scale in ("F16", "BF16") else model
