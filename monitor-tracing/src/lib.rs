#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

mod reentrancy;
mod fields;
mod sites;
mod spans;
mod presence;
mod layer;
mod none;
mod install;

pub use install::init;
pub use layer::{MonitorLayer, layer};
