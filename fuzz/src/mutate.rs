//! Inputs made of other inputs, the same ones each time.

/// A generator of numbers: SplitMix64.
pub struct Random(pub u64);

impl Random {
    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`, and 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }
}

/// Numbers at which things end, or begin.
const EDGES: [u32; 10] = [0, 1, 3, 7, 0x7f, 0xff, 0x1000, 0x4000_0000, 0x7fff_ffff, 0xffff_ffff];

/// The longest input.
pub const LONGEST: usize = 8192;

/// One of `corpus`, changed in a few places.
pub fn mutated(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    for _ in 0..1 + random.below(6) {
        change(&mut bytes, corpus, random);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(10) {
        // A few bytes more: any, or out of another input.
        0 => drop(bytes.splice(at..at, random.number().to_le_bytes())),
        1 => {
            let other = corpus.get(random.below(corpus.len())).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len());
            let to = (from + 1 + random.below(64)).min(other.len());
            bytes.splice(at..at, other[from..to].iter().copied());
        }
        2 => drop(bytes.drain(at..(at + 1 + random.below(16)).min(bytes.len()))),
        3 if random.below(4) == 0 => bytes.truncate(at),
        // A word, in either order of bytes.
        4 | 5 if bytes.len() >= 4 => {
            let at = at.min(bytes.len() - 4) & !3;
            let near = random.below(3) as u32;
            let word = EDGES[random.below(EDGES.len())].wrapping_add(near).wrapping_sub(1);
            let big = random.below(2) == 0;
            bytes[at..at + 4].copy_from_slice(&if big {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
        6 if !bytes.is_empty() => bytes[at] = random.number() as u8,
        7 if !bytes.is_empty() => {
            bytes[at] = bytes[at].wrapping_add(random.below(3) as u8).wrapping_sub(1)
        }
        _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        _ => bytes.extend(random.number().to_le_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_the_same_each_time_and_differ_from_each_other() {
        let corpus = [vec![1; 40], b"abcdefgh".to_vec()];
        let some = |seed| {
            let mut random = Random(seed);
            (0..100).map(|_| mutated(&corpus, &mut random)).collect::<Vec<_>>()
        };
        assert_eq!(some(7), some(7));
        assert_ne!(some(7), some(8));
        let distinct: std::collections::BTreeSet<_> = some(7).into_iter().collect();
        assert!(distinct.len() > 90);
    }

    #[test]
    fn nothing_can_be_made_of_nothing() {
        let mut random = Random(1);
        assert!((0..100).map(|_| mutated(&[], &mut random)).any(|input| !input.is_empty()));
    }
}
