"""Links to vehicles, one file per protocol."""
