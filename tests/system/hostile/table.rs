//! What came of each family, summed up in a table.

use super::plans::{self, Bare};
use hostile::table::FAMILIES;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

#[derive(Default)]
struct Record {
    variants: BTreeSet<String>,
    machines: u32,
    failed: u32,
    /// What the hypervisor said when it stopped a VM, by variant.
    stopped: BTreeMap<String, String>,
}

static RECORDS: Mutex<BTreeMap<u32, Record>> = Mutex::new(BTreeMap::new());

fn note(family: u32, change: impl FnOnce(&mut Record)) {
    let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    change(records.entry(family).or_default());
}

/// A family was tried on one more machine.
pub fn machine(family: u32, good: bool) {
    note(family, |record| {
        record.machines += 1;
        record.failed += u32::from(!good);
    });
}

/// These variants were tried, and the VM went on.
pub fn variants(family: u32, names: impl Iterator<Item = String>) {
    note(family, |record| record.variants.extend(names));
}

/// This variant ended its VM.
pub fn doom(family: u32, variant: String, line: &str) {
    note(family, |record| {
        record.variants.insert(variant.clone());
        record.stopped.entry(variant).or_insert_with(|| line.to_owned());
    });
}

/// Prints the table.
pub fn print() {
    let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    println!("\n{:>2}  {:<76} {:>8} {:>8}  outcome", "", "family", "variants", "machines");
    for family in &FAMILIES {
        let Some(record) = records.get(&family.number) else { continue };
        let outcome = match (record.failed, record.stopped.len()) {
            (0, 0) => "as the manual says".to_owned(),
            (0, stopped) => format!("as the manual says; {stopped} ended their VM alone"),
            (failed, _) => format!("FAILED on {failed}"),
        };
        let what = format!("{}: {}", family.name, family.title);
        let (variants, machines) = (record.variants.len(), record.machines);
        println!("{:>2}  {what:<76} {variants:>8} {machines:>8}  {outcome}", family.number);
        if let Some(Bare::Not(why)) = plans::find(family.number).map(|plan| &plan.bare) {
            println!("      not tried on the bare board: {why}");
        }
        for (variant, line) in &record.stopped {
            println!("      {variant}: {line}");
        }
    }
}
