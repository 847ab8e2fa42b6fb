rule features:
    input:
        manifests=lambda wildcards: JOBS.feature_manifests(wildcards.run),
        checkpoint=lambda wildcards: JOBS.checkpoint(wildcards.run),
    output:
        manifest=f"{RESULTS}/runs/{{run}}/features/manifest.json",
    log:
        f"{RESULTS}/logs/features/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/features/{{run}}.tsv"
    priority: 20
    threads: RESOURCES["features"]["threads"]
    resources:
        **resources_of(RESOURCES["features"]),
        evaluating=1,
    params:
        source=lambda wildcards: JOBS.feature_source(wildcards.run),
        splits=lambda wildcards: JOBS.feature_splits(wildcards.run),
        prompts=lambda wildcards: JOBS.prompts(wildcards.run),
        out=lambda wildcards, output: JOBS.folder(output.manifest),
        shards=SHARDS,
    message:
        "Extracting features of {wildcards.run}"
    shell:
        "python -m evaluation features {params.source} --shards {params.shards:q} {params.splits}"
        " {params.prompts} --out {params.out:q} --threads {threads} 2>&1 | tee {log:q} >&2"


rule evaluate:
    input:
        features=f"{RESULTS}/runs/{{run}}/features/manifest.json",
    output:
        metrics=f"{RESULTS}/runs/{{run}}/{{evaluation}}/metrics.json",
    log:
        f"{RESULTS}/logs/{{evaluation}}/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{evaluation}}/{{run}}.tsv"
    wildcard_constraints:
        evaluation="(?!discovery|features|linear-paper|fine-tuning)[a-z-]+",
    priority: 10
    threads: RESOURCES["evaluate"]["threads"]
    resources:
        **resources_of(RESOURCES["evaluate"]),
        evaluating=1,
    params:
        tasks=lambda wildcards: JOBS.task_options(wildcards.run, wildcards.evaluation),
        features=lambda wildcards, input: JOBS.folder(input.features),
        out=lambda wildcards, output: JOBS.folder(output.metrics),
    message:
        "Evaluating {wildcards.run}: {wildcards.evaluation}"
    shell:
        "python -m evaluation {wildcards.evaluation} --features {params.features:q} {params.tasks}"
        " --out {params.out:q} --threads {threads} 2>&1 | tee {log:q} >&2"


# Trains on pictures: the frozen features cannot serve.
rule tune:
    input:
        manifests=lambda wildcards: JOBS.task_manifests(
            wildcards.run, wildcards.evaluation
        ),
        checkpoint=lambda wildcards: JOBS.checkpoint(wildcards.run),
    output:
        metrics=f"{RESULTS}/runs/{{run}}/{{evaluation}}/metrics.json",
    log:
        f"{RESULTS}/logs/{{evaluation}}/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{evaluation}}/{{run}}.tsv"
    wildcard_constraints:
        evaluation="linear-paper|fine-tuning",
    priority: 10
    threads: RESOURCES["tune"]["threads"]
    resources:
        **resources_of(RESOURCES["tune"]),
    params:
        source=lambda wildcards: JOBS.feature_source(wildcards.run),
        tasks=lambda wildcards: JOBS.task_options(wildcards.run, wildcards.evaluation),
        out=lambda wildcards, output: JOBS.folder(output.metrics),
        shards=SHARDS,
    message:
        "Evaluating {wildcards.run}: {wildcards.evaluation}"
    shell:
        "python -m evaluation {wildcards.evaluation} {params.source} --shards {params.shards:q} {params.tasks}"
        " --out {params.out:q} --threads {threads} --workers {threads} 2>&1 | tee {log:q} >&2"


rule discovery:
    input:
        manifests=lambda wildcards: JOBS.task_manifests(wildcards.run, "discovery"),
        checkpoint=lambda wildcards: JOBS.checkpoint(wildcards.run),
    output:
        metrics=f"{RESULTS}/runs/{{run}}/discovery/metrics.json",
        gallery=f"{RESULTS}/runs/{{run}}/discovery/gallery.npz",
    log:
        f"{RESULTS}/logs/discovery/{{run}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/discovery/{{run}}.tsv"
    priority: 15
    threads: RESOURCES["discovery"]["threads"]
    resources:
        **resources_of(RESOURCES["discovery"]),
        evaluating=1,
    params:
        source=lambda wildcards: JOBS.feature_source(wildcards.run),
        tasks=lambda wildcards: JOBS.task_options(wildcards.run, "discovery"),
        out=lambda wildcards, output: JOBS.folder(output.metrics),
        shards=SHARDS,
    message:
        "Evaluating {wildcards.run}: discovery"
    shell:
        "python -m evaluation discovery {params.source} --shards {params.shards:q} {params.tasks}"
        " --out {params.out:q} --threads {threads} 2>&1 | tee {log:q} >&2"
