import os

# gRPC's C core writes lines of its own to stderr, which no log processor sees; it reads this once, when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
