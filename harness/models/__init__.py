"""The tiny base model that ships with the project, and the script that made it."""
