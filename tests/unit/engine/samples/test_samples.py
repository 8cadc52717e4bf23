"""Samples of every kind of model: what its own forward takes, made by its own processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.errors import EvaluateError, SourceError
from qtquant_app.engine.language_model import open_language_model
from qtquant_app.engine.samples import open_samples
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text
from tests.unit.engine.samples.models import checkpoint, forward, picture, seeing

FEW = Calibration(samples=3, length=24)
TAKEN = {
    "llama": {"input_ids"},
    "mixtral": {"input_ids"},
    "bert": {"input_ids", "attention_mask"},
    "t5": {"input_ids", "attention_mask", "decoder_input_ids"},
    "vit": {"pixel_values"},
    "whisper": {"input_features", "decoder_input_ids"},
    "clip": {"input_ids", "attention_mask", "pixel_values"},
}


@pytest.mark.parametrize("kind", TAKEN)
def test_a_model_runs_on_samples_from_its_own_processor(kind: str, tmp_path: Path) -> None:
    found = checkpoint(kind, tmp_path)
    samples = open_samples(found, FEW)
    assert len(samples) == 3 and all(set(sample) == TAKEN[kind] for sample in samples)
    assert forward(found, samples[2]).isfinite().all()
    assert not torch.equal(*(next(iter(samples[i].values())) for i in (0, 1)))


def test_text_and_pictures_are_put_together_by_the_model_s_own_processor(tmp_path: Path) -> None:
    found = seeing(tmp_path)
    samples = open_samples(found, FEW)
    assert set(samples[0]) == {"input_ids", "attention_mask", "pixel_values"}
    assert int((samples[0]["input_ids"] == 127).sum()) == 16  # a token for each patch of the picture
    assert forward(found, samples[1]).isfinite().all()


def test_a_model_that_goes_on_with_text_is_given_no_pictures_where_only_text_was_chosen(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("It was a day like any other, and nobody had thought of rain. " * 100)
    found = seeing(tmp_path / "model")
    samples = open_samples(found, Calibration(str(tmp_path / "notes.txt"), samples=2, length=24))
    assert set(samples[0]) == {"input_ids"} and samples.report().kind == "text"
    assert forward(found, samples[1]).isfinite().all()


@pytest.mark.parametrize("kind", TAKEN)
def test_a_model_runs_on_chance_with_no_processor_at_all(kind: str, tmp_path: Path) -> None:
    found = checkpoint(kind, tmp_path, processed=False)
    samples = open_samples(found, Calibration("random", samples=2, length=24))
    assert set(samples[0]) == TAKEN[kind]
    assert forward(found, samples[1]).isfinite().all()
    again = open_samples(found, Calibration("random", samples=2, length=24))
    assert all(torch.equal(value, again[0][name]) for name, value in samples[0].items())
    assert "tell nothing" in samples.report().notes[0]


@pytest.mark.parametrize("kind", [kind for kind in TAKEN if kind != "mixtral"])
def test_a_model_without_its_processor_is_refused_and_chance_offered(kind: str, tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match=r"has no (tokenizer|image processor|feature extractor)") as refused:
        open_samples(checkpoint(kind, tmp_path, processed=False), FEW)
    assert "`random`" in refused.value.hint


def test_windows_of_text_are_those_that_evaluations_read() -> None:
    found = open_checkpoint("sample")
    _, second = read_text(BUILT_IN).halves()
    expected = open_language_model(found).windows(second, 4, 64)
    samples = open_samples(found, Calibration(samples=4, length=64), held_out=True)
    assert [sample["input_ids"][0].tolist() for sample in samples] == [ids.tolist() for ids in expected]


@pytest.mark.parametrize("kind", ["llama", "vit", "whisper"])
def test_what_is_judged_by_is_nothing_that_was_calibrated_with(kind: str, tmp_path: Path) -> None:
    found = checkpoint(kind, tmp_path)
    seen, held_out = (open_samples(found, FEW, held_out=half) for half in (False, True))
    first = {tuple(next(iter(sample.values())).flatten().tolist()) for sample in seen}
    assert not any(tuple(next(iter(sample.values())).flatten().tolist()) in first for sample in held_out)
    assert open_samples(found, seen.calibration, held_out=True).calibration == seen.calibration


def test_an_encoder_s_text_ends_as_its_tokenizer_ends_it(tmp_path: Path) -> None:
    sample = open_samples(checkpoint("bert", tmp_path), FEW)[0]
    assert sample["input_ids"].shape == (1, 24) and sample["attention_mask"].all()
    assert sample["input_ids"][0, [0, -1]].tolist() == [1, 2]


def test_a_decoder_that_answers_begins_with_its_own_token_and_never_with_an_end(tmp_path: Path) -> None:
    ids = open_samples(checkpoint("whisper", tmp_path), Calibration(samples=2, length=500))[0]["decoder_input_ids"][0]
    assert ids[0] == 1 and 2 not in ids
    assert len(ids) == 32  # max_target_positions


def test_texts_are_cut_to_the_positions_that_the_model_has_and_that_is_said(tmp_path: Path) -> None:
    samples = open_samples(checkpoint("llama", tmp_path), Calibration(samples=2))
    assert samples[0]["input_ids"].shape == (1, 64)
    assert "64 tokens" in samples.report().notes[0]


def test_pictures_without_a_source_are_called_synthetic(tmp_path: Path) -> None:
    report = open_samples(checkpoint("clip", tmp_path), FEW).report()
    assert report.kind == "mixed" and report.synthetic == ("images",)
    assert any("drawn by rule" in note for note in report.notes)
    assert "(synthetic)" in report.shown[0].text
    assert report.shown[0].shapes["pixel_values"] == (1, 3, 32, 32)


def test_texts_beside_pictures_go_with_them(tmp_path: Path) -> None:
    found, folder = checkpoint("clip", tmp_path / "model"), tmp_path / "data"
    folder.mkdir()
    for number, words in enumerate(("a red house", "the blue sea", "an old tree", "two dogs")):
        picture(folder / f"{number}.png", 60 * number)
        (folder / f"{number}.txt").write_text(words)
    samples = open_samples(found, Calibration(str(folder)))
    assert [sample.text for sample in samples.report().shown] == [
        "0.png, <s> a red house</s>",
        "1.png, <s> the blue sea</s>",
    ]
    assert samples[0]["pixel_values"].mean() < samples[1]["pixel_values"].mean()
    assert samples.report().synthetic == ()


def test_data_of_another_kind_than_the_model_takes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Some prose.")
    with pytest.raises(SourceError, match="holds no pictures"):
        open_samples(checkpoint("vit", tmp_path / "model"), Calibration(str(tmp_path / "notes.txt")))


def test_data_that_have_changed_since_they_were_planned_with_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "prose.txt"
    file.write_text("It was a day like any other, and nobody had thought of rain. " * 200)
    found = open_checkpoint("sample")
    known = open_samples(found, Calibration(str(file), samples=2, length=64)).calibration
    assert len(known.sha256) == 64 and open_samples(found, known).calibration == known
    file.write_text(file.read_text().replace("rain", "snow"))
    with pytest.raises(SourceError, match="other data") as refused:
        open_samples(found, known)
    assert refused.value.code == "calibration-changed"


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path: Path) -> None:
    from tests.unit.engine.samples.models import tokenizer

    found = checkpoint("llama", tmp_path)
    tokenizer(words=400, closed=False).save_pretrained(tmp_path)
    with pytest.raises(EvaluateError, match="its embedding has 128"):
        open_samples(found, FEW)


def test_a_model_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    found = checkpoint("llama", tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(EvaluateError, match="no config"):
        open_samples(open_checkpoint(found.root), FEW)
