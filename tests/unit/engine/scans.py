"""Checkpoints that tests of the scan look at, and a scan driven to its end."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from qtquant_app.core.events import Event, TensorScanned
from qtquant_app.core.scan import ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from tests.driving import finish

W4 = Scheme(group_size=32)
W8 = Scheme(bits=8, strategy="channel", group_size=None)
W3 = Scheme(bits=3, group_size=64, symmetric=False, method="mse")
WHOLE = Scheme(bits=4, strategy="tensor", group_size=None, symmetric=False)
SCHEMES = (W4, W8, W3, WHOLE)


def scanned(source: Path, cache: bool | Path = False, schemes: tuple[Scheme, ...] = SCHEMES) -> ScanReport:
    return events_of(source, cache, schemes)[1]


def events_of(
    source: Path, cache: bool | Path = False, schemes: tuple[Scheme, ...] = SCHEMES
) -> tuple[list[Event], ScanReport]:
    return finish(scan(open_checkpoint(source), schemes, device="cpu", cache=cache))


def by_name(report: ScanReport) -> dict[str, TensorScan]:
    return {tensor.name: tensor for tensor in report.tensors}


def fresh(events: list[Event]) -> list[str]:
    """The tensors that did not come from the cache."""
    return [event.scan.name for event in events if isinstance(event, TensorScanned) and not event.cached]


def age(folder: Path, seconds: float = 1e9) -> Path:
    """Gives every file a time stamp of long ago, so that its hash can be remembered."""
    for file in folder.iterdir():
        os.utime(file, (seconds, seconds))
    return folder


def linear(rows: int = 64, columns: int = 128, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, columns, generator=random) * 0.02).to(torch.bfloat16)
