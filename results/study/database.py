"""A study's trials in a PostgreSQL database, by Optuna's tables, when one file is not enough."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from results.study.folder import StudyError
from results.study.identity import SPACE_KEY, other_name_text, other_space_text
from search_spaces import Space
from search_spaces.space import Objective


def database_errors() -> tuple[type[Exception], type[Exception]]:
    """What is raised where a database can't be used; SQLAlchemy is imported only when asked."""
    from sqlalchemy.exc import SQLAlchemyError

    return SQLAlchemyError, StorageInternalError


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """Where in a database a study's trials are.

    Attributes:
        url: `postgresql://user@host:port/name`, without a password, which is for `~/.pgpass` or
            `$PGPASSWORD`.
        study: What the study is called there: its space's name and something that no other study
            has.

    Raises:
        StudyError: when the URL is another kind of database's, or holds a password.
    """

    url: str
    study: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "postgresql" or not parts.path.strip("/"):
            raise StudyError(
                f"a database must be postgresql://USER@HOST:PORT/NAME, got {self.without_password}"
            )
        if parts.password:
            raise StudyError(
                f"the password of {self.without_password} would be written to study.yaml: "
                "leave it out, and put it into ~/.pgpass or $PGPASSWORD"
            )

    @classmethod
    def new(cls, url: str, space: Space) -> Self:
        """For a study that is about to begin."""
        return cls(url=url, study=f"{space.name}-{secrets.token_hex(4)}")

    @property
    def without_password(self) -> str:
        """The URL as it may be shown."""
        return re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", self.url)

    def open(self, space: Space, objective: Objective) -> tuple[BaseStorage, bool]:
        """The storage to write to, its tables made if need be, and whether the study was begun.

        Raises:
            StudyError: when the database can't be reached, or the study there is another space's.
        """
        with self._reached():
            storage = optuna.storages.get_storage(self._connect())
            begun = self._study_of(storage) is not None
            if begun:
                self._check(storage, space, objective)
        return storage, begun

    def trials(self, space: Space, objective: Objective) -> list[FrozenTrial]:
        """All trials; nothing is written, and none when the study was never begun.

        Raises:
            StudyError: when the database can't be reached, or the study there is another space's.
        """
        with self._reached():
            if not self._was_begun():
                return []
            storage = self._connect(skip_table_creation=True, skip_compatibility_check=True)
            self._check(storage, space, objective)
            return storage.get_all_trials(
                storage.get_study_id_from_name(self.study), deepcopy=False
            )

    def _was_begun(self) -> bool:
        """Asked without Optuna, which would write into a database that has no tables yet."""
        import sqlalchemy

        engine = sqlalchemy.create_engine(self._driver_url)
        try:
            with engine.connect() as connection:
                if not sqlalchemy.inspect(connection).has_table("studies"):
                    return False
                query = sqlalchemy.text("SELECT 1 FROM studies WHERE study_name = :name")
                return connection.execute(query, {"name": self.study}).first() is not None
        finally:
            engine.dispose()

    @property
    def _driver_url(self) -> str:
        return self.url.replace("postgresql://", "postgresql+psycopg://", 1)

    def _connect(self, **options: Any) -> RDBStorage:
        return RDBStorage(self._driver_url, engine_kwargs={"pool_pre_ping": True}, **options)

    def _study_of(self, storage: BaseStorage) -> int | None:
        try:
            return storage.get_study_id_from_name(self.study)
        except KeyError:
            return None

    def _check(self, storage: BaseStorage, space: Space, objective: Objective) -> None:
        study_id = storage.get_study_id_from_name(self.study)
        name, kept = (
            self.study.rpartition("-")[0],
            storage.get_study_user_attrs(study_id).get(SPACE_KEY),
        )
        if name != space.name:
            raise StudyError(f"{self.without_password}: {other_name_text(name, space.name)}")
        differing = None if kept is None else other_space_text(kept, space)
        if differing:
            raise StudyError(f"{self.without_password}: {differing}")
        directions = [
            direction.name.lower() for direction in storage.get_study_directions(study_id)
        ]
        if directions != [objective.direction]:
            raise StudyError(
                f"{self.without_password}: the study there is to {' and '.join(directions)}"
            )

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except ImportError as error:
            raise StudyError(
                f"PostgreSQL needs a driver: pip install -e '.[postgresql]' ({error})"
            ) from error
        except database_errors() as error:
            cause = (
                error.__cause__
                if isinstance(error, StorageInternalError) and error.__cause__
                else error
            )
            reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
            raise StudyError(
                f"the database {self.without_password} can't be used: {reason}"
            ) from error
