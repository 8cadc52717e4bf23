"""The report of a failure of the program itself: what a person can copy and send. Masked, and made without a second failure."""

from __future__ import annotations

import locale
import os
import platform
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from qtquant_app.core.escaping import visible
from qtquant_app.core.masking import masked
from qtquant_app.core.quantities import bytes_text

PACKAGES = (
    "PySide6-Essentials",
    "numpy",
    "numba",
    "torch",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "pyqtgraph",
)
LONGEST_TRACEBACK = 20_000
"""Characters; of a longer one, such as a recursion leaves, beginning and end are kept."""

_GPUS = Path("/proc/driver/nvidia/gpus")


def crash_report(
    what: str,
    error: BaseException | str,
    *,
    happened: Sequence[str] = (),
    facts: Mapping[str, str] | None = None,
) -> str:
    """The whole report, as text to read: `what` failed, where, with what, after what. Never raises.

    `error` is an exception, with its traceback and causes, or the text of a trace. `happened` are the last events, `facts` what
    the front end knows besides: the screen, the device chosen. Secrets, the home folder and the user's name are masked.
    """
    parts = [
        ("", [what, f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}"]),
        ("Versions", safely(version_lines)),
        ("System", [*safely(system_lines), *(f"{name}: {value}" for name, value in (facts or {}).items())]),
        ("Last events", happened or ["none"]),
        ("Traceback", safely(lambda: [error if isinstance(error, str) else trace_text(error)])),
    ]
    return as_text(parts)


def version_lines() -> list[str]:
    """Program, Python and the libraries that are installed; none of them is imported for it."""
    own = getattr(sys.modules.get("qtquant_app"), "__version__", None) or _installed("qtquant")
    lines = [f"qtquant {own}", f"Python {platform.python_version()} ({platform.python_implementation()})"]
    return [*lines, *(f"{name} {_installed(name)}" for name in PACKAGES)]


def system_lines() -> list[str]:
    """System, processors, memory, graphics cards and the words a person set; nothing that says who or where it is."""
    lines = [f"{platform.system()} {platform.release()} ({platform.machine()})", f"processors: {os.cpu_count()}"]
    if memory := _memory_bytes():
        lines.append(f"memory: {bytes_text(memory)}")
    lines += [f"graphics: {name}" for name in _graphics()]
    return [*lines, f"language: {locale.getlocale()[0]}, frozen: {'yes' if getattr(sys, 'frozen', False) else 'no'}"]


def trace_text(error: BaseException) -> str:
    """The traceback of `error` and of what caused it, shortened in the middle where it is endless."""
    text = "".join(traceback.format_exception(error)).rstrip()
    if len(text) <= LONGEST_TRACEBACK:
        return text
    half = LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - 2 * half:,} characters left out ...\n{text[-half:]}"


def as_text(parts: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Titled lists of lines as one masked text; where masking fails, nothing is shown rather than a secret."""
    blocks = [_block(title, lines) for title, lines in parts]
    try:
        return masked("\n\n".join(blocks)) + "\n"
    except Exception as error:
        return f"the report could not be masked: {type(error).__name__}\n"


def _block(title: str, lines: Iterable[str]) -> str:
    single = [visible(line) for text in lines for line in text.split("\n")]
    return "\n".join([f"{title}:", *(f"  {line}" for line in single)] if title else single)


def safely(lines: Callable[[], list[str]]) -> list[str]:
    """What `lines` returns, or the reason why it did not: a report with a gap is better than none."""
    try:
        return lines()
    except Exception as error:
        return [f"not known: {type(error).__name__}: {error}"]


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0


def _graphics() -> list[str]:
    """Models of the NVIDIA cards that the driver lists on Linux; loading torch to ask it could fail a second time."""
    found = []
    for information in sorted(_GPUS.glob("*/information")) if _GPUS.is_dir() else []:
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
        found += [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
    return found
