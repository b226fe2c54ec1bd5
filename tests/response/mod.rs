//! Responses: statuses, metadata and forms of resources.

mod downloads;
mod kept_lists;
mod large;
mod links;
mod listings;
mod pages;
mod precompressed;
mod seeks;
mod validators;
