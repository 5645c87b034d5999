"""Links to vehicles, one package per protocol."""
