"""The engine's verbs as work for Jobs. The engine is imported inside the worker, so the window starts without it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from qtquant_app.core.budget import Budget, Treatment
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import Event
from qtquant_app.core.fitting import fitted
from qtquant_app.core.job import JobRecord
from qtquant_app.core.limits import Limits
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.preset import Preset
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Target
from qtquant_app.gui.catalog import Catalog, read_catalog
from qtquant_app.gui.hub_verbs import HubVerbs
from qtquant_app.gui.inspect_verbs import InspectVerbs
from qtquant_app.gui.result_verbs import ResultVerbs
from qtquant_app.jobs.aside import aside
from qtquant_app.jobs.job import Work, once

if TYPE_CHECKING:
    from qtquant_app.engine.budget import Measured
    from qtquant_app.engine.job_store import Jobs, JobStore


class Verbs(InspectVerbs, ResultVerbs, HubVerbs):
    """Everything the window asks of the engine. Tests put scripted events in its place."""

    def catalog(self) -> Work:
        """Work that returns a Catalog."""

        def read() -> Catalog:
            return read_catalog()

        return once(read)

    def open(self, path: str) -> Work:
        """Work that returns the Checkpoint at `path` ("sample" is the built-in one)."""

        def read() -> Checkpoint:
            from qtquant_app.engine.source import open_checkpoint

            return open_checkpoint(path)

        return aside(once(read))

    def warm_up(self, checkpoint: Checkpoint) -> Work:
        """Work that makes the kernels ready for previews of the checkpoint's tensors."""

        def work() -> Generator[Event, None, None]:
            from qtquant_app.engine.warm import warm_up

            yield from warm_up(sorted({tensor.dtype for tensor in checkpoint.tensors}))

        return work

    def plan(
        self,
        checkpoint: Checkpoint,
        recipe: Recipe,
        output: str | None,
        device: str,
        limits: Limits = Limits(),  # noqa: B008
        calibration: Calibration | None = None,
    ) -> Work:
        """Work that returns the Plan, or fails with the planner's refusal."""

        def make() -> Generator[Event, None, Plan]:
            from qtquant_app.engine.finite import check_finite
            from qtquant_app.engine.known_speeds import known_speeds
            from qtquant_app.engine.planner import make_plan

            found = (yield from check_finite(checkpoint, recipe)) if recipe.nonfinite == "keep" else None
            speeds = known_speeds(checkpoint, output, device)
            plan = make_plan(
                checkpoint,
                recipe,
                output=output,
                device=device,
                max_memory=limits.memory,
                max_device_memory=limits.device_memory,
                speeds=speeds,
                non_finite=found,
                calibration=calibration,
            )
            _ = plan.source_bytes, plan.quantized_source_bytes  # summed here, where no window waits for it
            return plan

        return make

    def probe(self, checkpoint: Checkpoint, plan: Plan, output: str) -> Work:
        """Work that measures this machine and returns `plan` with the seconds that follow: a Plan."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.probe import timed

            return (yield from timed(checkpoint, plan, output))

        return work

    def presets(self) -> Work:
        """Work that returns every preset, one `engine.presets.Listed` each: a tuple."""

        def read() -> Any:
            from qtquant_app.engine.presets import presets

            return presets()

        return once(read)

    def preset_recipe(self, preset: Preset, checkpoint: Checkpoint | None) -> Work:
        """Work that returns the Recipe of `preset`, its patterns fitted to `checkpoint`."""

        def fit() -> Recipe:
            return preset.recipe if checkpoint is None else fitted(preset.recipe, checkpoint)

        return once(fit)

    def save_preset(self, title: str, recipe: Recipe, runtimes: tuple[str, ...], replace: bool) -> Work:
        """Work that keeps `recipe` as a preset of the user's and returns the Preset."""

        def save() -> Preset:
            from qtquant_app.engine.presets import save_preset

            return save_preset(title, recipe, runtimes, replace=replace)

        return once(save)

    def delete_preset(self, name: str) -> Work:
        """Work that removes a preset of the user's and returns its name."""

        def delete() -> str:
            from qtquant_app.engine.presets import delete_preset

            delete_preset(name)
            return name

        return once(delete)

    def lint(
        self,
        checkpoint: Checkpoint,
        outcome: Plan | PlanError,
        recipe: Recipe,
        runtimes: tuple[str, ...],
        tensor_parallel: int,
    ) -> Work:
        """Work that returns what `runtimes` make of a plan, or what mends a refused one: a tuple of Findings."""

        def look() -> Any:
            from qtquant_app.engine.lint import lint, lint_refused

            if isinstance(outcome, PlanError):
                return lint_refused(recipe, checkpoint, outcome)
            return lint(outcome, checkpoint, runtimes, tensor_parallel=tensor_parallel)

        return once(look)

    def budget_schemes(self, runtimes: tuple[str, ...] = ()) -> Work:
        """Work that returns what a budget for `runtimes` chooses from unless told otherwise: a tuple of Schemes."""

        def read() -> Any:
            from qtquant_app.engine.budget import schemes_for

            return schemes_for(runtimes)

        return once(read)

    def weigh(
        self,
        checkpoint: Checkpoint,
        recipe: Recipe,
        schemes: tuple[Treatment, ...],
        locked: tuple[str, ...],
        calibration: str,
        device: str,
        *,
        runtimes: tuple[str, ...] = (),
        also: tuple[Scheme, ...] = (),
    ) -> Work:
        """Work that measures the checkpoint under all that a budget may choose from, and under `also`, which mixes are held
        against; it returns the Measured."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.budget import weigh

            return (
                yield from weigh(
                    checkpoint,
                    recipe,
                    schemes=schemes,
                    locked=locked,
                    also=also,
                    runtimes=runtimes,
                    device=device,
                    calibration=calibration,
                )
            )

        return work

    def solve(self, measured: Measured, target: Target) -> Work:
        """Work that returns the Budget: the best mix within `target`."""

        def find() -> Budget:
            from qtquant_app.engine.budget import solve

            return solve(measured, target)

        return once(find)

    def check(self, measured: Measured, budget: Budget, text: str) -> Work:
        """Work that runs the mix and the best uniform scheme on `text`, and returns the Budget with its proof."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.budget_proof import check

            return (yield from check(measured, budget, text=text))

        return work

    def mend_all(
        self, checkpoint: Checkpoint, recipe: Recipe, runtimes: tuple[str, ...], tensor_parallel: int, device: str
    ) -> Work:
        """Work that mends `recipe` for `runtimes` as far as that goes, and returns the engine's Mended."""

        def work() -> Any:
            from qtquant_app.engine.mend_all import mend_all

            return mend_all(checkpoint, recipe, runtimes, tensor_parallel=tensor_parallel, device=device)

        return once(work)

    def run(self, plan: Plan, options: RunOptions) -> Work:
        """Work that carries the plan out and returns the RunReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.quantize import run

            return (yield from run(plan, options))

        return work

    jobs_folder: Path | None = None
    """Where the queue and the history are; None for the user's own."""

    _the_store: JobStore | None = None
    _making_store = Lock()

    @property
    def _store(self) -> JobStore:
        """One for the window: it is what holds the jobs that are carried out here."""
        from qtquant_app.engine.job_store import JobStore

        with self._making_store:
            if self._the_store is None:
                self._the_store = JobStore(self.jobs_folder)
            return self._the_store

    def jobs(self, change: Callable[[JobStore], object] | None = None) -> Jobs:
        """Changes the queue or the history where asked to, and returns all of it. For a worker, like all that follow."""
        if change is not None:
            change(self._store)
        return self._store.jobs()

    def jobs_stamp(self) -> int:
        """A number that changes when a job does, by whomever."""
        return self._store.stamp()

    def again(self, record: JobRecord) -> Jobs:
        """Puts the same job into the queue once more."""
        from qtquant_app.engine.job_run import again

        taken = {other.output for other in self._store.jobs().records if not other.state.over}
        return self.jobs(lambda store: store.add(again(record, taken)))

    def recorded(self, record: JobRecord, work: Work) -> Work:
        """Work that does `work` and notes in the store what becomes of `record`."""

        def noting() -> Generator[Event, None, Any]:
            from qtquant_app.engine.job_run import recorded

            return (yield from recorded(self._store, record, work()))

        return noting

    def carry_out(self, record: JobRecord) -> Work:
        """Work that opens the source of a job, plans it (a Planned), runs it and returns the RunReport."""

        def work() -> Generator[Event, None, Any]:
            from qtquant_app.engine.job_run import carry_out

            return (yield from carry_out(record))

        return work

    def release_device(self) -> Callable[[], None]:
        """What gives the device's memory back that nothing uses: for the thread of a run that pauses."""

        def release() -> None:
            from qtquant_app.engine.device import release_cached

            release_cached()

        return release
