"""A fleet of simulated vehicles that dial in exactly as a real vehicle agent does."""
