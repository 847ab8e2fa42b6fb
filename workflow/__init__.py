"""The benchmark around the method: config, grid of runs, aggregation, MLflow and report."""
