# Before any training: what is wrong with sources and data sets shows in the first minutes.


rule fetch:
    output:
        f"{RAW}/{{source}}/source.json",
    log:
        f"{RESULTS}/logs/fetch/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/{{source}}.tsv"
    priority: 300
    retries: 2
    threads: RESOURCES["fetch"]["threads"]
    resources:
        **RESOURCES["fetch"]["resources"],
    message:
        "Fetching {wildcards.source}"
    shell:
        "job fetch --source {wildcards.source:q} > >(log {log:q}) 2>&1"


rule shard:
    input:
        lambda wildcards: GRID.source(wildcards.dataset),
    output:
        f"{SHARDS}/{{dataset}}/{{split}}/manifest.json",
    log:
        f"{RESULTS}/logs/shard/{{dataset}}.{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shard/{{dataset}}.{{split}}.tsv"
    priority: 200
    threads: RESOURCES["shard"]["threads"]
    resources:
        **RESOURCES["shard"]["resources"],
    params:
        config=lambda wildcards: digest(
            [FORMAT, GRID.config["datasets"][wildcards.dataset]]
        ),
        own_files=lambda wildcards: SESSION.own_files(wildcards.dataset),
    message:
        "Sharding {wildcards.dataset}/{wildcards.split}"
    shell:
        "job --threads {threads} shard --dataset {wildcards.dataset:q} --split {wildcards.split:q}"
        " > >(log {log:q}) 2>&1"


# Splits against each other and against the config, once all are there. A checkpoint, and not an input of trainings: what
# is trained already stays when there are other data to be checked.
checkpoint check:
    input:
        [f"{GRID.shards(*split)}/manifest.json" for split in GRID.splits_read()],
    output:
        f"{RESULTS}/data-checked.json",
    log:
        f"{RESULTS}/logs/check.log",
    benchmark:
        f"{RESULTS}/benchmarks/check.tsv"
    priority: 195
    threads: RESOURCES["shard"]["threads"]
    resources:
        **RESOURCES["shard"]["resources"],
    params:
        config=digest(GRID.config["experiments"]),
    message:
        "Checking all data before anything is trained"
    shell:
        "job --threads {threads} check > >(log {log:q}) 2>&1"
