# All evaluations of a run in one process, which reads checkpoint and data once. Each evaluation's metrics.json is not
# declared, so that one that fails leaves the others'; the next call makes only what is missing or changed.


rule evaluate:
    input:
        manifests=lambda wildcards: GRID.evaluation_manifests(GRID.run(wildcards.run)),
        checkpoint=lambda wildcards: GRID.checkpoint(GRID.run(wildcards.run)),
        weights=lambda wildcards: GRID.own_weights(GRID.run(wildcards.run)),
        data=lambda wildcards: SESSION.after_the_check(
            checkpoints.check, f"{RESULTS}/runs/{wildcards.run}/evaluations.json"
        ),
    output:
        f"{RESULTS}/runs/{{run}}/evaluations.json",
    log:
        f"{RESULTS}/logs/evaluate/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate/{{run}}.tsv"
    priority: lambda wildcards: 20 + GRID.urgency(wildcards.run)
    threads: RESOURCES["evaluate"]["threads"]
    resources:
        **RESOURCES["evaluate"]["resources"],
    params:
        tasks=lambda wildcards: digest(
            [
                GRID.all_tasks(GRID.run(wildcards.run)),
                GRID.deciding(GRID.run_config(GRID.run(wildcards.run))),
            ]
        ),
        files=lambda wildcards: SESSION.task_files(wildcards.run),
    message:
        "Evaluating {wildcards.run}"
    shell:
        "job --threads {threads} evaluate --run {wildcards.run:q} > >(log {log:q}) 2>&1"
