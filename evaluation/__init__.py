"""Evaluation of frozen encoders, discovery of false negatives, and significance; pure functions and thin commands."""
