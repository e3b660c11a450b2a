//! Just enough of a device-tree reader (Devicetree Specification v0.4, chapter 5) to find a
//! property by its path. It trusts nothing: on a malformed tree it finds nothing.

#[cfg(test)]
mod tests;

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;

/// Nodes deeper than this are not found.
const MAX_DEPTH: usize = 8;

/// A flattened device tree.
#[derive(Clone, Copy)]
pub struct Tree<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
}

/// One token of the structure block.
enum Token<'a> {
    Begin(&'a str),
    Property(&'a str, &'a [u8]),
    End,
}

fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    let word = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|&b| b == 0)?;
    core::str::from_utf8(bytes.get(..end)?).ok()
}

impl<'a> Tree<'a> {
    /// The size of the tree that begins with `header` (8 bytes are enough), if it is one.
    pub fn total_size(header: &[u8]) -> Option<usize> {
        (be32(header, 0)? == MAGIC).then_some(be32(header, 4)? as usize)
    }

    /// A reader of the tree in `blob`.
    pub fn new(blob: &'a [u8]) -> Option<Self> {
        let blob = blob.get(..Self::total_size(blob)?)?;
        Some(Self {
            structure: blob.get(be32(blob, 8)? as usize..)?,
            strings: blob.get(be32(blob, 12)? as usize..)?,
        })
    }

    /// The tokens in order; it ends where the tree does or at the first malformed token.
    fn tokens(self) -> impl Iterator<Item = Token<'a>> {
        let mut offset = 0;
        core::iter::from_fn(move || {
            loop {
                let token = be32(self.structure, offset)?;
                offset += 4;
                match token {
                    BEGIN_NODE => {
                        let name = text(self.structure.get(offset..)?)?;
                        offset += (name.len() + 1).next_multiple_of(4);
                        return Some(Token::Begin(name));
                    }
                    END_NODE => return Some(Token::End),
                    PROP => {
                        let length = be32(self.structure, offset)? as usize;
                        let name = be32(self.structure, offset + 4)? as usize;
                        let value = offset + 8;
                        let end = value.checked_add(length)?;
                        offset = end.checked_next_multiple_of(4)?;
                        return Some(Token::Property(
                            text(self.strings.get(name..)?)?,
                            self.structure.get(value..end)?,
                        ));
                    }
                    NOP => {}
                    _ => return None,
                }
            }
        })
    }

    /// Calls `f` for each property and each direct child of the node at `path` (names from below
    /// the root, with unit address) until it returns something.
    fn visit<R>(self, path: &[&str], mut f: impl FnMut(Token<'a>) -> Option<R>) -> Option<R> {
        let mut depth = 0; // of open nodes; the root makes it 1
        let mut matched = 0; // how many of them are on the path, the root included
        for token in self.tokens() {
            let inside = matched == path.len() + 1;
            match token {
                Token::Begin(name) => {
                    if depth == matched && depth <= MAX_DEPTH {
                        let on_path = depth == 0 || path.get(depth - 1) == Some(&name);
                        if inside {
                            if let Some(result) = f(token) {
                                return Some(result);
                            }
                        } else if on_path {
                            matched += 1;
                        }
                    }
                    depth += 1;
                }
                Token::Property(..) if inside && depth == matched => {
                    if let Some(result) = f(token) {
                        return Some(result);
                    }
                }
                Token::Property(..) => {}
                Token::End => {
                    if depth == matched {
                        if inside {
                            return None;
                        }
                        matched = matched.checked_sub(1)?;
                    }
                    depth = depth.checked_sub(1)?;
                }
            }
        }
        None
    }

    /// The value of property `name` of the node at `path`, as it lies in the tree.
    pub fn property(self, path: &[&str], name: &str) -> Option<&'a [u8]> {
        self.visit(path, |token| match token {
            Token::Property(n, value) if n == name => Some(value),
            _ => None,
        })
    }

    /// The same for a value that is a string.
    pub fn string(self, path: &[&str], name: &str) -> Option<&'a str> {
        text(self.property(path, name)?)
    }

    /// The name of child `n` of those of the node at `path` whose name begins with `prefix`.
    pub fn child(self, path: &[&str], prefix: &str, n: usize) -> Option<&'a str> {
        let mut left = n;
        self.visit(path, |token| match token {
            Token::Begin(name) if name.starts_with(prefix) => {
                let found = (left == 0).then_some(name);
                left = left.saturating_sub(1);
                found
            }
            _ => None,
        })
    }

    /// How many children of the node at `path` have a name that begins with `prefix`.
    pub fn count(self, path: &[&str], prefix: &str) -> usize {
        let mut count = 0;
        self.visit(path, |token| -> Option<()> {
            if let Token::Begin(name) = token
                && name.starts_with(prefix)
            {
                count += 1;
            }
            None
        });
        count
    }
}
