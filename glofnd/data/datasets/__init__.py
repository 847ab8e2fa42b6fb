"""What is made of a source: one module per family of data sets, each building the splits that are sharded."""
