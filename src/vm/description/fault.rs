//! What can be wrong with a VM description.

use core::fmt;

use super::{MAX_NAME, OWN_NAME};
use crate::platform::fdt::{FdtError, Node, Odd, Property};
use crate::vm::image::ImageError;
use crate::vm::tree::TreeError;

/// Why a description or a VM of it is refused. Each prints as one line: node, property, value
/// found, value wanted.
#[derive(Clone, Copy, Debug)]
pub enum Fault<'a> {
    /// The description is no device tree.
    Blob(FdtError),
    /// A property is missing or odd.
    Property(Odd<'a>),
    /// A number is out of its range.
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
    /// A property that no VM has.
    Unknown {
        /// The VM's node.
        node: Node<'a>,
        /// The property.
        property: Property<'a>,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A node where none may be.
    Child {
        /// The node.
        node: Node<'a>,
    },
    /// A name that cannot be a VM's.
    Name {
        /// The VM's node.
        node: Node<'a>,
    },
    /// A second VM of one name.
    NameTwice {
        /// The second VM's node.
        node: Node<'a>,
    },
    /// A mask without a pCPU of this machine.
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
    /// Memory that is not there.
    Memory {
        /// The VM's name.
        vm: &'a str,
        /// The MiB that it wants.
        found: u32,
        /// The MiB that the VMs before it left.
        left: u64,
    },
    /// Dedicated vCPUs that exceed the pCPUs, or leave none for the shared VMs.
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
    /// Affinities that leave no pCPU to a vCPU, this VM's or another's.
    NoPcpu {
        /// The VM's name.
        vm: &'a str,
        /// The pCPUs that its first vCPU may run on.
        found: u8,
    },
    /// An image that cannot be loaded.
    Image {
        /// The VM's name.
        vm: &'a str,
        /// What is wrong.
        error: ImageError,
    },
    /// A device tree that cannot be made or patched.
    Tree {
        /// The VM's name.
        vm: &'a str,
        /// What is wrong.
        error: TreeError<'a>,
    },
}

impl<'a> From<Odd<'a>> for Fault<'a> {
    fn from(odd: Odd<'a>) -> Self {
        Self::Property(odd)
    }
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Blob(error) => write!(f, "/: VM description: {error}"),
            Self::Property(odd) => odd.fmt(f),
            Self::Number {
                node,
                property,
                found,
                least,
                most,
            } => write!(
                f,
                "{}: {property}: found {found}, wanted {least} to {most}",
                node.path()
            ),
            Self::Unknown {
                node,
                property,
                nearest,
            } => {
                write!(
                    f,
                    "{}: {}: found {}, wanted ",
                    node.path(),
                    property.name(),
                    property.value()
                )?;
                match nearest {
                    Some(name) => write!(f, "no such property (perhaps {name})"),
                    None => write!(f, "no such property"),
                }
            }
            Self::Child { node } => {
                write!(f, "{}: found a node, wanted none within a VM", node.path())
            }
            Self::Name { node } => write!(
                f,
                "{}: name: found {} bytes, wanted at most {MAX_NAME} of letters, digits and ,._+-, \
                 and not {OWN_NAME}",
                node.path(),
                node.name().len()
            ),
            Self::NameTwice { node } => {
                write!(
                    f,
                    "{}: name: found it again, wanted one of its own",
                    node.path()
                )
            }
            Self::Affinity {
                node,
                vcpu,
                found,
                pcpus,
            } => write!(
                f,
                "{}: affinity: found {found:#x} for vCPU {vcpu}, \
                 wanted at least one of the {pcpus} lowest bits, the pCPUs there are",
                node.path()
            ),
            Self::Memory { vm, found, left } => {
                write!(
                    f,
                    "/{vm}: memory-mib: found {found}, wanted at most {left}, what is left"
                )
            }
            Self::Dedicated {
                vm,
                found,
                most,
                pcpus,
            } => {
                write!(
                    f,
                    "/{vm}: dedicated: found {found} dedicated vCPUs up to this VM, wanted at \
                     most {most}: there are {pcpus} pCPUs"
                )?;
                let shared = if most < pcpus {
                    ", and the shared VMs need one"
                } else {
                    ""
                };
                write!(f, "{shared}")
            }
            Self::NoPcpu { vm, found } => write!(
                f,
                "/{vm}: affinity: found {found:#x}, wanted masks that leave a pCPU of its own to \
                 each dedicated vCPU and one to each shared vCPU"
            ),
            Self::Image { vm, error } => write!(f, "/{vm}: {error}"),
            Self::Tree { vm, error } => write!(f, "/{vm}: {error}"),
        }
    }
}
