"""Whether this machine can train: each check looks at one thing, says what is there and, where it is wrong, the fix."""
