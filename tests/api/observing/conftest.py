"""What a scrape tells, as numbers."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

Scrape = Callable[[], dict[str, float]]


@pytest.fixture
def scrape(server_url: str) -> Scrape:
    """``name{label="value",...}`` -> value, labels in the order of their names, at this moment."""

    def read() -> dict[str, float]:
        text = httpx.get(f"{server_url}/metrics").raise_for_status().text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return {_named(s.name, s.labels): s.value for s in samples}

    return read


def _named(name: str, labels: dict[str, str]) -> str:
    told = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{told}}}" if told else name
