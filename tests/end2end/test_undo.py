"""A byte that changes in OUT.partial before it is verified: `--resume` does that tensor again, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtquant_app.core.errors import VerifyError, WriteError
from qtquant_app.core.events import Event, StageChanged, TensorDone, TensorKept
from qtquant_app.core.plan import OutTensor, Plan, RunOptions
from qtquant_app.core.report import RunReport
from qtquant_app.engine.journal import Journal, read_journal
from qtquant_app.engine.output import partial_of
from qtquant_app.engine.quantize import run
from tests.checkpoints import llama_tensors, write_checkpoint
from tests.driving import finish, plan_for, quantize, weight_bytes

Place = tuple[str, int]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("source") / "model", llama_tensors(), shards=3)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    quantize(source, out)
    return weight_bytes(out)


def places(plan: Plan, role: str) -> list[tuple[str, OutTensor]]:
    return [(file.name, tensor) for file in plan.files for tensor in file.tensors if tensor.role == role]


def failed(plan: Plan, out: Path, *flips: Place, resume: bool = False) -> VerifyError:
    """A run under which bytes of OUT.partial change as it begins to verify."""
    events = run(plan, RunOptions(str(out), resume=resume))
    with pytest.raises(VerifyError) as found:
        for event in events:
            if event == StageChanged("verify"):
                for file, offset in flips:
                    flip(partial_of(out) / file, offset)
    assert found.value.code == "mismatch" and not out.exists()
    return found.value


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x41
    path.write_bytes(data)


def resumed(plan: Plan, out: Path) -> tuple[list[str], RunReport]:
    """The tensors that a resumed run does, and its report."""
    events, report = finish(run(plan, RunOptions(str(out), resume=True)))
    return [_name(event) for event in events if isinstance(event, (TensorDone, TensorKept))], report


def _name(event: Event) -> str:
    return event.report.name if isinstance(event, TensorDone) else str(getattr(event, "name", ""))


@pytest.mark.parametrize("role", ["codes", "scale", "shape", "kept"])
def test_only_the_tensor_that_changed_is_done_again(
    source: Path, whole: dict[str, bytes], tmp_path: Path, role: str
) -> None:
    plan, out = plan_for(source), tmp_path / "out"
    file, tensor = places(plan, role)[-1]
    error = failed(plan, out, (file, tensor.offset))
    assert error.message.startswith(tensor.source) and error.hint.endswith("--resume does that tensor again")
    names, report = resumed(plan, out)
    assert names == [tensor.source]
    assert report.verified and weight_bytes(out) == whole


def test_all_that_changed_is_found_at_once(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    plan, out = plan_for(source), tmp_path / "out"
    changed = [places(plan, "codes")[0], places(plan, "kept")[0], places(plan, "codes")[-1]]
    error = failed(plan, out, *((file, tensor.offset) for file, tensor in changed))
    assert "(the first of 3)" in error.message and "those 3 tensors" in error.hint
    names, _ = resumed(plan, out)
    assert sorted(names) == sorted(tensor.source for _, tensor in changed)
    assert weight_bytes(out) == whole


@pytest.mark.parametrize("offset", [20, 0])
def test_a_file_whose_header_changed_is_written_again(
    source: Path, whole: dict[str, bytes], tmp_path: Path, offset: int
) -> None:
    plan, out = plan_for(source), tmp_path / "out"
    file = plan.files[1]
    error = failed(plan, out, (file.name, offset))
    assert file.name in error.message and "--resume" in error.hint
    names, _ = resumed(plan, out)
    assert set(names) == {tensor.source for tensor in file.tensors}
    assert weight_bytes(out) == whole


def test_a_journal_that_could_not_say_so_leads_to_the_same_finding_once_more(
    source: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a kill right before it."""
    plan, out = plan_for(source), tmp_path / "out"
    file, tensor = places(plan, "codes")[3]

    def broken(*_: object) -> None:
        raise WriteError("no", code="write")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "undone", broken)
        assert "--overwrite" in failed(plan, out, (file, tensor.offset)).hint
    past = read_journal(partial_of(out))
    assert past is not None and tensor.source in past.tensors
    assert "--resume" in failed(plan, out, resume=True).hint
    past = read_journal(partial_of(out))
    assert past is not None and tensor.source not in past.tensors and file not in past.shards
    assert len(past.tensors) == len(plan.tensors) - 1
    names, _ = resumed(plan, out)
    assert names == [tensor.source] and weight_bytes(out) == whole


def test_what_was_done_again_counts_as_done(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """The journal's later word holds: a run killed after the second time does nothing a third time."""
    plan, out = plan_for(source), tmp_path / "out"
    file, tensor = places(plan, "codes")[1]
    failed(plan, out, (file, tensor.offset))
    events = run(plan, RunOptions(str(out), resume=True))
    while next(events) != StageChanged("finish"):
        pass
    events.close()
    assert resumed(plan, out)[0] == [] and weight_bytes(out) == whole
