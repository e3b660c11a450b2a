//! Virtual machines: description, images, the guest's device tree, life cycle.

pub mod description;
pub mod image;
pub mod layout;
pub mod tree;
