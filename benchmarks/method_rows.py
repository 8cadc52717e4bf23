"""The methods that `benchmarks.methods` compares: ours, and the peers', each with the words that run it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import REPOSITORY, qtquant

SAMPLES, SEQLEN, GROUP = 64, 512, 64

_CALIBRATION = ("--calibration", "default", "--samples", str(SAMPLES), "--seqlen", str(SEQLEN))


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table. `venv` names the environment it needs and is empty for ours; `script` is its file in peers/."""

    name: str
    words: tuple[str, ...] = ()
    symmetric: bool = True
    venv: str = ""
    script: str = ""
    bits: tuple[int, ...] = (4, 3, 2)
    float_zero: bool = False
    """Whether a group's zero point is a float of 16 bits."""

    def bits_per_weight(self, bits: int) -> float:
        """Codes, and for each group a scale of 16 bits and the zero point it has: packed as wide as a code, or a float of 16.

        The padding of a packing, the order of columns and what a file says of shapes are left out, as formats differ in them and
        methods do not.
        """
        zero = 16 if self.float_zero else 0 if self.symmetric else bits
        return bits + (16 + zero) / GROUP

    def command(self, model: str, tokens: Path, out: Path, bits: int, venvs: Path | None) -> list[str | Path]:
        """The command line that leaves a quantized checkpoint in `out`. Raises ValueError where a peer has no environment."""
        scheme = ["--bits", str(bits), "--group-size", str(GROUP)]
        if not self.venv:
            offset = "--symmetric" if self.symmetric else "--asymmetric"
            return qtquant("quantize", model, "-o", out, *scheme, offset, "--device", "cpu", *self.words)
        if venvs is None:
            raise ValueError(f"{self.name} needs --venvs")
        offset_words = [] if self.symmetric or self.float_zero else ["--asymmetric"]
        script = REPOSITORY / "benchmarks" / "peers" / self.script
        return [python_of(venvs / self.venv), script, model, tokens, out, *scheme, *offset_words, *self.words]


def python_of(venv: Path) -> Path:
    """The interpreter of an environment."""
    return venv.absolute() / "bin" / "python"


def _ours(method: str, symmetric: bool, *, calibrated: bool = True) -> Method:
    name = f"QtQuant {method} {'sym' if symmetric else 'asym'}"
    return Method(name, ("--method", method, *(_CALIBRATION if calibrated else ())), symmetric)


def ours() -> Iterator[Method]:
    """Ours, the quick ones first."""
    for method in ("rtn", "mse", "hqq"):
        for symmetric in (True, False):
            if symmetric and method == "hqq":
                continue  # it is the zero point that HQQ solves for
            yield _ours(method, symmetric, calibrated=False)
    # MLX stores a float bias for each group, so that zero points need not be whole, as the peer's need not.
    yield Method("QtQuant hqq float", ("--method", "hqq", "--format", "mlx"), False, float_zero=True)
    yield _ours("gptq", True)
    for method in ("gptq", "awq", "awq+gptq"):
        yield _ours(method, False)
    yield _ours("learned", True)
    yield _ours("learned", False)
    yield _ours("awq+learned", False)


def peers() -> Iterator[Method]:
    """The peers', the quick ones first."""
    yield Method("HQQ", (), False, "hqq", "calibrated_hqq.py", float_zero=True)
    compressor = ("llm-compressor", "calibrated_llmcompressor.py")
    yield Method("llm-compressor GPTQ asym", (), False, *compressor)
    yield Method("llm-compressor GPTQ sym", (), True, *compressor)
    yield Method("GPTQModel sym", (), True, "gptqmodel", "calibrated_gptqmodel.py")
    yield Method("llm-compressor AWQ asym, 16 samples", ("--awq", "--samples", "16"), False, *compressor)
    for iterations, offered in ((50, (4, 3)), (200, (3, 2))):
        words = ("--iterations", str(iterations))
        name = f"AutoRound sym, {iterations} iterations"
        yield Method(name, words, True, "auto-round", "calibrated_autoround.py", offered)
    words = ("--iterations", "200")
    yield Method("AutoRound asym, 200 iterations", words, False, "auto-round", "calibrated_autoround.py", (2,))


def chosen(only: str | None) -> list[Method]:
    """`ours`, `peers`, the method called `only`, those whose name holds it, or all. Raises ValueError where there is none."""
    everything = [*ours(), *peers()]
    if only in (None, "ours", "peers"):
        return [m for m in everything if only is None or bool(m.venv) == (only == "peers")]
    wanted = only.casefold()
    exact = [m for m in everything if m.name.casefold() == wanted]
    found = exact or [m for m in everything if wanted in m.name.casefold()]
    if not found:
        raise ValueError(f"no method is called {only}: there are {', '.join(m.name for m in everything)}")
    return found
