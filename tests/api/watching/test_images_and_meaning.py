"""Another device is seen in the pixels, another kind of note in its distance from the training cases."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter

from api.predictions.tables import PredictionRow
from clinical_mm.bundle_layout import CAUTIONS
from clinical_mm.case import Case, ImageFile, Patient
from tests.api.cases.test_measuring import forget
from tests.api.watching.conftest import age, store, teach, verdicts

Said = Callable[..., dict[str, Any]]
OF_PIXELS = {"image brightness", "image contrast", "image sharpness", "dark pixels", "saturated pixels", "image size"}


def film(seed: int, *, dimmer: float = 1.0, size: int = 48) -> bytes:
    """A smooth grey picture, each of another brightness."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(size, size)), 3)
    grey = 128 + rng.normal(scale=15) + 40 * smooth / smooth.std() * rng.uniform(0.8, 1.2)
    out = io.BytesIO()
    Image.fromarray(np.clip(grey * dimmer, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def films(seeds: range, **changes: Any) -> list[Case]:
    return [
        Case(patient=Patient(f"p-{seed}"), images=(ImageFile("film.png", film(seed, **changes)),)) for seed in seeds
    ]


@pytest.fixture
def taught_by_films(services: Any, model: str) -> list[str]:
    """Forty stored films that taught the serving model."""
    return teach(services, model, films(range(40)))


def test_a_dimmer_device_is_told_by_its_brightness(
    services: Any, client: httpx.Client, taught_by_films: list[str]
) -> None:
    store(services, films(range(40, 80), dimmer=0.7))
    report = client.get("/watching").json()
    assert verdicts(report, "images")["image brightness"] == "drifted"
    told = next(one for one in report["images"] if one["feature"] == "image brightness")
    assert told["mean_now"] == pytest.approx(0.7 * told["mean_then"], rel=0.1)
    assert verdicts(report, "images")["image size"] == "stable"
    assert set(verdicts(report, "images")) == OF_PIXELS
    assert "drifted" not in verdicts(report, "inputs").values()


def test_larger_images_are_told_and_films_of_the_same_device_are_not(
    services: Any, client: httpx.Client, taught_by_films: list[str]
) -> None:
    store(services, films(range(40, 80)))
    assert set(verdicts(client.get("/watching").json(), "images").values()) == {"stable"}
    store(services, films(range(80, 120), size=64))
    assert verdicts(client.get("/watching").json(), "images")["image size"] == "drifted"


def test_cases_without_an_image_move_nothing_but_how_many_have_one(
    services: Any, client: httpx.Client, taught_by_films: list[str]
) -> None:
    store(services, [*films(range(40, 80)), *(Case(patient=Patient(f"n-{n}"), note="Fever.") for n in range(40))])
    report = client.get("/watching").json()
    assert set(verdicts(report, "images").values()) == {"stable"}
    assert {one["now"] for one in report["images"]} == {40}
    assert verdicts(report, "inputs")["images"] == "drifted"


def test_images_stored_before_pixels_were_measured_are_no_drift_and_the_way_out_is_told(
    services: Any, client: httpx.Client, taught_by_films: list[str]
) -> None:
    forget(services, *taught_by_films)
    store(services, films(range(40, 80)))
    report = client.get("/watching").json()
    assert verdicts(report, "images") == {"image size": "stable"}
    assert report["notes"] == [
        "40 cases have images whose pixels were never measured: `clinical-mm cases measure` does it"
    ]


@pytest.fixture
def held_back(services: Any, model: str) -> list[float]:
    """The bundle tells how far sixty cases held back in training lay."""
    far = np.sort(np.random.default_rng(0).normal(size=60)).astype(np.float32)
    path = services.models.bundle_folder(model) / CAUTIONS
    path.unlink(missing_ok=True)  # a hard link to the bundle that other tests read
    save_file({"unlike_training.text.held_back": far, "unlike_training.text.center": far}, path)
    return [float(value) for value in far]


def ask(services: Any, says: Said, notes: list[Case], by: float) -> list[str]:
    """Store notes and answer them, each as strange as chance and ``by`` make it."""
    drawn = np.random.default_rng(1).normal(loc=by, size=len(notes))
    cases = store(services, notes)
    for case, far in zip(cases, drawn, strict=True):
        says(case, {"pneumonia": 0.5}, strangeness={"text": float(far), "vitals": None})
    return cases


@pytest.mark.parametrize(("by", "verdict"), [(0.0, "stable"), (2.0, "drifted")])
def test_notes_of_another_kind_are_told_beside_the_cases_held_back(
    services: Any,
    client: httpx.Client,
    taught: list[str],
    notes_and_vitals: list[Case],
    held_back: list[float],
    says: Said,
    by: float,
    verdict: str,
) -> None:
    ask(services, says, notes_and_vitals[40:], by)
    report = client.get("/watching").json()
    [one] = report["strangeness"]
    assert (one["feature"], one["then"], one["now"], one["verdict"]) == ("strangeness of text", 60, 40, verdict)
    assert one["mean_then"] == pytest.approx(np.mean(held_back), abs=1e-3)


def test_answers_on_cases_that_made_the_model_or_from_before_the_window_are_no_sign(
    services: Any,
    client: httpx.Client,
    taught: list[str],
    notes_and_vitals: list[Case],
    held_back: list[float],
    says: Said,
) -> None:
    said = says(taught[0], {"pneumonia": 0.5}, strangeness={"text": 9.0})
    assert said["modalities"][0]["strangeness"] == 9.0
    [early] = ask(services, says, notes_and_vitals[40:41], 0)
    [prediction] = client.get(f"/cases/{early}/predictions").json()["items"]
    age(services, PredictionRow, [prediction["id"]], days=60)
    [one] = client.get("/watching").json()["strangeness"]
    assert (one["now"], one["verdict"]) == (0, "too few cases")


def test_a_model_that_keeps_no_distances_tells_none(client: httpx.Client, taught: list[str]) -> None:
    assert client.get("/watching").json()["strangeness"] == []
