"""What makes many reports quick."""

from collections.abc import Iterator

import pytest

from results.report import importance


@pytest.fixture(autouse=True, scope="package")
def small_forests() -> Iterator[None]:
    """A few trees are enough to see that all hangs together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "TREES", 6)
        yield
