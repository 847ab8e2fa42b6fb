"""Data: a catalogue of sources and data sets, shards made of them, and streams of batches read from shards."""

from importlib.util import find_spec

_MISSING = [name for name in ("numpy", "PIL", "torchvision") if find_spec(name) is None]
if _MISSING:
    raise ModuleNotFoundError(f"glofnd.data needs {', '.join(_MISSING)}: pip install 'glofnd[data]'", name=_MISSING[0])

from glofnd.data.prepare import fetch, shard  # noqa: E402

__all__ = ["fetch", "shard"]
