"""words: the note's own words, weighed by how rare they are in the training part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig, NotEnoughData
from clinical_mm.modalities.words import Words
from clinical_mm.phantom import draw
from clinical_mm.predictor import load_model
from clinical_mm.training.run import train
from tests.models import phantom_folder, tiny_config

NOTES = ("Fever and dry cough.", "Dry cough, cough at night.", "Fever, no cough; ankle oedema.", "Ankle oedema.")


def note(text: str) -> Case:
    return Case(Patient("p"), note=text)


@pytest.fixture
def words(catalogue: Catalogue) -> Words:
    part = Words({"width": 8, "dropout": 0}, catalogue)
    part.fit([note(text) for text in NOTES])
    return part


def test_the_weights_are_those_of_scikit_learn(words: Words) -> None:
    """Same terms, same weights as the usual vectoriser, for a note it was taught and for one it was not."""
    usual = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit(NOTES)
    for text in (*NOTES, "COUGH, dry cough and fever; nausea."):
        sample = words.read(note(text))
        assert sample is not None
        assert np.allclose(sample["tfidf"], usual.transform([text]).toarray()[0], atol=1e-6)


def test_a_case_without_a_note_has_nothing_of_this_kind_and_one_without_a_known_word_has(words: Words) -> None:
    assert words.read(Case(Patient("p"), vitals={"spo2": 90})) is None
    unknown = words.read(note("Nausea."))
    assert unknown is not None
    assert not unknown["tfidf"].any()


def test_a_word_is_coloured_with_what_its_terms_add_wherever_it_stands(words: Words) -> None:
    case = note("Cough, dry cough.")
    shares = torch.tensor(
        [[{"dry cough": 1.0, "cough": 0.5, "dry": 0.0}.get(term, 9.0) for term in words.rows()["terms"]]]
    )
    found = words.evidence(case, words.collate([words.read(case)]), shares).text
    told = {(span.start, span.text): span.attribution for span in found}
    assert told[0, "Cough"] == pytest.approx(0.25)
    assert told[7, "dry"] == pytest.approx(0.5)
    assert told[11, "cough"] == pytest.approx(0.75)


def test_what_was_learned_comes_back_from_a_bundle(words: Words, catalogue: Catalogue) -> None:
    again = Words({"width": 8}, catalogue)
    again.load_state(words.state())
    sample, same = words.read(note(NOTES[0])), again.read(note(NOTES[0]))
    assert sample is not None
    assert same is not None
    assert np.array_equal(sample["tfidf"], same["tfidf"])


def test_notes_that_share_no_word_are_too_little_data(catalogue: Catalogue) -> None:
    with pytest.raises(NotEnoughData, match="import more cases with a note"):
        Words({}, catalogue).fit([note("Fever."), note("Oedema."), Case(Patient("p"), vitals={"spo2": 90})])


def test_an_option_that_is_none_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(InvalidConfig, match="words"):
        Words({"ngrams": 2}, catalogue)


def test_beside_text_it_trains_answers_and_explains_one_note_once(tmp_path: Path) -> None:
    modalities = {"text": tiny_config().modalities["text"], "words": {"width": 16}}
    config = tiny_config(modalities=modalities, training={"epochs": 2})
    made = train(
        config, phantom_folder(tmp_path / "snapshot", 40), tmp_path / "out", device="cpu", progress=lambda _: None
    )
    model = load_model(made.folder, device="cpu")
    case = next(d.case for d in draw(20, seed=9) if d.case.note and d.case.vitals and d.case.images)
    assert [w.code for w in model.predict([case])[0].warnings] == ["image-not-used", "vitals-not-used"]
    account = model.explain(case, "pneumonia")
    assert len({span.start for span in account.text}) == len(account.text)
    told = sum(c.contribution - c.presence for c in account.contributions)
    assert sum(span.attribution for span in account.text) == pytest.approx(told, abs=0.02)
