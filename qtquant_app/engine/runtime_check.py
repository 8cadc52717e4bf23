"""Loads a result in a runtime, in a fresh process, and compares what it computes with our own dequantized model."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import qtquant_app
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError, UsageError
from qtquant_app.core.escaping import visible
from qtquant_app.core.events import Event, RunStarted, StageChanged, TextRead
from qtquant_app.core.json_fields import Fields
from qtquant_app.core.plan import Plan
from qtquant_app.core.runtime_readers import HALF, READERS, ROUNDED_INPUTS, Noise, Reader, find_reader
from qtquant_app.core.runtime_report import RuntimeReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.device import default_threads
from qtquant_app.engine.language_model import runnable
from qtquant_app.engine.logit_difference import Logits, logit_difference
from qtquant_app.engine.runtime_child import PROBES, Answer, ask
from qtquant_app.engine.runtime_own import NEW_TOKENS, own_words
from qtquant_app.engine.runtime_passage import Passage, common, passage_of, tokenization
from qtquant_app.engine.text import BUILT_IN
from qtquant_app.engine.verify import base_of, result_plan

SECONDS = 900.0
"""In which a runtime must have answered: large models take minutes to load."""


@dataclass(frozen=True, slots=True)
class FoundRuntime:
    """A runtime, whether this Python has what it takes to read a format, and what to type where it has not."""

    reader: Reader
    versions: Mapping[str, str]
    missing: tuple[str, ...]

    @property
    def available(self) -> bool:
        return not self.missing

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.reader.name,
            "title": self.reader.title,
            "available": self.available,
            "versions": dict(self.versions),
            "missing": list(self.missing),
            "install": self.reader.install,
        }


def found_runtimes(format: str) -> tuple[FoundRuntime, ...]:
    """The runtimes that read `format`, as they are installed for this Python. Nothing of them is imported."""
    return tuple(_found(reader, reader.needs[format]) for reader in READERS if format in reader.needs)


def _found(reader: Reader, packages: tuple[str, ...]) -> FoundRuntime:
    versions: dict[str, str] = {}
    missing = []
    for names in packages:
        there = [(name, version) for name in names.split("|") if (version := _version(name))]
        versions.update(there[:1])
        missing += [] if there else [names.partition("|")[0]]
    return FoundRuntime(reader, versions, tuple(missing))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def check_in_runtime(
    folder: str | Path,
    base: str | Path,
    runtime: str,
    python: str | None = None,
    *,
    text: str = BUILT_IN,
    seconds: float = SECONDS,
    probes: Path = PROBES,
) -> Generator[Event, None, RuntimeReport]:
    """What `runtime` makes of the result in `folder`, which was made from `base`, beside our own dequantized model.

    The runtime is loaded by `python`, the interpreter of some environment (this one's if None), in a process of its own that is
    killed after `seconds`, or when the generator is closed. Both models read 48 tokens of `text` and go on for 16; they are not in
    memory at once. What the runtime refuses, crashes on or computes otherwise is in the report.

    Raises UsageError where the runtime is not known, does not read the format or is not installed; VerifyError where `folder` is
    no result or was made from something else; EvaluateError or DeviceError where ours cannot be run.
    """
    root, reader = Path(folder), find_reader(runtime)
    plan = result_plan(root)
    packages = reader.packages(plan.format)
    checkpoint = base_of(plan, base)
    if reason := runnable(checkpoint):
        raise EvaluateError(f"{reason}, so there is nothing to run", hint="verify it without --runtime", code="model")
    passage = passage_of(checkpoint, text)
    yield RunStarted(len(plan.tensors), plan.source_bytes)
    yield StageChanged("check")
    with TemporaryDirectory(prefix="qtquant-") as scratch:
        logits = Path(scratch, "logits")
        request = _request(root, reader, plan, passage, logits, packages)
        answer = yield from _asked(python, request, seconds, probes, len(passage.ids))
        _check_installed(answer, reader, python)
        report = _report(root, checkpoint, plan, reader, answer)
        if answer.error:
            return report
        theirs, fault = _read_logits(logits, len(passage.ids))
    if theirs is None:
        return replace(report, error=fault)
    yield StageChanged("verify")
    ours, continued = yield from own_words(checkpoint, plan, root, passage.ids)
    return _compared(report, passage, answer, theirs, ours, continued)


def _request(
    root: Path, reader: Reader, plan: Plan, passage: Passage, logits: Path, packages: tuple[str, ...]
) -> dict[str, Any]:
    return {
        "probe": reader.probe,
        "packages": list(packages),
        "format": plan.format,
        "half": plan.format in ("gptq", "awq") or any(t.scheme and _in_half(t.scheme) for t in plan.quantized),
        "model": str(root.resolve()),
        "file": plan.files[0].name if plan.files else "",
        "ids": list(passage.ids),
        "text": passage.text,
        "new_tokens": NEW_TOKENS,
        "logits": str(logits),
        "threads": default_threads(),
        "package_root": str(Path(qtquant_app.__file__).parents[1]),
    }


def _asked(
    python: str | None, request: Mapping[str, Any], seconds: float, probes: Path, tokens: int
) -> Generator[Event, None, Answer]:
    asking = ask(python, request, seconds, probes)
    try:
        while True:
            try:
                next(asking)
            except StopIteration as stop:
                answer: Answer = stop.value
                return answer
            yield TextRead(0, tokens)
    finally:
        asking.close()


def _check_installed(answer: Answer, reader: Reader, python: str | None) -> None:
    missing = answer.words.get("missing")
    if isinstance(missing, list) and missing and not answer.error:
        where = visible(python) if python else "this Python"
        raise UsageError(
            f"{reader.title} is not installed for {where}: {', '.join(visible(str(name)) for name in missing)} is missing",
            hint=f"{reader.install}; an environment of its own can be named with --python venv/bin/python",
            code="runtime-missing",
        )


def _report(root: Path, checkpoint: Checkpoint, plan: Plan, reader: Reader, answer: Answer) -> RuntimeReport:
    words = Fields({"python": "", "versions": {}, "option": "", "load_seconds": 0.0, "seconds": 0.0, **answer.words})
    noise = _noise(reader, plan)
    own = {"qtquant": qtquant_app.__version__} if reader.name == "qtquant" else {}
    report = RuntimeReport(
        str(root),
        checkpoint.label,
        plan.format,
        reader.name,
        reader.title,
        answer.words.get("loaded") is True,
        noise.limit,
        noise.source,
        error=answer.error,
        peak_ram_bytes=answer.peak_ram_bytes,
    )
    try:
        return replace(
            report,
            python=visible(words.text("python")),
            versions=own | {visible(name): visible(version) for name, version in words.texts("versions").items()},
            option=visible(words.text("option")),
            seconds_to_load=words.number("load_seconds"),
            seconds=words.number("seconds"),
        )
    except ValueError as error:
        return replace(report, error=report.error or visible(f"answered with something else: {error}"))


def _noise(reader: Reader, plan: Plan) -> Noise:
    """The largest of what the runtime, the activations and the codes bring along."""
    schemes = {t.scheme for t in plan.quantized if t.scheme is not None}
    noises = [reader.noise(plan.format)]
    noises += [ROUNDED_INPUTS] if any(scheme.activations != "none" for scheme in schemes) else []
    noises += [HALF] if any(map(_in_half, schemes)) else []
    return max(noises, key=lambda noise: noise.limit)


def _in_half(scheme: Scheme) -> bool:
    """Whether readers decode it to the checkpoint's own dtype, and run in no other: compressed-tensors, NVFP4 and MXFP4."""
    return scheme.type == "float" and scheme.bits == 4


def _read_logits(file: Path, tokens: int) -> tuple[Logits | None, str]:
    """[tokens, vocabulary], or why there are none."""
    try:
        found = np.fromfile(file, "<f4")
    except OSError:
        return None, "gave no logits"
    if not len(found) or len(found) % tokens:
        return None, f"gave {len(found):,} logits for {tokens} tokens"
    logits: Logits = found.reshape(tokens, -1)
    return (logits, "") if np.isfinite(logits).all() else (None, "gave logits that are NaN or infinite")


def _compared(
    report: RuntimeReport, passage: Passage, answer: Answer, theirs: Logits, ours: Logits, own: tuple[int, ...]
) -> RuntimeReport:
    if theirs.shape != ours.shape:
        return replace(report, error=f"gave {theirs.shape[1]:,} logits a token where the model has {ours.shape[1]:,}")
    continued = _ids(answer.words.get("continued"))
    return replace(
        report,
        tokens=len(passage.ids),
        difference=logit_difference(ours, theirs),
        continued=passage.said(continued),
        own_continued=passage.said(own),
        new_tokens=NEW_TOKENS,
        same_tokens=common(own, continued),
        tokenization=tokenization(passage, _ids(answer.words["tokenized"]) if "tokenized" in answer.words else None),
    )


def _ids(value: object) -> tuple[int, ...]:
    """Token ids of a foreign answer; none where it is none."""
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        return ()
    return tuple(value)
