"""An audit finds what was planted in files that QtQuant wrote, and nothing in those left as they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qtquant_app.core.audit import AuditReport
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import ChunkDone, RunStarted
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.audit import audit
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, small_llama, write_checkpoint
from tests.driving import result

Q = "model.layers.0.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"
TENSORS = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("base"))


def quantized(
    base: Path, out: Path, scheme: Scheme, format: str = "compressed-tensors", ignore: tuple[str, ...] = ()
) -> Path:
    plan = make_plan(open_checkpoint(base), Recipe(scheme, ignore=ignore, format=format), device="cpu")
    result(run(plan, RunOptions(str(out))))
    return out


def altered(folder: Path, change: Callable[[TENSORS, dict[str, object]], None]) -> Path:
    """The result in `folder` with its tensors and its config changed, and without our record."""
    file, config = folder / "model.safetensors", json.loads((folder / "config.json").read_text())
    tensors = load_file(file)
    change(tensors, config)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "qtquant.json").unlink()
    return folder


def audited(other: Path, base: Path) -> AuditReport:
    report = result(audit(open_checkpoint(other), open_checkpoint(base)))
    assert isinstance(report, AuditReport)
    return report


def codes(report: AuditReport) -> list[str]:
    return [finding.code for finding in report.findings]


@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("strategy", ["group", "channel", "tensor"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_nothing_is_found_in_a_result_as_it_was_written(
    base: Path, tmp_path: Path, format: str, bits: int, strategy: str, symmetric: bool
) -> None:
    size = 32 if strategy == "group" else None
    scheme = Scheme(bits=bits, strategy=strategy, group_size=size, symmetric=symmetric)  # type: ignore[arg-type]
    out = quantized(base, tmp_path / "out", scheme, format)
    report = audited(out, base)
    assert report.ok and report.findings == (), report.findings
    assert len(report.quantized) == 14 and report.method == format
    recorded = {t["name"]: t for t in json.loads((out / "qtquant.json").read_text())["tensors"]}
    for tensor in report.quantized:
        # What is decoded is rounded to bfloat16; the run measures before that.
        assert tensor.errors.relative_error == pytest.approx(
            recorded[tensor.name]["relative_error"], rel=0.02, abs=0.002
        )
        assert tensor.bytes == recorded[tensor.name]["bytes"]


def test_one_doubled_scale_is_found_with_its_place_and_its_factor(base: Path, tmp_path: Path) -> None:
    for at, scheme in enumerate((Scheme(bits=4, group_size=32), Scheme(bits=4, group_size=32, symmetric=False))):

        def double(tensors: TENSORS, config: dict[str, object]) -> None:
            tensors[f"{Q}.weight_scale"][5, 1] *= 2

        report = audited(altered(quantized(base, tmp_path / str(at), scheme), double), base)
        (finding,) = report.findings
        assert (finding.code, finding.severity, finding.tensors) == ("scale", "wrong", (f"{Q}.weight",))
        assert finding.text.startswith(f"{Q}.weight: 1 group has a scale, of 128, that")
        assert "row 5, group 1" in finding.text
        factor = float(finding.text.rpartition(": ")[2].removesuffix(" times what fits"))
        assert factor == pytest.approx(2, abs=0.1) and not report.ok
        (row,) = [tensor for tensor in report.tensors if tensor.groups_off]
        assert (row.name, row.groups_off, row.groups) == (f"{Q}.weight", 1, 128)


@pytest.mark.parametrize("factor", [0.5, 1.25, 3.0])
def test_scales_that_are_all_off_are_one_finding(base: Path, tmp_path: Path, factor: float) -> None:
    def all_of_them(tensors: TENSORS, config: dict[str, object]) -> None:
        tensors[f"{Q}.weight_scale"] *= factor

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), all_of_them), base)
    (finding,) = report.findings
    assert finding.code == "tensor-scale"
    assert report.tensors[[t.name for t in report.tensors].index(f"{Q}.weight")].scale_factor == pytest.approx(
        factor, rel=0.05
    )


def test_a_skipped_layer_is_found_and_is_wrong_where_the_config_hides_it(base: Path, tmp_path: Path) -> None:
    kept = quantized(base, tmp_path / "kept", Scheme(bits=4, group_size=32), ignore=(DOWN,))
    report = audited(kept, base)
    (finding,) = report.findings
    assert (finding.code, finding.severity, finding.tensors) == ("skipped", "suspect", (f"{DOWN}.weight",))
    assert "while 1 other down_proj is quantized" in finding.text and report.ok

    def put_back(tensors: TENSORS, config: dict[str, object]) -> None:
        for leaf in ("weight_packed", "weight_scale", "weight_shape"):
            del tensors[f"{DOWN}.{leaf}"]
        tensors[f"{DOWN}.weight"] = load_file(base / "model.safetensors")[f"{DOWN}.weight"]

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), put_back), base)
    (finding,) = report.findings
    assert (finding.code, finding.severity, finding.tensors) == ("skipped", "wrong", (f"{DOWN}.weight",))
    assert "a reader will look for codes" in finding.text and not report.ok


def weights_of(config: dict[str, object]) -> dict[str, object]:
    return config["quantization_config"]["config_groups"]["group_0"]["weights"]  # type: ignore[index]


def test_a_wrong_group_size_in_the_config_is_one_finding_about_all_tensors(base: Path, tmp_path: Path) -> None:
    def say_64(tensors: TENSORS, config: dict[str, object]) -> None:
        weights_of(config)["group_size"] = 64

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), say_64), base)
    (finding,) = report.findings
    assert (finding.code, finding.severity, len(finding.tensors)) == ("group-size", "wrong", 14)
    assert finding.text.endswith("and 13 more: config.json says group size 64, but its scales are for groups of 32")
    assert report.errors.relative_error < 0.12  # the numbers are those of the groups that there are


@pytest.mark.parametrize(("key", "value", "code"), [("num_bits", 8, "bits"), ("symmetric", False, "symmetric")])
def test_other_disagreements_with_the_config_are_found(
    base: Path, tmp_path: Path, key: str, value: object, code: str
) -> None:
    def say(tensors: TENSORS, config: dict[str, object]) -> None:
        weights_of(config)[key] = value

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), say), base)
    assert codes(report) == [code] and report.errors.relative_error < 0.12


def test_a_module_that_the_config_ignores_must_not_hold_codes(base: Path, tmp_path: Path) -> None:
    def ignore(tensors: TENSORS, config: dict[str, object]) -> None:
        config["quantization_config"]["ignore"] = ["lm_head", "re:.*down_proj"]  # type: ignore[index]

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), ignore), base)
    (finding,) = report.findings
    assert (finding.code, finding.severity, len(finding.tensors)) == ("config-ignore", "wrong", 2)


def padded_words(dense: torch.Tensor, columns: int) -> torch.Tensor:
    """Three-bit codes of dense words as compressed-tensors wrote them before 0.18: ten to a word."""
    stream = dense.numpy().view("<u4").astype(object)
    rows = []
    for row in stream:
        number = sum(int(word) << (32 * at) for at, word in enumerate(row))
        found = [number >> (3 * k) & 7 for k in range(columns)]
        words = [sum(code << (3 * k) for k, code in enumerate(found[at : at + 10])) for at in range(0, columns, 10)]
        rows.append(words)
    return torch.tensor(rows, dtype=torch.int64).to(torch.int32)


def test_a_three_bit_file_in_the_legacy_layout_is_named_and_still_measured(base: Path, tmp_path: Path) -> None:
    plain = audited(quantized(base, tmp_path / "dense", Scheme(bits=3, group_size=32)), base)

    def legacy(tensors: TENSORS, config: dict[str, object]) -> None:
        for name in [name for name in tensors if name.endswith("weight_packed")]:
            columns = int(tensors[name.replace("packed", "shape")][1])
            tensors[name] = padded_words(tensors[name], columns)

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=3, group_size=32)), legacy), base)
    (finding,) = report.findings
    assert (finding.code, finding.severity, len(finding.tensors)) == ("legacy-layout", "wrong", 14)
    assert "before 0.18" in finding.text and not report.ok
    assert report.errors == plain.errors


def test_zero_scales_and_numbers_that_are_none_are_found(base: Path, tmp_path: Path) -> None:
    def spoil(tensors: TENSORS, config: dict[str, object]) -> None:
        tensors[f"{Q}.weight_scale"][3, 0] = 0
        tensors[f"{DOWN}.weight_scale"][2, 1] = float("nan")

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), spoil), base)
    assert codes(report) == ["non-finite", "zero-scale"]
    assert "row 3, group 0" in report.findings[1].text
    assert f"{DOWN}.weight decodes to" in report.findings[0].text


def test_tensors_missing_extra_and_of_another_shape_are_found(base: Path, tmp_path: Path) -> None:
    def rearrange(tensors: TENSORS, config: dict[str, object]) -> None:
        del tensors["model.norm.weight"]
        tensors["model.surplus.weight"] = torch.ones(4)
        tensors["lm_head.weight"] = torch.zeros(8, 64, dtype=torch.bfloat16)

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), rearrange), base)
    assert sorted(codes(report)) == ["extra", "missing", "shape"]
    assert report.missing == ("model.norm.weight",) and report.extra == ("model.surplus.weight",)


def test_columns_that_awq_scaled_are_a_note_and_their_scales_are_not_off(base: Path, tmp_path: Path) -> None:
    tensors = load_file(base / "model.safetensors")
    factors = torch.linspace(0.4, 2.5, 64)
    for name in [name for name in tensors if "_proj" in name and tensors[name].shape[1] == 64]:
        tensors[name] = (tensors[name].float() * factors).to(torch.bfloat16)
    scaled = write_checkpoint(tmp_path / "scaled", tensors, {**LLAMA_CONFIG, "num_hidden_layers": 2})
    report = audited(quantized(scaled, tmp_path / "out", Scheme(bits=4, group_size=32)), base)
    assert report.ok and set(codes(report)) == {"rescaled"}
    (row,) = [tensor for tensor in report.tensors if tensor.name == f"{Q}.weight"]
    assert row.errors.relative_error > 0.4 and row.rescaled_error is not None and row.rescaled_error < 0.15


def test_an_audit_counts_its_bytes_and_takes_no_quantized_base(base: Path, tmp_path: Path) -> None:
    out = quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32))
    events = list(audit(open_checkpoint(out), open_checkpoint(base)))
    (started,) = [event for event in events if isinstance(event, RunStarted)]
    assert started.bytes_total == sum(event.bytes for event in events if isinstance(event, ChunkDone))
    with pytest.raises(SourceError, match="is quantized itself"):
        list(audit(open_checkpoint(base), open_checkpoint(out)))


def test_the_json_of_a_report_is_json(base: Path, tmp_path: Path) -> None:
    report = audited(base, base)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [finding["code"] for finding in document["findings"]] == ["nothing"]
    assert {tensor["state"] for tensor in document["tensors"]} == {"kept"}


def test_a_scale_that_is_a_little_off_is_suspect_and_not_wrong(base: Path, tmp_path: Path) -> None:
    def stretch(tensors: TENSORS, config: dict[str, object]) -> None:
        tensors[f"{Q}.weight_scale"][5, 1] *= 1.3

    report = audited(altered(quantized(base, tmp_path / "out", Scheme(bits=4, group_size=32)), stretch), base)
    assert [(f.code, f.severity) for f in report.findings] == [("scale", "suspect")] and report.ok
