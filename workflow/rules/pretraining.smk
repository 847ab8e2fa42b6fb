# A trunk is trained without any detector up to the epoch where the first one touches anything; runs branch from it.
# The rolling resume file beside a checkpoint is not declared, so that it survives a failed or cancelled job. A signal
# makes training write that file and end with code 75 at the next step.
# `command` is a function of the threads, and such parameters never make Snakemake train anew.


rule trunk:
    input:
        manifest=lambda wildcards: f"{GRID.training_shards(wildcards.trunk)}/manifest.json",
        start=lambda wildcards: GRID.trunk_checkpoint(
            GRID.start_of_trunk(GRID.trunk(wildcards.trunk, int(wildcards.epoch)))
        ),
        weights=lambda wildcards: GRID.first_weights(wildcards.trunk),
        data=lambda wildcards: SESSION.after_the_check(
            checkpoints.check,
            f"{RESULTS}/trunks/{wildcards.trunk}/epoch{wildcards.epoch}/checkpoint.pt",
        ),
    output:
        checkpoint=f"{RESULTS}/trunks/{{trunk}}/epoch{{epoch}}/checkpoint.pt",
        # Removed with it before a training anew, so that nobody takes it for that one's.
        history=f"{RESULTS}/trunks/{{trunk}}/epoch{{epoch}}/history.json",
    log:
        f"{RESULTS}/logs/trunk/{{trunk}}/epoch{{epoch}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/trunk/{{trunk}}/epoch{{epoch}}.tsv"
    priority: lambda wildcards: 100 + GRID.urgency(wildcards.trunk)
    threads: lambda wildcards: SESSION.training_threads(wildcards.trunk)
    resources:
        **RESOURCES["pretrain"]["resources"],
    params:
        config=lambda wildcards: digest(
            GRID.deciding(GRID.trunk_config(GRID.trunk(wildcards.trunk, 0)))
        ),
        command=lambda wildcards, threads: SESSION.training(JOB, wildcards.trunk),
    message:
        "Training trunk {wildcards.trunk} up to epoch {wildcards.epoch}"
    shell:
        "exec {params.command} trunk --trunk {wildcards.trunk:q} --epoch {wildcards.epoch}"
        " > >(log {log:q}) 2>&1"


rule pretrain:
    input:
        manifest=lambda wildcards: f"{GRID.training_shards(wildcards.run)}/manifest.json",
        start=lambda wildcards: GRID.trunk_checkpoint(
            GRID.start_of_run(GRID.run(wildcards.run))
        ),
        weights=lambda wildcards: GRID.first_weights(wildcards.run),
        data=lambda wildcards: SESSION.after_the_check(
            checkpoints.check, f"{RESULTS}/runs/{wildcards.run}/checkpoint.pt"
        ),
    output:
        checkpoint=f"{RESULTS}/runs/{{run}}/checkpoint.pt",
        history=f"{RESULTS}/runs/{{run}}/history.json",
        metrics=f"{RESULTS}/runs/{{run}}/metrics.json",
    log:
        f"{RESULTS}/logs/pretrain/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/pretrain/{{run}}.tsv"
    priority: lambda wildcards: 50 + GRID.urgency(wildcards.run)
    threads: lambda wildcards: SESSION.training_threads(wildcards.run)
    resources:
        **RESOURCES["pretrain"]["resources"],
    params:
        config=lambda wildcards: digest(
            GRID.deciding(GRID.run_config(GRID.run(wildcards.run)))
        ),
        command=lambda wildcards, threads: SESSION.training(JOB, wildcards.run),
    message:
        "Training {wildcards.run}"
    shell:
        "exec {params.command} pretrain --run {wildcards.run:q} > >(log {log:q}) 2>&1"
