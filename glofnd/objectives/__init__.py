"""What the loss does with the negatives a detector keeps."""
