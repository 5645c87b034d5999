"""The chart, rendered once for each of its value files."""

import pytest

from tests.deploy.chart import LOCAL, PRODUCTION, VALUE_FILES, Rendered, render


@pytest.fixture(scope="session", params=list(VALUE_FILES))
def chart(request: pytest.FixtureRequest) -> Rendered:
    """With each value file in turn."""
    return render(VALUE_FILES[request.param])


@pytest.fixture(scope="session")
def local() -> Rendered:
    return render(LOCAL)


@pytest.fixture(scope="session")
def production() -> Rendered:
    return render(PRODUCTION)
