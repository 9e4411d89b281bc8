//! Compressed streams, known by their first bytes and bounded in memory and ratio.
