from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from tests.conformance.faces import Face, Faces
from tests.engines import ENGINES, Engine


@pytest.fixture(params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, configured as the site's."""
    engine: Engine = request.param
    with override_settings(SESSION_ENGINE=engine.path):
        yield engine


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def faces(request: pytest.FixtureRequest, engine: Engine) -> Faces:
    """The engine's sessions, through their sync and through their async methods."""
    return Faces(engine, is_async=request.param)


@pytest.fixture
def session(faces: Faces) -> Face:
    """A new session, not saved."""
    return faces.open()
