"""Files of a case: as sent, as a picture, as values for a viewer."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.api.cases.test_submit import multipart
from tests.api.conftest import case_json
from tests.clinical_mm.pictures.dicoms import dicom, ramp

VOLUME = np.stack([ramp(24, 32, top) for top in (1000, 2000, 4000)])


@pytest.fixture
def case(client: httpx.Client) -> str:
    volume = dicom(VOLUME, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=0, WindowWidth=2000)
    return str(client.post("/cases", **multipart(case_json(), ("v.dcm", volume))).raise_for_status().json()["id"])


def picture(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_a_preview_shows_the_frame_that_was_asked_for(client: httpx.Client, case: str) -> None:
    where = f"/cases/{case}/files/0/preview.png"
    first = picture(client.get(where, params={"window": "0,2000"}))
    last = picture(client.get(where, params={"window": "0,2000", "frame": 2}))
    assert first.shape == (24, 32)
    assert last.mean() > first.mean()


def test_a_window_moves_the_brightness_and_size_bounds_the_longer_side(client: httpx.Client, case: str) -> None:
    where = f"/cases/{case}/files/0/preview.png"
    dark, bright = (picture(client.get(where, params={"window": w, "frame": 1})) for w in ("3000,500", "-3000.5,500"))
    assert (dark.max(), bright.min()) == (0, 255)
    assert picture(client.get(where, params={"size": 16})).shape == (12, 16)


def test_raw_values_are_the_files_own_by_slope_and_intercept(client: httpx.Client, case: str) -> None:
    answer = client.get(f"/cases/{case}/files/0/raw", params={"frame": 2})
    headers = answer.headers
    stored = np.frombuffer(answer.content, "<u2").reshape(int(headers["X-Rows"]), int(headers["X-Columns"]))
    values = stored * float(headers["X-Slope"]) + float(headers["X-Intercept"])
    assert np.array_equal(values, VOLUME[2].astype(float) - 1024)


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("files/1", {}, 404),
        ("files/-1", {}, 422),
        ("files/abc", {}, 422),
        ("files/99999999999999999999999", {}, 404),
        ("files/0/preview.png", {"frame": 3}, 404),
        ("files/0/preview.png", {"frame": -1}, 422),
        ("files/0/preview.png", {"size": 0}, 422),
        ("files/0/preview.png", {"size": 1_000_000}, 422),
        ("files/0/preview.png", {"window": "1"}, 422),
        ("files/0/preview.png", {"window": "nan,inf"}, 422),
        ("files/0/preview.png", {"window": "1e999,5"}, 422),
        ("files/0/preview.png", {"window": "9" * 400 + ",5"}, 422),
        ("files/0/raw", {"frame": 10**30}, 404),
        ("files/0/raw", {"frame": "x"}, 422),
        ("files/0/nothing", {}, 404),
    ],
)
def test_what_is_not_there_is_404_and_what_is_no_number_422(
    client: httpx.Client, case: str, path: str, params: dict[str, Any], status: int
) -> None:
    answer = client.get(f"/cases/{case}/{path}", params=params)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_file_is_not_sent_again_to_whoever_has_it(client: httpx.Client, case: str) -> None:
    first = client.get(f"/cases/{case}/files/0")
    again = client.get(f"/cases/{case}/files/0", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
