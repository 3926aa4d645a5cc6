"""One whole set of artefacts for all tests of the report."""

import pytest
from report_artefacts import Artefacts, make_artefacts


@pytest.fixture(scope="session")
def artefacts() -> Artefacts:
    return make_artefacts()
