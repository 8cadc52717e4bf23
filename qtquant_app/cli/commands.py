"""One function a command. The engine is imported inside each, so that `qtquant --version` answers at once."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.cli import show

if TYPE_CHECKING:
    from qtquant_app.core.checkpoint import Checkpoint
    from qtquant_app.core.plan import Plan
    from qtquant_app.core.runtimes import Finding


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
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.recipe import scheme_for_layer
    from qtquant_app.core.view import View
    from qtquant_app.engine.picture import save_error_map
    from qtquant_app.engine.preview import preview as make_preview
    from qtquant_app.engine.source import open_checkpoint

    checkpoint = open_checkpoint(options.model)
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
    from qtquant_app.cli.progress import drive
    from qtquant_app.cli.recipe import scheme_for_layer
    from qtquant_app.engine.explain import explain as explain_weight
    from qtquant_app.engine.source import open_checkpoint

    checkpoint = open_checkpoint(options.model)
    scheme = scheme_for_layer(options, checkpoint)
    rows, columns = (options.row, options.row + 1), (options.column, options.column + 1)
    place = (options.layer, scheme, rows, columns)
    found = drive(explain_weight(checkpoint, *place, format=options.format, device=options.device))
    show.document(found.to_json()) if options.json else explanation(found)
    return 0


def plan(options: Namespace) -> int:
    from qtquant_app.cli import budget
    from qtquant_app.engine.recipes import save_recipe

    mix = None
    if budget.wanted(options):
        mix, checkpoint = budget.best(options)
        made = mix.plan
    else:
        made, checkpoint = _plan(options)
    if options.output:
        save_recipe(made.recipe, Path(options.output))
    found = _findings(made, checkpoint, options)
    if options.json:
        document = made.to_json() | {"findings": [finding.to_json() for finding in found]}
        show.document(document | {"budget": mix.to_json()} if mix else document)
    else:
        show.plan(made)
        if mix:
            budget.show_budget(mix, options.explain)
        show.findings(found, options.runtime)
    return 0


def quantize(options: Namespace) -> int:
    from qtquant_app.cli.progress import drive
    from qtquant_app.core.plan import RunOptions
    from qtquant_app.engine.output import check_output
    from qtquant_app.engine.quantize import run

    check_output(Path(options.output), resume=options.resume, overwrite=options.overwrite)
    made, _ = _plan(options)
    wanted = RunOptions(options.output, options.verify, options.resume, options.overwrite)
    report = drive(run(made, wanted))
    show.document(report.to_json()) if options.json else show.report(report)
    return 0


def verify(options: Namespace) -> int:
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.verify import verify as reopen

    report = drive(reopen(options.folder, options.base))
    show.document(report.to_json()) if options.json else show.verification(report)
    return 0 if report.ok else 1


def formats(options: Namespace) -> int:
    from qtquant_app.formats import registry

    rows = [format.to_json() for format in registry().values()]
    show.document({"formats": rows}) if options.json else show.listing(rows, ("name", "bits", "readers", "description"))
    return 0


def methods(options: Namespace) -> int:
    from qtquant_app.quant.methods import registry

    rows = [method.to_json() for method in registry().values()]
    show.document({"methods": rows}) if options.json else show.listing(rows, ("name", "title", "description"))
    return 0


def presets(options: Namespace) -> int:
    from qtquant_app.engine.presets import presets as listed

    rows = [entry.to_json() for entry in listed()]
    if options.json:
        show.document({"presets": rows})
    else:
        show.presets(rows)
    return 0


def _findings(made: Plan, checkpoint: Checkpoint, options: Namespace) -> tuple[Finding, ...]:
    from qtquant_app.engine.lint import lint

    return lint(made, checkpoint, options.runtime, tensor_parallel=options.tensor_parallel)


def _plan(options: Namespace) -> tuple[Plan, Checkpoint]:
    from qtquant_app.cli.recipe import recipe_of
    from qtquant_app.cli.units import parse_size
    from qtquant_app.engine.planner import make_plan
    from qtquant_app.engine.source import open_checkpoint

    memory = parse_size(options.max_memory) if options.max_memory else None
    output = options.output if options.run is quantize else None
    checkpoint = open_checkpoint(options.model)
    recipe = recipe_of(options, checkpoint)
    made = make_plan(checkpoint, recipe, output=output, device=options.device, max_memory=memory, seed=options.seed)
    return made, checkpoint
