//! Use cases on a real SQLite store.
