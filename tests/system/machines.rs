//! Whole VMs: several vCPUs, resets, the keyboard, and neighbours that make noise.

use crate::harness::{Case, Cpu, Profile, Test, Verdict, Vm};

/// What a noisy neighbour does all the time.
const NOISES: [&str; 8] = ["plain", "yield", "wfe", "hvc", "sysreg", "mmio", "abort", "timer"];

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let mut tests = vec![
        Test::new("machines/smp", |config| {
            let vm = Vm::new("p").kernel("smp").cpus(4).bootargs("strict");
            let outcome = Case::new(config).vm(vm).timeout(180).run()?;
            outcome.expect_pass("p", 40)?;
            outcome.expect_status(0)
        }),
        Test::new("machines/smp-affinities", |config| {
            let vm = Vm::new("p").kernel("smp").mpidr(&[0x0, 0x1, 0x100, 0x2_0300]);
            let outcome = Case::new(config).vm(vm.bootargs("strict")).timeout(180).run()?;
            outcome.expect_pass("p", 50)?;
            outcome.expect_status(0)
        })
        .profile(Profile::Release),
        Test::new("machines/smp-neighbours", |config| {
            // SYSTEM_OFF from a secondary ends that VM only, and the other's CPUs are its own.
            let vm = |name| Vm::new(name).kernel("smp").cpus(3).bootargs("strict");
            let case = Case::new(config).vm(vm("one")).vm(vm("two"));
            let outcome = case.timeout(240).run()?;
            outcome.expect_pass("one", 30)?;
            outcome.expect_pass("two", 30)?;
            outcome.expect_status(0)
        })
        .smp(&[2, 4])
        .profile(Profile::Release),
        Test::new("machines/fault", |config| {
            // It is stopped alone, with one decoded line; its neighbour goes on to its end.
            let why =
                ["ERROR: p vCPU 0: stopped: EC 0x20 instruction abort from a lower EL: fetch \
                        at IPA 0xb000200, translation fault level 2, PC 0xb000200: the vector"];
            stopped(Case::new(config).vm(Vm::new("p").kernel("fault")), &why)
        }),
        Test::new("machines/all-cpus-off", |config| {
            let vm = Vm::new("p").kernel("fault").bootargs("off");
            stopped(Case::new(config).vm(vm), &["ERROR: p: stopped: all vCPUs are off"])
        }),
        Test::new("machines/reboot", |config| {
            let vm = Vm::new("p").kernel("reboot").cpus(2);
            let vm = vm.bootargs("clean delay=20 until=1000000000");
            let idle = Vm::new("idle").kernel("idle").bootargs("ms=300 tick=20");
            let mut talk = Case::new(config).vm(vm).vm(idle).start()?;
            // The neighbour comes to its own end meanwhile, and to nobody else's.
            talk.expect("INFO: idle: off")?;
            for _ in 0..5 {
                talk.expect("BOOT cntpct_ms=")?;
                talk.expect("failed=0")?;
            }
            let outcome = talk.stop();
            outcome.expect_no_line("p", "FAIL")?;
            outcome.expect_line("idle", &["IDLE ms="])
        }),
        Test::new("machines/reset-100", |config| {
            let vm = Vm::new("p").kernel("reboot").cpus(2);
            let vm = vm.bootargs("clean delay=1 until=1000000000");
            let idle = Vm::new("idle").kernel("idle").bootargs("ms=1000000 tick=20");
            let mut talk = Case::new(config).vm(vm).vm(idle).start()?;
            for _ in 0..=100 {
                talk.expect("BOOT cntpct_ms=")?;
                // Its memory is zero, its devices are like new, its other CPU is off.
                talk.expect("failed=0")?;
            }
            Ok(())
        })
        .profile(Profile::Release)
        .smp(&[1, 2]),
        Test::new("machines/memory", |config| {
            // What VMs had is the machine's again, in one piece.
            let vm = |name, ms| Vm::new(name).kernel("idle").bootargs(&format!("ms={ms} tick=20"));
            let case =
                Case::new(config).vm(vm("one", 100).memory(66)).vm(vm("two", 300).memory(34));
            let outcome = case.append("log=debug").run()?;
            let free =
                |line: &str| line.split_whitespace().find_map(|word| word.parse::<u64>().ok());
            let lines = || outcome.lines("mezzanine");
            let all = lines().find(|line| line.contains("MiB for VMs"));
            let all = all.and_then(|line| free(line.split_once("pCPUs,")?.1));
            let back: Vec<_> =
                lines().filter_map(|line| free(line.split_once("is given back,")?.1)).collect();
            match all {
                // Whichever ended first.
                Some(all) if back == [all - 34, all] || back == [all - 66, all] => {
                    outcome.expect_status(0)
                }
                _ => Err(outcome.failure(format!("of {all:?} MiB, given back: {back:?}"))),
            }
        }),
        Test::new("machines/large", |config| {
            // What it doesn't touch costs it nothing, neither at its start nor by set and way.
            let vm = Vm::new("p").kernel("reboot").memory(512).bootargs("until=0");
            let ways = Vm::new("ways").kernel("setway").memory(256);
            let outcome = Case::new(config).counting_instructions().vm(vm).vm(ways).run()?;
            outcome.expect_pass("p", 3)?;
            outcome.expect_pass("ways", 5)?;
            match outcome.number("p", "BOOT", "cntpct_ms")? {
                0..50 => outcome.expect_status(0),
                ms => Err(outcome.failure(format!("{ms} ms to its first line"))),
            }
        })
        .profile(Profile::Release)
        .smp(&[1]),
        Test::new("machines/large-dedicated", |config| {
            // It has to wait for its memory before it starts, and not later.
            let vm = Vm::new("p").kernel("reboot").memory(512).dedicated().bootargs("until=0");
            let outcome = Case::new(config).counting_instructions().vm(vm).run()?;
            outcome.expect_pass("p", 3)?;
            match outcome.number("p", "BOOT", "cntpct_ms")? {
                ms @ 0..150 => Err(outcome.failure(format!("{ms} ms to its first line"))),
                _ => outcome.expect_status(0),
            }
        })
        .profile(Profile::Release)
        .smp(&[1]),
        Test::new("machines/operator-starts", |config| {
            // One that waits for it, and again when it is off; not while it runs.
            let late = Vm::new("late").kernel("pong").no_autostart();
            let idle = Vm::new("idle").kernel("pong");
            let mut talk = Case::new(config).attended().vm(idle).vm(late).start()?;
            talk.expect("[idle] READY")?;
            talk.say("\u{1d}1")?;
            for _ in 0..3 {
                talk.say("\u{1d}s")?;
                talk.expect("INFO: late: starts")?;
                talk.expect("[late] READY")?;
                talk.say("\u{1d}s")?;
                talk.expect("WARN: late: a VM that is Running can't start")?;
                talk.say("quit\r")?;
                talk.expect("INFO: late: off")?;
            }
            talk.say("\u{1d}0quit\r")?;
            let outcome = talk.finish()?;
            if outcome.lines("late").filter(|line| *line == "READY").count() != 3 {
                return Err(outcome.failure("three lives wanted"));
            }
            outcome.expect_status(0)
        }),
        Test::new("machines/keyboard", |config| {
            let vm = Vm::new("p").kernel("pong");
            let mut talk = Case::new(config).attended().vm(vm).start()?;
            talk.expect("READY")?;
            for word in ["hello", "a line that is longer than any FIFO of sixteen bytes"] {
                talk.say(&format!("{word}\r"))?;
                talk.expect(&format!("PONG {word}"))?;
            }
            talk.say("quit\r")?;
            let outcome = talk.finish()?;
            outcome.expect_pass("p", 1)?;
            outcome.expect_status(0)
        }),
    ];
    for noise in NOISES {
        tests.push(
            Test::new(format!("machines/noise-{noise}"), move |config| {
                let spin = Vm::new("noise").kernel("spin");
                let case = Case::new(config)
                    .vm(spin.bootargs(&format!("{noise} ms=1500")))
                    .vm(Vm::new("quiet").kernel("idle").bootargs("ms=1000 tick=20"));
                let outcome = case.counting_instructions().run()?;
                outcome.expect_line("noise", &["SPIN end"])?;
                outcome.expect_pass("quiet", 1)?;
                // Fifty are due: a heartbeat goes on at its rate, give or take a slice.
                let beats = outcome.number("quiet", "IDLE", "interrupts")?;
                if beats < 40 {
                    return Err(outcome.failure(format!("{beats} of 50 heartbeats")));
                }
                outcome.expect_status(0)
            })
            .smp(&[1])
            .cpu(Cpu::A72),
        );
    }
    tests
}

/// The VM `p` of `case` is stopped with this line, and a neighbour is not.
fn stopped(case: Case, line: &[&str]) -> Verdict {
    let idle = Vm::new("idle").kernel("idle").bootargs("ms=300 tick=20");
    let outcome = case.vm(idle).counting_instructions().run()?;
    outcome.expect_line("mezzanine", line)?;
    outcome.expect_no_line("p", "FAIL")?;
    outcome.expect_pass("idle", 1)?;
    outcome.expect_status(1)
}
