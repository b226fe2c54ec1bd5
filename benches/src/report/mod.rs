//! Results → the table on standard output and the JSON file.

mod json;
mod table;

pub use json::write;
pub use table::print;
