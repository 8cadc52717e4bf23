"""The report of a failure as the window writes it: with its screens and what its trail notes."""

from __future__ import annotations

from PySide6.QtCore import qVersion
from PySide6.QtGui import QGuiApplication

from qtquant_app.core.crash_report import as_text, crash_report, safely, system_lines, version_lines
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.trail import TRAIL
from qtquant_app.gui.memory import used_bytes


def report_of(what: str, error: BaseException | str) -> str:
    """The report of a failure with all that the window knows."""
    return crash_report(what, error, happened=TRAIL.lines(), facts=facts())


def internal_report(error: QtQuantError) -> str:
    """The report of a job that ended with an exception that is not one of ours."""
    return report_of(error.message, error.__cause__ or error)


def system_information() -> str:
    """Versions, system, screens and the device chosen: what a question about the program needs."""
    more = [f"{name}: {value}" for name, value in facts().items()]
    return as_text([("Versions", safely(version_lines)), ("System", [*safely(system_lines), *more])])


def facts() -> dict[str, str]:
    """What only the window knows: Qt, its platform, the screens, the memory in use, and what the trail notes."""
    found = {"Qt": f"{qVersion()}, platform {QGuiApplication.platformName()}"}
    for number, screen in enumerate(QGuiApplication.screens(), 1):
        size = screen.size()
        scale, dots = screen.devicePixelRatio(), screen.logicalDotsPerInch()
        found[f"screen {number}"] = f"{size.width()} x {size.height()}, scale {scale:g}, {dots:.0f} dots per inch"
    return found | {"memory in use": bytes_text(used_bytes())} | TRAIL.facts
