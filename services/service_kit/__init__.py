import os

# gRPC's C core writes lines of its own to stderr, which no log processor sees; what they say reaches us as errors and
# statuses, too. It reads this once, when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
