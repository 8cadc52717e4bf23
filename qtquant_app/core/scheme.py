"""A scheme: how one tensor's numbers become codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_text import shown

Type = Literal["int", "float"]
Strategy = Literal["tensor", "channel", "group"]
Activations = Literal["none", "int8", "fp8"]

MIN_BITS, MAX_BITS = 2, 8
MAX_GROUP = 1_000_000_000
"""Columns; no tensor has as many."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """Type, bits, strategy, group size and symmetry of the codes; the method that finds them; activations.

    `group_size` counts input columns and is None unless `strategy` is "group". A "channel" is an output row.
    Raises UsageError where the parts contradict each other.
    """

    bits: int = 4
    type: Type = "int"
    strategy: Strategy = "group"
    group_size: int | None = 128
    symmetric: bool = True
    method: str = "rtn"
    activations: Activations = "none"

    def __post_init__(self) -> None:
        if self.type not in get_args(Type):
            raise _bad(f"type {shown(self.type)} is not one of int, float", "use --type int")
        if self.type == "float":
            raise _bad("floating-point codes are not available in this version", "use --type int")
        if not isinstance(self.bits, int) or isinstance(self.bits, bool) or not MIN_BITS <= self.bits <= MAX_BITS:
            raise _bad(
                f"{shown(self.bits)} bits are outside {MIN_BITS} to {MAX_BITS}", "use --bits 4, or any of 2 to 8"
            )
        if self.strategy not in get_args(Strategy):
            raise _bad(f"strategy {shown(self.strategy)} is not one of tensor, channel, group", "use --strategy group")
        if self.strategy == "group":
            size = self.group_size
            if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_GROUP:
                raise _bad(f"group size {shown(size)} is not a positive number of columns", "use --group-size 128")
        elif self.group_size is not None:
            raise _bad(
                f"strategy {self.strategy!r} takes no group size, but {shown(self.group_size)} was given",
                "use --strategy group, or leave the group size out",
            )
        if not isinstance(self.symmetric, bool):
            raise _bad(
                f"symmetric must be true or false, not {shown(self.symmetric)}", "use --symmetric or --asymmetric"
            )
        if not isinstance(self.method, str):
            raise _bad(f"a method is called by its name, not {shown(self.method)}", "use --method rtn")
        if self.activations not in get_args(Activations):
            raise _bad(
                f"activations {shown(self.activations)} are not one of none, int8, fp8", "use --activations none"
            )
        if self.activations == "fp8":
            raise _bad("fp8 activations are not available in this version", "use --activations int8")
        if self.activations == "int8" and (self.bits != 8 or not self.symmetric or self.strategy == "group"):
            raise _bad(
                "int8 activations need 8-bit symmetric weights per channel or per tensor",
                "use --bits 8 --symmetric --strategy channel",
            )

    @property
    def levels(self) -> int:
        """How many codes there are: 2^bits."""
        return 1 << self.bits

    @property
    def label(self) -> str:
        """A few characters for a table cell: `W4 g128 sym`, `W8 ch sym A8`."""
        where = {"tensor": "tensor", "channel": "ch", "group": f"g{self.group_size}"}[self.strategy]
        parts = [f"W{self.bits}", where, "sym" if self.symmetric else "asym"]
        if self.method != "rtn":
            parts.append(self.method)
        if self.activations == "int8":
            parts.append("A8")
        return " ".join(parts)

    def groups(self, columns: int) -> int:
        """Groups in a row of `columns` weights; the last may be shorter."""
        return 1 if self.group_size is None else -(-columns // self.group_size)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

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
        if values.get("strategy", "group") != "group" and "group_size" not in values:
            values["group_size"] = None
        if values.get("group_size") is not None and "strategy" not in values:
            values["strategy"] = "group"
        return replace(base, **values) if base is not None else cls(**values)


def _bad(message: str, hint: str) -> UsageError:
    return UsageError(message, hint=hint, code="scheme")
