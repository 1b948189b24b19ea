from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks import nets

from clinical_mm.case import Case
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import InvalidConfig, UnreadableFile
from clinical_mm.modalities.imaging import Imaging
from clinical_mm.vision.networks import build_network
from tests.clinical_mm.pictures.dicoms import dicom, ramp

SMALL: dict[str, Any] = {
    "size": [32, 32],
    "network": {"name": "DenseNet", "options": {"init_features": 8, "growth_rate": 4, "block_config": [1, 1]}},
}
SMALL_3D = {**SMALL, "spatial_dims": 3, "size": [16, 32, 32]}


def imaging(**changes: Any) -> Imaging:
    return Imaging({**SMALL, **changes}, Catalogue.load())


def radiograph(rows: int = 48, columns: int = 64, spot: tuple[int, int] | None = None, **elements: Any) -> bytes:
    """A grey field, with a bright square of 8 pixels about ``spot`` = (row, column)."""
    pixels = np.full((rows, columns), 400, dtype="uint16")
    if spot:
        pixels[spot[0] - 4 : spot[0] + 4, spot[1] - 4 : spot[1] + 4] = 3000
    return dicom(pixels, **{"Modality": "CR", "WindowCenter": "2000", "WindowWidth": "4000", **elements})


def case_of(*images: bytes) -> Case:
    return Case.from_files(images=images) if images else Case.from_files(note="no image")


def a_series(count: int = 6) -> list[bytes]:
    """Slices out of order; slice ``k`` at height ``k`` holds the value 500 k."""
    order = [3, 0, 5, 1, 4, 2][:count]
    orientation = ["1", "0", "0", "0", "1", "0"]
    return [
        dicom(
            np.full((40, 40), 500 * k, dtype="uint16"),
            SeriesInstanceUID="1.2.3",
            ImageOrientationPatient=orientation,
            ImagePositionPatient=["0", "0", str(k)],
            WindowCenter="1250",
            WindowWidth="2500",
        )
        for k in order
    ]


def test_a_case_without_images_reads_as_none() -> None:
    assert imaging().read(case_of()) is None


def test_an_unreadable_image_is_told() -> None:
    with pytest.raises(UnreadableFile):
        imaging().read(case_of(radiograph()[:900]))


def test_pixels_are_windowed_and_keep_their_aspect() -> None:
    sample = imaging().read(case_of(radiograph(24, 48, spot=(12, 24))))
    assert sample is not None
    pixels = sample["pixels"][0]
    assert pixels.shape == (32, 32)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert (pixels[:8] == 0).all()
    assert (pixels[8:24] > 0.05).all()


def test_a_batch_has_a_row_for_each_case_present_or_not() -> None:
    modality = imaging()
    batch = modality.collate([modality.read(case_of(radiograph())), None])
    assert batch["pixels"].shape == (2, 1, 1, 32, 32)
    assert batch["present"].tolist() == [[True], [False]]
    assert modality.collate([None])["pixels"].shape == (1, 1, 1, 32, 32)


def test_every_image_of_a_case_gives_its_tokens_up_to_the_limit() -> None:
    modality = imaging(max_images=2)
    cases = [case_of(radiograph(), radiograph(), radiograph()), case_of(radiograph())]
    batch = modality.collate([modality.read(case) for case in cases])
    encoder = modality.encoder().eval()
    tokens = encoder(batch)
    assert tokens.tokens_BND.shape[2] == encoder.width
    assert tokens.mask_BN.sum(1).tolist() == [tokens.mask_BN.shape[1], tokens.mask_BN.shape[1] // 2]


@pytest.mark.parametrize(
    ("name", "options", "channels"),
    [
        ("DenseNet", {"init_features": 8, "growth_rate": 4, "block_config": [1, 1]}, 10),
        ("DenseNet121", {}, 1024),
        ("resnet10", {}, 512),
        ("resnet18", {"widen_factor": 0.25}, 128),
        ("SEResNet50", {}, 2048),
    ],
)
def test_networks_are_taken_by_name(name: str, options: dict[str, Any], channels: int) -> None:
    modality = imaging(network={"name": name, "options": options}, size=[64, 64])
    encoder = modality.encoder().eval()
    with torch.no_grad():
        tokens = encoder(modality.collate([modality.read(case_of(radiograph()))]))
    assert encoder.width == channels + 8  # sine and cosine of half a turn and of one, in two dimensions
    assert tokens.tokens_BND.shape[::2] == (1, encoder.width)


def test_a_token_tells_its_place() -> None:
    modality = imaging(size=[64, 64])
    tokens = modality.encoder().eval()(modality.collate([modality.read(case_of(radiograph()))])).tokens_BND[0]
    places = tokens[:, -8:].detach().numpy()
    assert len(np.unique(places.round(4), axis=0)) == len(tokens) > 1


@pytest.mark.parametrize("name", ["DenseNet", "resnet10"])
def test_a_series_goes_through_a_network_of_three_dimensions(name: str) -> None:
    options = SMALL["network"]["options"] if name == "DenseNet" else {"widen_factor": 0.25}
    modality = Imaging({**SMALL_3D, "network": {"name": name, "options": options}}, Catalogue.load())
    sample = modality.read(case_of(*a_series()))
    assert sample is not None
    assert sample["pixels"].shape == (1, 16, 32, 32)
    depth = sample["pixels"][0, :, 16, 16].astype(float)
    assert (np.diff(depth) >= 0).all()
    encoder = modality.encoder().eval()
    with torch.no_grad():
        tokens = encoder(modality.collate([sample]))
    assert tokens.tokens_BND.shape[2] == encoder.width


def test_two_dimensions_look_at_the_middle_of_a_series() -> None:
    sample = imaging().read(case_of(*a_series()))
    assert sample is not None
    file, frame, *_ = sample["origin"][0, 0]
    assert (file, frame) == (0, 0)  # the file of slice 3, which lies in the middle of 0..5


def test_more_frames_of_a_volume_can_be_asked_for() -> None:
    sample = imaging(frames_per_image=3).read(case_of(*a_series()))
    assert sample is not None
    brightness = sample["pixels"][:, 16, 16].astype(float)
    assert len(brightness) == 3
    assert (np.diff(brightness) > 0).all()


def test_a_window_for_ct_leaves_radiographs_alone() -> None:
    ct = radiograph(Modality="CT", spot=(24, 32))
    wide, narrow = imaging(), imaging(window=[400, 10])
    assert not np.array_equal(wide.read(case_of(ct))["pixels"], narrow.read(case_of(ct))["pixels"])  # type: ignore[index]
    cr = case_of(radiograph(spot=(24, 32)))
    np.testing.assert_array_equal(wide.read(cr)["pixels"], narrow.read(cr)["pixels"])  # type: ignore[index]


def test_fit_makes_training_pixels_zero_on_average() -> None:
    modality = imaging()
    cases = [case_of(radiograph(64, 64, spot=(16 + 3 * i, 32))) for i in range(6)]
    modality.fit([*cases, case_of()])
    pixels = modality.collate([modality.read(case) for case in cases])["pixels"]
    assert pixels.mean().item() == pytest.approx(0, abs=0.02)
    assert pixels.std().item() == pytest.approx(1, abs=0.05)


def test_pretrained_weights_get_the_intensities_they_know() -> None:
    """TorchXRayVision's networks were trained on pixels from -1024 to 1024."""
    modality = imaging(intensities=[-1024, 1024])
    case = case_of(radiograph(64, 64, spot=(32, 32)))
    modality.fit([case])
    sample = modality.read(case)
    assert sample is not None
    pixels = modality.collate([sample])["pixels"][0, 0, 0].numpy()
    np.testing.assert_allclose(pixels, sample["pixels"][0].astype(np.float32) * 2048 - 1024, atol=0.1)
    with pytest.raises(InvalidConfig, match="black below white"):
        imaging(intensities=[1, 0])


def test_the_state_survives_json_and_gives_the_same_batch() -> None:
    fitted, fresh = imaging(), imaging()
    case = case_of(radiograph(spot=(20, 20)))
    fitted.fit([case])
    fresh.load_state(json.loads(json.dumps(fitted.state())))
    batches = [m.collate([m.read(case)]) for m in (fitted, fresh)]
    torch.testing.assert_close(batches[0]["pixels"], batches[1]["pixels"])
    torch.testing.assert_close(
        *[m.encoder().baseline(b) for m, b in zip((fitted, fresh), batches, strict=True)], atol=1e-3, rtol=0
    )


def test_the_baseline_is_the_mean_image_and_never_touches_padding() -> None:
    modality = imaging()
    cases = [case_of(radiograph(24, 48, spot=(12, 12))), case_of(radiograph(24, 48, spot=(12, 36)))]
    modality.fit(cases)
    batch = modality.collate([modality.read(cases[0]), None])
    baseline = modality.encoder().baseline(batch)
    assert baseline.shape == batch["pixels"].shape
    torch.testing.assert_close(baseline[0, 0, 0, :8], batch["pixels"][0, 0, 0, :8])
    torch.testing.assert_close(baseline[1], batch["pixels"][1])
    assert not torch.equal(baseline[0, 0, 0, 8:24], batch["pixels"][0, 0, 0, 8:24])


def test_forward_is_tokens_of_inputs() -> None:
    modality = imaging()
    batch = modality.collate([modality.read(case_of(radiograph(spot=(20, 20))))])
    encoder = modality.encoder().eval()
    torch.testing.assert_close(encoder(batch).tokens_BND, encoder.tokens(encoder.inputs(batch), batch).tokens_BND)


def test_absent_images_change_nothing_that_is_learned() -> None:
    """Batch normalisation in training sees the same pictures whether or not other cases lack theirs."""
    modality = imaging()
    samples = [modality.read(case_of(radiograph(spot=(20, c)))) for c in (12, 30, 50)]
    encoder = modality.encoder().train()
    state = {k: v.clone() for k, v in encoder.state_dict().items()}
    alone = encoder(modality.collate(samples)).tokens_BND
    learned = {k: v.clone() for k, v in encoder.state_dict().items()}
    encoder.load_state_dict(state)
    mixed = encoder(modality.collate([samples[0], None, samples[1], None, samples[2]])).tokens_BND
    torch.testing.assert_close(mixed[[0, 2, 4]], alone)
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(value, learned[name])


def test_a_training_batch_without_any_image_leaves_the_network_as_it_was() -> None:
    modality = imaging()
    encoder = modality.encoder().train()
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    tokens = encoder(modality.collate([None, None]))
    assert not tokens.mask_BN.any()
    assert encoder.features.training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())


def test_a_picture_gives_the_same_tokens_whatever_shares_its_batch() -> None:
    modality = imaging()
    one, other = (modality.read(case_of(radiograph(spot=(20, c)))) for c in (12, 40))
    encoder = modality.encoder().eval()
    alone = encoder(modality.collate([one])).tokens_BND
    torch.testing.assert_close(
        encoder(modality.collate([one, other, None])).tokens_BND[:1], alone, atol=1e-5, rtol=1e-4
    )


def test_evidence_points_at_the_pixels_of_the_stored_picture() -> None:
    modality = imaging()
    case = case_of(radiograph(), radiograph(48, 96, spot=(32, 72)))
    batch = modality.collate([modality.read(case)])
    attributions = torch.zeros_like(batch["pixels"])
    attributions[0, 1, 0] = (batch["pixels"][0, 1, 0] > batch["pixels"][0, 1, 0].max() - 0.5).float()
    maps = modality.evidence(case, batch, attributions).images
    assert [(m.file, m.frame, m.values.shape) for m in maps] == [(0, 0, (24, 32)), (1, 0, (16, 32))]
    x, y = maps[1].peak
    assert abs(x - 72) <= 4
    assert abs(y - 32) <= 4


def test_evidence_of_a_volume_names_the_slices_that_matter_most() -> None:
    modality = Imaging(SMALL_3D, Catalogue.load())
    case = case_of(*a_series())
    batch = modality.collate([modality.read(case)])
    attributions = torch.zeros_like(batch["pixels"])
    attributions[0, 0, 0, -1] = 1.0
    maps = modality.evidence(case, batch, attributions).images
    assert len(maps) == 3
    assert maps[0].file == 2  # the file of the last slice, k = 5
    assert maps[0].values.sum() == pytest.approx(32 * 32)


def test_augmentation_is_repeatable_small_and_never_the_same_twice() -> None:
    modality = imaging()
    batch = modality.collate([modality.read(case_of(radiograph(spot=(20, 20))))])
    first, again = (modality.augment(batch, torch.Generator().manual_seed(3))["pixels"] for _ in range(2))
    other = modality.augment(batch, torch.Generator().manual_seed(4))["pixels"]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert (first - batch["pixels"]).abs().mean() < 0.5
    assert imaging(augmentation=False).augment(batch, torch.Generator()) is batch


def test_volumes_are_augmented_too() -> None:
    modality = Imaging(SMALL_3D, Catalogue.load())
    batch = modality.collate([modality.read(case_of(*a_series()))])
    assert modality.augment(batch, torch.Generator().manual_seed(0))["pixels"].shape == batch["pixels"].shape


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": [32]},
        {"size": [8, 8]},
        {"spatial_dims": 4},
        {"nonsense": 1},
        {"max_images": 0},
        {"network": {"name": "DenseNet", "layers": 3}},
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match="imaging"):
        imaging(**wrong)


@pytest.mark.parametrize(
    "network", [{"name": "NoSuchNet"}, {"name": "DenseNet121", "options": {"nonsense": 1}}, {"name": "UNet"}]
)
def test_a_network_that_cannot_be_built_is_named(network: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig, match=r"imaging\.network"):
        imaging(network=network).encoder()


def test_a_network_fetches_no_weights_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """MONAI's own would be a pickle from an address of its own."""
    with pytest.raises(InvalidConfig, match=r"imaging\.network\.options\.pretrained .* imaging\.weights"):
        imaging(network={"name": "DenseNet121", "options": {"pretrained": True}}).encoder()
    asked: list[str] = []
    monkeypatch.setattr(nets, "DenseNet121", lambda pretrained="by default", **_: asked.append(pretrained))
    build_network("DenseNet121", 2, 1, {})
    assert asked == [False]


def test_a_bundle_needs_no_weights_file(tmp_path: Path) -> None:
    modality = imaging(weights=str(tmp_path / "gone.safetensors"))
    with pytest.raises(InvalidConfig, match="no such file"):
        modality.encoder()
    modality.load_assets(tmp_path)
    assert modality.encoder().width == 18


def test_real_chest_radiographs_are_read(shared_data: Path) -> None:
    files = sorted((shared_data / "cxr_cases" / "images").iterdir())[:6]
    modality = imaging(size=[64, 64])
    cases = [Case.from_files(images=[file]) for file in files]
    modality.fit(cases)
    batch = modality.collate([modality.read(case) for case in cases])
    assert batch["present"].all()
    assert batch["pixels"].isfinite().all()


def test_a_ramp_reads_the_right_way_round() -> None:
    sample = imaging().read(case_of(dicom(ramp(32, 32))))
    assert sample is not None
    pixels = sample["pixels"][0].astype(float)
    assert pixels[-1].mean() > pixels[0].mean() + 0.9
    assert (np.diff(pixels, axis=1) >= -1e-3).all()
