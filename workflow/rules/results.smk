# These read benchmark.json and find the metrics.json of all runs by themselves: no list of files on a command line.


rule tables:
    input:
        lambda wildcards: GRID.evaluated(),
    output:
        f"{RESULTS}/summary.parquet",
        f"{RESULTS}/summary_mean.csv",
        report(
            f"{RESULTS}/summary.csv",
            caption="../report/summary.rst",
            category="Results",
        ),
        (
            [
                report(
                    f"{RESULTS}/significance.csv",
                    caption="../report/significance.rst",
                    category="Results",
                ),
                f"{RESULTS}/significance_overall.csv",
            ]
            if GRID.config["significance"]
            else []
        ),
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/benchmarks/tables.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **RESOURCES["collect"]["resources"],
    params:
        config=digest(GRID.config),
    message:
        "Collecting all metrics, and comparing every detector with the baseline, seed by seed"
    shell:
        "job tables > >(log {log:q}) 2>&1"


rule report:
    input:
        GRID.training_metrics(),
        rules.tables.output,
    output:
        report(
            f"{RESULTS}/report.html",
            caption="../report/report.rst",
            category="Results",
        ),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **RESOURCES["collect"]["resources"],
    params:
        config=digest(GRID.config),
    message:
        "Writing the report"
    shell:
        "job report > >(log {log:q}) 2>&1"


# The store itself is not declared: Snakemake would delete it before each import, and with it what its user added.
rule mlflow:
    input:
        GRID.training_metrics(),
        lambda wildcards: GRID.evaluated(),
        rules.report.output,
    output:
        f"{RESULTS}/mlflow-import.json",
    log:
        f"{RESULTS}/logs/mlflow.log",
    benchmark:
        f"{RESULTS}/benchmarks/mlflow.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **RESOURCES["collect"]["resources"],
    params:
        config=digest(GRID.config),
    message:
        "Importing finished runs into MLflow"
    shell:
        "job mlflow > >(log {log:q}) 2>&1"
