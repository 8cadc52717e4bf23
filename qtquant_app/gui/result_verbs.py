"""What the window asks of the engine about quantized checkpoints, as work for Jobs. The engine is imported inside the worker."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.gui.catalog import RuntimeChoice
from qtquant_app.jobs.job import Work, once


class ResultVerbs:
    """Proves results, tries them out, and holds those of others against what they were made from."""

    def verify(self, folder: str, base: str | None) -> Work:
        """Work that reopens `folder` and returns the VerifyReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.verify import verify

            return (yield from verify(folder, base))

        return work

    def evaluate(
        self, folder: str, base: str, text: str, device: str, *, prompts: tuple[str, ...] = (), speed: bool = False
    ) -> Work:
        """Work that runs `folder` beside `base` on samples at `text`, or the built-in ones, and returns the Evaluation."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.evaluate import evaluate
            from qtquant_app.engine.text import BUILT_IN

            samples = text or BUILT_IN
            return (yield from evaluate(folder, base, text=samples, device=device, prompts=prompts, speed=speed))

        return work

    def collect(self, paths: tuple[str, ...]) -> Work:
        """Work that looks up the results and quantized checkpoints at `paths`, and returns the ResultTable."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.results import collect

            return (yield from collect(paths))

        return work

    def audit(self, other: str | Checkpoint, base: str | Checkpoint) -> Work:
        """Work that holds the quantized `other` against `base` and returns the AuditReport; what is named is opened first."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.audit import audit

            return (yield from audit(_opened(other), _opened(base)))

        return work

    def runtime_table(self) -> Work:
        """Work that returns which runtime loads what, and how that is known: a tuple of core.runtime_table.Rows."""

        def read() -> Any:
            from qtquant_app.engine.runtime_table import runtime_table

            return runtime_table()

        return once(read)

    def runtimes(self, format: str) -> Work:
        """Work that returns the runtimes that read `format`, as they are installed here: a tuple of RuntimeChoices."""

        def look() -> tuple[RuntimeChoice, ...]:
            from qtquant_app.engine.runtime_check import found_runtimes

            return tuple(
                RuntimeChoice(one.reader.name, one.reader.title, one.versions, one.missing, one.reader.install)
                for one in found_runtimes(format)
            )

        return once(look)

    def check_in_runtime(self, folder: str, base: str, runtime: str, python: str | None) -> Work:
        """Work that loads the result in `runtime`, in a process of its own, and returns the RuntimeReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.runtime_check import check_in_runtime

            return (yield from check_in_runtime(folder, base, runtime, python))

        return work

    def with_statistics(self, checkpoint: Checkpoint, path: str) -> Work:
        """Work that returns `checkpoint` with what the statistics file at `path` says of its columns."""

        def read() -> Checkpoint:
            from qtquant_app.engine.importance import with_statistics

            return with_statistics(checkpoint, path)

        return once(read)

    def samples(self, checkpoint: Checkpoint, calibration: Calibration) -> Work:
        """Work that reads the samples that methods would look at, and returns the SamplesReport."""

        def read() -> Any:
            from qtquant_app.engine.samples import open_samples

            return open_samples(checkpoint, calibration).report()

        return once(read)

    def gather_statistics(self, checkpoint: Checkpoint, output: str, device: str) -> Work:
        """Work that has the model read the built-in text, writes `output`, in place of what is there, and returns the Gathered."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.gather_statistics import gather_statistics

            return (yield from gather_statistics(checkpoint, output, device=device, overwrite=True))

        return work


def _opened(source: str | Checkpoint) -> Checkpoint:
    from qtquant_app.engine.source import open_checkpoint

    return source if isinstance(source, Checkpoint) else open_checkpoint(source)
