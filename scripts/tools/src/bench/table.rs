//! The table that `make bench` prints, with other hypervisors' figures.

use super::figures::{Figure, Figures};

/// Other hypervisors' figures, measured by the same method on QEMU 7.2.22 (mode): the operation;
/// a stub that saves, decodes and returns; Bao 2.0, Xen 4.17, KVM 6.1 nVHE on cortex-a72; KVM VHE
/// on max.
const PEERS: [(&str, [Option<u64>; 5]); 12] = [
    ("hvc-version", [Some(53), Some(189), Some(471), Some(1545), Some(1051)]),
    ("hvc-unknown", [Some(53), Some(1692), Some(1638), Some(1482), Some(988)]),
    ("mrs-mdscr", [Some(53), None, Some(436), Some(1830), Some(1358)]),
    ("mrs-pfr0", [Some(53), None, Some(430), Some(1906), Some(1415)]),
    ("gicd-typer", [Some(53), Some(226), Some(600), Some(2279), Some(1809)]),
    ("gicr-typer", [Some(53), Some(270), Some(602), Some(2330), Some(1874)]),
    ("gicd-isenabler", [Some(53), Some(3564), Some(741), Some(2291), Some(1821)]),
    ("sgi-self", [None, Some(776), Some(1097), Some(2948), Some(2486)]),
    ("timer-due", [None, Some(200), Some(1084), Some(2911), Some(2434)]),
    ("wfi-timer", [None, Some(201), Some(7500), Some(13406), Some(12991)]),
    ("ipi", [None, Some(790), Some(1620), Some(5169), Some(4290)]),
    ("boot", [None, Some(413_785), Some(144_350_000), None, None]),
];

/// Prints a row for each operation: on cortex-a72 all that is known of it, on max the most frequent
/// cost, then what it costs elsewhere, and ours as a part of the best of these.
pub fn print(now: &Figures) {
    println!(
        "{:<22}|{:>42} |{:>7} | instructions of others, most frequent",
        "", "instructions on cortex-a72   ", "max"
    );
    println!(
        "{:<22}|{:>7} {:>8} {:>8} {:>8} {:>7} |{:>7} |{:>6} {:>6} {:>9} {:>8} {:>8} {:>10}",
        "operation",
        "min",
        "mode",
        "p99",
        "max",
        "samples",
        "mode",
        "floor",
        "Bao",
        "Xen",
        "KVM nVHE",
        "KVM VHE",
        "ours/best"
    );
    let mut names: Vec<&str> = Vec::new();
    for operations in now.values() {
        let fresh = operations.keys().map(String::as_str);
        names.extend(fresh.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    for name in names {
        let of = |cpu: &str| now.get(cpu).and_then(|operations| operations.get(name));
        println!("{}", row(name, of("cortex-a72"), of("max")));
    }
}

fn row(name: &str, a72: Option<&Figure>, max: Option<&Figure>) -> String {
    let column = |figure: Option<u64>| figure.map_or("-".into(), |number| number.to_string());
    let ours = |field: fn(&Figure) -> u64| column(a72.map(field));
    let peers = PEERS.iter().find(|(peer, _)| *peer == name).map_or([None; 5], |(_, all)| *all);
    let best = peers.iter().skip(1).flatten().min();
    let ratio = a72.zip(best).map(|(ours, best)| format!("{:.2}", ours.mode as f64 / *best as f64));
    let peers = peers.map(column);
    format!(
        "{name:<22}|{:>7} {:>8} {:>8} {:>8} {:>7} |{:>7} |{:>6} {:>6} {:>9} {:>8} {:>8} {:>10}",
        ours(|one| one.min),
        ours(|one| one.mode),
        ours(|one| one.p99),
        ours(|one| one.max),
        ours(|one| one.samples),
        column(max.map(|one| one.mode)),
        peers[0],
        peers[1],
        peers[2],
        peers[3],
        peers[4],
        ratio.unwrap_or("-".into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_compared_with_the_best() {
        let figure = Figure { samples: 9, min: 126, mode: 126, p99: 126, max: 126 };
        assert!(row("hvc-version", Some(&figure), None).ends_with(" 0.67"));
        assert!(row("gicd-ldp", Some(&figure), None).ends_with(" -"));
    }
}
