"""The session link: the vehicle dials in over gRPC, one bidirectional stream (sovd_protos/session/v1)."""
