"""What tests of sweeps share: a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stores import Bucket, s3_server


@pytest.fixture(scope="session")
def bucket(no_network: None) -> Iterator[Bucket]:
    """A bucket of an S3 server on this machine."""
    with s3_server() as served:
        yield served
