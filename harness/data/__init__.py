"""Datasets: what is read, generated and handed to LLaMA-Factory."""
