"""What clamd's protocol may bring: an answer in pieces, an error, none at all. Its server here is a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.ground.scanner import Scanner, ScannerAway
from clinical_mm.errors import InvalidConfig

Answer = Callable[[socket.socket], None]
FILE = b"so many bytes" * 50_000


@contextmanager
def answering(answer: Answer, *, reads: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """A server of one connection, which reads a whole INSTREAM and then answers; and what it was sent."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                if reads:
                    got.extend(_read(line))
                answer(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", got
        thread.join(timeout=10)


def _read(line: socket.socket) -> Iterator[bytes]:
    with line.makefile("rb") as stream:
        assert stream.read(10) == b"zINSTREAM\0"
        while size := int.from_bytes(stream.read(4), "big"):
            yield stream.read(size)


def saying(*pieces: bytes) -> Answer:
    def answer(line: socket.socket) -> None:
        for piece in pieces:
            line.sendall(piece)
            time.sleep(0.02)

    return answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(FILE)
    return path


def test_the_whole_file_is_sent_in_pieces_with_their_lengths(file: Path) -> None:
    with answering(saying(b"stream: OK\0")) as (address, got):
        assert Scanner(address, 5).find(file) is None
    assert len(got) > 1
    assert b"".join(got) == FILE


def test_an_answer_may_come_in_pieces(file: Path) -> None:
    with answering(saying(b"stre", b"am: Win.Test", b" FOUND", b"\0")) as (address, _):
        assert Scanner(address, 5).find(file) == "Win.Test"


def test_a_signature_holds_nothing_that_a_log_cannot_show(file: Path) -> None:
    with answering(saying(b"stream: Win\nTest\x1b[1m FOUND\0")) as (address, _), pytest.raises(ScannerAway):
        Scanner(address, 5).find(file)
    with answering(saying("stream: Win\u2028Test FOUND\0".encode())) as (address, _):
        assert Scanner(address, 5).find(file) == "Win?Test"


@pytest.mark.parametrize(
    "said",
    [
        (b"INSTREAM size limit exceeded. ERROR\0",),
        (b"stream: Can't allocate memory ERROR\0",),
        (b"UNKNOWN COMMAND\0",),
        (b"stream: OK",),
        (b"\0",),
        (),
        (b"x" * 10_000,),
    ],
    ids=["too large", "an error", "another service", "cut off", "nothing", "hung up", "without an end"],
)
def test_whatever_is_no_verdict_lets_no_file_in(file: Path, said: tuple[bytes, ...]) -> None:
    with answering(saying(*said)) as (address, _), pytest.raises(ScannerAway) as away:
        Scanner(address, 5).find(file)
    assert away.value.retry_after_s == 10


def test_one_that_hangs_up_in_the_midst_of_a_file_lets_none_in(file: Path) -> None:
    with answering(saying(), reads=False) as (address, _), pytest.raises(ScannerAway):
        Scanner(address, 5).find(file)


def test_one_that_says_nothing_or_reads_nothing_is_given_up(file: Path) -> None:
    until = threading.Event()
    for reads in (True, False):
        with answering(lambda _: bool(until.wait(10)) and None, reads=reads) as (address, _):
            began = time.monotonic()
            with pytest.raises(ScannerAway):
                Scanner(address, 0.3).find(file)
            assert time.monotonic() - began < 5
            until.set()
        until.clear()


def test_one_that_says_a_word_now_and_then_is_given_up_too(file: Path) -> None:
    def drip(line: socket.socket) -> None:
        try:
            for _ in range(100):
                line.sendall(b"s")
                time.sleep(0.05)
        except OSError:  # given up
            return

    with answering(drip) as (address, _), pytest.raises(ScannerAway):
        Scanner(address, 0.3).find(file)


def test_one_that_is_not_there_lets_none_in(file: Path, tmp_path: Path) -> None:
    for address in ("127.0.0.1:1", str(tmp_path / "clamd.ctl")):
        with pytest.raises(ScannerAway):
            Scanner(address, 1).find(file)


@pytest.mark.parametrize(
    "address", ["clamav", "clamav:", "clamav:many", "http://clamav:3310", "clamav:3310/x", ":3310"]
)
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(InvalidConfig, match="CLINICAL_MM_CLAMD"):
        Scanner(address, 1)


@pytest.mark.parametrize("address", ["clamav:3310", "[::1]:3310", "/run/clamav/clamd.ctl"])
def test_hosts_and_sockets_are_addresses(address: str) -> None:
    Scanner(address, 1)
