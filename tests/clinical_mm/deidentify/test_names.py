"""Names by a library: a token classifier small enough to be trained here in a second."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clinical_mm.deidentify.known import Known
from clinical_mm.deidentify.names import find_names
from clinical_mm.deidentify.notes import mask
from clinical_mm.deidentify.policy import Policy
from clinical_mm.errors import InvalidConfig

WORDS = ["seen", "with", "fever", "today", "and", "asha", "okonkwo", "birgit", "told"]
NAMES = {"asha", "okonkwo", "birgit"}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one layer that has learned which of nine words are names."""
    import torch
    from transformers import BertConfig, BertForTokenClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("names")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        hidden_dropout_prob=0.0,
        id2label={0: "O", 1: "B-PATIENT"},
        label2id={"O": 0, "B-PATIENT": 1},
    )
    network = BertForTokenClassification(config)
    learn = torch.optim.Adam(network.parameters(), lr=0.02)
    ids = torch.randint(5, len(vocabulary), (48, 32))
    ids[:, 0], ids[:, -1] = 2, 3
    labels = torch.tensor([[int(vocabulary[i] in NAMES) for i in row] for row in ids])
    for _ in range(60):
        learn.zero_grad()
        network(input_ids=ids, labels=labels).loss.backward()
        learn.step()
    network.save_pretrained(folder)
    numbered = {word: number for number, word in enumerate(vocabulary)}
    BertTokenizerFast(vocab=numbered, do_lower_case=True).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["id2label"]["1"] == "B-PATIENT"
    return folder


def test_a_model_finds_names_that_no_rule_knows(classifier: Path) -> None:
    note = "Asha Okonkwo seen today with fever and Birgit told"
    names = find_names(f"transformers:{classifier}")
    masked = mask(note, Known(), Policy.load(), 5, names)
    assert mask(note, Known(), Policy.load(), 5).text == note
    assert masked.text == "[NAME] [NAME] seen today with fever and [NAME] told"
    assert masked.counts == {"NAME": 3}


def test_a_note_longer_than_the_model_reads_at_once_is_read_whole(classifier: Path) -> None:
    note = "seen today with fever and " * 40 + "Birgit"
    assert mask(note, Known(), Policy.load(), 5, find_names(f"transformers:{classifier}")).text.endswith("and [NAME]")


@pytest.mark.parametrize("spec", ["transformers:/no/such/folder", "spacy:no_such_model", "else:x", "transformers:"])
def test_a_model_that_cannot_be_loaded_is_told_by_name(spec: str) -> None:
    with pytest.raises(InvalidConfig, match="names"):
        find_names(spec)
