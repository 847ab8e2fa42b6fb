"""What a benchmark will cost before it is started: jobs, hours, storage and memory."""
