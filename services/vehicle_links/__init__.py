"""Ways to a vehicle that somebody dials: its SOVD server, its ECUs by UDS on DoIP; what a link is (vehicle_link.py)."""
