"""Trainings that LLaMA-Factory did without the harness, made into runs with what their files tell."""
