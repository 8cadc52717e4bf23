"""Resolves a recipe against a checkpoint: the decision for each tensor, the exact files, and what the run will cost.

Everything is decided from names, shapes and dtypes, and everything that can be refused is refused here.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.patterns import matches
from qtquant_app.core.plan import OutFile, Plan, PlanWarning, RulePlan, TensorPlan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.cost import estimate
from qtquant_app.engine.device import resolve
from qtquant_app.engine.layout import INDEX, Decision, index_text, lay_out
from qtquant_app.formats import Format, find
from qtquant_app.quant.methods import check as check_method

LOW_COVERAGE_PERCENT = 90.0

_WHY_KEPT = {
    Kind.HEAD: "an output head: kept unless a rule names it",
    Kind.EMBEDDING: "an embedding",
    Kind.NORM: "a norm",
    Kind.BIAS: "a bias",
    Kind.CONV: "a convolution",
    Kind.OTHER: "not a linear layer",
}


def make_plan(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    output: str | Path | None = None,
    device: str = "auto",
    max_memory: int | None = None,
    seed: int = 0,
) -> Plan:
    """What a run would do, exactly. `output`, where given, is checked for free disk space.

    Raises PlanError where the recipe cannot be carried out, UsageError where it names what does not exist.
    """
    _check_source(checkpoint)
    format, resolved = find(recipe.format), resolve(device)
    decisions, reasons, rules = _decide(checkpoint, recipe)
    _check(decisions, format, recipe)
    files = lay_out(decisions, format)
    tensors = _tensor_plans(decisions, reasons, files)
    _check_any(tensors, checkpoint)
    texts = _texts(checkpoint, format, tensors, files)
    copied = {name: (checkpoint.root / name).stat().st_size for name in checkpoint.carried_files}
    output_bytes = sum(file.nbytes for file in files) + sum(len(text.encode()) for text in texts.values())
    disk = output_bytes + sum(copied.values())
    if output is not None:
        check_disk(Path(output), disk)
    cost = estimate(decisions, format, resolved, max_memory)
    return Plan(
        source=str(checkpoint.path),
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
        peak_ram_bytes=cost.ram,
        peak_device_bytes=cost.device,
        disk_bytes=disk,
        seconds_estimate=cost.seconds,
        rules=_rule_plans(rules, tensors),
        warnings=(*format.warnings(checkpoint, tensors), *_coverage_warnings(tensors)),
        device=resolved,
        max_memory=max_memory,
        seed=seed,
    )


def _decide(checkpoint: Checkpoint, recipe: Recipe) -> tuple[list[Decision], list[str], dict[str, list[str]]]:
    """A decision and its reason for every tensor, and the tensors that each rule decided."""
    _check_patterns(checkpoint, recipe)
    decided: dict[str, list[str]] = {rule.pattern: [] for rule in recipe.rules}
    decisions, reasons = [], []
    for tensor in checkpoint.tensors:
        scheme, reason, pattern = _choose(tensor, recipe, bool(checkpoint.config.get("tie_word_embeddings")))
        if pattern is not None:
            decided[pattern].append(tensor.name)
        decisions.append(Decision(tensor, scheme))
        reasons.append(reason)
    for rule in recipe.rules:
        if not decided[rule.pattern]:
            raise PlanError(
                f"the rule {rule.pattern!r} never applies: earlier rules or ignore patterns take all it matches",
                hint="move it up, or remove it",
                code="shadowed-rule",
            )
    return decisions, reasons, decided


def _choose(tensor: TensorInfo, recipe: Recipe, tied_head: bool) -> tuple[Scheme | None, str, str | None]:
    if tensor.tied_to is not None:
        return None, f"shares its bytes with {tensor.tied_to}", None
    if not tensor.quantizable:
        return None, _why_not(tensor), None
    for pattern in recipe.ignore:
        if matches(pattern, tensor.module):
            return None, f"ignored by {pattern}", None
    for rule in recipe.rules:
        if matches(rule.pattern, tensor.module):
            return _by_rule(tensor, rule.scheme, rule.pattern, tied_head)
    if tensor.kind == Kind.HEAD:
        return None, _WHY_KEPT[Kind.HEAD], None
    return recipe.default, "the default scheme", None


def _by_rule(
    tensor: TensorInfo, scheme: Scheme | str, pattern: str, tied_head: bool
) -> tuple[Scheme | None, str, str | None]:
    if isinstance(scheme, str):
        return None, f"kept by the rule {pattern}", pattern
    if tensor.kind == Kind.HEAD and tied_head:
        raise PlanError(
            f"{tensor.name} is tied to the embedding, so the rule {pattern!r} cannot quantize it alone",
            hint="leave it out of the rule, or untie the two when the model is saved",
            code="tied-head",
        )
    return scheme, f"the rule {pattern}", pattern


def _why_not(tensor: TensorInfo) -> str:
    if tensor.kind in _WHY_KEPT and tensor.kind != Kind.HEAD:
        return _WHY_KEPT[tensor.kind]
    if tensor.kind == Kind.EXPERT and len(tensor.shape) == 3:
        return "a fused stack of experts"
    return f"{tensor.dtype} {list(tensor.shape)} is not a float matrix"


def _check_patterns(checkpoint: Checkpoint, recipe: Recipe) -> None:
    modules = [tensor.module for tensor in checkpoint.tensors if tensor.quantizable]
    for pattern in (*recipe.ignore, *(rule.pattern for rule in recipe.rules)):
        if any(matches(pattern, module) for module in modules):
            continue
        everything = {tensor.module for tensor in checkpoint.tensors}
        if any(matches(pattern, module) for module in everything):
            if pattern in recipe.ignore:
                continue
            raise PlanError(
                f"the rule {pattern!r} matches only tensors that cannot be quantized",
                hint="rules are for linear layers, experts and heads",
                code="dead-rule",
            )
        raise PlanError(
            f"the pattern {pattern!r} matches no module of {checkpoint.label}",
            hint=_nearest(pattern, modules),
            code="dead-rule",
        )


def _nearest(pattern: str, modules: Sequence[str]) -> str:
    near = get_close_matches(pattern.removeprefix("re:"), modules, n=3, cutoff=0.4)
    example = ", ".join(near or modules[:2])
    return f"modules are named like {example}" if example else "the checkpoint has no linear layers"


def _check(decisions: Iterable[Decision], format: Format, recipe: Recipe) -> None:
    if not format.available:
        raise PlanError(f"the format {format.name} is not available here: {format.reason}", code="format")
    for decision in decisions:
        tensor, scheme = decision.tensor, decision.scheme
        if scheme is None:
            continue
        check_method(scheme)
        refusal = format.refuses(tensor, scheme)
        if refusal:
            raise PlanError(f"{tensor.name}: {refusal}", hint=_mend(tensor, scheme), code="format-constraint")


def _mend(tensor: TensorInfo, scheme: Scheme) -> str:
    columns = tensor.shape[1]
    if scheme.group_size is not None and columns % scheme.group_size:
        fitting = [size for size in (256, 128, 64, 32, 16, 8) if columns % size == 0]
        sizes = " or ".join(f"--group-size {size}" for size in fitting[:2])
        return f"use {sizes or '--strategy channel'}, or ignore it with --ignore {tensor.module}"
    return "choose another --bits or --format"


def _check_source(checkpoint: Checkpoint) -> None:
    quantized = checkpoint.config.get("quantization_config")
    if quantized:
        method = quantized.get("quant_method", "something") if isinstance(quantized, Mapping) else "something"
        raise PlanError(
            f"{checkpoint.label} is already quantized ({method})",
            hint="open the original checkpoint it was made from",
            code="already-quantized",
        )


def _check_any(tensors: Sequence[TensorPlan], checkpoint: Checkpoint) -> None:
    if not any(tensor.action == "quantize" for tensor in tensors):
        raise PlanError(
            f"nothing in {checkpoint.label} would be quantized",
            hint="`qtquant inspect` shows what each tensor is; check the ignore patterns",
            code="nothing",
        )


def _tensor_plans(
    decisions: Sequence[Decision], reasons: Sequence[str], files: Sequence[OutFile]
) -> tuple[TensorPlan, ...]:
    sizes: dict[str, int] = {}
    for file in files:
        for out in file.tensors:
            sizes[out.source] = sizes.get(out.source, 0) + out.nbytes
    return tuple(
        TensorPlan(
            name=d.tensor.name,
            module=d.tensor.module,
            kind=d.tensor.kind.value,
            dtype=d.tensor.dtype,
            shape=d.tensor.shape,
            action="keep" if d.scheme is None else "quantize",
            scheme=d.scheme,
            bytes=sizes.get(d.tensor.name, 0),
            reason=reason,
            source_bytes=d.tensor.nbytes,
        )
        for d, reason in zip(decisions, reasons, strict=True)
    )


def _texts(
    checkpoint: Checkpoint, format: Format, tensors: Sequence[TensorPlan], files: Sequence[OutFile]
) -> dict[str, str]:
    config = {k: v for k, v in checkpoint.config.items() if k != "quantization_config"}
    config["quantization_config"] = format.quantization_config(checkpoint, tensors)
    texts = {"config.json": json.dumps(config, indent=2, ensure_ascii=False) + "\n"}
    if len(files) > 1:
        texts[INDEX] = index_text(files)
    return texts


def _bits_per_weight(tensors: Iterable[TensorPlan]) -> float:
    quantized = [tensor for tensor in tensors if tensor.action == "quantize"]
    weights = sum(tensor.shape[0] * tensor.shape[1] for tensor in quantized)
    return round(8 * sum(tensor.bytes for tensor in quantized) / weights, 6) if weights else 0.0


def _rule_plans(decided: dict[str, list[str]], tensors: Iterable[TensorPlan]) -> tuple[RulePlan, ...]:
    sizes = {tensor.name: tensor.bytes for tensor in tensors}
    return tuple(RulePlan(p, len(names), sum(sizes[n] for n in names)) for p, names in decided.items())


def _coverage_warnings(tensors: Sequence[TensorPlan]) -> tuple[PlanWarning, ...]:
    percent = linear_coverage(tensors)
    if percent >= LOW_COVERAGE_PERCENT:
        return ()
    text = f"only {percent:.1f}% of the parameters of linear layers and experts are quantized"
    return (PlanWarning("low-coverage", text),)


def linear_coverage(tensors: Iterable[TensorPlan]) -> float:
    """Percent of the parameters in linear layers and experts that are quantized."""
    total = quantized = 0
    for tensor in tensors:
        if tensor.kind in (Kind.LINEAR, Kind.EXPERT) and len(tensor.shape) > 1:
            count = 1
            for side in tensor.shape:
                count *= side
            total += count
            quantized += count if tensor.action == "quantize" else 0
    return 100 * quantized / total if total else 100.0


def check_disk(output: Path, needed: int) -> None:
    """Raises PlanError where the drive of `output` has less than `needed` bytes free."""
    parent = output.resolve()
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise PlanError(
            f"{output} needs {needed:,} bytes, and its drive has {free:,} free",
            hint="free some space, or choose another drive with -o",
            code="disk",
        )
    if not os.access(parent, os.W_OK):
        raise PlanError(f"{parent} cannot be written to", hint="choose another folder with -o", code="disk")
