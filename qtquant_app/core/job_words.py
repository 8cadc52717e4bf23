"""A job in words: its state, what it came to, and all that is kept of it. For the window and the command line."""

from __future__ import annotations

from datetime import datetime

from qtquant_app.core.job import JobRecord, JobState
from qtquant_app.core.quantities import NOTHING, bytes_text, duration_text, plural, share_text
from qtquant_app.core.recipe import Rule

MOST_RULES = 50
"""Rules of its recipe that the details of a job list."""

_MARKS = {
    JobState.WAITING: "\u2026",
    JobState.RUNNING: "\u25b6",
    JobState.PAUSED: "\u23f8",
    JobState.INTERRUPTED: "!",
    JobState.DONE: "\u2713",
    JobState.FAILED: "\u2717",
    JobState.CANCELLED: "\u25a0",
}


def state_text(job: JobRecord, *, elsewhere: bool = False) -> str:
    """The state in a sign and a few words: `\u23f8 paused at 45 %`."""
    return f"{_MARKS[job.state]} {_state(job)}{' in another window' if elsewhere else ''}"


def _state(job: JobRecord) -> str:
    if job.state is JobState.DONE:
        return "done, verified" if job.result and job.result.verified else "done, not verified"
    if job.state is JobState.WAITING and job.options.resume:
        return "waiting to go on"
    if job.state is JobState.RUNNING:
        return f"running, {share_text(job.fraction, 1, 0)}"
    if job.state.begun:
        return f"{job.state} at {share_text(job.fraction, 1, 0)}"
    return str(job.state)


def result_text(job: JobRecord) -> str:
    """What a finished job came to, or why it failed; a dash for one that is not over."""
    if job.error is not None:
        return job.error.message
    if job.result is None:
        return NOTHING
    return f"{bytes_text(job.result.output_bytes)}, {job.result.bits_per_weight:.2f} bits"


def time_text(seconds: float | None) -> str:
    """A moment in this place's time: `2031-04-05 06:07`."""
    if seconds is None:
        return NOTHING
    try:
        return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return NOTHING


def moment(job: JobRecord) -> float:
    """When a job ended, else began, else was asked for."""
    return next(at for at in (job.ended if job.state.over else None, job.started, job.created) if at is not None)


def recipe_text(job: JobRecord) -> str:
    """The default scheme and how many rules there are besides: `W4 g128 sym, 3 rules`."""
    rules = len(job.recipe.rules)
    return job.recipe.default.label + (f", {plural(rules, 'rule')}" if rules else "")


def details(job: JobRecord) -> list[tuple[str, str]]:
    """Settings, times, result and error, a name and a value each; lines that would say nothing are left out."""
    wanted, result, error = job.options, job.result, job.error
    found = [
        ("State", _state(job)),
        ("Source", job.source),
        ("Output", job.output),
        ("Recipe", f"{recipe_text(job)}, {job.recipe.format}"),
        ("Ignored", ", ".join(job.recipe.ignore)),
        ("Verification", wanted.verify),
        ("Device", wanted.device),
        ("Memory ceiling", bytes_text(wanted.max_memory) if wanted.max_memory else ""),
        ("Seed", str(wanted.seed) if wanted.seed else ""),
        ("Asked for", time_text(job.created)),
        ("Started", time_text(job.started) if job.started else ""),
        ("Ended", time_text(job.ended) if job.ended and job.state.over else ""),
        ("Took", duration_text(job.seconds) if job.seconds else ""),
    ]
    if result is not None:
        tensors = f"{result.quantized:,} quantized, {result.kept:,} kept"
        found += [("Result", result_text(job)), ("Tensors", tensors)]
    if error is not None:
        found += [("Error", error.message), ("Hint", error.hint), ("Code", error.code)]
    found += [(f"Rule {at}", _rule_text(rule)) for at, rule in enumerate(job.recipe.rules[:MOST_RULES], 1)]
    return [(name, value) for name, value in found if value]


def _rule_text(rule: Rule) -> str:
    return f"{rule.pattern}: {'keep' if rule.scheme == 'keep' else rule.scheme.label}"


def report(job: JobRecord) -> str:
    """Details and log as one text, to read and to copy."""
    lines = [f"{name}: {value}" for name, value in details(job)]
    return "\n".join([*lines, "", *job.log]) + "\n"
