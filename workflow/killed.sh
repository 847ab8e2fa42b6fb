# shellcheck shell=bash
# Sourced by the shell of every job: says what the exit code of a command that the kernel has killed means, since the
# command itself cannot say anything any more.
trap '[ $? -ne 137 ] || echo "error: killed (SIGKILL), most likely because memory ran out: raise mem_mb of this rule \
below resources:, run fewer jobs at once (--cores), or lower batch_size" >&2' EXIT
