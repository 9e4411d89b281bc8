//! Machines as requests make and change them.
