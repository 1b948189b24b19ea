"""JSON as it must come in: where a body is malformed (400), of another type (415), or holds what no database keeps."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import IO, Any, cast

from flask import Request, current_app, request
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.utils import cached_property

from api.ground.spool import SpoolFile
from api.problems import Invalid, NotFound, PointedError, pointer

SPOOL = "clinical_mm spool"
"""The app's extension that gives files for uploads."""
MOST_VALUES = 100_000
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})


class StrictRequest(Request):
    """A request whose JSON is checked before any schema sees it. No body at all is an empty object.

    Files are spooled to the workspace as they come, and taken away with the request.
    """

    def _get_file_stream(
        self,
        total_content_length: int | None,
        content_type: str | None,
        filename: str | None = None,
        content_length: int | None = None,
    ) -> IO[bytes]:
        file: SpoolFile = current_app.extensions[SPOOL].file(filename or "")
        self._spooled.append(file)
        return cast("IO[bytes]", file)

    @cached_property
    def _spooled(self) -> list[SpoolFile]:
        return []

    def close(self) -> None:
        """Take away what was spooled; Flask calls it however the request ended."""
        super().close()
        for file in self._spooled:
            file.discard()

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The body's JSON; never silent about what is wrong with it."""
        return self._document

    @cached_property
    def _document(self) -> Any:
        if self.mimetype not in _JSON_TYPES | {""}:
            raise UnsupportedMediaType("send the body as application/json")
        data = self.get_data()
        if not data:
            return {}
        if not self.mimetype:
            raise UnsupportedMediaType("send the body as application/json")
        return parse_json(data)


def refuse_unstorable() -> None:
    """Refuse a path or query that no identifier and no stored text can match; PostgreSQL would fail on it.

    Raises:
        NotFound: the path holds a NUL or half a surrogate pair.
        Invalid: a query parameter does.
    """
    if not storable(request.path):
        raise NotFound("no such object")
    faults = [
        PointedError(pointer=pointer((name,)), detail="must not hold NUL or a lone surrogate")
        for name, value in request.args.items(multi=True)
        if not storable(name + value)
    ]
    if faults:
        raise Invalid("the query holds characters that cannot be stored", errors=faults)


def parse_json(text: bytes) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises:
        BadRequest: it is not JSON, nests too deep, or holds more than MOST_VALUES.
        Invalid: a text in it holds a NUL or half a surrogate pair, which PostgreSQL cannot store.
    """
    if _values(text) > MOST_VALUES:
        raise BadRequest(f"the body holds more than {MOST_VALUES:,} JSON values")
    try:
        document = json.loads(text.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {_reason(error)}") from error
    if isinstance(document, str):
        raise Invalid("the body must be a JSON object", errors=[PointedError(pointer="", detail="must be an object")])
    faults = [
        PointedError(pointer=pointer(where), detail="must not hold NUL or a lone surrogate")
        for where, text_ in _texts(document)
        if not storable(text_)
    ]
    if faults:
        raise Invalid("a text holds characters that cannot be stored", errors=faults)
    return document


def _values(text: bytes) -> int:
    """About how many values a JSON text holds; one of two bytes becomes an object of sixty."""
    marks = sum(text.count(mark) for mark in b"[{,")
    if marks <= MOST_VALUES:
        return marks
    outside = _JSON_STRING.sub(b"", text)  # a long note has commas too
    return sum(outside.count(mark) for mark in b"[{,")


def storable(text: str) -> bool:
    """Whether every database here can hold the text."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _texts(document: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str):
            yield where, value
        elif isinstance(value, dict):
            for key, inner in value.items():
                clean = key.encode("utf-8", "replace").decode().replace("\x00", "�")
                yield (*where, clean), key
                waiting.append(((*where, clean), inner))
        elif isinstance(value, list):
            waiting.extend(((*where, position), inner) for position, inner in enumerate(value))


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return "it nests too deep" if isinstance(error, RecursionError) else "it is not UTF-8, or a number is out of range"


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):  # 1e999: PostgreSQL keeps no infinity in JSON
        raise ValueError(f"{text} is out of range")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
