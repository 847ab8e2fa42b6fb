"""Who a detector takes for a false negative, against the labels."""
