"""What a plan has to say about a source that is quantized already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.json_text import shown
from qtquant_app.core.plan import PlanWarning, TensorPlan
from qtquant_app.engine.packed.unpacked import unread


def check_readable(checkpoint: Checkpoint) -> None:
    """Raises PlanError where some of the weights are quantized in a way that is not known here."""
    said = checkpoint.config.get("quantization_config")
    left = unread(checkpoint.tensors)
    if left or (said and not checkpoint.packed_by):
        method = said.get("quant_method", "something") if isinstance(said, Mapping) else "something"
        where = f", and {shown(left[0])} is not stored in a way that is known here" if left else ""
        raise PlanError(
            f"{checkpoint.label} is already quantized ({shown(method).strip(chr(39))}){where}",
            hint="open the original checkpoint it was made from",
            code="already-quantized",
        )


def source_warnings(checkpoint: Checkpoint, tensors: Iterable[TensorPlan]) -> tuple[PlanWarning, ...]:
    """That errors add up, and that the source does not agree with itself."""
    if not checkpoint.packed_by:
        return ()
    found = []
    packed = {t.name: t.packed for t in checkpoint.tensors if t.packed is not None and t.packed.method}
    if any(tensor.action == "quantize" and tensor.name in packed for tensor in tensors):
        text = f"{checkpoint.label} is already quantized, {checkpoint.packed_by}: errors add up"
        found.append(PlanWarning("already-quantized", text))
    noted = [(name, note) for name, one in packed.items() for note in one.notes]
    if noted:
        (name, note), more = noted[0], len(noted) - 1
        others = f", and {more:,} more like it" if more else ""
        text = f"{name}: {note.text}{others}; `qtquant audit` tells them all"
        found.append(PlanWarning("source-disagrees", text))
    return tuple(found)
