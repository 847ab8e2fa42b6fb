# Each of these reads benchmark.json and finds the thousands of metrics.json by itself: no list of files on a command line.


rule resolve:
    output:
        f"{RESULTS}/benchmark.json",
    log:
        f"{RESULTS}/logs/resolve.log",
    threads: 1
    params:
        config=JOBS.as_json(),
    message:
        "Writing the resolved config"
    shell:
        "python -m workflow.scripts.resolve --config {params.config:q} --out {output:q} 2>&1 | tee {log:q} >&2"


rule aggregate:
    input:
        benchmark=f"{RESULTS}/benchmark.json",
        metrics=JOBS.grid.evaluation_metrics(),
    output:
        parquet=f"{RESULTS}/summary.parquet",
        csv=report(
            f"{RESULTS}/summary.csv",
            caption="../report/summary.rst",
            category="Results",
        ),
        mean=f"{RESULTS}/summary_mean.csv",
    log:
        f"{RESULTS}/logs/aggregate.log",
    benchmark:
        f"{RESULTS}/benchmarks/aggregate.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **resources_of(RESOURCES["collect"]),
    params:
        out=lambda wildcards, output: JOBS.folder(output.parquet),
    message:
        "Collecting all metrics in one table"
    shell:
        "python -m workflow.scripts.aggregate --benchmark {input.benchmark:q} --out {params.out:q}"
        " 2>&1 | tee {log:q} >&2"


rule significance:
    input:
        benchmark=f"{RESULTS}/benchmark.json",
        summary=f"{RESULTS}/summary.parquet",
    output:
        table=report(
            f"{RESULTS}/significance.csv",
            caption="../report/significance.rst",
            category="Results",
        ),
        overall=f"{RESULTS}/significance_overall.csv",
    log:
        f"{RESULTS}/logs/significance.log",
    benchmark:
        f"{RESULTS}/benchmarks/significance.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **resources_of(RESOURCES["collect"]),
    message:
        "Comparing every detector with the baseline, seed by seed"
    shell:
        "python -m workflow.scripts.significance --benchmark {input.benchmark:q} --summary {input.summary:q}"
        " --out {output.table:q} --overall {output.overall:q} 2>&1 | tee {log:q} >&2"


# The store itself is not declared: Snakemake would delete it before each import, and with it what its user added.
rule mlflow:
    input:
        benchmark=f"{RESULTS}/benchmark.json",
        metrics=JOBS.all_metrics(),
    output:
        f"{RESULTS}/mlflow-import.json",
    log:
        f"{RESULTS}/logs/mlflow.log",
    benchmark:
        f"{RESULTS}/benchmarks/mlflow.tsv"
    threads: RESOURCES["collect"]["threads"]
    resources:
        **resources_of(RESOURCES["collect"]),
    message:
        "Importing finished runs into MLflow"
    shell:
        "python -m workflow.scripts.mlflow_import --benchmark {input.benchmark:q} --out {output:q}"
        " 2>&1 | tee {log:q} >&2"


rule report:
    input:
        JOBS.all_metrics(),
        f"{RESULTS}/summary.parquet",
        (
            [f"{RESULTS}/significance.csv", f"{RESULTS}/significance_overall.csv"]
            if BENCHMARK["significance"]
            else []
        ),
        benchmark=f"{RESULTS}/benchmark.json",
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
        **resources_of(RESOURCES["collect"]),
    message:
        "Writing the report"
    shell:
        "python -m workflow.scripts.report --benchmark {input.benchmark:q} --out {output:q} 2>&1 | tee {log:q} >&2"
