"""An explanation in steps that a person can follow with a pocket calculator."""

from __future__ import annotations

from dataclasses import dataclass

from qtquant_app.core.bits import MINUS, TIMES, Number, Word, digits, operand
from qtquant_app.core.escaping import visible
from qtquant_app.core.explanation import Explanation, Fitted
from qtquant_app.core.quantities import plural

ARROW, PRIME = "\u2192", "\u2032"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what is found, the formula with its numbers filled in, the bits, and a word about them."""

    title: str
    lines: tuple[str, ...]
    words: tuple[Word, ...] = ()
    note: str = ""

    @property
    def text(self) -> str:
        """The step as lines of plain text."""
        bits = (f"{word.name}, {word.dtype} {word.hex}: {word.text}" for word in self.words)
        return "\n".join((self.title, *(f"  {line}" for line in (*self.lines, *bits, self.note) if line)))


def steps(explanation: Explanation) -> tuple[Step, ...]:
    """From the weight in the file to its code, to the bits of the result, and back."""
    it = explanation
    return (_weight(it), _range(it), _scale(it), _zero(it), _code(it), _place(it), _back(it), _error(it))


def heading(explanation: Explanation) -> str:
    """Which weight it is, and under which scheme."""
    it = explanation
    place = f"{visible(it.layer)}, row {it.row:,}, column {it.column:,}"
    if it.carried:
        return f"{place}. A run leaves this tensor as it is; {it.scheme.label} would do this to it:"
    return f"{place}, under {it.scheme.label} as {it.format} stores it"


def full_text(explanation: Explanation) -> str:
    """All of it as plain text, bits included."""
    numbered = (f"{number} {step.text}" for number, step in enumerate(steps(explanation), 1))
    return "\n".join((heading(explanation), *numbered))


def _weight(it: Explanation) -> Step:
    lines = [f"w = {it.stored.formula}"] if it.stored.formula else []
    lines.append(f"{'  = ' if lines else 'w = '}{_digits(it.stored)}")
    note = ""
    if it.stored.value != it.weight:
        lines.append(f"  {ARROW} {digits(it.weight)} (F32)")
        note = f"{it.stored.dtype} is wider than the float32 it is worked with."
    return Step("The weight in the file", tuple(lines), (it.weight_word,), note)


def _digits(number: Number) -> str:
    return repr(number.value) if number.dtype == "F64" else digits(number.value)


def _range(it: Explanation) -> Step:
    lines = [f"low  = {_end('min', it.lo, min(it.lo, 0.0))}", f"high = {_end('max', it.hi, max(it.hi, 0.0))}"]
    note = f"{_group(it)}; low is the smallest, high the largest. The range always takes in zero."
    if it.factors > 1 and it.case != "empty":
        lines += [f"p = {it.factor:g}", f"p {TIMES} low  = {it.low:.9g}", f"p {TIMES} high = {it.high:.9g}"]
        note += f" Of {it.factors} factors p on the range, this one gives the group the least squared error."
    return Step("The range of its group", tuple(lines), (), note)


def _end(word: str, found: float, taken: float) -> str:
    return digits(taken) if found == taken else f"{word}({digits(found)}, 0) = 0"


def _group(it: Explanation) -> str:
    first, end = it.group
    many = plural(end - first, "weight")
    if it.scheme.strategy == "tensor":
        return f"The group is the whole tensor, {plural(it.shape[0] * it.shape[1], 'weight')}"
    if it.scheme.strategy == "channel":
        return f"The group is the whole row {it.row:,}, {many}"
    return f"Group {it.group_index:,} of row {it.row:,}: {many}, columns {first:,} to {end - 1:,}"


def _scale(it: Explanation) -> Step:
    dtype = it.scale.dtype
    if it.case == "empty":
        note = "All weights of the group are zero: any scale would do, and 1 is taken."
        return Step("The scale", ("s = 1",), (it.scale_word,), note)
    low, high = _ends(it)
    if it.scheme.symmetric:
        formula, parts = f"max({MINUS}{low}, {high})", f"{max(-it.low, it.high):.9g}"
        divisor, note = f"{it.top / 2:g}", f"{it.top / 2:g} is (2^{it.scheme.bits} {MINUS} 1) / 2."
    else:
        formula, parts = f"({high} {MINUS} {low})", f"({it.high:.9g} {MINUS} {_bracketed(it.low)})"
        divisor, note = f"{it.top}", f"{it.top} is 2^{it.scheme.bits} {MINUS} 1."
    lines = [f"s = {formula} / {divisor}", f"  = {parts} / {divisor}", f"  = {it.exact_scale:.12g}"]
    lines.append(f"  {ARROW} {digits(it.single_scale)} (F32)")
    if it.case == "underflow":
        note += f" That would be zero in {dtype}, so the smallest number above zero is taken."
    elif dtype != "F32":
        note += f" Rounded to {dtype}, in which it is stored; the code is computed with the rounded one."
    if dtype != "F32" or it.case:
        lines.append(f"  {ARROW} {digits(it.scale.value if it.fitted is None else it.fitted.scale)} ({dtype})")
    if it.fitted is not None:
        lines += [f"s = {digits(it.scale.value)} ({dtype})"] if it.fitted.rounds else []
        note += f" {_fitted(it.fitted)}"
    return Step("The scale", tuple(lines), (it.scale_word,), note)


def _fitted(fitted: Fitted) -> str:
    if not fitted.rounds:
        return "No round of HQQ brings the group's sum of |e|^(3/4) below that of this start, so it stays."
    return (
        f"That is the start: {plural(fitted.rounds, 'round')} of HQQ then fitted s and z together, each to the weights less what "
        "shrinkage leaves of their errors, while the group's sum of |e|^(3/4) fell."
    )


def _ends(it: Explanation) -> tuple[str, str]:
    """What the ends of the range are called, once they are multiplied."""
    return (f"p{TIMES}low", f"p{TIMES}high") if it.factors > 1 else ("low", "high")


def _bracketed(value: float) -> str:
    return f"({value:.9g})" if value < 0 else f"{abs(value):.9g}"


def _zero(it: Explanation) -> Step:
    title = "The zero point"
    if it.scheme.symmetric:
        stored = it.placement.zero is not None
        note = f"Symmetric: always the middle code, {'and stored all the same' if stored else 'so it is not stored'}."
        return Step(title, (f"z = 2^({it.scheme.bits} {MINUS} 1) = {it.zero}",), (), note)
    if it.exact_zero is None:
        return Step(title, ("z = 0",), (), "All weights of the group are zero.")
    scale, zero = (it.scale.value, it.zero) if it.fitted is None else (it.fitted.scale, it.fitted.zero)
    lines = [f"z = round({MINUS}{_ends(it)[0]} / s)", f"  = round({-it.low:.9g} / {digits(scale)})"]
    lines += [f"  = round({it.exact_zero:.9g})", f"  = {round(it.exact_zero)}"]
    if zero != round(it.exact_zero):
        lines.append(f"  {ARROW} {zero} (codes end at {it.top})")
    note = "The code that stands for exactly zero."
    if it.fitted is not None and it.fitted.rounds:
        lines.append(f"z = {it.zero}")
        note += " The last line is what it was fitted to, together with the scale."
    return Step(title, tuple(lines), (), note)


def _code(it: Explanation) -> Step:
    lines = [f"w / s = {digits(it.weight)} / {digits(it.scale.value)}", f"      = {digits(it.steps)}"]
    lines += [f"round({digits(it.steps)}) = {it.nearest}", f"u = {it.nearest} + {it.zero} = {it.unclamped}"]
    note = "A half is rounded to the even neighbour." if it.steps % 1 == 0.5 else ""
    if it.unclamped != it.code:
        lines.append(f"  {ARROW} {it.code} (codes go from 0 to {it.top})")
        note = f"{note} {_clamped(it)}".strip()
    lines.append(f"  = {it.code:0{it.scheme.bits}b} in binary")
    return Step("The code", tuple(lines), (), note)


def _clamped(it: Explanation) -> str:
    end = "last" if it.unclamped > it.code else "first"
    if it.clipped:
        return f"Clipped: the weight lies more than half a step beyond the {end} code."
    return f"The {end} code stands in for it, no more than half a step away."


def _place(it: Explanation) -> Step:
    slot = it.placement.code
    lines = [slot.text]
    note = f"{it.scheme.bits} of the element's {slot.element_bits} bits are this code."
    if slot.less:
        lines.insert(0, f"u {MINUS} {slot.less} = {it.code - slot.less}")
        note = f"Stored as a signed byte, less {slot.less}."
    elif len(slot.elements) > 1:
        note = "The code straddles two elements: its lower bits are in the first."
    elif slot.element_bits == it.scheme.bits:
        note = "The code fills the element."
    lines.append(f"s: {it.placement.scale.text}")
    if it.placement.zero is not None:
        lines.append(f"z: {it.placement.zero.text}")
        less = it.placement.zero.less
        lines += [f"   as z {MINUS} {less} = {it.zero - less}"] if less else []
    return Step("Its place in the result", tuple(lines), it.code_words, note)


def _back(it: Explanation) -> Step:
    lines = [
        f"w{PRIME} = (u {MINUS} z) {TIMES} s",
        f"   = ({it.code} {MINUS} {it.zero}) {TIMES} {digits(it.scale.value)}",
    ]
    lines.append(f"   = {digits(it.restored)}")
    if it.decoded.value == it.restored:
        return Step("And back", tuple(lines))
    lines.append(f"   {ARROW} {digits(it.decoded.value)} ({it.decoded.dtype})")
    note = f"A reader that works in {it.decoded.dtype} rounds it once more; errors are measured before that."
    return Step("And back", tuple(lines), (), note)


def _error(it: Explanation) -> Step:
    lines = [
        f"e = w {MINUS} w{PRIME}",
        f"  = {digits(it.weight)} {MINUS} {operand(it.restored)}",
        f"  = {digits(it.error)}",
    ]
    lines.append(f"  = {it.half_steps:.4g} half steps")
    note = "A half step is s / 2: the most that rounding alone can do."
    return Step("The error", tuple(lines), (), note)
