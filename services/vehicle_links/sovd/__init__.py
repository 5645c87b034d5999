"""The sovd link: a vehicle's own SOVD server (ISO 17978-3) over HTTP."""
