"""The card of a real result: what stands on it was measured, and what is not known is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from qtquant_app.core.card import Licence
from qtquant_app.core.card_text import card_text, edited
from qtquant_app.core.errors import SourceError, VerifyError, WriteError
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.publication import Prepared
from qtquant_app.engine.publish import error_map
from qtquant_app.engine.publish.base_model import check_head, describe_base, head_of, licence_of
from qtquant_app.engine.publish.prepare import prepare, save_card
from tests.hub.server import HubServer
from tests.unit.engine.publish.results import driven


def prepared(output: Path, base: Path | str | None = None, **named: Any) -> Prepared:
    done: Prepared = driven(prepare(output, None if base is None else str(base), **named))
    return done


def head(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def with_record(output: Path, **changes: object) -> Path:
    record = json.loads((output / "qtquant.json").read_text())
    (output / "qtquant.json").write_text(json.dumps({**record, **changes}))
    return output


def test_the_figures_of_a_card_are_those_of_the_record(output: Path) -> None:
    record = json.loads((output / "qtquant.json").read_text())
    card = prepared(output).card
    errors = {tensor["name"]: tensor["sqnr_db"] for tensor in record["tensors"]}
    assert [tensor.name for tensor in card.worst] == sorted(errors, key=lambda name: errors[name])[: len(card.worst)]
    weights = sum(tensor["sums"]["weights"] for tensor in record["tensors"])
    noise = sum(tensor["sums"]["square_error"] for tensor in record["tensors"])
    assert card.errors.mse == pytest.approx(noise / weights) and card.shares[0].weights == weights
    assert card.output_bytes == record["plan"]["output_bytes"]
    text = card_text(card)
    for figure in (
        f"{card.output_bytes:,} bytes",
        f"{card.reduction:.2f} times",
        "W4 g32 sym",
        *record["sha256"].values(),
    ):
        assert figure in text
    assert "qtquant quantize small" in text and "not evaluated" in text


def test_the_commands_and_the_code_name_the_repository(output: Path) -> None:
    text = prepared(output, repo="someone/small-w4").text
    assert "'someone/small-w4'" in text and "ORG/NAME" not in text
    assert "ORG/NAME" in prepared(output).text


def test_an_unknown_base_and_licence_are_said_and_not_guessed(output: Path, base: Path) -> None:
    (base / "LICENSE").unlink(missing_ok=True)
    found = prepared(output, base, picture=False)
    assert "license" not in head(found.text) and "base_model" not in head(found.text)
    assert "licence of small is not known" in found.text
    assert [text for text in found.warnings if "licence" in text] and [
        text for text in found.warnings if "name" in text
    ]


def test_the_licence_is_the_one_that_the_bases_own_card_states(output: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    words = "license: other\nlicense_name: small-licence\nlicense_link: https://x.y/z\npipeline_tag: text-generation\n"
    (base / "README.md").write_text(f"---\n{words}---\n# Small\n")
    found = prepared(output, base, base_model="org/small", picture=False)
    stated = head(found.text)
    assert stated["license"] == "other" and stated["license_name"] == "small-licence"
    assert stated["license_link"] == "https://x.y/z" and stated["pipeline_tag"] == "text-generation"
    assert stated["base_model"] == "org/small" and stated["base_model_relation"] == "quantized"
    assert found.warnings == ()


def test_a_base_on_the_hub_gives_its_name_its_licence_and_its_task(hub: HubServer, output: Path) -> None:
    hub.add("org/small", {"README.md": b"---\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n"})
    found = prepared(output, "org/small")
    assert head(found.text)["license"] == "apache-2.0" and found.card.base.hub_id == "org/small"
    assert "qtquant quantize org/small" in found.text
    hub.add("org/silent", {"config.json": b"{}"})
    assert not prepared(output, "org/silent").card.base.licence.known
    missing = prepared(output, "org/none")
    assert not missing.card.base.licence.known and any("could not be read" in text for text in missing.warnings)


def test_a_folder_of_the_hubs_cache_tells_which_model_it_is(output: Path, tmp_path: Path, hub: HubServer) -> None:
    hub.add("org/small-1.0", {"README.md": b"---\nlicense: mit\n---\n"})
    folder = tmp_path / "models--org--small-1.0" / "snapshots" / "0123abcd"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: [mit, apache-2.0]\n---\n")
    base = prepared(output, folder, picture=False).card.base
    assert (base.hub_id, base.revision, base.licence.ids) == ("org/small-1.0", "0123abcd", ("mit", "apache-2.0"))


def test_the_record_may_name_the_base(output: Path, hub: HubServer) -> None:
    hub.add("org/small", {"README.md": b"---\nlicense: mit\n---\n"})
    assert prepared(with_record(output, base_model="org/small@v1.0")).card.base.hub_id == "org/small"
    assert prepared(with_record(output, base_model="<script>")).card.base.hub_id == ""


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(SourceError, match="not a name"):
        describe_base(None, {}, "no name")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("license: MIT", ("MIT",)),
        ("license: [a, b]", ("a", "b")),
        ("license: unknown", ()),
        ("license: {a: b}", ()),
        ("license: '<script>'", ()),
        ("license: [a, {}]", ()),
        ("license:", ()),
        ("other: 1", ()),
        ("license: &x [*x]", ()),
        ("[" * 3000, ()),
        ("- license: mit", ()),
        ("license: !!python/object/apply:os.getcwd []", ()),
    ],
)
def test_only_a_licence_that_makes_sense_is_taken_over(words: str, ids: tuple[str, ...]) -> None:
    assert licence_of(head_of(f"---\n{words}\n---\n")) == Licence(ids)


def test_a_head_that_multiplies_itself_or_is_endless_costs_no_time() -> None:
    lines = ["a0: &a0 {license: mit}"] + [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    check_head("---\n" + "\n".join(lines) + "\n---\n")
    results = "model-index:\n" + "- name: a\n  results: [{task: b}]\n" * 50_000
    assert licence_of(head_of(f"---\n{results}license:\n- mit\n\n- bsd\n{results}---\n")) == Licence(("mit", "bsd"))
    check_head("---\na: " + "[" * 3000 + "\n---\n")
    with pytest.raises(ValueError, match="no YAML"):
        check_head("---\na: [\n---\n")


def test_evaluations_of_the_record_stand_on_the_card(output: Path) -> None:
    one = Evaluation("out", "base", "held-out.txt", 4096, 8, 512, 12.5, 13.25, 0.0412, 0.002, 0.4, 0.913)
    found = prepared(with_record(output, evaluations=[one.to_json(), {"no": "evaluation"}, None, 7]))
    assert "| held-out.txt | 4,096 | 12.5 | 13.25 | 0.0412 \N{PLUS-MINUS SIGN} 0.002 | 91.3 % |" in found.text
    assert len(found.card.evaluations) == 1 and "not evaluated" not in found.text


@pytest.mark.parametrize("evaluations", [None, {}, "x", 3, [[]], [{"base": 1, "quantized": 2}]])
def test_evaluations_that_make_no_sense_are_left_out(output: Path, evaluations: object) -> None:
    assert "not evaluated" in prepared(with_record(output, evaluations=evaluations)).text


def test_the_error_map_is_that_of_the_worst_tensor_as_it_is_in_the_files(
    output: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells: list[NDArray[np.float32]] = []
    monkeypatch.setattr(error_map, "magnitudes_png", lambda values, most: cells.append(values) or b"PNG")
    found = prepared(output, base)
    worst = found.card.worst[0].errors
    assert found.pictures == {"error-map.png": b"PNG"}
    assert cells[0].size == worst.weights, "a small tensor has a cell for each weight"
    assert cells[0].max() == worst.max_error
    assert np.square(cells[0], dtype=np.float64).sum() == pytest.approx(worst.square_error)
    monkeypatch.setattr(error_map, "CELLS", 10)
    prepared(output, base)
    assert max(cells[1].shape) <= 10 and cells[1].max() == worst.max_error


def test_without_its_original_a_card_has_no_picture_and_with_another_it_says_why(output: Path, tmp_path: Path) -> None:
    assert prepared(output).pictures == {} and "error-map" not in prepared(output).text
    (tmp_path / "empty").mkdir()
    found = prepared(output, tmp_path / "empty")
    assert found.pictures == {} and any("no error map" in text for text in found.warnings)


def test_a_card_that_somebody_edited_is_kept(output: Path, tmp_path: Path) -> None:
    first = prepared(output)
    file = output / "README.md"
    save_card(first, file)
    assert not edited(file.read_text()) and not prepared(output).own
    save_card(prepared(output, repo="a/b"), file)
    assert "a/b" in file.read_text(), "what was made is made anew"
    file.write_text(file.read_text().replace("# small", "# My small"))
    again = prepared(output)
    assert again.own and "# My small" in again.text
    with pytest.raises(WriteError, match="was edited"):
        save_card(again, file)
    save_card(again, file, overwrite=True)
    assert "# My small" not in file.read_text()


def test_a_damaged_record_is_told_as_that(output: Path) -> None:
    with pytest.raises(VerifyError):
        prepared(with_record(output, tensors=[{"name": 3}]))
    with pytest.raises(VerifyError):
        prepared(with_record(output, sha256={"../x": "0" * 64}))


def test_small_pictures_are_small(output: Path, base: Path, tmp_path: Path) -> None:
    found = prepared(output, base)
    (written, picture) = save_card(found, tmp_path / "card.md")
    assert written.read_text() == found.text and picture.name == "error-map.png"
    assert max(Image.open(picture).size) <= 256
