"""What the records of a sweep say when they are joined: arms, paired differences, fairness, a verdict."""
