//! What can be wrong with a machine's tree.

use core::fmt;

use crate::platform::fdt::{Node, Odd};

/// Why the hypervisor cannot run on the machine that the tree describes. Each prints as one line:
/// node, property, what was found and what was wanted.
#[derive(Clone, Copy, Debug)]
pub enum MachineError<'a> {
    /// A property is missing or odd.
    Property(Odd<'a>),
    /// There is no usable node of a kind.
    NoNode {
        /// How it would be recognised.
        wanted: &'static str,
    },
    /// There are more of something than the hypervisor has room for.
    TooMany {
        /// The node that is one too many, or `None` for `/memreserve/`.
        node: Option<Node<'a>>,
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// A region ends beyond the address space.
    RegionEnd {
        /// The node, or `None` for `/memreserve/`.
        node: Option<Node<'a>>,
        /// Where it begins.
        base: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A path or alias in `/chosen/stdout-path` leads nowhere.
    NoSuchPath {
        /// The path, without options.
        path: &'a str,
    },
    /// Two CPUs have one affinity.
    CpuTwice {
        /// The second one's node.
        node: Node<'a>,
        /// The affinity of both.
        mpidr: u64,
        /// The index of the first.
        first: usize,
    },
}

impl<'a> From<Odd<'a>> for MachineError<'a> {
    fn from(odd: Odd<'a>) -> Self {
        Self::Property(odd)
    }
}

struct Place<'a>(Option<Node<'a>>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(node) => write!(f, "{}: reg", node.path()),
            None => write!(f, "/memreserve/"),
        }
    }
}

impl fmt::Display for MachineError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Property(odd) => odd.fmt(f),
            Self::NoNode { wanted } => {
                write!(f, "/: found no usable node of this kind, wanted {wanted}")
            }
            Self::TooMany { node, what, limit } => {
                write!(
                    f,
                    "{}: found more {what}, wanted at most {limit}",
                    Place(node)
                )
            }
            Self::RegionEnd { node, base, size } => write!(
                f,
                "{}: found {size:#x} bytes at {base:#x}, wanted an end below 2^64",
                Place(node)
            ),
            Self::NoSuchPath { path } => write!(
                f,
                "/chosen: stdout-path: found \"{path}\", wanted the path or alias of a node"
            ),
            Self::CpuTwice { node, mpidr, first } => write!(
                f,
                "{}: reg: found affinity {mpidr:#x} of CPU {first} again, wanted one of its own",
                node.path()
            ),
        }
    }
}
