"""Faults planted in synthetic cases: a whole case in, the spoilt one out, None where the fault does not apply."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from clinical_mm.case import Case, ImageFile
from clinical_mm.catalogue import Catalogue
from clinical_mm.errors import ClinicalMMError
from clinical_mm.pictures import read_picture
from clinical_mm.pictures.windows import apply_window, percentile_window

CATALOGUE = Catalogue.load()
Fault = Callable[[Case, np.random.Generator], Case | None]

GERMAN = (
    "Patient mit Fieber und Husten seit drei Tagen, keine Atemnot.",
    "67-jährige Frau, Belastungsdyspnoe, Beinödeme beidseits, gestaute Halsvenen.",
    "Plötzlicher stechender Thoraxschmerz rechts, Atemgeräusch rechts abgeschwächt.",
    "Zustand nach Hüftoperation, bettlägerig, kein Fieber, leichte Luftnot.",
    "Pat. mit V.a. Pneumonie, seit gestern produktiver Husten, Temp. 38,9, RR 120/80.",
    "Dysurie und Flankenschmerz, Schüttelfrost, Lunge auskultatorisch frei.",
    "Verlaufskontrolle bei bekannter Herzinsuffizienz, Gewichtszunahme vier Kilogramm.",
    "Keine Beschwerden, Routineaufnahme vor geplanter Operation.",
    "Klopfschalldämpfung links basal, Verdacht auf Pleuraerguss, Punktion geplant.",
    "Raucher, chronischer Husten, Auswurf morgens, Nachtschweiß wird verneint.",
)
FRENCH = (
    "Fièvre et toux depuis trois jours, pas de dyspnée au repos.",
    "Femme de 67 ans, dyspnée d'effort, œdèmes des membres inférieurs.",
    "Douleur thoracique brutale à droite, murmure vésiculaire diminué.",
    "Alitée depuis l'opération de la hanche, apyrétique, légère gêne respiratoire.",
    "Suspicion de pneumopathie, crachats purulents, température à 38,9.",
    "Brûlures mictionnelles et frissons, auscultation pulmonaire normale.",
    "Insuffisance cardiaque connue, prise de poids de quatre kilos en une semaine.",
    "Bilan préopératoire, le patient ne se plaint de rien.",
    "Matité de la base gauche, épanchement pleural probable, ponction prévue.",
    "Fumeur, toux chronique, expectorations matinales, pas de sueurs nocturnes.",
)
SPANISH = (
    "Paciente con fiebre y tos desde hace tres días, niega disnea.",
    "Mujer de 67 años con disnea de esfuerzo y edemas en miembros inferiores.",
    "Dolor torácico súbito en el lado derecho, murmullo vesicular disminuido.",
    "Encamada tras cirugía de cadera, afebril, ligera dificultad respiratoria.",
    "Sospecha de neumonía, tos productiva desde ayer, temperatura de 38,9.",
    "Disuria y escalofríos, auscultación pulmonar sin hallazgos.",
    "Insuficiencia cardíaca conocida, aumento de cuatro kilos en una semana.",
    "Estudio preoperatorio, el paciente no refiere molestias.",
    "Matidez en la base izquierda, probable derrame pleural, se planea punción.",
    "Fumador, tos crónica con expectoración matutina, niega sudoración nocturna.",
)
SOMETHING_ELSE = (
    "Preheat the oven and mix the flour with sugar, butter and two eggs.",
    "The train to the coast leaves at nine and arrives a little before noon.",
    "Quarterly revenue grew by four percent while operating costs fell again.",
    "Please restart the router, then update the driver of the office printer.",
    "The home team scored twice in the second half and won the cup.",
    "Tenants must give three months of notice in writing before they move out.",
    "Turn left after the bridge and follow the river until the old mill.",
    "The committee approved the minutes and adjourned until next Tuesday.",
    "Water the tomatoes every evening and keep the greenhouse door closed.",
    "She tuned her guitar, counted to four, and the whole band began to play.",
)


def note(texts: Sequence[str]) -> Fault:
    return lambda case, rng: replace(case, note=texts[int(rng.integers(len(texts)))])


def film(change: Callable[[np.ndarray], np.ndarray], **tags: str) -> Fault:
    """Every film's stored pixels changed, its header kept but for ``tags``."""
    return lambda case, rng: replace(case, images=tuple(_changed(i, change, tags) for i in case.images))


def _changed(image: ImageFile, change: Callable[[np.ndarray], np.ndarray], tags: dict[str, str]) -> ImageFile:
    dataset, out = pydicom.dcmread(io.BytesIO(image.read())), io.BytesIO()
    pixels = np.clip(change(dataset.pixel_array.astype(float)), 0, 4095).astype("<u2")
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.save_as(out, enforce_file_format=True)
    return ImageFile(image.name, out.getvalue())


def quarter(pixels: np.ndarray) -> np.ndarray:
    return pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2]


def picture(draw: Callable[[np.random.Generator], np.ndarray]) -> Fault:
    """One picture file without a header in place of the films."""
    return lambda case, rng: replace(case, images=(ImageFile("picture.png", png(draw(rng))),))


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (256, 256)).astype(float)


def hand(rng: np.random.Generator) -> np.ndarray:
    """A palm and five fingers, brighter where they are thick, as a film of a hand is."""
    y, x = np.mgrid[0:256, 0:256].astype(float)
    shown = 150 * np.exp(-(((x - 128) / 48) ** 4) - ((y - 185) / 42) ** 4)
    for root, tip in zip((84, 106, 128, 150, 186), (40, 74, 128, 178, 236), strict=True):
        along = (170 - y) / 130
        middle, wide = root + (tip - root) * along + rng.normal(0, 2), 9 + rng.normal(0, 0.5)
        there = (along > 0) & (along < 0.9 + rng.normal(0, 0.03))
        shown += there * (120 * np.exp(-(((x - middle) / wide) ** 4)) + 60 * np.exp(-(((x - middle) / 3) ** 2)))
    return shown + 12 + rng.normal(0, 3, shown.shape)


def files(folder: Path, bare: bool = False, modality: str | None = None) -> Fault | None:
    """Real pictures (of a DICOM modality) in place of the films, ``bare`` of their header; None without any."""
    found = [data for path in sorted(folder.glob("*")) if (data := _readable(path, modality)) is not None]
    ready = [_bare(data) for data in found] if bare else found
    if not ready:
        return None
    return lambda case, rng: replace(case, images=(ImageFile("other", ready[int(rng.integers(len(ready)))]),))


def _readable(path: Path, modality: str | None) -> bytes | None:
    try:
        told = read_picture(data := path.read_bytes()).attributes.get("modality")
    except ClinicalMMError:
        return None
    return data if modality in (None, told) else None


def _bare(data: bytes) -> bytes:
    first = read_picture(data).frames[0]
    return png(255 * apply_window(first, *percentile_window(first), "LINEAR_EXACT"))


def scaled(name: str, factor: float) -> Fault:
    """One value in another unit, or with its point lost; None where it would be refused or was not measured."""
    return lambda case, rng: _with(case, {name: case.vitals[name] * factor} if name in case.vitals else None)


def swapped(one: str, other: str) -> Fault:
    def swap(case: Case, rng: np.random.Generator) -> Case | None:
        both = one in case.vitals and other in case.vitals
        return _with(case, {one: case.vitals[other], other: case.vitals[one]} if both else None)

    return swap


def permuted(case: Case, rng: np.random.Generator) -> Case | None:
    """Every value under another's name, as far as each stays plausible there."""
    names = list(case.vitals)
    for _ in range(200):
        values = [case.vitals[names[i]] for i in rng.permutation(len(names))]
        spoilt = _with(case, dict(zip(names, values, strict=True)))
        if spoilt is not None and dict(spoilt.vitals) != dict(case.vitals):
            return spoilt
    return None


def _with(case: Case, values: dict[str, float] | None) -> Case | None:
    if values is None or not all(value in CATALOGUE.vital(name).plausible for name, value in values.items()):
        return None
    return replace(case, vitals={**case.vitals, **values})
