use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use testing::{Blob, Tree, cases, spoiled};

pub(crate) mod testing;

/// A tree with something of everything.
fn sample() -> Tree {
    Tree::default()
        .cells("/", "#address-cells", &[2])
        .cells("/", "#size-cells", &[2])
        .text("/aliases", "serial0", "/soc@f0000000/uart@1000")
        .text("/aliases", "bus", "/soc@f0000000")
        .cells("/memory@40000000", "reg", &[0, 0x4000_0000, 1, 0])
        .cells("/soc@f0000000", "#address-cells", &[1])
        .cells("/soc@f0000000", "#size-cells", &[1])
        .cells("/soc@f0000000", "ranges", &[0, 0, 0xf000_0000, 0x10_0000])
        .cells("/soc@f0000000/uart@1000", "reg", &[0x1000, 0x100, 0x2000, 0x80])
        .text("/soc@f0000000/uart@1000", "compatible", "arm,pl011\0arm,primecell")
        .cells("/soc@f0000000/uart@1000", "phandle", &[7])
        .bytes("/soc@f0000000/uart@1000", "empty", &[])
        .text("/soc@f0000000/off", "status", "disabled")
        .node("/soc@f0000000/off/behind")
}

fn error(bytes: &[u8]) -> String {
    Fdt::new(&Blob::new(bytes)).err().map_or("no error".into(), |error| error.to_string())
}

#[test]
fn nodes_come_in_order_with_their_paths() {
    let blob = sample().blob();
    let tree = Fdt::new(&blob).unwrap();
    let paths: Vec<_> = tree.nodes().map(|node| node.to_string()).collect();
    assert_eq!(
        paths,
        [
            "/",
            "/aliases",
            "/memory@40000000",
            "/soc@f0000000",
            "/soc@f0000000/uart@1000",
            "/soc@f0000000/off",
            "/soc@f0000000/off/behind",
        ]
    );
    let children: Vec<_> = tree.root().children().map(|node| node.name()).collect();
    assert_eq!(children, ["aliases", "memory@40000000", "soc@f0000000"]);
    let behind = tree.node("/soc/off/behind").unwrap();
    assert_eq!(behind.parent().unwrap().name(), "off");
    assert_eq!(tree.root().parent(), None);
    assert_eq!(behind.children().count(), 0);
}

#[test]
fn nodes_are_found_by_path_alias_and_phandle() {
    let blob = sample().blob();
    let tree = Fdt::new(&blob).unwrap();
    let uart = tree.node("/soc@f0000000/uart@1000").unwrap();
    for path in ["serial0", "bus/uart", "/soc/uart@1000", "/soc@f0000000//uart/"] {
        assert_eq!(tree.node(path), Some(uart), "{path}");
    }
    assert_eq!(tree.node("/"), Some(tree.root()));
    for path in ["", "serial1", "/so", "/soc/uart@2000", "/soc@f"] {
        assert_eq!(tree.node(path), None, "{path}");
    }
    assert_eq!(tree.phandle(7), Some(uart));
    assert_eq!(tree.phandle(8), None);
    assert!(uart.is_compatible("arm,primecell") && !uart.is_compatible("arm,pl01"));
}

#[test]
fn status_counts_with_all_ancestors() {
    let blob = sample().blob();
    let tree = Fdt::new(&blob).unwrap();
    assert!(tree.node("serial0").unwrap().is_enabled());
    let behind = tree.node("/soc/off/behind").unwrap();
    assert!(behind.is_okay() && !behind.is_enabled());
}

#[test]
fn reg_follows_the_parents_cells_and_mmio_the_ranges() {
    let blob = sample().blob();
    let tree = Fdt::new(&blob).unwrap();
    let memory = tree.node("/memory").unwrap();
    assert_eq!(memory.reg().unwrap().collect::<Vec<_>>(), [(0x4000_0000, 1 << 32)]);
    let uart = tree.node("serial0").unwrap();
    assert_eq!(uart.reg().unwrap().collect::<Vec<_>>(), [(0x1000, 0x100), (0x2000, 0x80)]);
    assert_eq!(uart.mmio(1).unwrap(), (0xf000_2000, 0x80));
    assert_eq!(
        uart.mmio(2).unwrap_err().to_string(),
        "/soc@f0000000/uart@1000: reg: found <0x1000 0x100 0x2000 0x80>, wanted one more pair"
    );
    let blob = sample().without("/soc@f0000000", "ranges").blob();
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(
        tree.node("serial0").unwrap().mmio(0).unwrap_err().to_string(),
        "/soc@f0000000: ranges: found no such property, \
         wanted ranges that map the registers of its children"
    );
    let blob = sample().cells("/soc@f0000000", "ranges", &[0, 0, 0xf000_0000, 0x10ff]).blob();
    let tree = Fdt::new(&blob).unwrap();
    assert!(tree.node("serial0").unwrap().mmio(0).is_err(), "its last byte is not mapped");
    let blob = sample().cells("/soc@f0000000", "#address-cells", &[3]).blob();
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(
        tree.node("serial0").unwrap().reg().err().unwrap().to_string(),
        "/soc@f0000000: #address-cells: found <0x3>, wanted 0, 1 or 2 cells"
    );
}

#[test]
fn values_print_as_in_a_source_file() {
    let shown = |bytes: &[u8]| Property { name: "p", bytes }.to_string();
    assert_eq!(shown(b""), "an empty value");
    assert_eq!(shown(b"a\0bc\0"), "\"a\", \"bc\"");
    assert_eq!(shown(&[0, 0, 0, 5]), "<0x5>");
    assert_eq!(shown(&[1, 2, 0]), "[01 02 00]");
    assert_eq!(shown(&[0; 64]), "<0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 ...>");
    assert_eq!(shown(&[0xff; 9]), "[ff ff ff ff ff ff ff ff ...]");
    let long = format!("{}\0", "é".repeat(100));
    assert_eq!(shown(long.as_bytes()), format!("\"{}\"...", "é".repeat(64)));
    assert_eq!(shown(&b"a\0".repeat(9)), "\"a\", ".repeat(8) + "...");
}

#[test]
fn forms_of_a_value_are_told_apart() {
    let property = |bytes| Property { name: "p", bytes };
    assert_eq!(property(&[0, 0, 1, 0]).u32(), Some(256));
    assert_eq!(property(&[0, 0, 1]).u32(), None);
    assert_eq!(property(&[0, 0, 0, 1, 0, 0, 0, 2]).u64(), Some(0x1_0000_0002));
    assert_eq!(property(&[0, 0, 0, 9]).number(), Some(9));
    assert_eq!(property(b"one\0").string(), Some("one"));
    assert_eq!(property(b"one\0two\0").string(), None);
    assert_eq!(property(b"open").string(), None);
    assert_eq!(property(b"\xff\0").string(), None);
    assert_eq!(property(b"").string(), None);
    assert_eq!(
        property(b"one\0\0three\0").strings().unwrap().collect::<Vec<_>>().join("|"),
        "one||three"
    );
    assert_eq!(property(&[0; 6]).cells().map(|cells| cells.len()), None);
}

#[test]
fn long_names_of_nodes_are_read() {
    for length in [28, 29, 30, 31] {
        let name = format!("{}@80000000", "n".repeat(length));
        let blob = Tree::default()
            .cells(&name, "before", &[1])
            .cells(&format!("{name}/inner"), "phandle", &[3])
            .cells("after", "phandle", &[4])
            .blob();
        let tree = Fdt::new(&blob).unwrap();
        assert_eq!(tree.phandle(3).unwrap().to_string(), format!("/{name}/inner"));
        assert_eq!(tree.phandle(4).unwrap().name(), "after");
    }
}

#[test]
fn reservations_are_read() {
    let blob = sample().blob_with_reservations(&[(0x4000_0000, 0x1000), (0x1_0000_0000, 0x2000)]);
    let tree = Fdt::new(&blob).unwrap();
    let entries: Vec<_> = tree.reservations().collect();
    assert_eq!(entries, [(0x4000_0000, 0x1000), (0x1_0000_0000, 0x2000)]);
}

#[test]
fn a_structure_block_at_the_very_end_is_walked() {
    // As the specification allows, though no tool writes it: strings before structure.
    let good = sample().blob().to_vec();
    let at = |index: usize| u32::from_be_bytes(good[index * 4..][..4].try_into().unwrap()) as usize;
    let (structure, strings) = (at(2)..at(2) + at(9), at(3)..at(3) + at(8));
    let mut bytes = good[..structure.start].to_vec();
    bytes.extend(&good[strings]);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    let (start, names) = (bytes.len(), structure.start);
    bytes.extend(&good[structure]);
    for (index, value) in [(1, bytes.len()), (2, start), (3, names)] {
        bytes[index * 4..][..4].copy_from_slice(&(value as u32).to_be_bytes());
    }
    let blob = Blob::new(&bytes);
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(tree.nodes().count(), 7);
    walk(tree);
}

#[test]
fn a_blob_may_be_followed_by_other_bytes_but_not_be_cut_short() {
    let mut bytes = sample().blob().to_vec();
    let size = bytes.len();
    bytes.extend([0xff; 64]);
    let blob = Blob::new(&bytes);
    assert_eq!(Fdt::new(&blob).unwrap().blob().len(), size);
    assert_eq!(Fdt::total_size(&bytes).unwrap(), size);
    assert_eq!(
        error(&bytes[..size - 1]),
        format!(
            "offset 0x4: found totalsize {size:#x}, \
             wanted 40 to all the bytes there are"
        )
    );
}

#[test]
fn headers_are_checked() {
    let change = |index: usize, value: u32| {
        let mut bytes = sample().blob().to_vec();
        bytes[index * 4..][..4].copy_from_slice(&value.to_be_bytes());
        error(&bytes)
    };
    assert_eq!(error(&[0; 12]), "offset 0x0: found a length of 0xc, wanted a header of 40 bytes");
    assert_eq!(change(0, 5), "offset 0x0: found magic 0x5, wanted 0xd00dfeed");
    assert!(change(1, 20).contains("offset 0x4: found totalsize 0x14"));
    assert!(change(2, u32::MAX - 3).contains("found structure block of"));
    assert!(
        change(2, 2).contains("offset 0x8: found structure block at 0x2, wanted a multiple of 4")
    );
    assert!(change(3, u32::MAX).contains("found strings block of"));
    assert!(
        change(4, u32::MAX - 7).contains("found memory reservations at 0xfffffff8, wanted an end")
    );
    assert!(change(4, 4).contains("found memory reservations at 0x4, wanted a multiple of 8"));
    assert_eq!(change(5, 16), "offset 0x14: found version 0x10, wanted 17 or later");
    assert_eq!(
        change(6, 18),
        "offset 0x18: found oldest compatible version 0x12, wanted 17 or earlier"
    );
    assert!(change(9, 0).contains("wanted a token"));
    let blob = sample().blob();
    let shifted = [&[0], &blob[..]].concat();
    let shifted = Blob::new(&shifted);
    let line = Fdt::new(&shifted[1..]).err().unwrap().to_string();
    assert!(line.contains("found address") && line.contains("wanted a multiple of 4"), "{line}");
}

/// A blob of these structure words, with the string "p" at 0 and an unprintable one at 2.
fn structure(words: &[u32]) -> Vec<u8> {
    let strings = b"p\0\x01\0";
    let size = words.len() * 4;
    let header =
        [0xd00d_feed, 60 + size as u32, 56, 56 + size as u32, 40, 17, 16, 0, 4, size as u32];
    let cells = header.iter().chain(&[0; 4]).chain(words);
    let mut bytes: Vec<u8> = cells.flat_map(|word| word.to_be_bytes()).collect();
    bytes.extend(strings);
    bytes
}

#[test]
fn structure_blocks_are_checked() {
    let case = |words: &[u32], wanted: &str| {
        let found = error(&structure(words));
        assert!(found.contains(wanted), "{words:?}: {found}");
    };
    let good = [1, 0, 3, 4, 0, 9, 4, 1, 0x6100_0000, 2, 2, 9];
    assert_eq!(error(&structure(&good)), "no error");
    case(&[9], "found the end at depth 0x0, wanted a root node");
    case(&[], "offset 0x38: found the block's end at 0x38, wanted a token");
    case(&[1, 0, 2], "offset 0x40: found the block's end at 0x44");
    case(&[2, 9], "offset 0x38: found a node's end at depth 0x0, wanted a node open");
    case(&[1, 0, 9], "offset 0x40: found the end at depth 0x1, wanted all nodes closed");
    case(&[1, 0, 2, 1, 0, 2, 9], "offset 0x44: found a second root, at depth 0x0, wanted one");
    case(&[1, 0, 7, 9], "offset 0x40: found token 0x7, wanted 1, 2, 3, 4 or 9");
    case(&[3, 0, 0, 9], "offset 0x38: found a property at depth 0x0, wanted it in a node");
    case(
        &[1, 0, 1, 0x6100_0000, 2, 3, 0, 0, 2, 9],
        "found a property at depth 0x1, wanted it in a node, before its children",
    );
    case(
        &[1, 0, 3, 99, 0, 2, 9],
        "offset 0x40: found a property of 0x63, wanted value and name in their blocks",
    );
    case(&[1, 0, 3, u32::MAX, 0, 2, 9], "found a property of 0xffffffff");
    case(&[1, 0, 3, 0, 4, 2, 9], "found no property name at 0x4,");
    case(&[1, 0, 3, 0, 1, 2, 9], "found no property name at 0x1,");
    case(&[1, 0, 3, 0, 2, 2, 9], "found no property name at 0x2,");
    case(&[1, 0, 1, 0, 2, 2, 9], "offset 0x40: found no node name at depth 0x1");
    case(&[1, 0x6161_6161], "offset 0x38: found no node name");
    case(&[1, 0x2f00_0000, 2, 9], "offset 0x38: found no node name");
    case(&[1, 0xc3a9_0000, 2, 9], "offset 0x38: found no node name");
    let deep = |depth: usize| {
        let mut words = [1, 0x6e00_0000].repeat(depth);
        words.extend([2].repeat(depth));
        words.push(9);
        words
    };
    assert_eq!(error(&structure(&deep(MAX_DEPTH))), "no error");
    case(&deep(MAX_DEPTH + 1), "found a node at depth 0x40, wanted at most 64 levels");
}

#[test]
fn the_deepest_tree_knows_its_paths() {
    let mut words = [1, 0x6e00_0000].repeat(MAX_DEPTH);
    words.extend([2].repeat(MAX_DEPTH));
    words.push(9);
    let blob = Blob::new(&structure(&words));
    let tree = Fdt::new(&blob).unwrap();
    let last = tree.nodes().last().unwrap();
    assert_eq!(last.to_string(), "/n".repeat(MAX_DEPTH - 1));
    assert!(last.is_enabled());
}

#[test]
fn a_name_of_the_root_is_no_part_of_paths() {
    let blob = Blob::new(&structure(&[1, 0x6b00_0000, 1, 0x6e00_0000, 2, 2, 9]));
    let tree = Fdt::new(&blob).unwrap();
    let paths: Vec<_> = tree.nodes().map(|node| node.to_string()).collect();
    assert_eq!(paths, ["/", "/n"]);
    walk(tree);
}

#[test]
fn an_unterminated_reservation_block_is_an_error() {
    let mut bytes = sample().blob().to_vec();
    let size = bytes.len() as u32;
    bytes.extend([0xff; 16]);
    let offset = size.next_multiple_of(8);
    bytes.resize(offset as usize + 16, 0xff);
    bytes[4..8].copy_from_slice(&(offset + 16).to_be_bytes());
    bytes[16..20].copy_from_slice(&offset.to_be_bytes());
    assert!(error(&bytes).contains("wanted an end of zeros"));
}

/// Uses everything that a tree offers.
fn walk(tree: Fdt<'_>) {
    let mut text = String::new();
    for node in tree.nodes().take(200) {
        text.push_str(&node.to_string());
        let found = tree.node(&node.to_string());
        assert!(found.is_some(), "{}", node);
        for property in node.properties() {
            text.push_str(&format!("{} {}", property.name, property));
            let _ = (property.u32(), property.number(), property.string());
            let _ = property.strings().map(|list| list.count());
        }
        let _ = (node.is_enabled(), node.is_compatible("x"), node.children().count());
        let _ = node.reg().map(|reg| reg.count()).map_err(|odd| text.push_str(&odd.to_string()));
        let _ = node.mmio(0).map_err(|odd| text.push_str(&odd.to_string()));
        assert!(node.parent().is_some() || node == tree.root());
    }
    let _ = (tree.phandle(7), tree.reservations().count(), tree.node("serial0"));
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(tree) = Fdt::new(&Blob::new(&bytes)) {
            walk(tree);
        }
    }

    #[test]
    fn spoiled_trees_are_survived(blob in spoiled(sample().blob().to_vec())) {
        if let Ok(tree) = Fdt::new(&blob) {
            walk(tree);
        }
    }

    #[test]
    fn arbitrary_structures_are_survived(
        words in proptest::collection::vec(
            prop_oneof![6 => 0u32..10, 1 => Just(0x6100_0000), 1 => any::<u32>()], 0..40)
    ) {
        let words = [&[1, 0], &words[..], &[2, 9]].concat();
        if let Ok(tree) = Fdt::new(&Blob::new(&structure(&words))) {
            walk(tree);
        }
    }
}
