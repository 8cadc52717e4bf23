"""On the command line a low coverage is the last thing said, framed, on stderr; and what the result says is left as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.cli.main import main
from tests.checkpoints import small_llama

FRAME = "!!!!!!!!"
SCHEME = ("--bits", "4", "--group-size", "32")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(small_llama(tmp_path / "m"))


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize("verb", ["plan", "quantize"])
def test_it_stands_framed_at_the_end(
    verb: str, json_: tuple[str, ...], source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ("-o", str(tmp_path / "out")) if verb == "quantize" else ()
    assert main([verb, source, *out, *SCHEME, "--ignore", "*.mlp.*", *json_]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[-1].startswith(FRAME) and any("WARNING: only" in line for line in lines[-4:])
    assert len({len(line) for line in lines if line.startswith("!!")}) == 1
    if json_:
        assert isinstance(json.loads(printed.out), dict)
    else:
        assert "% of the parameters of linear layers and experts" in printed.out


def test_there_is_no_frame_where_all_is_quantized(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", source, "-o", str(tmp_path / "out"), *SCHEME]) == 0
    printed = capsys.readouterr()
    assert FRAME not in printed.err and "coverage   100.0 %" in printed.out
