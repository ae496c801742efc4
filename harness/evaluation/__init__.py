"""Scores a model on a benchmark: evalscope asks and marks, the model answers in a child process of its own."""
