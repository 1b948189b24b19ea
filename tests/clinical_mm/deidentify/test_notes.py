from __future__ import annotations

import pytest

from clinical_mm.deidentify.known import Known
from clinical_mm.deidentify.notes import mask
from clinical_mm.deidentify.policy import Policy

POLICY = Policy.load()


def known(*names: str, ids: tuple[str, ...] = ()) -> Known:
    found = Known()
    for name in names:
        found.add_name(name)
    for value in ids:
        found.add_id(value)
    return found


def masked(note: str, who: Known | None = None, days: int = -30, policy: Policy = POLICY) -> str:
    return mask(note, who or Known(), policy, days).text


def test_the_patients_own_names_and_ids_are_masked_however_they_are_written() -> None:
    who = known("Müller-Groß^Anna", ids=("P-4711",))
    note = "ANNA Muller was seen. Mrs Anna Müller-Groß, no. p-4711. The anna's hummingbird is none."
    assert masked(note, who).count("[NAME]") >= 3
    assert "4711" not in masked(note, who)
    assert "hummingbird" in masked(note, who)


def test_a_name_that_is_a_word_stays_a_word_in_lower_case() -> None:
    assert masked("A rose-coloured rash. Rose was told.", known("Rose^Ct")) == "A rose-coloured rash. [NAME] was told."
    assert masked("CT chest; CT head.", known("Rose^Ct")) == "CT chest; CT head."


@pytest.mark.parametrize(
    ("note", "stored"),
    [
        ("Call 555-123-4567 or (212) 555 1234.", "Call [PHONE] or [PHONE]."),
        ("Pager: 4321", "Pager: [PHONE]"),
        ("Mail jo.doe@clinic.org, see https://x.org/a?b=1.", "Mail [EMAIL], see [URL]."),
        ("MRN: 00482913 and account no. A-88123", "MRN: [ID] and account no. [ID]"),
        ("SSN 123-45-6789, policy 99887766", "SSN [ID], policy [ID]"),
        ("Lives at 12 Oak Hill Road, Springfield, IL 62704", "Lives at [PLACE], [PLACE]"),
        ("Seen by Dr. J. R. Smith-Jones.", "Seen by Dr. [NAME]."),
        ("Attending: Mary Stone", "Attending: [NAME]"),
        ("Dictated by: John Q. Public, M.D.", "Dictated by: [NAME], M.D."),
        ("His wife Maria knows.", "His wife [NAME] knows."),
        ("A 94-year-old and a 102 y/o; an 88-year-old", "A [AGE 90+]-year-old and a [AGE 90+] y/o; an 88-year-old"),
    ],
)
def test_what_looks_like_an_identifier_is_masked(note: str, stored: str) -> None:
    assert masked(note) == stored


@pytest.mark.parametrize(
    "note",
    [
        "BP 120/80, pulse 112, SpO2 88 %, temperature 38.6, platelets 250000.",
        "O2 at 2-3 L, 3/5 strength, 5-10 mg, L4-L5, T1 and T2, EF 55-60 %.",
        "Hemoglobin A1c 7.2, CPK 1200, 1.5 x 2.0 x 3.1 cm; 64-year-old since 2019.",
        "SYNTHETIC CASE. 68-year-old male. Interesting case: 3-month-old girl. At this visit 14-day-old.",
        "Parkinson's disease, Foley catheter, Bell palsy, Crohn disease.",
        "Takes 81 mg aspirin, 1000 mg metformin in May or June, per Dr's order.",
    ],
)
def test_findings_stay_as_they_are(note: str) -> None:
    assert masked(note) == note


@pytest.mark.parametrize(
    ("written", "moved"),
    [
        ("2026-03-31", "2026-03-01"),
        ("20260331", "2026-03-01"),
        ("03/31/2026", "2026-03-01"),
        ("3/31/26", "2026-03-01"),
        ("31.03.2026", "2026-03-01"),
        ("March 31, 2026", "2026-03-01"),
        ("31 March 2026", "2026-03-01"),
        ("31. März 2026", "2026-03-01"),
        ("March 31st 2026", "2026-03-01"),
        ("March 2026", "2026-02"),
        ("03/2026", "2026-02"),
    ],
)
def test_dates_move_by_the_patients_days(written: str, moved: str) -> None:
    assert masked(f"Admitted {written} with fever.") == f"Admitted [DATE {moved}] with fever."


def test_the_order_of_day_and_month_is_the_policys_where_nothing_decides() -> None:
    european = POLICY.model_copy(update={"date_order": "dmy"})
    assert masked("On 03/04/2026.", days=1) == "On [DATE 2026-03-05]."
    assert masked("On 03/04/2026.", days=1, policy=european) == "On [DATE 2026-04-04]."
    assert masked("On 25/04/2026.", days=1) == "On [DATE 2026-04-26]."


def test_a_day_without_a_year_or_that_no_calendar_has_is_only_masked() -> None:
    assert masked("Seen on 3/7 and March 9; again 2026-02-30.") == "Seen on [DATE] and [DATE]; again [DATE]."


def test_dates_stay_or_go_as_the_policy_says() -> None:
    note = "Admitted 2026-03-31."
    assert masked(note, policy=POLICY.model_copy(update={"retain": frozenset({"full_dates"})})) == note
    assert masked(note, policy=POLICY.model_copy(update={"retain": frozenset()})) == "Admitted [DATE]."


def test_a_masked_note_stays_as_it_is() -> None:
    once = masked("Dr. Anna Smith, MRN 123456, 2026-03-31, 94-year-old, 555-123-4567.", known("Smith^Anna"))
    again = mask(once, known("Smith^Anna"), POLICY, -30)
    assert again.text == once
    assert not again.counts


def test_what_was_masked_is_counted_by_kind() -> None:
    counts = mask("Dr. Smith and Dr. Jones, MRN 123456, 2026-03-31.", Known(), POLICY, 5).counts
    assert counts == {"NAME": 2, "ID": 1, "DATE": 1}
