"""An engine that follows a script: the window's tests need neither files nor arithmetic."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import replace
from typing import Any

from qtquant_app.core.calibration import Calibration, Language, Refused, SampleShown, SamplesReport
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import (
    ChunkDone,
    Event,
    FileTransferred,
    Planned,
    RunStarted,
    ShardWritten,
    StageChanged,
    TensorDone,
    TensorKept,
    TextRead,
    Verified,
    Warned,
)
from qtquant_app.core.job import JobRecord
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.report import Coverage, ErrorSums, Mismatch, RunReport, TensorReport, VerifyReport
from qtquant_app.core.runtime_report import LogitDifference, RuntimeReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.gather_statistics import Gathered
from qtquant_app.gui.catalog import Catalog, Choice, RuntimeChoice
from qtquant_app.jobs.job import Work, once
from tests.gui.inspect_samples import ScriptedVerbs, checkpoint

CATALOG = Catalog(
    formats=(
        Choice("compressed-tensors", "compressed-tensors", bits=(2, 3, 4, 5, 6, 7, 8), readers=("vLLM",)),
        Choice("qtquant", "QtQuant plain", bits=(2, 4, 8), readers=("qtquant_app.load",)),
        Choice("other", "Other", available=False, reason="the library <b>other</b> is missing"),
    ),
    devices=("auto", "cpu", "cuda"),
)

SUMS = ErrorSums(1000, 1.0, 100.0, 99.0, 0.5)


def report_of(plan: Plan, output: str, verified: bool = True) -> RunReport:
    """What a run of `plan` reports."""
    return RunReport(
        output=output,
        format=plan.format,
        output_bytes=123_456_789,
        bits_per_weight=4.125,
        seconds=1.5,
        peak_ram_bytes=0,
        coverage=Coverage(len(plan.quantized), len(plan.tensors) - len(plan.quantized), 99.0),
        tensors=tuple(TensorReport(t.name, t.scheme, t.bytes, SUMS) for t in plan.quantized if t.scheme),
        verified=verified,
        sha256={"model.safetensors": "0123456789abcdef" * 4, "config.json": "f" * 64},
    )


def events_of(plan: Plan) -> list[Event]:
    """A whole run of `plan`, verified."""
    size = 100
    events: list[Event] = [RunStarted(len(plan.tensors), 2 * size * len(plan.tensors)), StageChanged("quantize")]
    events.append(Warned("made-up", "a <i>made-up</i> warning"))
    for tensor in plan.tensors:
        events.append(ChunkDone(tensor.name, size))
        if tensor.scheme is None:
            events.append(TensorKept(tensor.name, size))
        else:
            events.append(TensorDone(TensorReport(tensor.name, tensor.scheme, tensor.bytes, SUMS)))
    events += [ShardWritten("model.safetensors", 1000, "0" * 64), StageChanged("verify")]
    for tensor in plan.tensors:
        events.append(ChunkDone(tensor.name, size))
        if tensor.scheme is not None:
            events.append(Verified(TensorReport(tensor.name, tensor.scheme, tensor.bytes, SUMS)))
    return [*events, StageChanged("finish"), FileTransferred("tokenizer.json", 10)]


RUNTIMES = (
    RuntimeChoice("llama.cpp", "llama.cpp", {}, ("llama-cpp-python",), "pip install llama-cpp-python"),
    RuntimeChoice("transformers", "transformers", {"transformers": "5.23.0", "torch": "2.13.0"}, (), "pip install it"),
)


def runtime_report(relative: float = 0.0001) -> RuntimeReport:
    """What trying a result in a runtime comes to."""
    return RuntimeReport(
        output="/results/one",
        base="/models/base",
        format="compressed-tensors",
        runtime="transformers",
        title="transformers",
        loaded=True,
        tolerance=0.001,
        tolerance_reason="float32 on both sides",
        versions={"transformers": "5.23.0"},
        tokens=48,
        difference=LogitDifference(relative, 2 * relative, 1e-9, 1e-8, 1.0),
        continued=" and so on",
        own_continued=" and so on",
        new_tokens=16,
        same_tokens=16,
        seconds_to_load=3.0,
        seconds=1.0,
        peak_ram_bytes=400_000_000,
    )


class Script(ScriptedVerbs):
    """Opens anything, plans it, runs it, finds it verified; each step can be told to fail or to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.options: list[RunOptions] = []
        self.verified: list[tuple[str, str | None]] = []
        self.evaluated: list[tuple[str, str, str]] = []
        self.prompted: list[tuple[tuple[str, ...], bool]] = []
        self.evaluation = evaluation()
        self.evaluation_error: QtQuantError | None = None
        self.gathered: list[tuple[Checkpoint, str, str]] = []
        self.gathering_error: QtQuantError | None = None
        self.sampled: list[Calibration] = []
        self.samples_report = samples_report()
        self.samples_error: QtQuantError | None = None
        self.tried: list[tuple[str, str, str, str | None]] = []
        self.runtime_report = runtime_report()
        self.runtime_error: QtQuantError | None = None
        self.open_error: QtQuantError | None = None
        self.plan_error: QtQuantError | None = None
        self.run_error: Exception | None = None
        self.mismatches: tuple[Mismatch, ...] = ()
        self.gate = threading.Event()
        """A run holds after its tenth event until this is set, and statistics after half of the text."""
        self.gate.set()
        self.closed = threading.Event()
        """Set when a run's generator was closed before its end."""

    def catalog(self) -> Work:
        return once(lambda: CATALOG)

    def open(self, path: str) -> Work:
        return once(lambda: self._open(path))

    def plan(self, checkpoint: Checkpoint, *choices: Any, **more: Any) -> Work:
        if self.plan_error is not None:
            return once(_raiser(self.plan_error))
        return super().plan(checkpoint, *choices, **more)

    def budget_schemes(self, runtimes: tuple[str, ...] = ()) -> Work:
        return once(lambda: (Scheme(4, group_size=64), Scheme(8, group_size=64)))

    def run(self, plan: Plan, options: RunOptions) -> Work:
        self.options.append(options)

        def work() -> Generator[Event, None, RunReport]:
            try:
                for i, event in enumerate(events_of(plan)):
                    while i > 10 and not self.gate.wait(0.005):
                        yield ChunkDone("waiting", 0)
                    if i > 20 and self.run_error is not None:
                        raise self.run_error
                    yield event
            except GeneratorExit:
                self.closed.set()
                raise
            return report_of(plan, options.output, options.verify == "full")

        return work

    def carry_out(self, record: JobRecord) -> Work:
        def work() -> Generator[Event, None, Any]:
            found = yield from self.open(record.source)()
            plan = yield from self.plan(found, record.recipe, None, record.options.device)()
            yield Planned(plan)
            return (yield from self.run(plan, record.options.run_options)())

        return work

    def verify(self, folder: str, base: str | None) -> Work:
        self.verified.append((folder, base))
        return script([RunStarted(3, 30), ChunkDone("a", 30)], VerifyReport(1, 3, self.mismatches))

    def evaluate(
        self, folder: str, base: str, text: str, device: str, *, prompts: tuple[str, ...] = (), speed: bool = False
    ) -> Work:
        self.evaluated.append((folder, base, text))
        self.prompted.append((prompts, speed))
        if self.evaluation_error is not None:
            return script([], error=self.evaluation_error)
        return script(
            [RunStarted(3, 30), ChunkDone("a", 30), TextRead(50, 100), TextRead(100, 100)],
            replace(self.evaluation, output=folder),
        )

    def samples(self, checkpoint: Checkpoint, calibration: Calibration) -> Work:
        self.sampled.append(calibration)

        def work() -> Generator[Event, None, SamplesReport]:
            while not self.gate.wait(0.005):
                yield TextRead(0, 1)
            if self.samples_error is not None:
                raise self.samples_error
            yield TextRead(1, 1)
            return self.samples_report

        return work

    def gather_statistics(self, checkpoint: Checkpoint, output: str, device: str) -> Work:
        self.gathered.append((checkpoint, output, device))

        def work() -> Generator[Event, None, Gathered]:
            yield StageChanged("calibrate")
            yield TextRead(512, 1024)
            while not self.gate.wait(0.005):
                yield TextRead(512, 1024)
            if self.gathering_error is not None:
                raise self.gathering_error
            yield TextRead(1024, 1024)
            return Gathered(output, "half a text", 1024, 7)

        return work

    def runtimes(self, format: str) -> Work:
        return once(lambda: RUNTIMES)

    def check_in_runtime(self, folder: str, base: str, runtime: str, python: str | None) -> Work:
        self.tried.append((folder, base, runtime, python))
        events: list[Event] = [RunStarted(3, 30), StageChanged("check"), TextRead(0, 48), StageChanged("verify")]
        return script(events, self.runtime_report, self.runtime_error)

    def _open(self, path: str) -> Checkpoint:
        self.opened.append(path)
        if self.open_error is not None:
            raise self.open_error
        return checkpoint()


def samples_report() -> SamplesReport:
    """What some samples are: a text that was too short for all that was asked for, with sounds beside it."""
    return SamplesReport(
        source="/texts/notes.txt",
        name="the first half of notes.txt",
        kind="mixed",
        count=12,
        asked=64,
        tokens=5_000,
        shortest=300,
        longest=512,
        languages=(Language("English", 0.75), Language("German", 0.25)),
        shown=(SampleShown("To begin <b>with", 512, {"input_ids": (1, 512)}), SampleShown("And then", 300)),
        refused=(Refused("an empty line", 3),),
        notes=("the text is too short for 64 samples",),
        synthetic=("audio",),
    )


def evaluation() -> Evaluation:
    """What an evaluation finds."""
    return Evaluation(
        output="/results/one",
        base="made up",
        text="the second half of a text",
        tokens=98,
        windows=2,
        seqlen=50,
        base_perplexity=11.32,
        perplexity=11.5,
        kl=0.0123,
        kl_interval=0.0004,
        kl_p99=0.25,
        top1_agreement=0.9561,
        seconds=12.0,
    )


def script(events: Iterable[Event], result: object = None, error: BaseException | None = None) -> Work:
    """Work that yields `events` and then returns `result` or raises `error`."""

    def work() -> Generator[Event, None, Any]:
        yield from events
        if error is not None:
            raise error
        return result

    return work


def _raiser(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail
