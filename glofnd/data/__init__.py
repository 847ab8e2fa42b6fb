"""Data: a catalogue of sources and data sets, shards made of them, and streams of batches read from shards."""

import sys
from importlib.util import find_spec

_MISSING = [name for name in ("numpy", "PIL", "torchvision") if find_spec(name) is None]
if _MISSING:
    _REMEDY = f"glofnd.data needs {', '.join(_MISSING)}: pip install 'glofnd[data]'"
    if sys.argv[0] == "-m":  # `python -m glofnd.data`, still being looked for
        raise SystemExit(f"error: {_REMEDY}")
    raise ModuleNotFoundError(_REMEDY, name=_MISSING[0])

from glofnd.data.prepare import fetch, shard  # noqa: E402

__all__ = ["fetch", "shard"]
