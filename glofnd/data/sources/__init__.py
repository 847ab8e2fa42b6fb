"""Where data comes from: one module per way of getting it, each leaving verified files."""
