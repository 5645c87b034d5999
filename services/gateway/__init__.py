import service_kit  # noqa: F401  # before gRPC is loaded
