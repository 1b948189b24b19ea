"""The service's client for Python: typed, synchronous, and no more than httpx and pydantic.

    from clinical_mm.client import Client
    with Client("http://127.0.0.1:8000", key) as service:
        case = service.submit({"patient": {"id": "p-1"}, "note": "Fever and cough."}, ["chest.dcm"])
        print(service.predict(case.id).diagnoses)

It needs the extra ``client``: ``pip install 'clinical-mm[client]'``.
"""

from clinical_mm.client.answers import (
    CaseImport,
    Explanation,
    LineResult,
    Prediction,
    PredictionRun,
    Review,
    StoredCase,
    TrainedModel,
    TrainingRun,
)
from clinical_mm.client.client import Client
from clinical_mm.client.problem import Problem

__all__ = [
    "CaseImport",
    "Client",
    "Explanation",
    "LineResult",
    "Prediction",
    "PredictionRun",
    "Problem",
    "Review",
    "StoredCase",
    "TrainedModel",
    "TrainingRun",
]
