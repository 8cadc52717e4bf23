"""What import-linter cannot say about the layers."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "qtquant_app"


def _imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def test_jobs_know_no_widgets() -> None:
    for file in (PACKAGE / "jobs").glob("*.py"):
        assert not _imports(file) & {"PySide6.QtWidgets", "PySide6.QtGui", "pyqtgraph"}, file


def test_no_engine_or_core_module_prints() -> None:
    for layer in ("core", "quant", "formats", "engine", "jobs"):
        for file in (PACKAGE / layer).rglob("*.py"):
            calls = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
            assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"], file


def test_packaging_is_no_python_package() -> None:
    assert not (PACKAGE.parent / "packaging/__init__.py").exists()
