"""What is wrong with an MLflow store, without the pages that SQLAlchemy writes about it."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from glofnd.failures import report

__all__ = ["quiet", "report_store"]

# By the start of SQLite's name for the error.
_SQLITE = {
    "SQLITE_FULL": errno.ENOSPC,
    "SQLITE_READONLY": errno.EACCES,
    "SQLITE_CANTOPEN": errno.EACCES,
    "SQLITE_IOERR": errno.EIO,
}


def quiet() -> None:
    """Leave out the traceback that MLflow logs of each error of its database, and raises besides."""
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def _of_sqlite(error: BaseException | None) -> int | None:
    """`errno` of the SQLite error that is behind an error."""
    while error is not None:
        if isinstance(error, sqlite3.Error):
            name = getattr(error, "sqlite_errorname", "")
            return next((number for start, number in _SQLITE.items() if name.startswith(start)), None)
        error = error.__cause__ or error.__context__
    return None


def report_store(error: Exception, database: Path) -> int:
    """One line on stderr; returns the exit code.

    Args:
        error: what the import raised.
        database: the SQLite file, where that is the store.
    """
    head, number = "error: MLflow import", _of_sqlite(error)
    if number is not None:
        return report(OSError(number, os.strerror(number), str(database)), head=head)
    if isinstance(error, (MlflowException, SQLAlchemyError)):
        # SQLAlchemy adds the statement, with all its parameters, and a link.
        text, _, _ = str(error).partition("[SQL:")
        return report(ValueError(" ".join(text.split())), head=head)
    return report(error, head=head)
