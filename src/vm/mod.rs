//! Virtual machines: description, images, the guest's device tree, life cycle.

pub mod description;
mod frame;
pub mod image;
pub mod tree;

pub use frame::Frame;
