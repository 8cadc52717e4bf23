"""A result in a runtime that fails in every way there is; tests/end2end/test_runtime_readers.py has those that work."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest

from qtquant_app.cli.main import main
from qtquant_app.core.errors import UsageError, VerifyError
from qtquant_app.core.runtime_readers import READERS, find_reader
from qtquant_app.core.runtime_report import LogitDifference, RuntimeReport
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.runtime_check import check_in_runtime, found_runtimes
from qtquant_app.engine.runtime_child import PROBES
from tests.driving import finish, quantize, result

ANSWER = """
import json, sys, time, os
import numpy as np
request = json.loads(sys.stdin.readline())
def say(**words):
    print(json.dumps(words), flush=True)
"""
LOADED = 'say(versions={"fake": "1.0"}, missing=[], python="3.11")\nsay(loaded=True, option="", load_seconds=1.0)\n'
NOISE = "np.random.default_rng(0).standard_normal((48, 1536)).astype('<f4').tofile(request['logits'])"
HOSTILE = "\x1b[31mred\u202e"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runtime") / "out"
    quantize("sample", folder, parse_label("W4 g32 sym"))
    return folder


def fake(folder: Path, *lines: str) -> Path:
    """A runtime's process that does what `lines` say once it has read its request."""
    program = folder / "fake.py"
    program.write_text(ANSWER + "\n".join(lines))
    return program


def checked(out: Path, program: Path = PROBES, seconds: float = 60.0) -> RuntimeReport:
    return result(check_in_runtime(out, "sample", "transformers", seconds=seconds, probes=program))


def test_a_runtime_that_computes_something_else_is_found_out(out: Path, tmp_path: Path) -> None:
    found = checked(out, fake(tmp_path, LOADED, NOISE, "say(done=True, seconds=1.0, continued=[1, 2])"))
    assert found.loaded and not found.agrees
    assert found.difference is not None and found.difference.relative > 0.5
    assert "computes something else" in found.verdict


WRONG = {
    "refused": ('say(versions={}, missing=[], python="3")\nsay(error="ValueError: no such layer")', "no such layer"),
    "status": ("sys.exit(7)", "status 7"),
    "garbage": ("print('Segfault? no, hello')", "answered with something else: Segfault"),
    "list": ("print('[1, 2]')", "answered with something else"),
    "flood": ("sys.stdout.write('[' * (8 << 20))", "answered with something else"),
    "silence": (LOADED, "status 0"),
    "no file": (LOADED + "say(done=True, continued=[])", "no logits"),
    "few": (LOADED + "np.zeros(5, '<f4').tofile(request['logits'])\nsay(done=True)", "5 logits for 48 tokens"),
    "other model": (LOADED + "np.zeros(480, '<f4').tofile(request['logits'])\nsay(done=True)", "10 logits a token"),
    "nan": (LOADED + "np.full(480, np.nan, '<f4').tofile(request['logits'])\nsay(done=True)", "NaN or infinite"),
    "no number": (LOADED + "say(seconds=float('nan'), load_seconds=float('inf'), done=True)", "no logits"),
    "types": ('say(versions=[1], missing=[], python=3)\nsay(error="x")', "x"),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_whatever_a_runtime_does_the_report_says_it_in_a_line(out: Path, tmp_path: Path, case: str) -> None:
    lines, said = WRONG[case]
    found = checked(out, fake(tmp_path, lines))
    assert said in found.error
    assert not found.agrees and found.difference is None
    assert "\n" not in found.verdict
    json.dumps(found.to_json(), allow_nan=False)


def test_what_a_runtime_says_cannot_write_on_a_terminal(out: Path, tmp_path: Path) -> None:
    noise = f"print({('error: ' + HOSTILE)!r}, file=sys.stderr)"
    words = f"say(versions={{{HOSTILE!r}: {HOSTILE!r}}}, missing=[], python={HOSTILE!r}, option={HOSTILE!r})"
    found = checked(out, fake(tmp_path, noise, words, f"say(error={HOSTILE!r})"))
    assert "red" in found.error
    assert (found.error + found.python + found.option + "".join(found.versions)).isprintable()


def test_the_last_line_on_stderr_that_tells_why_is_told(out: Path, tmp_path: Path) -> None:
    lines = 'print("load: error: unknown tensor type 99", file=sys.stderr)', 'say(error="ValueError: failed to load")'
    assert checked(out, fake(tmp_path, *lines)).error == (
        "ValueError: failed to load (load: error: unknown tensor type 99)"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="processes end by signals elsewhere")
def test_a_crash_is_named_by_its_signal(out: Path, tmp_path: Path) -> None:
    found = checked(out, fake(tmp_path, LOADED, "os.kill(os.getpid(), 11)"))
    assert found.loaded
    assert "SIGSEGV" in found.error


def test_a_runtime_that_hangs_is_killed_with_what_it_started(out: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    child = (
        "import subprocess; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(note)!r}, 'w').write(str(p.pid))"
    )
    began = monotonic()
    found = checked(out, fake(tmp_path, child, "time.sleep(60)"), seconds=3.0)
    assert monotonic() - began < 20
    assert found.error == "gave no answer within 3 s"
    sleep(0.2)
    pid = int(note.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_closing_the_check_kills_the_runtime(out: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    program = fake(tmp_path, f"open({str(note)!r}, 'w').write(str(os.getpid()))", "time.sleep(60)")
    check = check_in_runtime(out, "sample", "transformers", probes=program)
    while not note.exists() or not note.read_text():
        next(check)
    began = monotonic()
    check.close()
    assert monotonic() - began < 5
    assert not psutil.pid_exists(int(note.read_text()))


def test_a_vocabulary_that_takes_the_text_apart_otherwise_does_not_agree(out: Path, tmp_path: Path) -> None:
    said = "say(done=True, continued=[], tokenized=request['ids'][:5] + [7, 8])"
    found = checked(out, fake(tmp_path, LOADED, NOISE, said))
    assert found.tokenization.startswith("from token 5 on it makes [7, 8] of the text")
    same = LogitDifference(0.0, 0.0, 0.0, 0.0, 1.0)
    assert not replace(found, difference=same).agrees
    assert replace(found, difference=same, tokenization="").agrees


def test_a_runtime_that_is_not_installed_says_how_to_get_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out), "--runtime", "vllm", "--base", "sample"]) == 2
    said = capsys.readouterr().err
    assert "vLLM is not installed" in said and "pip install vllm" in said


@pytest.mark.parametrize(
    ("runtime", "said"), [("mlx", "does not read"), ("onnxruntime", "nothing that QtQuant writes"), ("x", "no runtime")]
)
def test_a_runtime_that_cannot_read_it_is_refused_before_anything_runs(out: Path, runtime: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        next(check_in_runtime(out, "sample", runtime))


def test_an_interpreter_that_is_none_is_refused(out: Path) -> None:
    with pytest.raises(UsageError, match="cannot be started"):
        result(check_in_runtime(out, "sample", "transformers", "no/such/python"))


def test_a_folder_that_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerifyError):
        next(check_in_runtime(tmp_path, "sample", "transformers"))


def test_a_check_needs_the_original_and_the_list_does_not(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out), "--runtime", "transformers"]) == 2
    assert "--base" in capsys.readouterr().err
    assert main(["verify", str(out), "--runtime", "list", "--json"]) == 0
    listed = {row["name"]: row["available"] for row in json.loads(capsys.readouterr().out)["runtimes"]}
    assert listed["transformers"] and not listed["vllm"]
    assert main(["verify", str(out), "--runtime", "list"]) == 0
    assert "no: vllm missing" in capsys.readouterr().out


def test_events_come_while_the_runtime_works(out: Path, tmp_path: Path) -> None:
    events, _ = finish(
        check_in_runtime(out, "sample", "transformers", probes=fake(tmp_path, "time.sleep(1)", "sys.exit(1)"))
    )
    assert len(events) > 5


def test_what_is_installed_is_told_without_loading_it() -> None:
    import subprocess

    program = (
        "import sys; from qtquant_app.engine.runtime_check import found_runtimes;"
        "found_runtimes('compressed-tensors'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_runtime_has_its_program_and_a_format_that_is_there() -> None:
    from qtquant_app.formats import registry

    for reader in READERS:
        assert set(reader.needs) <= set(registry())
        assert not reader.needs or (PROBES / f"with_{reader.probe}.py").is_file()
        assert find_reader(reader.name) is reader
    assert all(found.reader.needs for found in found_runtimes("compressed-tensors"))


def test_the_programs_import_nothing_of_ours_but_where_ours_is_the_runtime() -> None:
    import ast

    for file in PROBES.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        ours = any(name.startswith("qtquant_app") for name in named)
        assert not ours or file.name in ("with_transformers.py", "with_qtquant.py"), file
