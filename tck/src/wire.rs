//! (4) Dynamic gRPC underneath the cast.
