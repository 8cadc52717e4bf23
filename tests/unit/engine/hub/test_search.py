"""Models found on the Hub, one of them looked at, and what of it is on this computer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qtquant_app.core.errors import SourceError, UsageError
from qtquant_app.core.hub import HubModel
from qtquant_app.engine.hub.found import model_of
from qtquant_app.engine.hub.local import cached_models, range_bytes
from qtquant_app.engine.hub.names import HubId
from qtquant_app.engine.hub.page import card_parts, page
from qtquant_app.engine.hub.search import Search, format_of, quantizations_of, search
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.hub.exchange import Fault
from tests.hub.server import HubServer

CARD = b"---\nlicense: apache-2.0\nlanguage: [en]\n---\n# A model\n\nIt models."


@pytest.fixture
def models(hub: HubServer) -> HubServer:
    def add(name: str, downloads: int, weights: int = 0, tags: tuple[str, ...] = (), **info: Any) -> None:
        made = hub.add(name, {"README.md": CARD})
        made.info |= {"downloads": downloads, "likes": downloads // 10, "tags": list(tags), **info}
        if weights:
            made.info["safetensors"] = {"parameters": {"BF16": weights}, "total": weights}

    add(
        "org/llama-8b",
        900,
        8_000_000_000,
        ("license:llama3",),
        pipeline_tag="text-generation",
        library_name="transformers",
    )
    add(
        "org/llama-1b",
        500,
        1_000_000_000,
        ("license:apache-2.0",),
        pipeline_tag="text-generation",
        library_name="transformers",
    )
    add("other/bert", 700, 110_000_000, (), pipeline_tag="fill-mask", library_name="transformers")
    add("other/secret", 5, 0, ())
    hub.repos["org/llama-8b"].gated = "manual"
    hub.repos["other/secret"].private = True
    tags = ("gguf", "base_model:org/llama-8b", "base_model:quantized:org/llama-8b")
    add("them/llama-8b-GGUF", 300, 0, tags)
    hub.add("them/llama-8b-GGUF", {"a-Q4_K_M.gguf": bytes(400), "a-Q8_0.gguf": bytes(800)})
    add(
        "them/llama-8b-awq",
        400,
        0,
        ("awq", *tags[1:]),
        safetensors={"parameters": {"I32": 1000, "F16": 50}, "total": 1050},
    )
    add("them/llama-8b-odd", 100, 0, tags[1:])
    hub.add("them/llama-8b-odd", {"x.safetensors": bytes(600)})
    return hub


def ids(**wanted: Any) -> list[str]:
    return [model.id for model in search(Search(**wanted))]


@pytest.mark.usefixtures("models")
def test_models_are_found_by_every_filter_of_the_hub() -> None:
    assert ids(words="llama", library="transformers") == ["org/llama-8b", "org/llama-1b"]
    assert ids(task="fill-mask") == ["other/bert"]
    assert ids(licence="apache-2.0") == ["org/llama-1b"]
    assert ids(author="other") == ["other/bert"]
    assert ids(gated=True) == ["org/llama-8b"] and "org/llama-8b" not in ids(gated=False)
    assert ids(least="500M", most="2B") == ["org/llama-1b"]
    assert ids(tags=("awq",)) == ["them/llama-8b-awq"]
    assert ids(words="nothing of the kind") == []


@pytest.mark.usefixtures("models")
def test_they_come_in_the_order_and_the_number_asked_for() -> None:
    assert ids(limit=3) == ["org/llama-8b", "other/bert", "org/llama-1b"]
    assert ids(limit=2, sort="likes") == ["org/llama-8b", "other/bert"]
    for wrong in ({"limit": 0}, {"limit": 10**9}, {"sort": "beauty"}):
        with pytest.raises(UsageError):
            search(Search(**wrong))  # type: ignore[arg-type]


def test_a_list_of_several_pages_is_read_to_the_end_and_no_further(models: HubServer) -> None:
    models.page = 2
    assert len(ids()) == 6
    models.asked.clear()
    assert len(ids(limit=3)) == 3
    assert len(models.asked) == 2


@pytest.mark.usefixtures("models")
def test_what_is_known_of_a_model_is_told_and_nothing_is_guessed() -> None:
    found = search(Search(author="org"))[0]
    assert found == HubModel(
        "org/llama-8b", "org", 900, 90, "text-generation", "transformers", "llama3", "manual", False, "2026-01-02",
        8_000_000_000, 16_000_000_000, ("license:llama3",),
    )  # fmt: skip
    unknown = search(Search(words="odd"))[0]
    assert (unknown.licence, unknown.parameters, unknown.bytes, unknown.task) == ("", 0, 0, "")


def test_the_licence_is_the_one_that_the_card_states() -> None:
    stated = {"license": "other", "license_name": "gemma"}
    assert model_of({"id": "a/b", "cardData": stated}).licence == "gemma"
    assert model_of({"id": "a/b", "cardData": {"license": ["mit"]}, "tags": ["license:gpl"]}).licence == "mit"
    assert model_of({"id": "a/b", "cardData": {"license": ["mit", "bsd"]}}).licence == ""


def test_quantizations_of_a_base_come_with_format_and_size(models: HubServer) -> None:
    found = {
        each.model.id: (each.format, each.least_bytes, each.most_bytes) for each in quantizations_of("org/llama-8b")
    }
    assert found == {
        "them/llama-8b-awq": ("awq", 4100, 4100),
        "them/llama-8b-GGUF": ("gguf", 400, 800),
        "them/llama-8b-odd": ("unknown", 600, 600),
    }
    models.faults = [Fault("/api/models/them/llama-8b-odd", status=404, times=-1)]
    assert quantizations_of("org/llama-8b")[2].most_bytes == 0
    assert dict(search(Search(words="awq"))[0].base_models) == {"org/llama-8b": "quantized"}


def test_formats_are_told_from_tags_alone() -> None:
    assert (
        format_of(["transformers", "GPTQ"]) == "gptq"
        and format_of([], "mlx") == "mlx"
        and format_of(["en"]) == "unknown"
    )


def test_a_page_has_card_files_and_revisions(models: HubServer) -> None:
    models.add("org/llama-1b", {"model.safetensors": bytes(2000)})
    models.add("org/llama-1b", {"README.md": b"old"}, "v0")
    models.repos["org/llama-1b"].tags["1.0"] = "main"
    found = page(HubId("org/llama-1b"))
    assert found.card == "# A model\n\nIt models." and found.fields == {"license": "apache-2.0", "language": ["en"]}
    assert [(file.name, file.bytes) for file in found.files] == [("README.md", len(CARD)), ("model.safetensors", 2000)]
    assert found.weight_bytes == 2000 and found.branches == ("main", "v0") and found.tags == ("1.0",)
    assert found.commit == models.repos["org/llama-1b"].commit("main")
    assert page(HubId("org/llama-1b", "v0")).card == "old"


@pytest.mark.usefixtures("models")
def test_the_page_of_a_gated_model_has_all_but_its_card() -> None:
    found = page(HubId("org/llama-8b"))
    assert found.model.gated == "manual" and found.files and found.card == ""


@pytest.mark.parametrize("head", ["---\n: : :\n---\n", "---\n- a\n---\n", "---\n" + "[" * 5000 + "\n---\n"])
def test_fields_that_make_no_sense_are_left_out(head: str) -> None:
    assert card_parts(head + "text") == ({}, "text")


def test_what_is_in_the_cache_is_listed_with_its_size(hub: HubServer, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download, snapshot_download

    assert cached_models() == []
    folder = small_llama(tmp_path / "m")
    hub.add("org/whole", {path.name: path.read_bytes() for path in folder.iterdir()})
    hub.add("org/part", {"config.json": b"{}", "model.safetensors": bytes(500)}, "old")
    snapshot_download("org/whole")
    hf_hub_download("org/part", "config.json", revision="old")
    found = {model.label: (model.bytes, model.files) for model in cached_models()}
    total = sum(path.stat().st_size for path in folder.iterdir())
    assert found == {"org/whole": (total, len(list(folder.iterdir()))), "org/part@old": (2, 1)}
    assert all(open_checkpoint(model.path) for model in cached_models() if model.repo == "org/whole")


def test_parts_that_were_looked_at_are_counted(hub: HubServer, tmp_path: Path) -> None:
    assert range_bytes() == 0
    folder = small_llama(tmp_path / "m")
    hub.add("org/whole", {path.name: path.read_bytes() for path in folder.iterdir()})
    open_checkpoint("org/whole")
    assert range_bytes() >= hub.sent["org/whole/model.safetensors"] > 0


@pytest.mark.parametrize("answer", [b"[]", b"{}", b"7", b"nonsense", b'[{"id": 7}]', b'{"sha": 1, "siblings": [[]]}'])
def test_an_answer_that_makes_no_sense_is_told(hub: HubServer, answer: bytes) -> None:
    hub.raw = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer
    with pytest.raises(SourceError) as found:
        open_checkpoint("org/model")
    assert found.value.code in ("hub-answer", "not-found") and found.value.hint
    if answer != b"[]":
        with pytest.raises(SourceError):
            search(Search())


def test_without_a_network_it_is_said_at_once(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for work in (lambda: search(Search()), lambda: page(HubId("org/m")), lambda: quantizations_of("org/m")):
        with pytest.raises(SourceError, match="HF_HUB_OFFLINE") as found:
            work()
        assert found.value.code == "hub-offline"
    assert not hub.asked
