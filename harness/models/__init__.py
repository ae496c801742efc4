"""What a model's files say of it, random weights of a shape, and the tiny base that ships with the project."""
