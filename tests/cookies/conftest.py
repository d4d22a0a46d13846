"""What the tests of cookies share that need a site of Django and Node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cookies.two_sites import OLD, Sites
from tests.cookies.web import WebBrowser
from tests.node import Node


@pytest.fixture(scope="package")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    with Sites(tmp_path_factory.mktemp("sites")) as sites:
        yield sites


@pytest.fixture(params=[8, 9], scope="package")
def site(sites: Sites, request: pytest.FixtureRequest) -> str:
    """The address of a site whose passwords never changed."""
    return sites.start(request.param, {"1": OLD})


@pytest.fixture(scope="package")
def iron() -> Iterator[Node]:
    with Node("iron.mjs") as node:
        yield node


@pytest.fixture
def browser(site: str) -> WebBrowser:
    """A browser in which Emil has signed in."""
    browser = WebBrowser(site)
    browser.sign_in("emil")
    return browser
