//! The device-tree module against a plain reader of the flattened format (Devicetree Specification
//! v0.4, chapter 5): the same blobs are good, and the same is in them.

use crate::input::with_aligned;
use mezzanine::platform::fdt::{Fdt, MAX_DEPTH};

/// A node: its path, and names and values of its properties.
type Plain = (String, Vec<(String, Vec<u8>)>);

/// Takes the bytes for a blob.
pub fn run(data: &[u8]) {
    with_aligned(data, |blob| {
        let plain = plain(blob);
        compare(blob, plain.as_deref());
    });
}

fn compare(blob: &[u8], plain: Option<&[Plain]>) {
    let read = Fdt::new(blob);
    assert_eq!(read.as_ref().map(|_| ()).ok(), plain.map(|_| ()), "{:?}", read.err());
    let (Ok(tree), Some(plain)) = (read, plain) else { return };
    assert_eq!(Fdt::total_size(blob).ok(), Some(tree.blob().len()));
    assert_eq!(tree.nodes().count(), plain.len());
    // A path is found by a walk from the start, so not too many of them.
    for (node, (path, properties)) in tree.nodes().zip(plain).take(100) {
        assert_eq!(node.to_string(), *path);
        let found: Vec<_> = node
            .properties()
            .map(|property| (property.name.to_string(), property.bytes.to_vec()))
            .collect();
        assert_eq!(found, *properties, "{path}");
        let by_path = tree.node(path).expect("a node is found by its path");
        assert_eq!(by_path.to_string(), *path);
        let parent = node.parent().map(|parent| parent.to_string());
        let wanted = path.rsplit_once('/').filter(|_| path != "/").map(|(parent, _)| parent);
        assert_eq!(parent.as_deref(), wanted.map(|path| if path.is_empty() { "/" } else { path }));
        for property in node.properties() {
            assert!(!format!("{property}").contains('\n'));
            let _ = (property.u32(), property.number(), property.string());
            let _ = property.strings().map(|list| list.count());
            let _ = property.cells().map(|cells| cells.count());
        }
        let _ = (node.is_enabled(), node.is_compatible("x"), node.phandle());
        let children = node.children().map(|child| child.parent().expect("it has one"));
        assert!(children.take(20).all(|parent| parent == node));
        let _ = node.reg().map(|reg| reg.count()).map_err(|odd| odd.to_string());
        let _ = node.mmio(0).map_err(|odd| odd.to_string());
    }
    let entries = tree.reservations().count();
    assert!(entries * 16 <= blob.len());
    let _ = (tree.phandle(1), tree.node("serial0"));
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
}

/// What is in a blob, if it is one.
fn plain(bytes: &[u8]) -> Option<Vec<Plain>> {
    let header: Vec<usize> = (0..10).map(|i| word(bytes, 4 * i)).collect::<Option<_>>()?;
    let [magic, total, structure, strings, reserved, version, oldest, _, names_size, size] =
        header.try_into().ok()?;
    let blob = bytes.get(..total).filter(|blob| blob.len() >= 40)?;
    let good = magic == 0xd00d_feed && version >= 17 && oldest <= 17;
    if !good || structure % 4 != 0 || reserved % 8 != 0 {
        return None;
    }
    // The entry of zeros that ends the reservations.
    blob.get(reserved..)?.chunks_exact(16).find(|entry| entry.iter().all(|byte| *byte == 0))?;
    let names = blob.get(strings..strings + names_size)?;
    let tokens = blob.get(structure..structure + size)?;
    let mut nodes: Vec<Plain> = Vec::new();
    // The names from the root down, and whether the last token was an end.
    let (mut open, mut ended): (Vec<String>, bool) = (Vec::new(), false);
    let mut at = 0;
    loop {
        let token = word(tokens, at)?;
        at += 4;
        match token {
            1 => {
                let name = name(tokens, at)?;
                at = (at + name.len() + 1).next_multiple_of(4);
                let is_root = open.is_empty();
                if is_root != nodes.is_empty() || !is_root && name.is_empty() {
                    return None;
                }
                if open.len() == MAX_DEPTH {
                    return None;
                }
                // The root's name, if it has one, is no part of a path.
                open.push(if is_root { String::new() } else { name });
                let path = open.join("/");
                nodes.push((if is_root { "/".into() } else { path }, Vec::new()));
                ended = false;
            }
            2 => {
                open.pop()?;
                ended = true;
            }
            3 => {
                let (len, offset) = (word(tokens, at)?, word(tokens, at + 4)?);
                let value = tokens.get(at + 8..at + 8 + len)?;
                at = (at + 8 + len).next_multiple_of(4);
                // Padding belongs to the block, too.
                tokens.get(..at)?;
                let name = name(names, offset).filter(|name| !name.is_empty())?;
                if open.is_empty() || ended {
                    return None;
                }
                nodes.last_mut()?.1.push((name, value.to_vec()));
            }
            4 => {}
            9 => return (open.is_empty() && !nodes.is_empty()).then_some(nodes),
            _ => return None,
        }
    }
}

/// Printable ASCII without blanks and `/`, at most 254 bytes of it, and a NUL.
fn name(bytes: &[u8], at: usize) -> Option<String> {
    let bytes = bytes.get(at..)?;
    let name = &bytes[..bytes.iter().position(|byte| *byte == 0)?];
    let plain = name.iter().all(|byte| (0x21..0x7f).contains(byte) && *byte != b'/');
    (plain && name.len() < 255).then(|| String::from_utf8_lossy(name).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The class of a reader that goes on behind a property's end, as if bytes had been lost.
    #[test]
    fn a_value_that_is_cut_is_found() {
        crate::bite::assert_bites("fdt", run, |data| {
            with_aligned(data, |blob| {
                let mut plain = plain(blob);
                for (_, properties) in plain.iter_mut().flatten() {
                    if let Some((_, value)) = properties.last_mut() {
                        value.pop();
                    }
                }
                compare(blob, plain.as_deref());
            });
        });
    }

    /// fdt-rs 0.4.5 takes a blob cut short as good.
    #[test]
    fn a_truncated_blob_that_passes_is_found() {
        crate::bite::assert_bites("fdt", run, |data| {
            with_aligned(data, |blob| {
                let whole = plain(blob);
                let cut = &blob[..blob.len() - blob.len().min(1)];
                compare(cut, whole.as_deref());
            });
        });
    }

    #[test]
    fn the_corpus_is_read() {
        crate::bite::assert_deep("fdt", |data| with_aligned(data, |blob| Fdt::new(blob).is_ok()));
    }
}
