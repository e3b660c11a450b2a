//! Nodes within a VM's node: what lies in its memory besides kernel, initrd and tree. A file more
//! in its RAM, or read-only memory at an IPA outside of it, as a board's flash.

#[cfg(test)]
mod tests;

use super::{Fault, Limits, Reader, VmConfig};
use crate::device;
use crate::memory::{BLOCK_SIZE, PAGE_SIZE, align_up};
use crate::platform::fdt::{Fdt, Node};
use crate::vm::layout::RAM_BASE;

/// Bytes of an IPA space that the node claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region<'a> {
    /// The node's name.
    pub name: &'a str,
    /// IPA of its first byte.
    pub address: u64,
    /// How many bytes it takes; behind `data` they are zero.
    pub size: u64,
    /// What is loaded there.
    pub data: &'a [u8],
    /// Whether it is memory of its own that the guest can't write. Else it is RAM.
    pub read_only: bool,
}

impl<'a> Region<'a> {
    /// Reads one node of `vm`, whose RAM and other regions are known.
    pub(super) fn read(
        tree: &Fdt<'a>,
        node: Node<'a>,
        vm: &VmConfig<'a>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let mut region = Self { name: node.name(), ..Self::default() };
        for property in node.properties() {
            let read = Reader { tree, vm: node, property };
            match property.name {
                "address" => region.address = read.address()?,
                "size" => region.size = read.number(1, u32::MAX)?.into(),
                "data" => region.data = read.image()?,
                "read-only" => region.read_only = read.flag()?,
                "phandle" | "linux,phandle" => {}
                name => {
                    let wanted = "address, size, data or read-only";
                    return Err(Fault::new(format_args!("{node}: {name}"), property, wanted));
                }
            }
        }
        node.required("address", "an IPA of two cells (/bits/ 64)", |_| Some(()))?;
        let least = region.data.len() as u64;
        if region.size == 0 {
            region.size = least;
        }
        if region.size == 0 || region.size < least {
            let wanted = format_args!("at least the bytes of `data`, {least:#x}, and not 0");
            return Err(Fault::new(format_args!("{node}: size"), region.size, wanted));
        }
        if region.read_only {
            region.size = align_up(region.size, PAGE_SIZE).unwrap_or(u64::MAX);
        }
        let (start, end) = (region.address, region.address.saturating_add(region.size));
        let ram = RAM_BASE.get()..RAM_BASE.get().saturating_add(vm.memory());
        let meets = |from: u64, size: u64| start < from.saturating_add(size) && from < end;
        let devices = [
            (device::GICD_BASE, device::GICD_SIZE),
            (device::GICR_BASE, device::GICR_STRIDE.saturating_mul(vm.cpus as u64)),
            (device::UART_BASE, device::UART_SIZE),
            (device::STOLEN_TIME_BASE, PAGE_SIZE),
        ];
        let free = !devices.iter().any(|(from, size)| meets(*from, *size))
            && !vm.regions.iter().any(|other| meets(other.address, other.size));
        let space = 1u64.checked_shl(limits.ipa_bits).unwrap_or(u64::MAX);
        let (fits, wanted) = if region.read_only {
            let fits = start % PAGE_SIZE == 0 && end <= space && !meets(ram.start, vm.memory());
            (fits, "a multiple of 4 KiB, and to lie apart from RAM, devices and other regions")
        } else {
            let fits = start >= ram.start && end <= ram.end;
            (fits, "to lie in RAM and apart from other regions, or read-only")
        };
        if !fits || !free {
            let found = format_args!("{:#x} bytes at {start:#x}", region.size);
            return Err(Fault::new(format_args!("{node}: address"), found, wanted));
        }
        Ok(region)
    }

    /// Frames of 2 MiB that it needs besides RAM.
    pub fn frames(&self) -> u64 {
        if self.read_only { self.size.div_ceil(BLOCK_SIZE) } else { 0 }
    }
}
