"""text: notes in overlapping windows, nothing cut, every word pointed at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from clinical_mm.case import Case, Patient
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig
from clinical_mm.modalities.text import Text

LONG = " ".join(
    f"On day {day} the temperature was {36 + day % 5}.{day % 10} and crackles were heard." for day in range(60)
)


def note(text: str) -> Case:
    return Case(Patient("p"), note=text)


@pytest.fixture(scope="module")
def text(catalogue: Catalogue) -> Text:
    return Text({"model": "minilm", "max_tokens": 32, "stride": 8, "layers": 1}, catalogue)


def test_a_case_without_a_note_has_nothing_of_this_kind(text: Text) -> None:
    assert text.read(Case(Patient("p"), vitals={"spo2": 90})) is None


def test_every_letter_of_a_long_note_is_inside_some_window(text: Text) -> None:
    sample = text.read(note(LONG))
    assert sample is not None
    assert len(sample["input_ids"]) > 10
    covered = set()
    for start, end in sample["offsets"].reshape(-1, 2).tolist():
        covered.update(range(start, end))
    assert [i for i, character in enumerate(LONG) if not character.isspace() and i not in covered] == []


def test_neighbouring_windows_overlap_by_the_stride(text: Text) -> None:
    sample = text.read(note(LONG))
    assert sample is not None
    first = {tuple(o) for o in sample["offsets"][0].tolist() if o[1] > o[0]}
    second = {tuple(o) for o in sample["offsets"][1].tolist() if o[1] > o[0]}
    assert len(first & second) == 8


def test_notes_with_different_numbers_of_windows_share_a_batch(text: Text) -> None:
    encoder = text.encoder().eval()
    samples = [text.read(note("Fever.")), text.read(note(LONG)), None]
    batch = text.collate(samples)
    with torch.no_grad():
        tokens = encoder(batch)
        alone = encoder(text.collate(samples[:1]))
    assert tokens.tokens_BND.shape[:2] == tokens.mask_BN.shape
    assert not bool(tokens.mask_BN[2].any())
    assert torch.allclose(tokens.tokens_BND[0][tokens.mask_BN[0]], alone.tokens_BND[0][alone.mask_BN[0]], atol=1e-5)


def test_inputs_and_tokens_together_are_forward(text: Text) -> None:
    encoder = text.encoder().eval()
    batch = text.collate([text.read(note("Fever and cough."))])
    with torch.no_grad():
        apart = encoder.tokens(encoder.inputs(batch), batch).tokens_BND
        assert torch.equal(apart, encoder(batch).tokens_BND)


def test_the_baseline_masks_words_and_keeps_special_tokens(text: Text) -> None:
    encoder = text.encoder().eval()
    batch = text.collate([text.read(note("Fever and cough."))])
    same = (encoder.inputs(batch) == encoder.baseline(batch)).all(-1)
    assert torch.equal(same, batch["special"])


def test_an_attribution_on_a_word_piece_lands_on_its_word(text: Text) -> None:
    case = note("Denies orthopnoea; 64-year-old.")
    batch = text.collate([text.read(case)])
    attributions = torch.zeros(*batch["input_ids"].shape, 4)
    inside = (batch["offsets"][..., 0] >= 7) & (batch["offsets"][..., 1] <= 17) & ~batch["special"]
    attributions[inside] = 1.0
    spans = text.evidence(case, batch, attributions).text
    assert [s.text for s in spans] == ["Denies", "orthopnoea", ";", "64-year-old", "."]
    by_word = {s.text: s.attribution for s in spans}
    assert by_word["orthopnoea"] == pytest.approx(4.0 * int(inside.sum()))
    assert all(by_word[word] == 0 for word in ("Denies", ";", "64-year-old", "."))


def test_a_bert_in_a_folder_is_read_without_any_network(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ``save_pretrained`` of the model and of its tokenizer wrote."""
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a folder needs no network"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fever", "cough", "and", "."]
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    source = BertModel(BertConfig(vocab_size=len(words), **size))
    source.save_pretrained(tmp_path)
    BertTokenizerFast(vocab={word: number for number, word in enumerate(words)}).save_pretrained(tmp_path)
    text = Text({"model": str(tmp_path), "max_tokens": 32, "stride": 8}, catalogue)
    encoder = text.encoder()
    assert encoder.width == 16
    weights = source.state_dict()
    assert all(torch.equal(v, weights[n.removeprefix("bert.")]) for n, v in encoder.state_dict().items())
    sample = text.read(note("Fever and cough."))
    assert sample is not None
    assert sample["input_ids"][0].tolist() == [2, 5, 7, 6, 8, 3]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "no-such-folder-or-hub-name"}, "no-such-folder-or-hub-name"),
        ({"max_tokens": 4096}, "more than the model's 512"),
        ({"max_tokens": 32, "stride": 31}, "stride must be smaller"),
        ({"modle": "minilm"}, "modle"),
    ],
)
def test_a_wrong_option_is_refused_by_name(catalogue: Catalogue, options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        Text(options, catalogue).encoder()
