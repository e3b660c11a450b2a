//! Stage-2 tables: map and unmap, against a flat map, on the tests' machine with a TLB that caches
//! whenever it hurts most.

use crate::input::Input;
use machine::{Simulation, book_walk};
use mezzanine::memory::stage2::{Attributes, Error, Stage2, TableMemory, root_pages};
use mezzanine::memory::{BLOCK_SIZE, GIB, Ipa, PAGE_SIZE, Pa};
use std::{cell::RefCell, rc::Rc};

#[path = "../../src/memory/stage2/tests/machine.rs"]
#[allow(dead_code, reason = "the unit tests ask for more")]
mod machine;

/// The machine, looked at while [`Stage2`] has it too; it may forget to invalidate.
#[derive(Clone)]
struct Shared {
    machine: Rc<RefCell<Simulation>>,
    forgets: bool,
}

impl TableMemory for Shared {
    fn root(&self) -> Pa {
        self.machine.borrow().root()
    }

    fn allocate(&mut self) -> Option<Pa> {
        self.machine.borrow_mut().allocate()
    }

    fn free(&mut self, table: Pa) {
        self.machine.borrow_mut().free(table);
    }

    fn read(&self, at: Pa) -> u64 {
        self.machine.borrow().read(at)
    }

    fn write(&mut self, at: Pa, descriptor: u64) {
        self.machine.borrow_mut().write(at, descriptor);
    }

    fn make_visible(&mut self) {
        self.machine.borrow_mut().make_visible();
    }

    fn invalidate(&mut self, ipa: Ipa, len: u64) {
        if !self.forgets {
            self.machine.borrow_mut().invalidate(ipa, len);
        }
    }
}

/// Addresses on both sides of every kind of boundary. All operations start and end at one, so that
/// what lies between two neighbours is mapped as a whole or not at all.
fn points() -> Vec<u64> {
    let blocks = (0..3).flat_map(|gib| [0, 1, 511].map(|block| gib * GIB + block * BLOCK_SIZE));
    let pages = blocks.flat_map(|block| [0, 1, 2, 511].map(|page| block + page * PAGE_SIZE));
    pages.chain([3 * GIB]).collect()
}

/// By how much a PA is above its IPA; those that fit no block come last.
const OFFSETS: [u64; 4] = [0, 4 * GIB, 0x8020_0000, 0x1_0000_3000];

/// Changes at most: each is followed by a look at everything.
const MOST: usize = 16;

/// The flat map: for each interval between two points, the PA of its start and its attributes.
type Flat = Vec<Option<(u64, Attributes)>>;

/// Takes the bytes for changes of the map.
pub fn run(data: &[u8]) {
    with(data, false);
}

fn with(data: &[u8], forgets: bool) {
    let mut input = Input::new(data);
    let points = points();
    let mut machine = Simulation::new(40);
    machine.watch(&points);
    let machine = Rc::new(RefCell::new(machine));
    let shared = Shared { machine: Rc::clone(&machine), forgets };
    let mut stage2 = Stage2::new(shared, 40).expect("40 bits are enough");
    let mut flat: Flat = vec![None; points.len() - 1];
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        // Now and then too few tables.
        let budget = match input.below(12) {
            few @ 0..6 => few,
            _ => usize::MAX,
        };
        machine.borrow_mut().set_budget(budget);
        change(&mut stage2, &mut flat, &points, &mut input, budget == usize::MAX);
        check(&stage2, &machine.borrow(), &flat, &points);
    }
}

fn change(
    stage2: &mut Stage2<Shared>,
    flat: &mut Flat,
    points: &[u64],
    input: &mut Input,
    enough: bool,
) {
    let (a, b) = (input.below(points.len()), input.below(points.len()));
    let (from, to) = (a.min(b), a.max(b));
    let (start, len) = (points[from], points[to] - points[from]);
    let mut next = flat.clone();
    let result = if input.below(5) < 3 {
        // An offset that fits no block over gigabytes would mean 2^18 pages.
        let offset = input.pick(if len > 8 * BLOCK_SIZE { &OFFSETS[..2] } else { &OFFSETS });
        let attributes = input.pick(&[Attributes::RAM, Attributes::ROM]);
        let free = flat[from..to].iter().all(Option::is_none);
        for i in from..to {
            next[i] = Some((points[i] + offset, attributes));
        }
        let result = stage2.map(Ipa::new(start), Pa::new(start + offset), len, attributes);
        assert_eq!(matches!(result, Err(Error::Overlap(_))), len != 0 && !free);
        result
    } else {
        next[from..to].fill(None);
        let result = stage2.unmap(Ipa::new(start), len);
        // A block can be cut only where both sides of an end are mapped.
        let mapped = |at: usize| flat.get(at).is_some_and(Option::is_some);
        let is_inside = |at: usize| at > 0 && mapped(at - 1) && mapped(at);
        assert!(!matches!(result, Err(Error::Part(_))) || is_inside(from) || is_inside(to));
        result
    };
    assert_eq!(matches!(result, Err(Error::Unaligned(..))), len == 0);
    assert!(!enough || result != Err(Error::NoTables));
    if result.is_ok() {
        *flat = next;
    }
}

/// The book's walk, ours and the flat map agree; nothing is pending, no table is lost or empty.
fn check(stage2: &Stage2<Shared>, machine: &Simulation, flat: &Flat, points: &[u64]) {
    let root = machine.root();
    for (entry, ends) in flat.iter().zip(points.windows(2)) {
        let middle = (ends[0] + (ends[1] - ends[0]) / 2) & !(PAGE_SIZE - 1);
        for ipa in [ends[0], middle, ends[1] - PAGE_SIZE] {
            let wanted = entry.map(|(pa, attributes)| (pa + ipa - ends[0], attributes));
            let found = stage2.translate(Ipa::new(ipa)).map(|to| (to.pa.get(), to.attributes));
            assert_eq!(found, wanted, "{ipa:#x}");
            let book = book_walk(machine, root, ipa);
            assert_eq!(book.map(|leaf| (leaf.pa, leaf.attributes())), wanted, "{ipa:#x}");
        }
    }
    machine.assert_quiet(root);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_tlbi_is_found() {
        crate::bite::assert_bites("stage2", run, |data| with(data, true));
    }
}
