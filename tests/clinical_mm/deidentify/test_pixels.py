from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.pixels import pack_bits
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from clinical_mm.deidentify.burned_in import text_boxes
from clinical_mm.deidentify.deidentifier import CleanCase, Deidentifier
from clinical_mm.deidentify.masking import masked_dicom, masked_raster
from clinical_mm.deidentify.policy import MaskRegion, Policy
from clinical_mm.deidentify.raster import clean_raster
from clinical_mm.errors import Identified, UnreadableFile
from clinical_mm.importing.case_json import CaseDocument
from clinical_mm.phantom import draw
from clinical_mm.pictures import read_picture
from tests.identified import dicom_bytes, identified, with_text

BOX = (4, 2, 30, 12)


def noise(size: int = 256, dtype: Any = np.uint16, seed: int = 3) -> np.ndarray:
    """A blurred picture without edges as letters have."""
    from scipy.ndimage import gaussian_filter

    rough = gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), 8)
    return ((rough - rough.min()) / np.ptp(rough) * (250 if dtype is np.uint8 else 3000)).astype(dtype)


def handled(data: bytes, **changes: Any) -> CleanCase:
    policy = Policy.load().model_copy(update=changes)
    return Deidentifier(policy, b"s" * 16).case(CaseDocument.model_validate({"patient": {"id": "p"}}), [data])


def test_text_in_the_pixels_is_found_where_it_stands() -> None:
    pixels = with_text(noise(), "QUILLFEATHER B 17.05.1931", at=(12, 10))
    (box,) = text_boxes(pixels[np.newaxis])
    assert box[1] <= 12
    assert box[3] >= 26
    assert box[0] <= 14
    assert box[2] >= 200


def test_a_picture_without_text_shows_none() -> None:
    images = [image for case in (d.case for d in draw(12, 2)) for image in case.images]
    assert [text_boxes(read_picture(i.read()).frames) for i in images] == [()] * len(images)
    assert text_boxes(noise()[np.newaxis]) == ()
    assert text_boxes(np.zeros((1, 64, 64))) == ()


def test_text_is_told_and_the_pixels_stay_where_the_policy_only_tells() -> None:
    data = dicom_bytes(identified(pixels=with_text(noise(), "QUILLFEATHER BARNABY")))
    case = handled(data)
    assert np.array_equal(read_picture(case.files[0].data).frames, read_picture(data).frames)
    assert case.report.burned_in[0].reasons == ("marks in a row, as letters stand",)
    assert pydicom.dcmread(BytesIO(case.files[0].data)).BurnedInAnnotation == "YES"


def test_text_is_made_black_where_the_policy_masks() -> None:
    data = dicom_bytes(identified(pixels=with_text(noise(), "QUILLFEATHER BARNABY")))
    case = handled(data, burned_in="mask")
    after = read_picture(case.files[0].data)
    (found,) = case.report.burned_in
    outside = np.ones(after.size, dtype=bool)
    for left, top, right, bottom in found.boxes:
        outside[top:bottom, left:right] = False
    assert found.masked
    assert text_boxes(after.frames) == ()
    assert np.array_equal(after.frames[0][outside], read_picture(data).frames[0][outside])
    ds = pydicom.dcmread(BytesIO(case.files[0].data))
    assert ds.BurnedInAnnotation == "NO"
    assert "113101" in [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]


def test_text_is_refused_where_the_policy_refuses_it() -> None:
    data = dicom_bytes(identified(pixels=with_text(noise(), "QUILLFEATHER BARNABY")))
    with pytest.raises(Identified) as refused:
        handled(data, burned_in="refuse")
    assert refused.value.pointer == "/files/0"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "BurnedInAnnotation says YES"),
        ({"Modality": "US"}, "ultrasound"),
        ({"ConversionType": "WSD"}, "a secondary capture"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "a screen shot"),
    ],
)
def test_the_header_alone_can_make_text_likely(values: dict[str, Any], reason: str) -> None:
    case = handled(dicom_bytes(identified(pixels=noise(64), **values)))
    assert case.report.burned_in[0].reasons == (reason,)


def test_regions_of_the_policy_are_black_whatever_they_show() -> None:
    regions = (MaskRegion(modality="US", box=(0, 0, 1, 0.25)), MaskRegion(modality="CT", box=(0.5, 0, 1, 1)))
    case = handled(dicom_bytes(identified(pixels=noise(64), Modality="US")), burned_in="mask", mask_regions=regions)
    after = read_picture(case.files[0].data).frames[0]
    assert np.ptp(after[:16]) == 0
    assert np.ptp(after[16:]) > 0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_masking_keeps_depth_sign_and_every_other_value(dtype: Any) -> None:
    pixels = noise(48, dtype)
    before = dicom_bytes(identified(pixels=pixels))
    after = pydicom.dcmread(BytesIO(_marked(before)))
    expected = pixels.copy()
    expected[2:12, 4:30] = pixels.min()
    assert np.array_equal(after.pixel_array, expected)
    assert after.BitsAllocated == 8 * pixels.dtype.itemsize


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_a_compressed_picture_is_stored_uncompressed_and_unchanged_elsewhere(syntax: Any) -> None:
    ds = identified(pixels=noise(48))
    before = ds.pixel_array.copy()
    ds.compress(syntax, generate_instance_uid=False)
    after = pydicom.dcmread(BytesIO(_marked(dicom_bytes(ds))))
    before[2:12, 4:30] = before.min()
    assert np.array_equal(after.pixel_array, before)
    assert after.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_what_a_lossy_coding_lost_stays_told() -> None:
    out = BytesIO()
    Image.fromarray(np.dstack([noise(48, np.uint8)] * 3)).save(out, "JPEG", quality=60)
    ds = identified(pixels=noise(48, np.uint8), LossyImageCompression="01")
    ds.PixelData = pydicom.encaps.encapsulate([out.getvalue()])
    ds["PixelData"].VR = "OB"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_FULL_422", 0
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    before = dicom_bytes(ds)
    after = pydicom.dcmread(BytesIO(_marked(before)))
    assert after.LossyImageCompression == "01"
    outside = read_picture(before).rgb[0][12:]
    assert np.array_equal(after.pixel_array[12:], outside)
    assert after.pixel_array[2:12, 4:30].max() == 0


def test_black_is_white_where_low_values_are_bright() -> None:
    pixels = noise(48, np.uint8)
    data = _marked(dicom_bytes(identified(pixels=pixels, PhotometricInterpretation="MONOCHROME1")))
    assert (pydicom.dcmread(BytesIO(data)).pixel_array[2:12, 4:30] == pixels.max()).all()


def test_black_of_a_palette_is_its_darkest_entry() -> None:
    ds = identified(pixels=noise(48, np.uint8) % 4, PhotometricInterpretation="PALETTE COLOR")
    for n, colour in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [4, 0, 8])
        setattr(ds, f"{colour}PaletteColorLookupTableData", bytes([200, 90 + n, 3, 250]))
    assert (pydicom.dcmread(BytesIO(_marked(dicom_bytes(ds)))).pixel_array[2:12, 4:30] == 2).all()


def test_one_bit_a_pixel_stays_one_bit() -> None:
    pixels = (noise(48, np.uint8) % 2).astype(np.uint8)
    ds = identified(pixels=pixels, BitsAllocated=1, BitsStored=1, HighBit=0)
    ds.PixelData = pack_bits(pixels)
    after = pydicom.dcmread(BytesIO(_marked(dicom_bytes(ds))))
    pixels[2:12, 4:30] = 0
    assert np.array_equal(after.pixel_array, pixels)


def test_every_frame_is_masked() -> None:
    ds = identified(pixels=noise(48, np.uint8))
    ds.NumberOfFrames, ds.PixelData = 3, noise(48, np.uint8).tobytes() * 3
    frames = pydicom.dcmread(BytesIO(_marked(dicom_bytes(ds)))).pixel_array
    assert np.ptp(frames[:, 2:12, 4:30]) == 0


def test_a_png_keeps_its_depth_and_loses_its_words() -> None:
    words = PngImagePlugin.PngInfo()
    words.add_text("Patient", "Quillfeather")
    words.add_itxt("Comment", "Barnaby")
    before = BytesIO()
    Image.fromarray(noise(64)).save(before, "PNG", pnginfo=words, exif=_exif())
    clean, removed = clean_raster(before.getvalue() + b"Quillfeather", "image/png")
    assert removed == 4
    assert b"Quillfeather" not in clean
    assert b"Barnaby" not in clean
    assert np.array_equal(np.asarray(Image.open(BytesIO(clean))), noise(64))
    assert clean_raster(clean, "image/png") == (clean, 0)


def test_a_jpeg_loses_exif_comments_and_thumbnails_and_stays_turned_as_it_was() -> None:
    before = BytesIO()
    picture = Image.fromarray(noise(64, np.uint8)[:40])
    picture.save(before, "JPEG", exif=_exif(), comment=b"Quillfeather", icc_profile=b"Barnaby" * 9, progressive=True)
    clean, removed = clean_raster(before.getvalue() + b"\xff\xd8Quillfeather", "image/jpeg")
    assert removed == 4
    assert b"Quillfeather" not in clean
    assert b"Barnaby" not in clean
    assert np.array_equal(read_picture(clean).frames, read_picture(before.getvalue()).frames)
    assert read_picture(clean).size == (64, 40)
    assert clean_raster(clean, "image/jpeg") == (clean, 0)


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg"])
def test_a_picture_that_is_cut_off_is_refused_as_such(kind: Any) -> None:
    out = BytesIO()
    Image.fromarray(noise(64, np.uint8)).save(out, kind.removeprefix("image/").upper())
    for length in (20, 200, len(out.getvalue()) - 3):
        with pytest.raises(UnreadableFile):
            clean_raster(out.getvalue()[:length], kind)


def test_a_picture_with_text_becomes_a_png_with_a_black_box() -> None:
    out = BytesIO()
    Image.fromarray(with_text(noise(256, np.uint8), "QUILLFEATHER BARNABY")).save(out, "JPEG", quality=95)
    case = handled(out.getvalue(), burned_in="mask")
    assert case.files[0].name == "file-1.png"
    assert text_boxes(read_picture(case.files[0].data).frames) == ()


def test_a_coloured_picture_stays_coloured_when_it_is_masked() -> None:
    out = BytesIO()
    colours = np.dstack([noise(64, np.uint8), noise(64, np.uint8, 4), noise(64, np.uint8, 5)])
    Image.fromarray(colours).save(out, "PNG")
    colours[2:12, 4:30] = 0
    assert np.array_equal(np.asarray(Image.open(BytesIO(masked_raster(out.getvalue(), [BOX])))), colours)


def test_real_pictures_are_masked_and_still_decode(shared_data: Path) -> None:
    data = (shared_data / "dicom" / "presidio__2_ORIGINAL.dcm").read_bytes()
    case = handled(data, burned_in="mask")
    (found,) = case.report.burned_in
    assert found.masked
    assert found.boxes[0][1] == 0
    assert text_boxes(read_picture(case.files[0].data).frames) == ()


def _marked(data: bytes) -> bytes:
    """Masked as it would be after it was treated."""
    return masked_dicom(handled(data).files[0].data, [BOX])


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "Quillfeather"
    return exif
