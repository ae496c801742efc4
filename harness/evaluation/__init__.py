"""What is asked of a run's base, adapter and merged model, and what they have answered already."""
