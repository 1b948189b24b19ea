from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from imagecodecs import jpeg8_encode
from PIL import Image
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from clinical_mm.errors import UnreadableFile
from clinical_mm.pictures import Picture, read_picture
from tests.clinical_mm.pictures.dicoms import CANARY, data_set, dicom, ramp, to_bytes


def encapsulated(pixels: np.ndarray, syntax: str, frame: bytes) -> Dataset:
    ds = data_set(pixels)
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].is_undefined_length = True
    return ds


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda s: s.name)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_lossless_compression_gives_the_very_values(syntax: str, dtype: str) -> None:
    pixels = ramp(64, 96, top=200 if dtype == "uint8" else 4000, dtype=dtype)
    ds = data_set(pixels)
    ds.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(read_picture(to_bytes(ds)).frames[0], pixels)


@pytest.mark.parametrize(
    ("syntax", "options"), [(JPEG2000, {"j2k_psnr": [80]}), (JPEGLSNearLossless, {"jls_error": 2})]
)
def test_lossy_compression_gives_nearly_the_values(syntax: str, options: dict[str, object]) -> None:
    pixels = ramp(64, 64)
    ds = data_set(pixels)
    ds.compress(syntax, **options)
    assert np.abs(read_picture(to_bytes(ds)).frames[0] - pixels).mean() < 40


def test_jpeg_baseline_gives_nearly_the_values() -> None:
    pixels = ramp(64, 64, top=255, dtype="uint8")
    out = BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=95)
    ds = encapsulated(pixels, JPEGBaseline8Bit, out.getvalue())
    assert np.abs(read_picture(to_bytes(ds)).frames[0] - pixels).max() < 6


@pytest.mark.parametrize("syntax", [JPEGLossless, JPEGLosslessSV1], ids=lambda s: s.name)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_lossless_jpeg_gives_the_very_values(syntax: str, dtype: str) -> None:
    pixels = ramp(64, 96, top=200 if dtype == "uint8" else 4000, dtype=dtype)
    as_stored = pixels.view("uint16") if dtype == "int16" else pixels
    predictor = 1 if syntax == JPEGLosslessSV1 else 6
    ds = encapsulated(pixels, syntax, jpeg8_encode(as_stored, lossless=True, predictor=predictor))
    np.testing.assert_array_equal(read_picture(to_bytes(ds)).frames[0], pixels)


def test_twelve_bit_jpeg_gives_nearly_the_values() -> None:
    pixels = ramp(64, 64)
    ds = encapsulated(pixels, JPEGExtended12Bit, jpeg8_encode(pixels, level=95, bitspersample=12))
    ds.BitsStored, ds.HighBit = 12, 11
    assert np.abs(read_picture(to_bytes(ds)).frames[0] - pixels).max() < 40


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGExtended12Bit], ids=lambda s: s.name)
def test_a_jpeg_frame_that_is_no_jpeg_is_refused(syntax: str) -> None:
    ds = encapsulated(ramp(64, 64), syntax, b"\xff\xd8" + bytes(200))
    with pytest.raises(UnreadableFile, match="does not decode"):
        read_picture(to_bytes(ds))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=lambda s: s.name)
def test_other_native_encodings_give_the_very_values(syntax: str) -> None:
    ds = data_set(ramp())
    ds.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(read_picture(to_bytes(ds)).frames[0], ramp())


def test_big_endian_gives_the_very_values() -> None:
    ds = data_set(ramp().astype(">u2"))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    np.testing.assert_array_equal(read_picture(to_bytes(ds)).frames[0], ramp())


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("JPGExtended.dcm", "JPEG Extended (Process 2 and 4)"),
        (
            "SC_rgb_jpeg_gdcm.dcm",
            "JPEG Lossless, Non-Hierarchical, First-Order Prediction (Process 14 [Selection Value 1])",
        ),
        ("SC_rgb_gdcm_KY.dcm", "JPEG 2000 Image Compression"),
        ("image_dfl.dcm", "Deflated Explicit VR Little Endian"),
    ],
)
def test_files_of_other_writers_are_read(name: str, syntax: str) -> None:
    picture = read_picture(stored(name))
    assert picture.attributes["transfer_syntax_name"] == syntax
    assert picture.value_range[1] > picture.value_range[0]


@pytest.mark.parametrize("name", ["MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_jp2klossless"])
def test_one_image_in_many_encodings_is_one_picture(name: str) -> None:
    np.testing.assert_array_equal(
        read_picture(stored(f"{name}.dcm")).frames, read_picture(stored("MR_small.dcm")).frames
    )


@pytest.mark.parametrize("frames", [1, 3])
def test_a_bare_data_set_is_read_without_preamble_and_file_meta(frames: int) -> None:
    pixels = np.stack([ramp() + i for i in range(frames)])
    out = BytesIO()
    ds = data_set(pixels)
    del ds.file_meta
    dcmwrite(out, ds, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_picture(out.getvalue()).frames, pixels)


def test_a_file_without_preamble_is_read() -> None:
    np.testing.assert_array_equal(read_picture(dicom(ramp())[128 + 4 :]).frames[0], ramp())


def test_rescaling_gives_hounsfield_units() -> None:
    picture = read_picture(dicom(ramp(top=2000), RescaleSlope="2", RescaleIntercept="-1024", RescaleType="HU"))
    assert picture.value_range == (-1024.0, 2976.0)


def test_a_modality_lut_maps_the_stored_values() -> None:
    lut = lookup_table([0, 100, 400, 900], first=0)
    pixels = np.array([[0, 1], [2, 3]], dtype="uint16")
    picture = read_picture(dicom(pixels, ModalityLUTSequence=Sequence([lut])))
    np.testing.assert_array_equal(picture.frames[0], [[0, 100], [400, 900]])


def test_a_voi_lut_alone_is_applied_as_its_maker_meant() -> None:
    lut = lookup_table([0, 4000, 30000, 65535], first=0)
    pixels = np.array([[0, 1], [2, 3]], dtype="uint16")
    picture = read_picture(dicom(pixels, VOILUTSequence=Sequence([lut])))
    np.testing.assert_array_equal(picture.frames[0], [[0, 4000], [30000, 65535]])
    assert picture.default_window == (32768.0, 65536.0)


def test_window_presets_keep_their_order_and_names() -> None:
    picture = read_picture(
        dicom(
            ramp(),
            WindowCenter=["40", "-600"],
            WindowWidth=["400", "1500"],
            WindowCenterWidthExplanation=["soft", "lung"],
        )
    )
    assert [(w.name, w.center, w.width) for w in picture.windows] == [("soft", 40.0, 400.0), ("lung", -600.0, 1500.0)]
    assert picture.default_window == (40.0, 400.0)


def test_without_a_window_nearly_all_values_show() -> None:
    center, width = read_picture(dicom(ramp(top=4000))).default_window
    assert center == pytest.approx(2000, abs=10)
    assert 3900 < width <= 4000


def test_a_zero_window_width_is_no_window() -> None:
    assert read_picture(dicom(ramp(), WindowCenter="40", WindowWidth="0")).windows == ()


def test_monochrome1_is_turned_over_with_its_window() -> None:
    pixels = ramp(top=1000)
    plain = read_picture(dicom(pixels, BitsStored=12, HighBit=11, WindowCenter="300", WindowWidth="100"))
    turned = read_picture(
        dicom(
            (4095 - pixels).astype("uint16"),
            BitsStored=12,
            HighBit=11,
            PhotometricInterpretation="MONOCHROME1",
            WindowCenter="3796",  # the mirror of 300: DICOM's linear window is centred half a step low
            WindowWidth="100",
        )
    )
    np.testing.assert_array_equal(turned.frames, plain.frames)
    assert turned.default_window == plain.default_window


def test_colour_keeps_its_colours_and_becomes_luminance() -> None:
    pixels = np.zeros((4, 4, 3), dtype="uint8")
    pixels[..., 0] = 200
    picture = read_picture(dicom(pixels))
    assert picture.rgb is not None
    np.testing.assert_array_equal(picture.rgb[0], pixels)
    assert picture.frames.max() == pytest.approx(0.299 * 200)


def test_ybr_colour_comes_out_as_rgb() -> None:
    picture = read_picture(stored("SC_ybr_full_422_uncompressed.dcm"))
    assert picture.rgb is not None
    red_band = picture.rgb[0, 5, 50]
    assert (red_band > [240, -1, -1]).all()
    assert (red_band < [256, 20, 20]).all()


def test_a_palette_becomes_colour() -> None:
    picture = read_picture(stored("examples_palette.dcm"))
    assert picture.rgb is not None
    assert picture.rgb.shape == (1, 350, 800, 3)
    assert len(np.unique(picture.rgb.reshape(-1, 3), axis=0)) > 10


def test_multi_frame_colour_keeps_every_frame() -> None:
    picture = read_picture(stored("examples_ybr_color.dcm"))
    assert picture.frames.shape == (30, 240, 320)


def test_an_enhanced_object_rescales_each_frame_and_tells_where_it_lies() -> None:
    ds = data_set(np.stack([ramp(), ramp()]))
    ds.SharedFunctionalGroupsSequence = Sequence([shared_groups()])
    ds.PerFrameFunctionalGroupsSequence = Sequence([frame_groups(10.0, 1), frame_groups(5.0, 2)])
    picture = read_picture(to_bytes(ds))
    np.testing.assert_array_equal(picture.frames[1], 2 * ramp())
    assert picture.frame_positions_mm == (10.0, 5.0)
    assert picture.spacing_mm == (0.5, 0.25)
    assert picture.default_window == (50.0, 350.0)


def test_nobody_can_tell_the_patient_from_the_picture() -> None:
    picture = read_picture(
        dicom(ramp(), PatientComments="canary", OperatorsName="Canary^Operator", StudyDate="20200101")
    )
    told = repr({**vars(picture), "frames": None}).lower()
    assert CANARY.split("^")[0].lower() not in told
    assert "1950" not in told
    assert "20200101" not in told


@pytest.mark.filterwarnings("ignore:.*VR:UserWarning")  # of the writer
def test_text_in_the_header_cannot_bring_line_breaks_or_be_long() -> None:
    picture = read_picture(dicom(ramp(), Manufacturer="x" * 500, BodyPartExamined="CHEST\r\nX"))
    assert picture.attributes["manufacturer"] == "x" * 64
    assert picture.attributes["body_part"] == "CHESTX"


def test_a_malformed_optional_element_does_not_refuse_the_picture() -> None:
    data = dicom(ramp(), WindowCenter="40", WindowWidth="400", PixelSpacing=["0.5", "0.5"])
    spoiled = data.replace(b"0.5\\0.5", b"0.5\\a.5")
    assert spoiled != data
    assert read_picture(spoiled).spacing_mm is None


def test_reading_leaves_warnings_and_loggers_as_they_were() -> None:
    import logging
    import warnings

    filters = list(warnings.filters)
    read_picture(stored("MR_small.dcm"))
    assert warnings.filters == filters
    assert logging.getLogger("pydicom").disabled is False


def test_real_files_are_read(shared_data) -> None:  # type: ignore[no-untyped-def]
    sizes = {name: real(shared_data, name).size for name in REAL}
    assert sizes == REAL


REAL = {
    "fo-dicom__CR-MONO1-10-chest": (440, 440),
    "highdicom__dx_image.dcm": (169, 211),
    "presidio__2_ORIGINAL.dcm": (552, 394),
    "pydicom__CT_small.dcm": (128, 128),
    "pydicom__SC_rgb_jpeg_dcmtk.dcm": (100, 100),
    "pydicom__no_meta.dcm": (128, 128),
    "cornerstoneWADOImageLoader__CTImage.dcm_RLELosslessTransferSyntax_1.2.840.10008.1.2.5.dcm": (512, 512),
}


def test_three_compressions_of_one_real_ct_agree(shared_data) -> None:  # type: ignore[no-untyped-def]
    pictures = [read_picture(path.read_bytes()) for path in sorted((shared_data / "dicom").glob("cornerstone*"))]
    assert len(pictures) == 3
    for other in pictures[1:]:
        np.testing.assert_array_equal(other.frames, pictures[0].frames)


def real(folder, name: str) -> Picture:  # type: ignore[no-untyped-def]
    return read_picture((folder / "dicom" / name).read_bytes())


def stored(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert path is not None, f"pydicom no longer brings {name}"
    with open(str(path), "rb") as file:  # noqa: PTH123 - may be a path inside a wheel
        return file.read()


def lookup_table(values: list[int], first: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first, 16])
    item.add_new("LUTData", "US", values)
    return item


def shared_groups() -> Dataset:
    group, plane, pixel, voi = Dataset(), Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    pixel.PixelSpacing = ["0.5", "0.25"]
    voi.WindowCenter, voi.WindowWidth = "50", "350"
    group.PlaneOrientationSequence = Sequence([plane])
    group.PixelMeasuresSequence = Sequence([pixel])
    group.FrameVOILUTSequence = Sequence([voi])
    return group


def frame_groups(z: float, slope: int) -> Dataset:
    group, position, transform = Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = ["0", "0", str(z)]
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = str(slope), "0", "US"
    group.PlanePositionSequence = Sequence([position])
    group.PixelValueTransformationSequence = Sequence([transform])
    return group


def test_what_is_written_here_is_what_pydicom_reads() -> None:
    """The maker of these files is itself checked by another reader."""
    np.testing.assert_array_equal(dcmread(BytesIO(dicom(ramp()))).pixel_array, ramp())
