//! What can be wrong with a machine's tree.

use thiserror::Error;

use crate::platform::fdt::{Node, Odd};

/// Why the hypervisor cannot run on the machine that the tree describes. Each prints as one line:
/// node, property, what was found and what was wanted.
#[derive(Clone, Copy, Debug, Error)]
pub enum MachineError<'a> {
    /// A property is missing or odd.
    #[error("{0}")]
    Property(Odd<'a>),
    /// There is no usable node of a kind: how it would be recognised.
    #[error("/: found no usable node of this kind, wanted {0}")]
    NoNode(&'static str),
    /// There are more of something than the hypervisor has room for: the last place where one was
    /// found, what it is, and how many there may be.
    #[error("{0}: found more {1}, wanted at most {2}")]
    TooMany(Place<'a>, &'static str, usize),
    /// A region ends beyond the address space: its place, first byte and size.
    #[error("{0}: found {2:#x} bytes at {1:#x}, wanted an end below 2^64")]
    RegionEnd(Place<'a>, u64, u64),
    /// The path or alias in `/chosen/stdout-path`, without options, leads nowhere.
    #[error("/chosen: stdout-path: found \"{0}\", wanted the path or alias of a node")]
    NoSuchPath(&'a str),
    /// Two CPUs have one affinity: the second one's node, the affinity, the first one's index.
    #[error("{0}: reg: found affinity {1:#x} of CPU {2} again, wanted one of its own")]
    CpuTwice(Node<'a>, u64, usize),
}

impl<'a> From<Odd<'a>> for MachineError<'a> {
    fn from(odd: Odd<'a>) -> Self {
        Self::Property(odd)
    }
}

/// Where a region was found: in a node's `reg`, or in `/memreserve/`.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a>(pub Option<Node<'a>>);

impl core::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(node) => write!(f, "{}: reg", node),
            None => write!(f, "/memreserve/"),
        }
    }
}
