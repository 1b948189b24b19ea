"""De-identification: a case without who it is about, by DICOM PS3.15 Annex E for files and by rule for the rest."""
