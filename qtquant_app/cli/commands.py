"""One function a command. The engine is imported inside each, so that `qtquant --version` answers at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.cli import show
from qtquant_app.core.coverage import low_coverage_of
from qtquant_app.core.errors import UsageError

if TYPE_CHECKING:
    from qtquant_app.core.checkpoint import Checkpoint
    from qtquant_app.core.plan import Plan
    from qtquant_app.core.recipe import Recipe
    from qtquant_app.core.runtimes import Finding
    from qtquant_app.engine.mend_all import Mended

_HERE = "out"
"""Stands for a result in the working folder, where a plan does not say where the result will be."""


def gui(options: Namespace) -> int:
    from qtquant_app.gui.app import run_gui

    return run_gui(options.model, options.recipe, options.theme)


def demo(options: Namespace) -> int:
    from qtquant_app.gui.demo import run_demo

    return run_demo(options.headless, options.output, options.theme)


def inspect(options: Namespace) -> int:
    from qtquant_app.engine.inspect import describe
    from qtquant_app.engine.source import open_checkpoint

    checkpoint = open_checkpoint(options.model)
    show.document(describe(checkpoint)) if options.json else show.checkpoint(checkpoint)
    return 0


def preview(options: Namespace) -> int:
    from qtquant_app.cli.opening import opened, say_cost
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.recipe import scheme_for_layer
    from qtquant_app.core.view import View
    from qtquant_app.engine.picture import save_error_map
    from qtquant_app.engine.preview import preview as make_preview

    checkpoint = opened(options)
    say_cost(checkpoint, options.layer)
    found = drive(
        make_preview(
            checkpoint,
            options.layer,
            scheme_for_layer(options, checkpoint),
            device=options.device,
            view=View(options.view),
        )
    )
    if options.png:
        save_error_map(found, Path(options.png))
    show.document(found.to_json()) if options.json else show.preview(found)
    return 0


def remedies(options: Namespace) -> int:
    from qtquant_app.cli.remedies import remedies as run

    return run(options)


def compare(options: Namespace) -> int:
    from qtquant_app.cli.compare import compare as run

    return run(options)


def scan(options: Namespace) -> int:
    from qtquant_app.cli.scan import scan as run

    return run(options)


def report(options: Namespace) -> int:
    from qtquant_app.cli.scan import report as run

    return run(options)


def explain(options: Namespace) -> int:
    from qtquant_app.cli.explain import explanation
    from qtquant_app.cli.opening import opened
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.recipe import scheme_for_layer
    from qtquant_app.engine.explain import explain as explain_weight

    checkpoint = opened(options)
    scheme = scheme_for_layer(options, checkpoint)
    rows, columns = (options.row, options.row + 1), (options.column, options.column + 1)
    place = (options.layer, scheme, rows, columns)
    found = drive(explain_weight(checkpoint, *place, format=options.format, device=options.device))
    show.document(found.to_json()) if options.json else explanation(found)
    return 0


def plan(options: Namespace) -> int:
    from qtquant_app.cli import budget
    from qtquant_app.engine.planner import free_bytes
    from qtquant_app.engine.recipes import save_recipe

    mix = mended = None
    if budget.wanted(options):
        if options.mend:
            text = "--mend and a budget contradict each other: a mend would change the mix"
            raise UsageError(text, hint="save the mix with -o, then mend that recipe", code="usage")
        mix, checkpoint = budget.best(options)
        made = mix.plan
    else:
        checkpoint, recipe = _opened(options)
        mended = _mended(options, checkpoint, recipe) if options.mend else None
        made = _plan(options, checkpoint, mended.recipe if mended else recipe)
    if options.probe:
        made = _probed(made, checkpoint, options)
    if options.output:
        save_recipe(made.recipe, Path(options.output))
    found = _findings(made, checkpoint, options)
    if options.json:
        document = made.to_json() | {"findings": [finding.to_json() for finding in found]}
        document |= {"mended": mended.to_json()} if mended else {}
        show.document(document | {"budget": mix.to_json()} if mix else document)
    else:
        show.plan(made, free_bytes(Path.cwd()))
        if mix:
            budget.show_budget(mix, options.explain)
        show.findings(found, options.runtime)
    show.low_coverage(low_coverage_of(made.warnings))
    return 0


def quantize(options: Namespace) -> int:
    from qtquant_app.cli import jobs
    from qtquant_app.cli.opening import say_fetched
    from qtquant_app.cli.progress import drive
    from qtquant_app.core.plan import RunOptions
    from qtquant_app.engine.output import check_output
    from qtquant_app.engine.quantize import run

    check_output(Path(options.output), resume=options.resume, overwrite=options.overwrite)
    made = _plan(options, *_opened(options))
    shards = options.source_shards
    wanted = RunOptions(options.output, options.verify, options.resume, options.overwrite, source_shards=shards)
    if options.queue:
        jobs.show_queued(jobs.enqueue(made, wanted, options.device), options.json)
        return 0
    say_fetched(made)
    report = drive(jobs.recorded(made, wanted, options.device, run(made, wanted)))
    show.document(report.to_json()) if options.json else show.report(report)
    show.low_coverage(low_coverage_of(made.warnings))
    return 0


def verify(options: Namespace) -> int:
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.verify import verify as reopen

    if options.runtime is not None:
        from qtquant_app.cli.runtime import check

        return check(options)
    report = drive(reopen(options.folder, options.base))
    show.document(report.to_json()) if options.json else show.verification(report)
    return 0 if report.ok else 1


def formats(options: Namespace) -> int:
    from qtquant_app.cli.runtime import show_table
    from qtquant_app.engine.runtime_table import runtime_table
    from qtquant_app.formats import registry

    rows = [format.to_json() for format in registry().values()]
    if options.json:
        show.document({"formats": rows, "runtimes": [row.to_json() for row in runtime_table()]})
    else:
        show.listing(rows, ("name", "bits", "readers", "description"))
        show_table(runtime_table())
    return 0


def methods(options: Namespace) -> int:
    from qtquant_app.quant.methods import registry

    rows = [method.to_json() for method in registry().values()]
    show.document({"methods": rows}) if options.json else show.listing(rows, ("name", "title", "description"))
    return 0


def presets(options: Namespace) -> int:
    from qtquant_app.cli.presets import presets as run

    return run(options)


def pattern(options: Namespace) -> int:
    from qtquant_app.cli.pattern import pattern as run

    return run(options)


def _findings(made: Plan, checkpoint: Checkpoint, options: Namespace) -> tuple[Finding, ...]:
    from qtquant_app.engine.lint import lint

    return lint(made, checkpoint, options.runtime, tensor_parallel=options.tensor_parallel)


def _mended(options: Namespace, checkpoint: Checkpoint, recipe: Recipe) -> Mended:
    """The recipe mended for --runtime; each step is told on stderr."""
    from qtquant_app.engine.mend_all import mend_all

    found = mend_all(
        checkpoint,
        recipe,
        options.runtime,
        tensor_parallel=options.tensor_parallel,
        device=options.device,
        max_memory=_memory(options),
        seed=options.seed,
    )
    show.mended(found)
    return found


def _opened(options: Namespace) -> tuple[Checkpoint, Recipe]:
    from qtquant_app.cli.opening import opened
    from qtquant_app.cli.recipe import recipe_of

    checkpoint = opened(options)
    return checkpoint, recipe_of(options, checkpoint)


def _plan(options: Namespace, checkpoint: Checkpoint, recipe: Recipe) -> Plan:
    from qtquant_app.cli.calibration import calibration_of
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.units import parse_size
    from qtquant_app.engine.finite import check_finite
    from qtquant_app.engine.known_speeds import known_speeds
    from qtquant_app.engine.planner import make_plan

    quantizing = options.run is quantize
    non_finite = drive(check_finite(checkpoint, recipe)) if recipe.nonfinite == "keep" else None
    return make_plan(
        checkpoint,
        recipe,
        output=options.output if quantizing else None,
        device=options.device,
        max_memory=_memory(options),
        seed=options.seed,
        verify=options.verify if quantizing else "full",
        speeds=known_speeds(checkpoint, options.output if quantizing else _HERE, options.device),
        max_device_memory=parse_size(options.max_device_memory) if options.max_device_memory else None,
        non_finite=non_finite,
        calibration=calibration_of(options),
    )


def _probed(made: Plan, checkpoint: Checkpoint, options: Namespace) -> Plan:
    """The plan again, its seconds from speeds measured here and now."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.probe import timed

    return drive(timed(checkpoint, made, _HERE))


def _memory(options: Namespace) -> int | None:
    from qtquant_app.cli.units import parse_size

    return parse_size(options.max_memory) if options.max_memory else None
