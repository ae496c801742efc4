"""Training in a child process by LLaMA-Factory."""
