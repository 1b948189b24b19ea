"""A worker for bulk runs, in the test's own process."""

from tests.api.bulk.conftest import work

__all__ = ["work"]
