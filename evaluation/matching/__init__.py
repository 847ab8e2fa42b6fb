"""Pictures against texts in a shared space: zero-shot classification and retrieval."""
