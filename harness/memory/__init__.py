"""What memory a run will need, before it runs."""
