"""The commands of the workflow that are not training or evaluation."""
