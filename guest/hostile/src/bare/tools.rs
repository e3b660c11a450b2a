//! What several families need.

use core::ops::Range;
use guest_rt::{boot, mmu, println};

/// The variant that the boot arguments ask for, where it ends the VM.
pub fn doom() -> &'static str {
    boot::value("variant").unwrap_or("")
}

/// Says that the next thing done ends this VM.
pub fn doomed(family: &str) {
    println!("DOOM {family}.{}", doom());
}

/// Says that the VM has outlived that.
pub fn survived(family: &str) {
    println!("FAIL {family}.{}: got life, want the VM's end", doom());
}

/// RAM, as the device tree tells it.
pub fn ram() -> Range<u64> {
    let register = boot::tree().and_then(|tree| tree.property(&["memory@40000000"], "reg"));
    let number = |at: usize| {
        let bytes = register.and_then(|bytes| bytes.get(at..at + 8)?.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    number(0)..number(0) + number(8)
}

/// RAM that holds neither this program nor, in whole words, the device tree.
pub fn free_ram() -> [Range<u64>; 2] {
    let (ram, layout) = (ram(), mmu::layout());
    let (image, tree) = (layout.text.start..layout.bss.end, boot::tree_address() as u64);
    let size = boot::tree_size() as u64;
    // The tree lies below the image on this machine and above it on the bare board.
    let below = if tree < image.start { (tree + size).next_multiple_of(8) } else { ram.start };
    let above = if tree > image.end { (tree + size).next_multiple_of(8) } else { image.end };
    [below..image.start, above..ram.end]
}
