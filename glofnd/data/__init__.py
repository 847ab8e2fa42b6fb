"""Data sets as shards: fetching, writing, and streaming with a stable index."""
