"""What a run uses of its machine: which device, which sensors, how much in which phase."""
