use super::*;

/// A tree built token by token, as the specification lays it out.
struct Builder {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Self {
        Self { structure: vec![], strings: vec![] }
    }

    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
    }

    fn node(mut self, name: &str, inside: impl FnOnce(Self) -> Self) -> Self {
        self.word(BEGIN_NODE);
        self.padded(format!("{name}\0").as_bytes());
        self = inside(self);
        self.word(END_NODE);
        self
    }

    fn property(mut self, name: &str, value: &[u8]) -> Self {
        self.word(PROP);
        self.word(value.len() as u32);
        self.word(self.strings.len() as u32);
        self.padded(value);
        self.strings.extend(format!("{name}\0").as_bytes());
        self
    }

    fn blob(mut self) -> Vec<u8> {
        self.word(9);
        let header = 40;
        let strings = header + self.structure.len();
        let total = strings + self.strings.len();
        let mut blob = vec![];
        for word in [MAGIC, total as u32, header as u32, strings as u32] {
            blob.extend(word.to_be_bytes());
        }
        blob.resize(header, 0);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}

fn board() -> Vec<u8> {
    Builder::new()
        .node("", |t| {
            t.property("model", b"board\0")
                .node("psci", |t| t.property("method", b"smc\0"))
                .node("cpus", |t| {
                    t.property("#size-cells", &[0; 4])
                        .node("cpu@0", |t| t.node("cpu@9", |t| t))
                        .node("cpu@1", |t| t.property("method", b"spin\0"))
                        .node("cpu-map", |t| t)
                })
                .node("chosen", |t| t.property("bootargs", b"batch loops=3\0"))
        })
        .blob()
}

#[test]
fn finds_properties_by_path() {
    let blob = board();
    let tree = Tree::new(&blob).expect("a good tree");
    assert_eq!(tree.string(&[], "model"), Some("board"));
    assert_eq!(tree.string(&["psci"], "method"), Some("smc"));
    assert_eq!(tree.string(&["cpus", "cpu@1"], "method"), Some("spin"));
    assert_eq!(tree.string(&["chosen"], "bootargs"), Some("batch loops=3"));
    assert_eq!(tree.string(&["cpus"], "method"), None);
    assert_eq!(tree.string(&["chosen"], "method"), None);
    assert_eq!(tree.string(&["memory"], "method"), None);
}

#[test]
fn counts_direct_children_only() {
    let blob = board();
    let tree = Tree::new(&blob).expect("a good tree");
    assert_eq!(tree.count(&["cpus"], "cpu@"), 2);
    assert_eq!(tree.count(&["chosen"], "cpu@"), 0);
    assert_eq!(tree.child(&["cpus"], "cpu@", 1), Some("cpu@1"));
    assert_eq!(tree.child(&["cpus"], "cpu@", 2), None);
}

#[test]
fn survives_truncation_and_flipped_bytes() {
    let blob = board();
    for cut in 0..blob.len() {
        assert!(Tree::new(&blob[..cut]).is_none());
    }
    for at in 0..blob.len() {
        let mut bad = blob.clone();
        bad[at] ^= 0xff;
        if let Some(tree) = Tree::new(&bad) {
            tree.string(&["chosen"], "bootargs");
            tree.count(&["cpus"], "cpu@");
        }
    }
}
