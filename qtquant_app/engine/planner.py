"""Resolves a recipe against a checkpoint: the decision for each tensor, the exact files, and what the run will cost.

Everything is decided from names, shapes and dtypes, and everything that can be refused is refused here.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.coverage import coverage_warnings
from qtquant_app.core.errors import PlanError, RuleError
from qtquant_app.core.plan import OutFile, Plan, RulePlan, TensorPlan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.cost import calibration_cost
from qtquant_app.engine.calibrate.needed import calibration_of
from qtquant_app.engine.containers import container_of
from qtquant_app.engine.cost import Verify, estimate
from qtquant_app.engine.device import default_threads, resolve, total_bytes
from qtquant_app.engine.fetching.room import RAM as FETCHING
from qtquant_app.engine.fetching.room import download_bytes, fetch_warnings, source_disk_bytes
from qtquant_app.engine.finite import NonFiniteCounts, unlooked, without
from qtquant_app.engine.garbage import uncollected
from qtquant_app.engine.layout import Decision
from qtquant_app.engine.memory import ceiling_bytes
from qtquant_app.engine.packed.planned import check_readable, source_warnings
from qtquant_app.engine.rules import Choice, adapted, choose, contradiction, with_whole_stacks
from qtquant_app.engine.speeds import Speeds, seconds_of
from qtquant_app.formats import Format, find
from qtquant_app.quant.methods import check as check_method


@uncollected()
def make_plan(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    output: str | Path | None = None,
    device: str = "auto",
    max_memory: int | None = None,
    seed: int = 0,
    verify: Verify = "full",
    speeds: Speeds | None = None,
    max_device_memory: int | None = None,
    non_finite: NonFiniteCounts | None = None,
    calibration: Calibration | None = None,
) -> Plan:
    """What a run would do, exactly. `output`, where given, is checked for free disk space.

    `peak_ram_bytes` and `seconds_estimate` are for a run that this process carries out next and verifies as `verify` says, the
    latter at `speeds` (see `engine.probe`), or else at those of a usual machine. All else depends on none of these, but for the
    samples that a model writes itself, which depend on whether it fits into memory.
    `non_finite` is what `engine.finite.check_finite` found, for a recipe that keeps such tensors as they are. `calibration` says
    which samples methods look at that need some: the usual ones where it is not given.

    Raises PlanError where the recipe cannot be carried out, UsageError where it names what does not exist.
    """
    check_readable(checkpoint)
    format, resolved = find(recipe.format).bound(checkpoint), resolve(device)
    container = container_of(format)
    choices = adapted(checkpoint, choose(checkpoint, recipe, format.takes), format)
    if recipe.nonfinite == "keep" and non_finite:
        choices = without(non_finite, checkpoint.tensors, choices)
    checkpoint, choices = with_whole_stacks(checkpoint, choices, format)
    decisions = [Decision(tensor, c.scheme) for tensor, c in zip(checkpoint.tensors, choices, strict=True)]
    _check(decisions, choices, format, recipe)
    files = container.lay_out(decisions, format)
    tensors = _tensor_plans(decisions, choices, checkpoint.modules, files)
    if not format.may_keep_all:
        _check_any(tensors, checkpoint)
    texts = container.texts(checkpoint, format, tensors, files)
    copied = {name: checkpoint.size_of(name) for name in container.carried(checkpoint)}
    output_bytes = sum(file.nbytes for file in files) + sum(len(text.encode()) for text in texts.values())
    disk = output_bytes + sum(copied.values())
    samples = calibration_of(
        checkpoint,
        tensors,
        calibration,
        seed,
        lambda: max_memory or ceiling_bytes() if resolved == "cpu" else max_device_memory or total_bytes(resolved),
    )
    fetched, shards = download_bytes(checkpoint), source_disk_bytes(checkpoint, calibrated=samples is not None)
    if output is not None:
        check_disk(Path(output), disk + shards)
    warnings = (
        *format.warnings(checkpoint, tensors),
        *coverage_warnings(tensors),
        *source_warnings(checkpoint, tensors),
        *unlooked(recipe, non_finite),
        *fetch_warnings(shards, calibrated=samples is not None),
    )
    calibrating = calibration_cost(tensors, samples, resolved)
    cost = estimate(  # last: it looks at this process
        decisions,
        files,
        format,
        resolved,
        max_memory,
        verify=verify,
        max_device_memory=max_device_memory,
        beside=FETCHING if fetched else 0,
    )
    seconds = seconds_of(decisions, files, sum(copied.values()), default_threads(), verify, speeds)
    return Plan(
        source=checkpoint.source,
        label=checkpoint.label,
        fingerprint=checkpoint.fingerprint,
        architecture=checkpoint.architecture,
        recipe=recipe,
        tensors=tensors,
        files=files,
        texts=texts,
        copied=copied,
        output_bytes=output_bytes,
        bits_per_weight=_bits_per_weight(tensors),
        peak_ram_bytes=cost.ram + calibrating.ram,
        peak_device_bytes=cost.device,
        disk_bytes=disk,
        seconds_estimate=round(cost.cold_seconds + seconds + calibrating.seconds, 2),
        rules=_rule_plans(recipe, tensors),
        warnings=warnings,
        device=resolved,
        max_memory=max_memory,
        seed=seed,
        max_device_memory=max_device_memory,
        statistics=checkpoint.statistics.path,
        statistics_sha256=checkpoint.statistics.sha256,
        calibration=samples,
        download_bytes=fetched,
        source_disk_bytes=shards,
    )


def _check(decisions: Sequence[Decision], choices: Sequence[Choice], format: Format, recipe: Recipe) -> None:
    """Refuses what the format or the method cannot do: under the default scheme at once, under rules with all of them named."""
    if not format.available:
        raise PlanError(f"the format {format.name} is not available here: {format.reason}", code="format")
    ruled: dict[int, list[TensorInfo]] = {}
    for decision, choice in zip(decisions, choices, strict=True):
        if choice.rule is not None:
            ruled.setdefault(choice.rule, []).append(decision.tensor)
        elif decision.scheme is not None:
            _check_default(decision.tensor, decision.scheme, format)
    faults = [contradiction(at, recipe, ruled[at], format) for at in sorted(ruled)]
    if any(faults):
        raise RuleError([fault for fault in faults if fault is not None])


def _check_default(tensor: TensorInfo, scheme: Scheme, format: Format) -> None:
    check_method(scheme)
    refusal = format.refuses(tensor, scheme)
    if refusal:
        raise PlanError(f"{tensor.name}: {refusal}", hint=_mend(tensor, scheme), code="format-constraint")


def _mend(tensor: TensorInfo, scheme: Scheme) -> str:
    columns = tensor.shape[1]
    if scheme.type == "float" and scheme.bits == 4:
        return f"use --type float --bits 8, or ignore it with --ignore {tensor.module}"
    if scheme.group_size is not None and columns % scheme.group_size:
        fitting = [size for size in (256, 128, 64, 32, 16, 8) if columns % size == 0]
        sizes = " or ".join(f"--group-size {size}" for size in fitting[:2])
        return f"use {sizes or '--strategy channel'}, or ignore it with --ignore {tensor.module}"
    return "choose another --bits or --format"


def _check_any(tensors: Sequence[TensorPlan], checkpoint: Checkpoint) -> None:
    if not any(tensor.action == "quantize" for tensor in tensors):
        raise PlanError(
            f"nothing in {checkpoint.label} would be quantized",
            hint="`qtquant inspect` shows what each tensor is; check the ignore patterns",
            code="nothing",
        )


def _tensor_plans(
    decisions: Sequence[Decision], choices: Sequence[Choice], modules: Sequence[str], files: Sequence[OutFile]
) -> tuple[TensorPlan, ...]:
    sizes: dict[str, int] = {}
    for file in files:
        for out in file.tensors:
            sizes[out.source] = sizes.get(out.source, 0) + out.nbytes
    kinds = {kind: kind.value for kind in Kind}
    return tuple(
        TensorPlan(
            name=d.tensor.name,
            module=module,
            kind=kinds[d.tensor.kind],
            dtype=d.tensor.dtype,
            shape=d.tensor.shape,
            action="keep" if d.scheme is None else "quantize",
            scheme=d.scheme,
            bytes=sizes.get(d.tensor.name, 0),
            reason=choice.reason,
            source_bytes=d.tensor.nbytes,
            rule=choice.rule,
        )
        for d, choice, module in zip(decisions, choices, modules, strict=True)
    )


def _bits_per_weight(tensors: Iterable[TensorPlan]) -> float:
    quantized = [tensor for tensor in tensors if tensor.action == "quantize"]
    weights = sum(tensor.shape[0] * tensor.shape[1] for tensor in quantized)
    return round(8 * sum(tensor.bytes for tensor in quantized) / weights, 6) if weights else 0.0


def _rule_plans(recipe: Recipe, tensors: Iterable[TensorPlan]) -> tuple[RulePlan, ...]:
    counts, sizes = [0] * len(recipe.rules), [0] * len(recipe.rules)
    for tensor in tensors:
        if tensor.rule is not None:
            counts[tensor.rule] += 1
            sizes[tensor.rule] += tensor.bytes
    return tuple(RulePlan(r.pattern, n, size) for r, n, size in zip(recipe.rules, counts, sizes, strict=True))


def free_bytes(folder: Path) -> int | None:
    """Bytes free on the drive of `folder`, which exists; None where it does not say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def check_disk(output: Path, needed: int) -> None:
    """Raises PlanError where the drive of `output` has less than `needed` bytes free."""
    parent = output.resolve()
    while not parent.exists():
        parent = parent.parent
    free = free_bytes(parent)
    if free is not None and free < needed:
        raise PlanError(
            f"{output} needs {needed:,} bytes, and its drive has {free:,} free",
            hint="free some space, or choose another drive with -o",
            code="disk",
        )
    if not os.access(parent, os.W_OK):
        raise PlanError(f"{parent} cannot be written to", hint="choose another folder with -o", code="disk")
