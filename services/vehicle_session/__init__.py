"""The vehicle's side of the session protocol: it dials a connector, is handed commands, and keeps what it says."""
