"""De-identification: a case without who it is about, by DICOM PS3.15 Annex E for files and by rule for the rest."""

from clinical_mm.deidentify.deidentifier import CleanCase, CleanFile, Deidentifier
from clinical_mm.deidentify.policy import Policy
from clinical_mm.deidentify.refusing import refuse_identified
from clinical_mm.deidentify.report import Report

__all__ = ["CleanCase", "CleanFile", "Deidentifier", "Policy", "Report", "refuse_identified"]
