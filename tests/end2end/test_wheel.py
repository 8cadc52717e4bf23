"""The wheel, installed away from the checkout, starts and carries its resources."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

REPO = Path(__file__).parents[2]


def _run(*words: str, cwd: Path, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_installed_in_an_empty_venv_quantizes_the_sample(tmp_path: Path) -> None:
    _run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "-o",
        str(tmp_path / "dist"),
        str(REPO),
        cwd=tmp_path,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "qtquant_app/resources/sample/tokenizer.json" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/", "out/"))]
    _run(sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    # The dependencies come from the environment of the tests, behind the venv's own packages; its .pth files do not count there.
    pure = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (pure / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet")
    _run(*pip, str(wheel), cwd=tmp_path)
    where = _run(str(python), "-c", "import qtquant_app; print(qtquant_app.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(tmp_path)
    script = python.with_name("qtquant")
    assert "0.1.0" in _run(str(script), "--version", cwd=tmp_path)
    _run(str(script), "quantize", "sample", "-o", "out", "--group-size", "64", "--device", "cpu", cwd=tmp_path)
    assert "ok" in _run(str(script), "verify", "out", "--base", "sample", cwd=tmp_path)
