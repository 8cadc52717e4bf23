"""One weight, explained: every number on its way from the file to a code, to its place in the result, and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from qtquant_app.core.bits import Field, Number, Word
from qtquant_app.core.placement import Placement, Slot
from qtquant_app.core.quantities import figure
from qtquant_app.core.report import finite
from qtquant_app.core.scheme import Scheme

Case = Literal["", "empty", "underflow"]


@dataclass(frozen=True, slots=True)
class Fitted:
    """Where the half-quadratic solver began with a group, and how far it went."""

    scale: float
    """s of the group's range, as it would be stored."""
    zero: int
    """z of the same."""
    rounds: int
    """How many rounds lowered the objective."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the scheme makes of the weight at `row`, `column`: w' = s (u - z), in the words of `quant.affine`."""

    layer: str
    """The tensor, with its slice in brackets where it is a stack."""
    scheme: Scheme
    format: str
    """The format whose layout is shown: the one asked for, or another that can hold the tensor."""
    shape: tuple[int, int]
    carried: bool
    """Whether a run leaves the tensor as it is, so that this is what would be."""
    row: int
    column: int
    stored: Number
    """The weight as it is in the source file."""
    weight: float
    """w, float32: what is quantized. It differs from `stored` only where a dtype is wider."""
    group: tuple[int, int]
    """Columns first to end of the weights that share the scale, in this row; with the strategy "tensor" in every row."""
    lo: float
    """The smallest weight of the group."""
    hi: float
    """The largest."""
    factor: float
    """What the method multiplied the range by."""
    factors: int
    """How many factors it tried."""
    exact_scale: float
    """The scale as a float64, before any rounding."""
    single_scale: float
    """The same as a float32."""
    scale: Number
    """s, as it is stored."""
    case: Case
    """Whether all weights of the group are zero ("empty"), or the scale would round to zero in its dtype ("underflow")."""
    exact_zero: float | None
    """-low / s, before rounding; None where the zero point does not come from the range."""
    zero: int
    """z."""
    steps: float
    """w / s, float32."""
    nearest: int
    """The whole number next to `steps`, ties to even."""
    code: int
    """u, as it lies in the packed elements."""
    placement: Placement
    elements: tuple[int, ...]
    """The bits of the elements that hold the code, each as a whole number that is not negative."""
    restored: float
    """w', float32."""
    decoded: Number
    """w' as a reader has it that works in the dtype of the scales."""
    error: float
    """e = w - w', float32."""
    fitted: Fitted | None = None
    """Where a solver fitted s and z, what it started from: `exact_scale` and `exact_zero` are then those of the start."""

    @property
    def top(self) -> int:
        """The largest code."""
        return self.scheme.levels - 1

    @property
    def low(self) -> float:
        """The lower end of the range that is spread over the codes."""
        return min(self.lo, 0.0) * self.factor

    @property
    def high(self) -> float:
        """The upper end."""
        return max(self.hi, 0.0) * self.factor

    @property
    def unclamped(self) -> int:
        """What the code would be, were there no first and no last one."""
        return self.nearest + self.zero

    @property
    def clipped(self) -> bool:
        """Whether the weight lies over half a step beyond the last level, so that its error is more than rounding."""
        return not -self.zero - 0.5 <= self.steps <= self.top - self.zero + 0.5

    @property
    def half_steps(self) -> float:
        """The error in units of half a step, s / 2."""
        return 2 * self.error / self.scale.value

    @property
    def group_index(self) -> int:
        """Which group of its row the weight is in."""
        return self.column // self.scheme.group_size if self.scheme.group_size else 0

    @property
    def weight_word(self) -> Word:
        return self.stored.word("weight")

    @property
    def scale_word(self) -> Word:
        return self.scale.word("scale")

    @property
    def code_words(self) -> tuple[Word, ...]:
        """The elements that hold the code, its bits lit, the codes beside it named by their columns."""
        slot, bits = self.placement.code, self.scheme.bits
        name, words = slot.tensor.rpartition(".")[2], []
        for index, pattern in zip(slot.elements, self.elements, strict=True):
            if slot.along is None:
                fields = _alone(slot)
            else:
                start = index[slot.along] * slot.element_bits
                fields = _codes(start, start + slot.element_bits, bits, self.column, self.shape[1])
            words.append(Word(f"{name}[{', '.join(map(str, index))}]", slot.dtype, pattern, fields))
        return tuple(words)

    def to_json(self) -> dict[str, Any]:
        """The document of `qtquant explain --json`."""
        return {
            "layer": self.layer,
            "scheme": self.scheme.to_json(),
            "format": self.format,
            "carried": self.carried,
            "row": self.row,
            "column": self.column,
            "stored": self.stored.to_json(),
            "weight": self.weight,
            "group": {"index": self.group_index, "columns": list(self.group), "min": self.lo, "max": self.hi},
            "range": {"factor": self.factor, "factors": self.factors, "low": self.low, "high": self.high},
            "exact_scale": self.exact_scale,
            "single_scale": self.single_scale,
            "scale": self.scale.to_json(),
            "case": self.case,
            "exact_zero": self.exact_zero,
            "zero_point": self.zero,
            "steps": self.steps,
            "nearest": self.nearest,
            "unclamped": self.unclamped,
            "clipped": self.clipped,
            "code": self.code,
            "places": self.placement.to_json(),
            "elements": [word.hex for word in self.code_words],
            "dequantized": finite(self.restored),
            "decoded": {**self.decoded.to_json(), "value": finite(self.decoded.value)},
            "error": finite(self.error),
            "half_steps": finite(self.half_steps),
            **({"fitted": asdict(self.fitted)} if self.fitted is not None else {}),
        }


def why_unexplained(scheme: Scheme) -> str:
    """Why the arithmetic of a weight is not told step by step under `scheme`; empty where it is."""
    if scheme.type == "int" and scheme.layout is None and scheme.offset == "integer":
        return ""
    return f"a weight is explained under plain integer codes only, not under {scheme.label}"


def _alone(slot: Slot) -> tuple[Field, ...]:
    """The one code of this row in an element, and what other rows have there."""
    low, high = slot.span(0)
    above, below = slot.element_bits - 1 - high, low
    fields = [Field("code", low, high - low + 1, True)]
    fields = [*([Field("other rows", high + 1, above)] if above else []), *fields]
    return (*fields, *([Field("other rows", 0, below)] if below else []))


def _codes(start: int, end: int, bits: int, column: int, columns: int) -> tuple[Field, ...]:
    """The codes of a row's dense stream that have bits from `start` to `end`, as fields counted from `start`."""
    fields = []
    for number in range(start // bits, min(-(-end // bits), columns)):
        first, last = max(number * bits, start), min(number * bits + bits, end)
        name = "code" if number == column else f"column {number}"
        fields.append(Field(name, first - start, last - first, number == column))
    used = max(start, min(columns * bits, end))
    if used < end:
        fields.append(Field("unused", used - start, end - used))
    return tuple(reversed(fields))


def read_out(explanation: Explanation) -> str:
    """Two short lines for under the map: where the weight is, and what becomes of it."""
    it = explanation
    group = {"group": f", group {it.group_index}", "channel": "", "tensor": ""}[it.scheme.strategy]
    where = f"row {it.row:,}, column {it.column:,}{group} \u00b7 weight {figure(it.weight)} \u00b7 code {it.code}"
    return (
        f"{where}\nscale {figure(it.scale.value)} \u00b7 zero point {it.zero} \u00b7 "
        f"dequantized {figure(it.restored)} \u00b7 error {figure(it.error)}"
    )
