//! OCI references, manifests and indexes (image-spec 1.1, distribution-spec 1.1).
