from __future__ import annotations

import numpy as np

from clinical_mm.pictures import Picture, group, read_picture
from tests.clinical_mm.pictures.dicoms import dicom, ramp


def test_a_series_becomes_one_volume_sorted_along_its_normal() -> None:
    volume, *others = group([a_slice(z) for z in (6.0, 0.0, 3.0)])
    assert others == []
    assert volume.sources == ((1, 0), (2, 0), (0, 0))
    assert volume.spacing_z_mm == 3.0
    np.testing.assert_array_equal(volume.frames[:, 0, 0], [0, 3, 6])


def test_sorting_follows_the_normal_of_tilted_slices() -> None:
    sagittal = ["0", "1", "0", "0", "0", "1"]
    volume = group([a_slice(x, orientation=sagittal, axis=0) for x in (2.0, 1.0)])[0]
    assert volume.sources == ((1, 0), (0, 0))


def test_two_series_are_two_volumes() -> None:
    volumes = group([a_slice(0, series="1.2.3"), a_slice(0, series="1.2.4"), a_slice(1, series="1.2.3")])
    assert [v.sources for v in volumes] == [((0, 0), (2, 0)), ((1, 0),)]


def test_radiographs_of_one_series_stay_apart() -> None:
    plain = [read_picture(dicom(ramp(), SeriesInstanceUID="1.2.3", InstanceNumber=i)) for i in (1, 2)]
    assert [v.sources for v in group(plain)] == [((0, 0),), ((1, 0),)]


def test_slices_of_another_size_do_not_join() -> None:
    assert len(group([a_slice(0), a_slice(1, rows=30)])) == 2


def test_a_multi_frame_object_is_a_volume_of_its_own() -> None:
    cine = read_picture(dicom(np.stack([ramp()] * 4)))
    (volume,) = group([cine])
    assert volume.sources == ((0, 0), (0, 1), (0, 2), (0, 3))


def a_slice(
    place: float, *, series: str = "1.2.3", orientation: list[str] | None = None, axis: int = 2, rows: int = 24
) -> Picture:
    position = ["0", "0", "0"]
    position[axis] = str(place)
    return read_picture(
        dicom(
            np.full((rows, 32), place, dtype="uint16"),
            SeriesInstanceUID=series,
            ImageOrientationPatient=orientation or ["1", "0", "0", "0", "1", "0"],
            ImagePositionPatient=position,
        )
    )
