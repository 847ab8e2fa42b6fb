# A trunk is trained without any detector up to the epoch where the first one touches anything; runs branch from it.
# The rolling resume file beside a checkpoint is not declared, so that it survives a failed or cancelled job.
#
# A signal makes training write that file and end with code 75 at the next step. The shell and `tee` wait for it.
# `trainer` and `execution` are functions of the threads, and such parameters never make Snakemake train anew.


rule trunk:
    input:
        manifest=lambda wildcards: JOBS.training_manifest(wildcards.trunk),
        start=lambda wildcards: JOBS.start_of_trunk(wildcards.trunk, wildcards.epoch),
    output:
        checkpoint=f"{RESULTS}/trunks/{{trunk}}/epoch{{epoch}}/checkpoint.pt",
    log:
        f"{RESULTS}/logs/trunk/{{trunk}}/epoch{{epoch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/trunk/{{trunk}}/epoch{{epoch}}.tsv"
    priority: 100
    threads: lambda wildcards: JOBS.training_threads(wildcards.trunk)
    resources:
        **resources_of(RESOURCES["pretrain"]),
    params:
        config=lambda wildcards: JOBS.trunk_config(wildcards.trunk),
        trainer=lambda wildcards, threads: JOBS.trainer(wildcards.trunk),
        execution=lambda wildcards, threads: JOBS.execution(wildcards.trunk),
        shards=lambda wildcards, input: JOBS.folder(input.manifest),
        start=lambda wildcards, input: JOBS.option("--from", input.start),
        out=lambda wildcards, output: JOBS.folder(output.checkpoint),
    message:
        "Training trunk {wildcards.trunk} up to epoch {wildcards.epoch}"
    shell:
        "trap : INT TERM USR1; "
        "{params.trainer} {params.execution} --run-config {params.config:q} --shards {params.shards:q}"
        " {params.start} --until-epoch {wildcards.epoch} --out {params.out:q} 2>&1"
        " | (trap '' INT TERM USR1; exec tee {log:q} >&2)"


rule pretrain:
    input:
        manifest=lambda wildcards: JOBS.training_manifest(wildcards.run),
        start=lambda wildcards: JOBS.start_of_run(wildcards.run),
    output:
        checkpoint=f"{RESULTS}/runs/{{run}}/checkpoint.pt",
        history=f"{RESULTS}/runs/{{run}}/history.json",
        metrics=f"{RESULTS}/runs/{{run}}/metrics.json",
    log:
        f"{RESULTS}/logs/pretrain/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{run}}.tsv"
    priority: 50
    threads: lambda wildcards: JOBS.training_threads(wildcards.run)
    resources:
        **resources_of(RESOURCES["pretrain"]),
    params:
        config=lambda wildcards: JOBS.run_config(wildcards.run),
        trainer=lambda wildcards, threads: JOBS.trainer(wildcards.run),
        execution=lambda wildcards, threads: JOBS.execution(wildcards.run),
        shards=lambda wildcards, input: JOBS.folder(input.manifest),
        start=lambda wildcards, input: JOBS.option("--from", input.start),
        out=lambda wildcards, output: JOBS.folder(output.checkpoint),
    message:
        "Training {wildcards.run}"
    shell:
        "trap : INT TERM USR1; "
        "{params.trainer} {params.execution} --run-config {params.config:q} --shards {params.shards:q}"
        " {params.start} --out {params.out:q} 2>&1"
        " | (trap '' INT TERM USR1; exec tee {log:q} >&2)"
