rule fetch:
    output:
        f"{RAW}/{{source}}/source.json",
    log:
        f"{RESULTS}/logs/fetch/{{source}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fetch/{{source}}.tsv"
    retries: 2
    threads: RESOURCES["fetch"]["threads"]
    resources:
        **resources_of(RESOURCES["fetch"]),
    params:
        out=lambda wildcards, output: JOBS.folder(output[0]),
    message:
        "Fetching {wildcards.source}"
    shell:
        "python -m glofnd.data fetch --source {wildcards.source:q} --out {params.out:q} 2>&1 | tee {log:q} >&2"


rule shard:
    input:
        lambda wildcards: JOBS.source(wildcards.dataset),
    output:
        f"{SHARDS}/{{dataset}}/{{split}}/manifest.json",
    log:
        f"{RESULTS}/logs/shard/{{dataset}}.{{split}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/shard/{{dataset}}.{{split}}.tsv"
    threads: RESOURCES["shard"]["threads"]
    resources:
        **resources_of(RESOURCES["shard"]),
    params:
        config=lambda wildcards: JOBS.dataset_config(wildcards.dataset),
        raw=lambda wildcards, input: JOBS.option(
            "--raw", JOBS.folder(input[0]) if input else ""
        ),
        out=lambda wildcards, output: JOBS.folder(output[0]),
    message:
        "Sharding {wildcards.dataset}/{wildcards.split}"
    shell:
        "python -m glofnd.data shard --dataset-config {params.config:q} --name {wildcards.dataset:q}"
        " --split {wildcards.split:q} {params.raw} --out {params.out:q} --processes {threads}"
        " 2>&1 | tee {log:q} >&2"
