//! Disk images in our form: which blocks hold data, and these blocks in frames of zstd, each with its digest.
