//! Results → the table on standard output and the JSON file.

mod json;
mod machine;
mod markdown;
mod table;

pub use json::write;
pub use markdown::print as print_markdown;
pub use table::print;

fn show(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}
