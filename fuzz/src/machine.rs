//! What the machine's device tree says: whatever it is, the facts hang together.

use crate::input::with_aligned;
use mezzanine::platform::cmdline::CommandLine;
use mezzanine::platform::fdt::Fdt;
use mezzanine::platform::machine::{MAX_CPUS, Machine, Region};

const PAGE: u64 = 4096;

/// Takes the bytes for the machine's tree.
pub fn run(data: &[u8]) {
    with(data, |machine, claimed| machine.usable_ram(claimed).collect());
}

fn with(data: &[u8], usable: impl Fn(&Machine<'_>, &[Region]) -> Vec<Region>) {
    with_aligned(data, |blob| {
        let Ok(tree) = Fdt::new(blob) else { return };
        let machine = match Machine::new(&tree) {
            Ok(machine) => machine,
            Err(odd) => {
                let line = odd.to_string();
                assert!(line.starts_with('/') && !line.contains('\n'), "{line}");
                return;
            }
        };
        assert!((1..=MAX_CPUS).contains(&machine.cpus.len()));
        assert!(machine.cpus_left_out == 0 || machine.cpus.len() == MAX_CPUS);
        let mut cpus = machine.cpus.to_vec();
        cpus.sort_unstable();
        cpus.dedup();
        assert_eq!(cpus.len(), machine.cpus.len());
        let all = usable(&machine, &[]);
        check(&machine, &[], &all);
        // Half of the first free region is somebody's.
        if let Some(first) = all.first() {
            let claimed = [Region { base: first.base, size: first.size / 2 + 1 }];
            check(&machine, &claimed, &usable(&machine, &claimed));
        }
        let _ = CommandLine::new(machine.bootargs).errors().count();
    });
}

/// Usable RAM lies in RAM and apart from all that is claimed, sorted, in pages.
fn check(machine: &Machine<'_>, claimed: &[Region], usable: &[Region]) {
    let range = |region: &Region| {
        let start = region.base.get();
        u128::from(start)..u128::from(start) + u128::from(region.size)
    };
    let ram: Vec<_> = machine.ram.iter().map(range).collect();
    let taken: Vec<_> = machine.reserved.iter().chain(claimed).map(range).collect();
    for region in usable {
        let own = range(region);
        assert!(region.base.get() % PAGE == 0 && region.size % PAGE == 0 && region.size > 0);
        // Both ends in RAM, and no end of another region apart from all others within.
        let within = |at| ram.iter().any(|ram| ram.contains(&at));
        assert!(within(own.start) && within(own.end - 1), "{own:x?} is not in {ram:x?}");
        for other in taken.iter().filter(|other| !other.is_empty()) {
            assert!(other.end <= own.start || own.end <= other.start, "{own:x?} is {other:x?}");
        }
    }
    assert!(usable.windows(2).all(|pair| range(&pair[0]).end <= range(&pair[1]).start));
    let sum: u128 = usable.iter().map(|region| u128::from(region.size)).sum();
    assert!(sum <= u128::from(machine.ram_size()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_not_honoured_is_found() {
        crate::bite::assert_bites("machine", run, |data| {
            with(data, |machine, _| machine.usable_ram(&[]).collect());
        });
    }

    #[test]
    fn the_corpus_is_read() {
        crate::bite::assert_deep("machine", |data| {
            with_aligned(data, |blob| {
                let tree = Fdt::new(blob).expect("a tree");
                Machine::new(&tree).inspect_err(|odd| println!("{odd}")).is_ok()
            })
        });
    }
}
