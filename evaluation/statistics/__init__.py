"""What differences between methods show: over seeds, over test samples, over many tasks (docs/significance.md)."""
