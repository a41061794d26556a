"""MLflow, where a study's trials are shown as runs beside those of other work."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from results.study.folder import StudyError
from search_spaces import Space

SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracking:
    """Where in MLflow a study's trials are shown.

    Attributes:
        uri: MLflow's tracking URI, without a password, which is for `$MLFLOW_TRACKING_PASSWORD`.
        experiment: What the runs belong to: the space's name, unless `$MLFLOW_EXPERIMENT_NAME` says
            another one.
        study: Tells the runs from those of other studies in the experiment.

    Raises:
        StudyError: when the URI is none, or holds a password.
    """

    uri: str
    experiment: str
    study: str

    def __post_init__(self) -> None:
        try:
            password = urlsplit(self.uri).password
        except ValueError as error:
            raise StudyError(f"--mlflow must be a URI such as http://HOST:5000: {error}") from error
        if password:
            raise StudyError(
                "--mlflow must hold no password, which would be written to study.yaml: put it into "
                "$MLFLOW_TRACKING_PASSWORD, and the user into $MLFLOW_TRACKING_USERNAME"
            )

    @classmethod
    def new(cls, uri: str, space: Space) -> Self:
        """For a study that is about to begin."""
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or space.name
        return cls(uri=absolute(uri), experiment=experiment, study=secrets.token_hex(4))


def absolute(uri: str) -> str:
    """The URI, which must mean the same file wherever a later launch begins."""
    if uri.startswith(SQLITE):
        return f"{SQLITE}{Path(uri.removeprefix(SQLITE)).resolve()}"
    is_path = ":" not in uri and not uri.startswith("databricks")
    return str(Path(uri).resolve()) if is_path else uri
