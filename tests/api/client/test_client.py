"""The Python client against the real service: everything it offers, as docs/client.md shows it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from clinical_mm.case import Case
from clinical_mm.client import Client, Problem, answers
from clinical_mm.importing.folder import write_folder
from tests.api.bulk.conftest import Work
from tests.api.conftest import case_json, png


@pytest.fixture
def service(server_url: str, keys: dict[str, str]) -> Iterator[Client]:
    """The client of an admin."""
    with Client(server_url, keys["admin"]) as one:
        yield one


def test_a_case_goes_from_submission_to_review(service: Client, model: str, tmp_path: Path) -> None:
    scan = tmp_path / "chest.png"
    scan.write_bytes(png(1))
    case = service.submit(case_json(diagnoses=...), [scan, ("second.png", png(2))])
    assert [file.name for file in case.files] == ["chest.png", "second.png"]
    assert service.file(case.id, 1) == png(2)
    assert service.case(case.id) == case
    prediction = service.predict(case.id)
    assert (prediction.model, prediction.case_id) == (model, case.id)
    assert service.predictions(case.id) == [prediction]
    why = service.explain(prediction.id, target=prediction.diagnoses[0].code)
    assert why.prediction_id == prediction.id
    assert service.heat_map(why).startswith(b"\x89PNG")
    review = service.review(case.id, "override", diagnoses=["pneumonia"], prediction=prediction.id)
    assert service.reviews(case.id) == [review]
    assert service.case(case.id).diagnoses == ["pneumonia"]
    assert [one.id for one in service.models()] == [model]
    assert service.promote(model).serving
    service.erase(case.id)
    with pytest.raises(Problem) as gone:
        service.case(case.id)
    assert gone.value.status == 404


def test_pages_are_walked_through(service: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clinical_mm.client.client.PAGE", 3)
    made = [service.submit(case_json(external_id=f"acc-{n}", note=f"Note {n}.")).id for n in range(8)]
    assert [case.id for case in service.cases()] == made[::-1]
    assert [case.id for case in service.cases(q="note 5", since=datetime(2020, 1, 1, tzinfo=UTC))] == [made[5]]
    assert list(service.cases(labelled=False)) == []


def test_a_change_is_refused_where_somebody_else_was_quicker(service: Client) -> None:
    case = service.submit(case_json())
    changed = service.change(case, note="Better.")
    assert (changed.note, changed.version) == ("Better.", 2)
    with pytest.raises(Problem) as late:
        service.change(case, note="Worse.")
    assert late.value.status == 412


def test_a_problem_tells_where_and_by_which_request(service: Client) -> None:
    with pytest.raises(Problem) as refused:
        service.submit(case_json(vitals={"mood": 3}, diagnoses=["the-flu"]))
    assert refused.value.status == 422
    assert [fault.pointer for fault in refused.value.errors] == ["/vitals/mood", "/diagnoses/0"]
    assert refused.value.request_id is not None
    assert "/vitals/mood" in str(refused.value)


def test_a_folder_is_imported_in_portions_and_predicted(
    service: Client, model: str, work: Work, phantom_cases: list[Case], tmp_path: Path
) -> None:
    write_folder([replace(case, diagnoses=None) for case in phantom_cases[:5]], tmp_path)
    with (tmp_path / "cases.jsonl").open("a", encoding="utf-8") as lines:
        lines.write('{"patient": {"id": "p"}, "files": ["never-there.png"]}\n')
    looks: list[float] = []
    runs = []
    for run in service.import_folder(tmp_path, most_lines=4):
        work(run.id)
        runs.append(service.wait(run, lambda told: looks.append(told.fraction)))
    assert [run.state for run in runs] == ["succeeded", "succeeded"]
    assert looks == [1.0, 1.0]
    outcomes = [result.outcome for run in runs for result in service.results(run)]
    assert outcomes == ["accepted"] * 5 + ["refused"]
    (refused,) = service.results(runs[1], outcome="refused")
    assert refused.errors[0].pointer == "/files/0"
    scoring = service.predict_many(labelled=False)
    work(scoring.id)
    done = service.wait(scoring)
    assert done.progress is not None
    assert done.progress.counts == {"predicted": 5}
    assert {result.prediction_id is None for result in service.results(done)} == {False}


def test_a_training_is_queued_and_cancelled(service: Client) -> None:
    run = service.train("small", set={"training.epochs": 1})
    assert (run.state, run.fraction, run.has_ended) == ("queued", 0.0, False)
    with pytest.raises(TimeoutError, match="still queued"):
        service.wait(run, every_s=0.01, longest_s=0.02)
    assert service.cancel(run).state == "cancelled"
    assert service.wait(run).has_ended


def test_its_types_are_those_of_the_document(server_url: str) -> None:
    schemas = httpx.get(f"{server_url}/openapi.json").json()["components"]["schemas"]
    described = {
        answers.StoredCase: "CaseOut", answers.Patient: "PatientOut", answers.StoredFile: "FileOut",
        answers.Prediction: "PredictionOut", answers.DiagnosisProbability: "DiagnosisOut",
        answers.PredictionSet: "PredictionSetOut", answers.ModalityShare: "ModalityOut", answers.Caution: "WarningOut",
        answers.Information: "InformationOut", answers.Explanation: "ExplanationOut", answers.Span: "SpanOut",
        answers.Contribution: "ContributionOut", answers.Phrase: "PhraseOut", answers.VitalAttribution: "VitalOut",
        answers.HeatMap: "HeatMapOut", answers.Change: "ChangeOut", answers.Counterfactual: "CounterfactualOut",
        answers.Review: "ReviewOut", answers.TrainedModel: "ModelOut", answers.TrainingRun: "TrainingRunOut",
        answers.TrainingProgress: "ProgressOut", answers.CaseImport: "BulkRunOut",
        answers.PredictionRun: "PredictionRunOut", answers.BulkProgress: "BulkProgressOut",
        answers.LineResult: "ResultOut",
    }  # fmt: skip
    for kind, name in described.items():
        assert set(kind.model_fields) == set(schemas[name]["properties"]), name


def test_it_loads_httpx_and_pydantic_and_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'flask', 'sqlalchemy', 'yaml', 'pydicom', 'api'}"
    code = f"import sys, clinical_mm.client; print(sorted({heavy} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == "[]"
