"""The chart, rendered once for each of its value files; the images, built once."""

from collections.abc import Callable, Iterator

import pytest

from tests.deploy.agent_bench import CONNECTOR, beside
from tests.deploy.chart import LOCAL, PRODUCTION, VALUE_FILES, Rendered, render
from tests.deploy.compose_stack import ComposeStack, running
from tests.deploy.engine import engine_answers, image_builder
from tests.support.certificates import CertificateFiles


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


@pytest.fixture(scope="session")
def engine() -> Iterator[None]:
    with engine_answers():
        yield


@pytest.fixture(scope="session")
def build(engine: None) -> Callable[..., None]:
    """Builds images anew; all are there."""
    builder = image_builder()
    builder()
    return builder


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    directory = tmp_path_factory.mktemp("certificates")
    files = CertificateFiles.make(directory, CONNECTOR)
    # Containers read it as 10001; the directory above is ours alone.
    directory.chmod(0o755)
    for file in directory.iterdir():
        file.chmod(0o644)
    return files


@pytest.fixture(scope="session")
def stack(
    build: Callable[..., None], certificates: CertificateFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeStack]:
    """All of the compose file, up."""
    with running(ComposeStack(tmp_path_factory.mktemp("stack"), beside(certificates))) as up:
        yield up
