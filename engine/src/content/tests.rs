//! The content: what may be written, what follows, what is shown.
