"""What is done with a finished run: merge its adapter, talk to its model, serve it."""
