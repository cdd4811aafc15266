//! The shapes that need `unsafe`, in edition 2018.
#![deny(warnings, rust_2018_idioms, rust_2021_compatibility, clippy::all, clippy::pedantic)]
#![deny(unsafe_op_in_unsafe_fn)]
#![allow(clippy::borrow_as_ptr, clippy::missing_safety_doc, reason = "that is not the point")]

#[path = "../../../shapes/unsafe_functions.rs"]
mod unsafe_functions;
