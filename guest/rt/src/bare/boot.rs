//! What the boot loader hands over: the device tree, and in it the boot arguments.

use crate::fdt::Tree;
use core::sync::atomic::{AtomicUsize, Ordering};

static TREE: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn set_tree(address: usize) {
    TREE.store(address, Ordering::Relaxed);
}

/// The address that x0 held at the start: the device tree's, or 0.
pub fn tree_address() -> usize {
    TREE.load(Ordering::Relaxed)
}

/// The device tree's size in bytes, 0 if there is none.
pub fn tree_size() -> usize {
    let address = tree_address();
    if address == 0 || !address.is_multiple_of(8) {
        return 0;
    }
    // SAFETY: the boot protocol puts a device tree at the address in x0, in RAM that nothing else
    // uses. The first eight bytes are its magic and size.
    let header = unsafe { core::slice::from_raw_parts(address as *const u8, 8) };
    Tree::total_size(header).unwrap_or(0)
}

/// The device tree, if the boot loader gave one.
pub fn tree() -> Option<Tree<'static>> {
    let size = tree_size();
    if size == 0 {
        return None;
    }
    // SAFETY: as above, with the size that the tree itself states.
    Tree::new(unsafe { core::slice::from_raw_parts(tree_address() as *const u8, size) })
}

/// The boot arguments (`/chosen/bootargs`), empty if there are none.
pub fn args() -> &'static str {
    tree().and_then(|tree| tree.string(&["chosen"], "bootargs")).unwrap_or("")
}

/// Whether a word stands among the boot arguments.
pub fn has(word: &str) -> bool {
    args().split_ascii_whitespace().any(|w| w == word)
}

/// The value of `name=value` among the boot arguments, if it is there.
pub fn value(name: &str) -> Option<&'static str> {
    args()
        .split_ascii_whitespace()
        .filter_map(|word| word.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The same for a value that is a decimal number.
pub fn number(name: &str) -> Option<u64> {
    value(name)?.parse().ok()
}

/// How many CPUs the tree lists, at least 1.
pub fn cpus() -> usize {
    tree().map_or(1, |tree| tree.count(&["cpus"], "cpu@")).max(1)
}
