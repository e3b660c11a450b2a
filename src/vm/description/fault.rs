//! What can be wrong with a VM description.

use thiserror::Error;

use super::{MAX_NAME, OWN_NAME};
use crate::platform::fdt::{FdtError, Node, Odd, Property};
use crate::vm::image::ImageError;
use crate::vm::tree::TreeError;

/// Why a description or a VM of it is refused. Each prints as one line: node, property, value
/// found, value wanted.
#[derive(Clone, Copy, Debug, Error)]
pub enum Fault<'a> {
    /// The description is no device tree.
    #[error("/: VM description: {0}")]
    Blob(FdtError),
    /// A property is missing or odd.
    #[error("{0}")]
    Property(Odd<'a>),
    /// A number is out of its range.
    #[error("{node}: {property}: found {found}, wanted {least} to {most}")]
    Number {
        /// The VM's node.
        node: Node<'a>,
        /// The property.
        property: &'static str,
        /// Its value.
        found: u64,
        /// The least that it may be.
        least: u64,
        /// The greatest.
        most: u64,
    },
    /// A property that no VM has: the VM's node, and the known name that comes nearest.
    #[error("{}: {}: found {}, wanted no such property{}",
            .0, .1.name(), .1.value(), Perhaps(*.2))]
    Unknown(Node<'a>, Property<'a>, Option<&'static str>),
    /// A node where none may be.
    #[error("{0}: found a node, wanted none within a VM")]
    Child(Node<'a>),
    /// A name that cannot be a VM's: its node.
    #[error("{}: name: found {} bytes, wanted at most {MAX_NAME} of letters, digits and ,._+-, \
             and not {OWN_NAME}", .0, .0.name().len())]
    Name(Node<'a>),
    /// A second VM of one name: its node.
    #[error("{0}: name: found it again, wanted one of its own")]
    NameTwice(Node<'a>),
    /// A mask without a pCPU of this machine.
    #[error(
        "{node}: affinity: found {found:#x} for vCPU {vcpu}, wanted at least one of the {pcpus} \
             lowest bits, the pCPUs there are"
    )]
    Affinity {
        /// The VM's node.
        node: Node<'a>,
        /// The vCPU.
        vcpu: usize,
        /// Its mask.
        found: u32,
        /// How many pCPUs the machine has.
        pcpus: usize,
    },
    /// Memory that is not there: the VM, the MiB that it wants, and what the VMs before it left.
    #[error("/{0}: memory-mib: found {1}, wanted at most {2}, what is left")]
    Memory(&'a str, u32, u64),
    /// Dedicated vCPUs that exceed the pCPUs, or leave none for the shared VMs.
    #[error("/{vm}: dedicated: found {found} dedicated vCPUs up to this VM, wanted at most \
             {most}: there are {pcpus} pCPUs{}",
            if .most < .pcpus { ", and the shared VMs need one" } else { "" })]
    Dedicated {
        /// The VM's name.
        vm: &'a str,
        /// The dedicated vCPUs of this VM and those before it.
        found: usize,
        /// How many there may be.
        most: usize,
        /// How many pCPUs the machine has.
        pcpus: usize,
    },
    /// Affinities that leave no pCPU to a vCPU, this VM's or another's: the VM, and the mask of
    /// its first vCPU.
    #[error(
        "/{0}: affinity: found {1:#x}, wanted masks that leave a pCPU of its own to each \
             dedicated vCPU and one to each shared vCPU"
    )]
    NoPcpu(&'a str, u8),
    /// A VM's image that cannot be loaded.
    #[error("/{0}: {1}")]
    Image(&'a str, ImageError),
    /// A VM's device tree that cannot be made or patched.
    #[error("/{0}: {1}")]
    Tree(&'a str, TreeError<'a>),
}

impl<'a> From<Odd<'a>> for Fault<'a> {
    fn from(odd: Odd<'a>) -> Self {
        Self::Property(odd)
    }
}

/// What may have been meant.
struct Perhaps(Option<&'static str>);

impl core::fmt::Display for Perhaps {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " (perhaps {name})"))
    }
}
