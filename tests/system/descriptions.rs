//! VM descriptions: each fault is named by node, property and value, and only its VM is refused.

use crate::harness::{Case, Cpu, Outcome, Profile, Test, Verdict, Vm};

/// A VM that is as it should be.
fn good(name: &str) -> Vm {
    Vm::new(name).kernel("hvc").cpus(1)
}

/// A faulty VM beside a good one: the good one runs to its end, the faulty one is refused by a
/// line with these words in it.
fn refused(name: &str, faulty: fn(Vm) -> Vm, words: &'static [&'static str]) -> Test {
    Test::new(format!("descriptions/{name}"), move |config| {
        let outcome = Case::new(config).vm(faulty(good("wrong"))).vm(good("right")).run()?;
        outcome.expect_line("mezzanine", words)?;
        outcome.expect_no_line("wrong", "")?;
        outcome.expect_pass("right", 1)?;
        outcome.expect_bad_status()
    })
    .smp(&[2])
    .cpu(Cpu::A72)
    .profile(Profile::Release)
}

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        refused("no-memory", |vm| vm.without("memory-mib"), &["wrong", "memory-mib"]),
        refused("no-such-memory", |vm| vm.memory(4_000_000), &["wrong", "4000000"]),
        refused("zero-memory", |vm| vm.memory(0), &["wrong", "memory-mib", "0"]),
        refused("zero-cpus", |vm| vm.cpus(0), &["wrong", "cpus", "0"]),
        refused("too-many-cpus", |vm| vm.cpus(77), &["wrong", "cpus", "77"]),
        refused("no-kernel", Vm::without_kernel, &["wrong", "kernel"]),
        refused(
            "no-such-kernel",
            |vm| vm.without_kernel().cell("kernel", 0x1234),
            &["wrong", "kernel", "0x1234"],
        ),
        refused("no-such-initrd", |vm| vm.cell("initrd", 0x1234), &["wrong", "initrd", "0x1234"]),
        refused("odd-format", |vm| vm.text("format", "tar"), &["wrong", "format", "tar"]),
        refused("zero-share", |vm| vm.share(0), &["wrong", "share", "0"]),
        refused("no-affinity", |vm| vm.affinity(&[0]), &["wrong", "affinity"]),
        refused("affinity-elsewhere", |vm| vm.affinity(&[0x80]), &["wrong", "affinity", "0x80"]),
        refused("short-cell", |vm| vm.property("cpus", vec![0, 1]), &["wrong", "cpus"]),
        refused(
            "unended-string",
            |vm| vm.property("bootargs", b"never ends".to_vec()),
            &["wrong", "bootargs"],
        ),
        refused(
            "address-outside",
            |vm| {
                vm.text("format", "raw")
                    .property("load-address", 0x9000_0000_u64.to_be_bytes().into())
            },
            &["wrong", "load-address", "0x90000000"],
        ),
        refused("too-many-dedicated", |vm| vm.cpus(3).dedicated(), &["wrong", "dedicated"]),
        refused("dedicated-leaves-none", |vm| vm.cpus(2).dedicated(), &["wrong", "dedicated"]),
    ];
    tests.push(whole("no-blob", |_| b"this is not a device tree".to_vec()));
    tests.push(whole("truncated", |blob| blob[..blob.len() / 2].to_vec()));
    tests.push(whole("bad-magic", |mut blob| {
        blob[0] ^= 1;
        blob
    }));
    tests.push(whole("lying-size", |mut blob| {
        blob[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        blob
    }));
    tests.push(whole("lying-offset", |mut blob| {
        blob[8..12].copy_from_slice(&0x7fff_fff0_u32.to_be_bytes());
        blob
    }));
    tests
}

/// A blob that is no description at all: the hypervisor says so and ends.
fn whole(name: &str, spoil: fn(Vec<u8>) -> Vec<u8>) -> Test {
    Test::new(format!("descriptions/{name}"), move |config| {
        let mut description = crate::harness::Description::default();
        description.push(good("right"));
        let outcome = Case::new(config).blob(spoil(description.blob()?)).run()?;
        refused_whole(&outcome)
    })
    .smp(&[1])
    .cpu(Cpu::A72)
    .profile(Profile::Debug)
}

fn refused_whole(outcome: &Outcome) -> Verdict {
    outcome.expect_no_line("right", "")?;
    outcome.expect_bad_status()
}
