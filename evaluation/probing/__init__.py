"""Classifiers on a trained encoder: on its frozen features, and on pictures that go through it."""
