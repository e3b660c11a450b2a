//! EL2's own walls: what its map forbids EL2 itself. gdb makes an instruction of EL2's do what none
//! of them should, as a stray pointer would; the MMU stops it, and the report says what and where.

use crate::gdb::under_gdb;
use crate::harness::{Config, Failure, Profile, Test, Verdict};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |wall: &'static Wall| {
        let body = move |config| hits(config, wall);
        Test::new(format!("walls/{}", wall.name), body).smp(&[2]).profile(Profile::Release)
    };
    WALLS.iter().map(test).collect()
}

/// A place, and what may not be done to it.
struct Wall {
    name: &'static str,
    trespass: Trespass,
    /// gdb's expression for the address.
    at: &'static str,
    fault: &'static str,
}

/// What is done, by an instruction that EL2 has anyway.
enum Trespass {
    /// `exit_common` of vectors.rs stores the guest's x2 and x3 at x0 + 16.
    Write,
    /// `enter` loads the guest's x30 and PC from x0 + 240.
    Read,
    Execute,
}

const WALLS: [Wall; 9] = [
    Wall::new("text", Trespass::Write, "&vectors", "permission fault level 3"),
    Wall::new("rodata", Trespass::Write, "&__text_end", "permission fault level 3"),
    Wall::new("data-run", Trespass::Execute, "&__bss_start", "permission fault level 3"),
    Wall::new("stack-run", Trespass::Execute, "$sp", "permission fault level 3"),
    Wall::new("heap-run", Trespass::Execute, "0xff8100000000", "permission fault level 2"),
    Wall::new(
        "stack-end",
        Trespass::Write,
        "((long)$sp & ~0xffffL) + 0x7ff8",
        "translation fault level 3",
    ),
    // The frames of the demo's VMs are here, and in nobody's map but their own.
    Wall::new("guest", Trespass::Read, "0x70000000", "translation fault"),
    // This pCPU's own: another may be at work on a VM's memory, and have its window open.
    Wall::new(
        "window",
        Trespass::Read,
        "0xff8080000000 + ($_thread - 1) * 0x200000",
        "translation fault",
    ),
    Wall::new("zero", Trespass::Write, "0x0", "translation fault"),
];

impl Wall {
    const fn new(
        name: &'static str,
        trespass: Trespass,
        at: &'static str,
        fault: &'static str,
    ) -> Self {
        Self { name, trespass, at, fault }
    }
}

fn hits(config: Config, wall: &Wall) -> Verdict {
    let (offset, place, what) = match wall.trespass {
        Trespass::Write => {
            (16, "$pc = (long)&exit_common + 4", "EC 0x25 data abort at the same EL: write")
        }
        Trespass::Read => {
            (240, "$pc = (long)&enter + 8", "EC 0x25 data abort at the same EL: read")
        }
        Trespass::Execute => (0, "$pc = $at", "EC 0x21 instruction abort at the same EL: fetch"),
    };
    let commands = [
        "continue",
        "delete",
        "set language c",
        &format!("set $at = (long)({})", wall.at),
        "printf \"AT %016lx\\n\", $at",
        &format!("set $x0 = $at - {offset}"),
        &format!("set {place}"),
        "continue",
    ];
    let (said, outcome) = under_gdb(config, &commands)?;
    let Some(at) = said.lines().find_map(|line| line.strip_prefix("AT ")) else {
        return Err(Failure::new(format!("gdb knows no `{}`:\n{said}", wall.at)));
    };
    outcome.expect_line("mezzanine", &["ERROR: synchronous exception at EL2 itself"])?;
    outcome.expect_line("mezzanine", &[what, wall.fault])?;
    outcome.expect_line("mezzanine", &[&format!("FAR_EL2 0x{at}")])?;
    outcome.expect_status(1)
}
