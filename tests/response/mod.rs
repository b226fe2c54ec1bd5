//! What a client is told of a resource, and in which form it gets it.

mod downloads;
mod kept_lists;
mod links;
mod listings;
mod pages;
mod precompressed;
mod validators;
