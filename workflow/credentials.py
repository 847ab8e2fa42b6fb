"""Passwords in the address of a tracking store: they would stand in results, logs and the list of processes."""

from __future__ import annotations

import re

__all__ = ["ADVICE", "has_secret"]

ADVICE = (
    "leave it out of the address; a server's goes into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, "
    "PostgreSQL's into ~/.pgpass or PGPASSWORD (docs/mlflow.md)"
)

# `user:password@`, as SQLAlchemy reads it: also with a slash in the password. A port is none.
_PASSWORD = re.compile(r"://[^:/?#@]*:(?!\d+(?:/|$))[^@]+@")
_PARAMETER = re.compile(r"[?&](?:\w*(?:password|passwd|pwd|token|secret)|api_?key)=", re.IGNORECASE)


def has_secret(address: str) -> bool:
    """Whether an address carries a password, before its host or as a parameter."""
    return bool(_PASSWORD.search(address) or _PARAMETER.search(address))
