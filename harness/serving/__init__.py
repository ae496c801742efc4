"""A finished run put to use: merged, talked to, served."""
