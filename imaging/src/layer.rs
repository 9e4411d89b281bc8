//! Tar archives and OCI layers, unpacked beneath a folder and never beside it.
