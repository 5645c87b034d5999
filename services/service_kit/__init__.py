import os

# gRPC's C core reads these once, when it is loaded: whoever uses it loads this package first.
# It writes lines of its own to stderr, which no log processor sees; what they say reaches us as errors and statuses.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Its event engine hands what it has read from thread to thread before the event loop hears of it; without it the thread
# that waits reads as well (docs/adr/0023).
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
