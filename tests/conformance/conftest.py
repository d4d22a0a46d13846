from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.faces import Face, Faces
from tests.engines import Engine, configured, params


@pytest.fixture(params=params(lambda engine: True, with_all=True))
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, configured as the site's."""
    with configured(request.param):
        yield request.param


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def faces(request: pytest.FixtureRequest, engine: Engine) -> Faces:
    """The engine's sessions, through their sync and through their async methods."""
    return Faces(engine, is_async=request.param)


@pytest.fixture
def session(faces: Faces) -> Face:
    """A new session, not saved."""
    return faces.open()
