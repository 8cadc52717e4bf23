"""The words of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from qtquant_app import __version__
from qtquant_app.cli import (
    audit,
    budget,
    calibration,
    card,
    commands,
    evaluate,
    jobs,
    pattern,
    presets,
    results,
    runtime,
    search,
    statistics,
    upload,
)
from qtquant_app.core.errors import UsageError
from qtquant_app.core.recipe import POLICIES
from qtquant_app.core.runtimes import RUNTIMES
from qtquant_app.core.scheme import MAX_BITS, MIN_BITS
from qtquant_app.core.view import View

_MODEL = "a folder, a .safetensors/.bin/.pt file, a Hub id (org/name[@revision]), or `sample`"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"see `{self.prog} --help`", code="usage")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """The options, with the function to call as `run`. Raises UsageError; prints and exits for --help and --version."""
    parser, known = _parser()
    words = list(words)
    if not words or (words[0] not in known and words[0] not in ("-h", "--help", "--version")):
        # `qtquant MODEL` opens the window.
        words.insert(0, "gui")
    return parser.parse_args(words)


def _parser() -> tuple[argparse.ArgumentParser, frozenset[str]]:
    parser = _Parser(prog="qtquant", description="See, quantize, verify and save neural-network checkpoints.")
    parser.add_argument("--version", action="version", version=f"qtquant {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    _add_window(verbs)
    _add_reading(verbs)
    _add_weighing(verbs)
    _add_scans(verbs)
    _add_work(verbs)
    _add_hub(verbs)
    _add_lists(verbs)
    return parser, frozenset(verbs.choices)


def _verb(verbs: Any, name: str, run: Callable[..., int], text: str, *, json: bool = True) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(run=run)
    if json:
        verb.add_argument("--json", action="store_true", help="print one JSON document on stdout and nothing else")
    return verb


def _add_window(verbs: Any) -> None:
    gui = _verb(verbs, "gui", commands.gui, "open the window", json=False)
    gui.add_argument("model", nargs="?", metavar="MODEL", help=_MODEL)
    gui.add_argument("--recipe", metavar="FILE", help="a recipe to start with")
    gui.add_argument("--theme", choices=("system", "light", "dark"), default="system")
    demo = _verb(verbs, "demo", commands.demo, "the main job on the built-in sample model", json=False)
    demo.add_argument("--headless", action="store_true", help="use Qt's offscreen platform and exit at the end")
    demo.add_argument("-o", "--output", metavar="DIR", help="where checkpoint and screenshot go")
    demo.add_argument("--theme", choices=("system", "light", "dark"), default="system")


def _add_reading(verbs: Any) -> None:
    inspect = _verb(verbs, "inspect", commands.inspect, "what is in a checkpoint; reads headers only")
    inspect.add_argument("model", metavar="MODEL", help=_MODEL)
    named = _verb(verbs, "pattern", commands.pattern, "the one pattern that names just the modules asked for")
    named.add_argument("model", metavar="MODEL", help=_MODEL)
    pattern.add_options(named)
    preview = _verb(verbs, "preview", commands.preview, "the error of one tensor under a scheme")
    preview.add_argument("model", metavar="MODEL", help=_MODEL)
    preview.add_argument("--layer", required=True, metavar="NAME", help="a tensor or its module")
    preview.add_argument(
        "--view", choices=[str(view) for view in View], default=str(View.ABSOLUTE), help="what the map shows"
    )
    preview.add_argument("--png", metavar="FILE", help="save the map as a picture")
    _add_scheme(preview)


def _add_weighing(verbs: Any) -> None:
    remedies = _verb(verbs, "remedies", commands.remedies, "what would help a tensor: bytes against decibels, measured")
    remedies.add_argument("model", metavar="MODEL", help=_MODEL)
    remedies.add_argument("--layer", required=True, metavar="NAME", help="a tensor or its module")
    remedies.add_argument("--row", type=int, metavar="R", help="this channel alone")
    remedies.add_argument("--column", type=int, metavar="C", help="with --row: the group that this column lies in")
    remedies.add_argument("--format", metavar="F", help="whose bytes to count; compressed-tensors if not given")
    _add_scheme(remedies)
    compare = _verb(verbs, "compare", commands.compare, "schemes side by side over tensors")
    compare.add_argument("model", metavar="MODEL", help=_MODEL)
    compare.add_argument(
        "--layer", required=True, action="append", metavar="NAME", help="a tensor, its module or a glob; repeatable"
    )
    compare.add_argument(
        "--scheme", required=True, action="append", metavar="LABEL", help='such as "W4 g128 sym"; repeatable'
    )
    compare.add_argument("--format", metavar="F", help="whose bytes to count; compressed-tensors if not given")
    compare.add_argument("--csv", metavar="FILE", help="save the figures of every tensor as a table")
    compare.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")
    explain = _verb(verbs, "explain", commands.explain, "one weight on its way to a code, to its bits, and back")
    explain.add_argument("model", metavar="MODEL", help=_MODEL)
    explain.add_argument("--layer", required=True, metavar="NAME", help="any tensor, its module, or a slice: NAME[3]")
    explain.add_argument("--row", required=True, type=int, metavar="R", help="the output channel, from 0")
    explain.add_argument("--column", required=True, type=int, metavar="C", help="the input column, from 0")
    explain.add_argument("--format", metavar="F", default="", help="whose layout to show; see `qtquant formats`")
    _add_scheme(explain)


def _add_scans(verbs: Any) -> None:
    scan = _verb(verbs, "scan", commands.scan, "every tensor: what it is like, and its error under several schemes")
    scan.add_argument("--csv", metavar="FILE", help="save the figures of every tensor as a table")
    report = _verb(verbs, "report", commands.report, "a scan as one page of HTML, for any browser")
    report.add_argument("-o", "--output", metavar="FILE", required=True, help="the page to write, such as report.html")
    report.add_argument("--worst", type=int, default=8, metavar="N", help="tensors to show with their error maps; 8")
    report.add_argument("--overwrite", action="store_true", help="replace FILE, whatever it holds")
    for verb in (scan, report):
        verb.add_argument("model", metavar="MODEL", help=_MODEL)
        verb.add_argument(
            "--scheme",
            action="append",
            default=[],
            metavar="LABEL",
            help='such as "W4 g128 sym" or "W3 g32 asym mse"; repeatable; six of them if not given',
        )
        verb.add_argument("--format", metavar="F", default="", help="whose bytes to count; see `qtquant formats`")
        verb.add_argument("--no-cache", action="store_true", help="neither use nor keep the results of other scans")
        verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")


def _add_work(verbs: Any) -> None:
    plan = _verb(verbs, "plan", commands.plan, "what a run would do, exactly")
    plan.add_argument("model", metavar="MODEL", help=_MODEL)
    plan.add_argument("-o", "--output", metavar="RECIPE", help="save the recipe")
    plan.add_argument(
        "--runtime",
        action="append",
        default=[],
        metavar="NAME",
        help=f"check whether this reader loads it; repeatable: {', '.join(runtime.name for runtime in RUNTIMES)}",
    )
    plan.add_argument(
        "--tensor-parallel", type=int, default=1, metavar="N", help="devices that a server shares the model out over"
    )
    plan.add_argument("--probe", action="store_true", help="measure this machine first, for a second: a better time")
    plan.add_argument("--mend", action="store_true", help="change the recipe until these readers load it")
    budget.add_options(plan)
    calibration.add_calibration_options(plan, source=False)
    _add_recipe(plan)
    quantize = _verb(verbs, "quantize", commands.quantize, "quantize, pack, verify and save")
    quantize.add_argument("model", metavar="MODEL", help=_MODEL)
    quantize.add_argument("-o", "--output", metavar="OUT", required=True, help="the folder to write")
    quantize.add_argument("--verify", choices=("full", "quick", "none"), default="full")
    quantize.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    quantize.add_argument("--overwrite", action="store_true", help="replace an OUT that QtQuant wrote")
    quantize.add_argument(
        "--source-shards",
        choices=("drop", "cache"),
        default="drop",
        help="a Hub model's files, fetched while the run works: each dropped when its outputs are verified and safe (the "
        "default), or all kept in the cache that the Hub's tools share",
    )
    quantize.add_argument(
        "--queue", action="store_true", help="let it wait: `qtquant jobs --run` or the window runs it"
    )
    calibration.add_calibration_options(quantize)
    _add_recipe(quantize)
    jobs.add_options(_verb(verbs, "jobs", jobs.jobs, "the queue and the history of runs"))
    verify = _verb(verbs, "verify", commands.verify, "reopen a result, check hashes, dequantize, compare")
    verify.add_argument("folder", metavar="OUT", help="a folder that `quantize` wrote")
    verify.add_argument("--base", metavar="MODEL", help="the original, to compare every weight with")
    runtime.add_options(verify)
    audit.add_options(_verb(verbs, "audit", audit.audit, "somebody else's quantized checkpoint beside its base"))
    shown = _verb(verbs, "calibration", calibration.calibration, "the samples that methods calibrate with, before use")
    calibration.add_options(shown)
    statistics.add_options(_verb(verbs, "statistics", statistics.statistics, "which columns matter, for --importance"))
    evaluate.add_options(_verb(verbs, "evaluate", evaluate.evaluate, "run a result beside its original on a text"))
    results.add_options(
        _verb(verbs, "results", results.results, "quantized checkpoints side by side: size and quality")
    )


def _add_hub(verbs: Any) -> None:
    search.add_search_options(_verb(verbs, "search", search.search, "models on the Hub, and what is quantized of one"))
    search.add_hub_options(
        _verb(verbs, "hub", search.hub, "a model on the Hub; who is signed in, what is in the cache")
    )
    card.add_options(_verb(verbs, "card", card.card, "the model card of a result, made from what was measured"))
    upload.add_options(_verb(verbs, "upload", upload.upload, "publish a result on the Hub, where it is proven"))


def _add_lists(verbs: Any) -> None:
    _verb(verbs, "formats", commands.formats, "the formats there are, and who reads them")
    _verb(verbs, "methods", commands.methods, "the methods there are, and what each needs")
    listed = _verb(verbs, "presets", commands.presets, "ready recipes: for whom, where they load, what they cost")
    presets.add_options(listed)


def _add_recipe(verb: argparse.ArgumentParser) -> None:
    _add_scheme(verb)
    verb.add_argument(
        "--recipe", metavar="FILE", help="a recipe, a result's folder or qtquant.json, or a Hub id: org/name[@revision]"
    )
    verb.add_argument(
        "--rule",
        metavar="PATTERN=SCHEME",
        action="append",
        default=[],
        help='such as "*.down_proj=W8 g32 sym" or "*.layers.0.*=keep"; before the rules of the recipe; repeatable',
    )
    verb.add_argument("--format", metavar="F", help="see `qtquant formats`; compressed-tensors if not given")
    verb.add_argument("--ignore", metavar="PATTERN", action="append", default=[], help="modules to leave; repeatable")
    verb.add_argument(
        "--on-nonfinite",
        choices=POLICIES,
        help="tensors with NaN or infinity: end there (if not given), keep, or repair",
    )
    verb.add_argument("--max-memory", metavar="SIZE", help="a ceiling on main memory, such as 2GB")
    verb.add_argument("--max-device-memory", metavar="SIZE", help="a ceiling on the memory of --device")
    verb.add_argument("--seed", type=int, default=0, help="wherever chance enters")


def _add_scheme(verb: argparse.ArgumentParser) -> None:
    scheme = verb.add_argument_group("scheme")
    scheme.add_argument("--preset", metavar="NAME", help="start from one of `qtquant presets`; other options change it")
    scheme.add_argument("--bits", type=int, metavar=f"{MIN_BITS}..{MAX_BITS}")
    scheme.add_argument(
        "--type",
        choices=("int", "float"),
        help="float: FP8 with 8 bits; with 4, NVFP4 in groups of 16 or MXFP4 in groups of 32",
    )
    scheme.add_argument(
        "--strategy",
        choices=("tensor", "channel", "group", "block"),
        help="what shares a scale; block: 128 by 128, FP8 alone",
    )
    scheme.add_argument("--group-size", type=int, metavar="N")
    scheme.add_argument("--symmetric", dest="symmetric", action="store_true", default=None)
    scheme.add_argument("--asymmetric", dest="symmetric", action="store_false")
    scheme.add_argument("--method", metavar="NAME", help="see `qtquant methods`")
    scheme.add_argument("--activations", choices=("none", "int8", "fp8"))
    scheme.add_argument(
        "--importance", metavar="FILE", help="statistics of llama-imatrix: errors weigh as the columns matter"
    )
    scheme.add_argument("--layout", metavar="NAME", help="a GGUF type such as Q4_K, in place of bits and groups")
    verb.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda[:N], mps or xpu")
