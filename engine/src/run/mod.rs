//! Which job a machine gets next, and what its end means (`spec/machine-model.md` 4).

mod marks;

pub use marks::Marks;
