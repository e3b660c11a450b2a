//! The facts that the hypervisor needs of its machine.
