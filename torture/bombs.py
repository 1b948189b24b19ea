"""R6: small things that want to become large, and many clients that want to take for ever."""

from __future__ import annotations

import contextlib
import io
import socket
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)

from torture.besieged import MB, Besieged, Health, Peak, is_problem
from torture.outcome import Outcome

TITLE = "Bombs and slow clients (R6)"
MOST_S, MOST_MB, HEALTH_S, TRIES = 0.5, 64, 1.0, 3
SLOW_CLIENTS, SLOW_S, SHORT_SLOW_S, UPLOAD_MB = 200, 20.0, 4.0, 200
BUSY = 10
"""Times as long in the short form: it runs among other tests, where a second says little."""
BODY = b'{"patient": {"id": "p"}}'


def run(short: bool) -> Outcome:
    with tempfile.TemporaryDirectory() as folder, Besieged(Path(folder) / "workspace") as server:
        key = server.key("clinician")
        with server.client(key) as client:
            warm_up(client)
            rows, faults = [], []
            for name, parts in bombs(short):
                status, seconds, more_mb, ok = thrown(server, client, parts)
                rows.append(f"| {name} | {status} | {seconds:.2f} | {more_mb:.0f} |")
                if not ok or seconds >= MOST_S * (BUSY if short else 1) or more_mb >= MOST_MB:
                    faults.append(f"{name}: {status} after {seconds:.2f} s, {more_mb:.0f} MB more")
            told, more = large_upload(server, client)
            faults += more
            slow_rows, more = slow_clients(server, key, short)
            faults += more
    head = "Quickest of three tries each; memory is the process tree's highest beyond what it held before."
    table = ["| sent | answered | seconds | MB more |", "|---|---|---|---|", *rows]
    slow = [
        f"{SLOW_CLIENTS} clients that send a byte a second; meanwhile /healthz on new connections, ten a second.",
        "",
        "| they stop in | answered | health p99, seconds | an upload beside them, seconds | MB more |",
        "|---|---|---|---|---|",
        *slow_rows,
    ]
    return Outcome("\n".join([head, "", *table, "", told, "", *slow]), faults)


Parts = list[tuple[str, tuple[str | None, bytes]]]


def bombs(short: bool) -> Iterator[tuple[str, Parts | bytes]]:
    """Name and multipart body, or JSON body."""
    yield "1 KB that claims 4 GB of pixels, raw", file(claims(compressed=False))
    yield "1 KB that claims 4 GB of pixels, JPEG 2000", file(claims(compressed=True))
    yield "1 MB that inflates to 1 GB", file(deflated())
    for depth in (100, 300, 100_000):
        yield f"sequences nested {depth:,} deep", file(nested(depth))
    yield "200,000 elements in a header of 2 MB", file(many_elements())
    yield "a PNG of 30,000 x 30,000 pixels in 110 KB", file(large_png())
    yield "10,000 parts", [("case", (None, BODY)), *[("files", (f"{n}.dcm", b"x")) for n in range(10_000)]]
    yield "10,000 fields", [(f"field-{n}", (None, b"x")) for n in range(10_000)]
    yield "16 MB of empty lists as JSON", b"[" + b"[]," * 5_000_000 + b"1]"
    yield "objects nested 100,000 deep as JSON", b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    if not short:
        yield "a part whose header never ends", [("case", (None, BODY)), ("x" * (12 * MB), (None, b"x"))]


def file(data: bytes) -> Parts:
    return [("case", (None, BODY)), ("files", ("bomb.dcm", data))]


def warm_up(client: httpx.Client) -> None:
    """The first request of a server loads what the others find loaded."""
    for _ in range(3):
        client.post("/cases", files=file(film())).raise_for_status()


def thrown(server: Besieged, client: httpx.Client, body: Parts | bytes) -> tuple[int, float, float, bool]:
    """Status, seconds and memory of the quickest try, and whether each was a 4xx problem."""
    tries = []
    for _ in range(TRIES):
        request = (
            client.build_request("POST", "/cases", content=body, headers={"Content-Type": "application/json"})
            if isinstance(body, bytes)
            else client.build_request("POST", "/cases", files=body)
        )
        request.read()
        with Peak(server) as peak:
            started = time.perf_counter()
            answer = client.send(request)
            seconds = time.perf_counter() - started
        tries.append((answer.status_code, seconds, peak.more_mb, is_problem(answer)))
    status, seconds, _, _ = min(tries, key=lambda one: one[1])
    return status, seconds, max(one[2] for one in tries), all(one[3] for one in tries)


def large_upload(server: Besieged, client: httpx.Client) -> tuple[str, list[str]]:
    """A real, large file: the web process passes it to the disk and holds none of it."""
    data = film(UPLOAD_MB * MB)
    request = client.build_request("POST", "/cases", files=file(data))
    request.read()
    web = max(server.processes(), key=lambda process: process.memory_info().rss)
    before = web.memory_info().rss
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, web.memory_info().rss - before)

    thread = threading.Thread(target=watch)
    thread.start()
    answer = client.send(request)
    over.set()
    thread.join()
    told = f"An upload of {UPLOAD_MB} MB: {answer.status_code}, the web process holds at most {peak / MB:.0f} MB more."
    faults = [] if answer.status_code == 201 and peak < MOST_MB * MB else [told]
    return told, faults


def slow_clients(server: Besieged, key: str, short: bool) -> tuple[list[str], list[str]]:
    """Many clients at each stage of a request."""
    stages = {
        "silence": b"",
        "the head": b"POST /v1/cases HTTP/1.1\r\nX-Slow: ",
        "a small body": upload_of(50_000, key),
        "a large body": upload_of(50 * MB, key),
        "a large body, after its first 100 KB": upload_of(50 * MB, key) + bytes(100_000),
        "the same, with a key that is none": upload_of(50 * MB, "cmm_none") + bytes(100_000),
    }
    seconds, longest = (SHORT_SLOW_S, HEALTH_S * BUSY) if short else (SLOW_S, HEALTH_S)
    rows, faults = [], []
    for name, first in list(stages.items())[:: 2 if short else 1]:
        with Peak(server) as peak, Health(server) as health, server.client(key) as client:
            answered, upload_s = besiege(server.port, first, seconds, lambda: client.post("/cases", files=file(film())))
        rows.append(f"| {name} | {answered or 'closed'} | {health.p99:.2f} | {upload_s:.2f} | {peak.more_mb:.0f} |")
        if health.p99 >= longest or health.failed or peak.more_mb >= MOST_MB or upload_s > seconds * longest:
            faults.append(
                f"slow in {name}: health p99 {health.p99:.2f} s, {health.failed} failed, {peak.more_mb:.0f} MB"
            )
    return rows, faults


def upload_of(length: int, key: str) -> bytes:
    """The head of an upload, and of its first file."""
    head = (
        f"POST /v1/cases HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {length}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    return head.encode() + b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.dcm"\r\n\r\n'


def besiege(port: int, first: bytes, seconds: float, meanwhile: Callable[[], httpx.Response]) -> tuple[str, float]:
    """What the clients were answered, and how long somebody else's upload took."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(SLOW_CLIENTS)]
    for client in clients:
        client.sendall(first)
    started = time.perf_counter()
    took = float("inf")
    while (passed := time.perf_counter() - started) < seconds:
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(b"x")
        if passed > 1 and took == float("inf"):
            begun = time.perf_counter()
            if meanwhile().status_code == 201:
                took = time.perf_counter() - begun
        time.sleep(1)
    seen = set()
    for client in clients:
        client.setblocking(False)
        with contextlib.suppress(OSError):
            seen.add(client.recv(64).split()[1].decode())
        client.close()
    return ", ".join(sorted(seen)), took


def film(more_bytes: int = 0, rows: int = 64) -> bytes:
    """A small film, with so many bytes in a private element before its pixels."""
    ds = data_set(rows)
    if more_bytes:
        block = ds.private_block(0x0009, "clinical_mm torture", create=True)
        block.add_new(0x01, "OB", bytes(more_bytes))
    return written(ds)


def data_set(rows: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = generate_uid()
    ds.PatientName, ds.Modality, ds.SamplesPerPixel, ds.PhotometricInterpretation = "Nobody", "CT", 1, "MONOCHROME2"
    ds.Rows = ds.Columns = rows
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.PixelData = np.arange(rows * rows, dtype=np.uint16).tobytes()
    return ds


def written(ds: Dataset) -> bytes:
    out = io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def claims(*, compressed: bool) -> bytes:
    ds = data_set(8)
    if compressed:
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
        ds.PixelData = encapsulate([b"\xff\x4f\xff\x51" + bytes(40)])
        ds["PixelData"].is_undefined_length = True
    ds.Rows = ds.Columns = 46_341
    return written(ds)


def deflated() -> bytes:
    ds = data_set(8)
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    head = written(ds)
    meta_end = 128 + 4 + 12 + struct.unpack_from("<L", head, 128 + 4 + 8)[0]
    packer, zeros = zlib.compressobj(9, wbits=-zlib.MAX_WBITS), bytes(16 * MB)
    return head[:meta_end] + b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()


def nested(depth: int) -> bytes:
    opening = b"\x09\0\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return with_more(opening * depth + closing * depth)


def many_elements() -> bytes:
    return with_more(b"".join(struct.pack("<HH", 9, 0x1000 + n % 0x1000) + b"LO\0\0" for n in range(250_000)))


def with_more(elements: bytes) -> bytes:
    data = film()
    at = data.index(b"\x10\0\x10\0PN")
    return data[:at] + elements + data[at:]


def large_png() -> bytes:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    return out.getvalue()
