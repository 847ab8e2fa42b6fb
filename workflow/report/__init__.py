"""The benchmark's report: one HTML file that works offline, made from the files below `results/` and nothing else."""
