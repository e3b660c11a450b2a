use std::vec::Vec;

use proptest::prelude::*;

use super::super::tournament::Tournament;

#[test]
fn a_tree_of_one_slot_is_leaf_and_root() {
    let mut tree = Tournament::new(1);
    assert_eq!(tree.first(), None);
    tree.set(0, 9);
    assert_eq!(tree.first(), Some((0, 9)));
    tree.clear(0);
    assert_eq!(tree.first(), None);
}

#[test]
fn any_number_of_slots_makes_a_tree() {
    for capacity in 1..=if cfg!(miri) { 9 } else { 40 } {
        for slot in 0..capacity as u16 {
            let mut tree = Tournament::new(capacity);
            tree.set(slot, 7);
            assert_eq!(tree.first(), Some((slot, 7)), "of {capacity}");
            tree.grow(capacity + 1);
            assert_eq!(tree.first(), Some((slot, 7)), "of {capacity} and one more");
            tree.clear(slot);
            assert_eq!(tree.first(), None, "of {capacity}, emptied");
        }
    }
}

#[test]
fn equal_keys_go_to_the_lower_slot() {
    let mut tree = Tournament::new(4);
    for slot in [3, 1, 2] {
        tree.set(slot, 5);
    }
    assert_eq!(tree.first(), Some((1, 5)));
}

#[test]
fn a_slot_beyond_the_tree_is_ignored_or_harmless() {
    let mut tree = Tournament::new(4);
    tree.set(1, 5);
    tree.clear(60_000);
    tree.set(60_000, 1);
    assert_eq!(tree.first(), Some((1, 5)));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The tree agrees with a plain search at every step, also after growing, and with the
    /// largest keys.
    #[test]
    fn first_is_the_least(
        steps in prop::collection::vec((0u16..16, prop::option::of(0u64..40)), 1..60),
        base in prop::sample::select(std::vec![0u64, u64::MAX - 41]),
        grow_at in 0usize..60,
        capacity in 16usize..34,
        more in 1usize..31,
    ) {
        let mut tree = Tournament::new(capacity);
        let mut plain: Vec<Option<u64>> = std::vec![None; 64];
        for (step, (slot, key)) in steps.into_iter().enumerate() {
            if step == grow_at {
                tree.grow(capacity + more);
            }
            let key = key.map(|key| base.wrapping_add(key));
            match key {
                Some(key) => tree.set(slot, key),
                None => tree.clear(slot),
            }
            plain[slot as usize] = key;
            let least = plain
                .iter()
                .enumerate()
                .filter_map(|(slot, key)| key.map(|key| (slot as u16, key)))
                .reduce(|best, next| if next.1 < best.1 { next } else { best });
            prop_assert_eq!(tree.first(), least);
        }
    }
}
