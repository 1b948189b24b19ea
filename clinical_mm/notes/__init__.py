"""A clinical note as its reader reads it: in phrases, each affirmed, denied, doubted or told of somebody else."""

from clinical_mm.notes.phrases import Phrase, phrases
from clinical_mm.notes.triggers import Context, Wording

__all__ = ["Context", "Phrase", "Wording", "phrases"]
