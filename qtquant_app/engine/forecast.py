"""What is to be expected of a run, as of the moment in which it begins."""

from __future__ import annotations

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.report import Forecast
from qtquant_app.engine.calibrate.cost import calibration_cost
from qtquant_app.engine.cost import Cut, fitting
from qtquant_app.engine.fetching.room import RAM as FETCHING
from qtquant_app.engine.layout import Decision
from qtquant_app.formats import find


def fitted(plan: Plan, options: RunOptions) -> tuple[Cut, Forecast]:
    """How the run is cut to stay below its ceilings, and what is to be expected of it.

    Both as of now and for these options: a window may have grown since the plan was made. Raises PlanError where a ceiling is
    too low.
    """
    tensors = [TensorInfo(t.name, t.dtype, t.shape, "", 0, t.source_bytes) for t in plan.tensors]
    decisions = [Decision(tensor, t.scheme) for tensor, t in zip(tensors, plan.tensors, strict=True)]
    cut, cost = fitting(
        decisions,
        plan.files,
        find(plan.format),
        plan.device,
        plan.max_memory,
        verify=options.verify,
        threads=options.threads,
        max_device_memory=plan.max_device_memory,
        beside=FETCHING if plan.download_bytes else 0,
    )
    ram = cost.ram + calibration_cost(plan.tensors, plan.calibration, plan.device).ram
    return cut, Forecast(plan.output_bytes, plan.disk_bytes, ram, cost.device, plan.seconds_estimate)
