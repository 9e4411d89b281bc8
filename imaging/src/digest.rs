//! Digests (`sha256:...`) of what is streamed.
