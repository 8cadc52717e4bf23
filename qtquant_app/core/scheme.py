"""A scheme: how one tensor's numbers become codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from qtquant_app.core import layouts
from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_text import shown

Type = Literal["int", "float"]
Strategy = Literal["tensor", "channel", "group", "block"]
Activations = Literal["none", "int8", "fp8"]
Offset = Literal["integer", "float"]

MIN_BITS, MAX_BITS = 2, 8
MAX_GROUP = 1_000_000_000
"""Columns; no tensor has as many."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Type, bits, strategy, group size and symmetry of the codes; the method that finds them; activations.

    `group_size` counts input columns and is None unless `strategy` is "group" or "block". A "channel" is an output row; a "block"
    is a square of `group_size` rows and columns. Floating-point codes are FP8 E4M3 (8 bits), or E2M1 (4 bits) in groups of 16
    (NVFP4) or 32 (MXFP4). With an `offset` that is a float, w = s u + m with an m in the scale's dtype, in place of w = s (u - z);
    formats that store it so ask for it. A `layout` names a block layout out of `core.layouts`, which fixes all else but the method.
    Raises UsageError where the parts contradict each other.
    """

    bits: int = 4
    type: Type = "int"
    strategy: Strategy = "group"
    group_size: int | None = 128
    symmetric: bool = True
    method: str = "rtn"
    activations: Activations = "none"
    layout: str | None = None
    offset: Offset = "integer"

    def __post_init__(self) -> None:
        _check_words(self)
        _check_groups(self)
        if self.type == "float":
            _check_float(self)
        if self.strategy == "block" and self.type != "float":
            raise _bad("square blocks are for floating-point codes of 8 bits", "use --strategy group, or --type float")
        if self.activations == "int8" and (
            self.type != "int" or self.bits != 8 or not self.symmetric or self.strategy == "group"
        ):
            raise _bad(
                "int8 activations need 8-bit symmetric weights per channel or per tensor",
                "use --bits 8 --symmetric --strategy channel",
            )
        if self.activations == "fp8" and (self.type != "float" or self.bits != 8):
            raise _bad("fp8 activations need 8-bit floating-point weights", "use --type float --bits 8")
        if self.offset == "float" and (
            self.type != "int" or self.symmetric or self.strategy == "tensor" or self.activations != "none"
        ):
            raise _bad(
                "float offsets are for asymmetric integer codes per channel or per group",
                "use --asymmetric --strategy group",
            )
        if self.layout is not None and asdict(self) != asdict(self) | _fixed_by(self.layout):
            raise _bad(
                f"the layout {self.layout} fixes bits, groups and symmetry, and others were given",
                "give --layout alone, or leave it out",
            )

    @property
    def levels(self) -> int:
        """How many codes there are: 2^bits."""
        return 1 << self.bits

    @property
    def row_block(self) -> int:
        """Rows that share their scales."""
        return self.group_size or 1 if self.strategy == "block" else 1

    @property
    def needs_extremes(self) -> bool:
        """Whether something that serves all of a tensor comes from its smallest and largest weight, before any code does."""
        if self.layout is not None:
            return False
        return self.strategy == "tensor" or (self.type == "float" and self.group_size == 16)

    @property
    def label(self) -> str:
        """A few characters for a table cell: `W4 g128 sym`, `W8 ch sym A8`, `FP8 ch A8`, `NVFP4`, `Q4_K`."""
        if self.layout is not None:
            parts = [self.layout.removeprefix(layouts.MIXTURE)]
        elif self.type == "float":
            parts = [_FLOAT_GROUPS[self.group_size or 0]] if self.bits == 4 else ["FP8", self._where]
        else:
            parts = [f"W{self.bits}", self._where, "sym" if self.symmetric else "asym"]
            parts += ["float"] if self.offset == "float" else []
        if self.method != "rtn":
            parts.append(self.method)
        if self.activations != "none":
            parts.append("A8")
        return " ".join(parts)

    @property
    def _where(self) -> str:
        size = self.group_size
        return {"tensor": "tensor", "channel": "ch", "block": f"{size}x{size}"}.get(self.strategy, f"g{size}")

    def groups(self, columns: int) -> int:
        """Groups in a row of `columns` weights; the last may be shorter."""
        return 1 if self.group_size is None else -(-columns // self.group_size)

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        if self.layout is None:
            del values["layout"]
        if self.offset == "integer":
            del values["offset"]
        return values

    @classmethod
    def of_layout(cls, name: str, method: str = "rtn") -> Scheme:
        """The scheme of a block layout. Raises UsageError where there is none of that name."""
        return cls(**_fixed_by(name), method=method, layout=name)

    @classmethod
    def from_json(cls, data: object, base: Scheme | None = None) -> Scheme:
        """Reads a SCHEME of a recipe; keys left out come from `base`. Raises UsageError naming the key at fault."""
        if not isinstance(data, Mapping):
            raise _bad(f"a scheme must be an object, not {type(data).__name__}", "see `qtquant plan -o` for an example")
        known = set(cls.__dataclass_fields__)
        unknown = sorted(str(key) for key in set(data) - known)
        if unknown:
            raise _bad(f"a scheme has no key {shown(unknown[0])}", f"the keys are {', '.join(sorted(known))}")
        values: dict[str, Any] = dict(data)
        if values.get("layout") is not None:
            values = {**_fixed_by(values["layout"]), "activations": "none", **values}
        elif base is not None and base.layout is not None and set(values) & _FIXED:
            base = replace(base, layout=None, bits=min(base.bits, MAX_BITS))
        values = _implied(values, base or cls())
        return replace(base, **values) if base is not None else cls(**values)


_FIXED = frozenset({"bits", "type", "strategy", "group_size", "symmetric", "activations"})
"""What a layout decides."""

_FLOAT_GROUPS = {16: "NVFP4", 32: "MXFP4"}
"""Group sizes of 4-bit floating-point codes, and what they are called with them."""


def _implied(values: dict[str, Any], base: Scheme) -> dict[str, Any]:
    """`values` with what they imply: a group size means groups, another strategy means none, floating-point codes their groups."""
    if values.get("type") == "float" and base.type == "int":
        if values.get("bits", base.bits) == 4:
            usual: dict[str, Any] = {"strategy": "group", "group_size": 32}
        else:
            usual = {"strategy": "channel"} if values.get("group_size") is None else {"strategy": "block"}
        values = {**usual, "symmetric": True, **values}
    if values.get("strategy") == "block" and "group_size" not in values:
        values["group_size"] = 128
    elif values.get("strategy", "group") not in ("group", "block") and "group_size" not in values:
        values["group_size"] = None
    if values.get("symmetric") is True or values.get("type") == "float" or values.get("layout") is not None:
        values.setdefault("offset", "integer")
    if values.get("group_size") is not None and "strategy" not in values:
        values["strategy"] = base.strategy if base.strategy == "block" else "group"
    return values


def _fixed_by(name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in layouts.names():
        raise _bad(f"there is no layout {shown(name)}", f"the layouts are {', '.join(layouts.names())}")
    layout = layouts.base(name)
    return {
        "bits": layout.bits,
        "type": "int",
        "strategy": "group",
        "group_size": layout.group,
        "symmetric": layout.symmetric,
    }


def _check_words(scheme: Scheme) -> None:
    bits = scheme.bits
    if scheme.type not in get_args(Type):
        raise _bad(f"type {shown(scheme.type)} is not one of int, float", "use --type int")
    widest = MAX_BITS if scheme.layout is None else 16
    if not isinstance(bits, int) or isinstance(bits, bool) or not MIN_BITS <= bits <= widest:
        raise _bad(f"{shown(bits)} bits are outside {MIN_BITS} to {MAX_BITS}", "use --bits 4, or any of 2 to 8")
    if scheme.strategy not in get_args(Strategy):
        raise _bad(
            f"strategy {shown(scheme.strategy)} is not one of tensor, channel, group, block", "use --strategy group"
        )
    if not isinstance(scheme.symmetric, bool):
        raise _bad(f"symmetric must be true or false, not {shown(scheme.symmetric)}", "use --symmetric or --asymmetric")
    if not isinstance(scheme.method, str):
        raise _bad(f"a method is called by its name, not {shown(scheme.method)}", "use --method rtn")
    if scheme.offset not in get_args(Offset):
        raise _bad(f"offset {shown(scheme.offset)} is not one of integer, float", "leave it out")
    if scheme.activations not in get_args(Activations):
        raise _bad(f"activations {shown(scheme.activations)} are not one of none, int8, fp8", "use --activations none")


def _check_groups(scheme: Scheme) -> None:
    size = scheme.group_size
    if scheme.strategy in ("group", "block"):
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_GROUP:
            raise _bad(f"group size {shown(size)} is not a positive number of columns", "use --group-size 128")
    elif size is not None:
        raise _bad(
            f"strategy {scheme.strategy!r} takes no group size, but {shown(size)} was given",
            "use --strategy group, or leave the group size out",
        )


def _check_float(scheme: Scheme) -> None:
    if not scheme.symmetric:
        raise _bad("floating-point codes are symmetric", "leave --asymmetric out, or use --type int")
    if scheme.bits == 8 and scheme.strategy == "group":
        raise _bad("8-bit floating-point codes take a scale per tensor, channel or block", "use --strategy channel")
    if scheme.bits == 8 and scheme.strategy == "block" and scheme.group_size != 128:
        raise _bad(f"blocks of {scheme.group_size} by {scheme.group_size} are read by nobody", "use --group-size 128")
    if scheme.bits == 4 and (scheme.strategy != "group" or scheme.group_size not in _FLOAT_GROUPS):
        raise _bad("4-bit floating-point codes come in groups of 16 (NVFP4) or 32 (MXFP4)", "use --group-size 16 or 32")
    if scheme.bits not in (4, 8):
        raise _bad(f"floating-point codes have 4 or 8 bits, not {scheme.bits}", "use --bits 8, or --type int")


def _bad(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, code="scheme")
