//! Prints the device tree that it was given, byte by byte: lines `TREE <offset> <bytes>`, all in
//! hexadecimal, then `TREE end`.

use guest_rt::{boot, println};

/// Bytes in a line.
const LINE: usize = 32;

struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The probe.
pub fn run() {
    // SAFETY: the tree that the boot loader gave, and its own size.
    let tree = unsafe {
        core::slice::from_raw_parts(boot::tree_address() as *const u8, boot::tree_size())
    };
    for (number, bytes) in tree.chunks(LINE).enumerate() {
        println!("TREE {:x} {}", number * LINE, Hex(bytes));
    }
    println!("TREE end");
}
