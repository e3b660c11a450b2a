//! Guests that nobody wrote for this hypervisor: Debian's Linux, U-Boot, Debian's installer.

use crate::harness::{Case, Config, Cpu, Failure, Outcome, Profile, Test, Verdict, Vm};
use mezzanine_tools::{build, root};
use std::fs;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let release =
        |name, body: fn(Config) -> Verdict| Test::new(name, body).profile(Profile::Release);
    let mut tests = vec![
        release("real/linux", linux).smp(&[2]).cpu(Cpu::A72),
        release("real/linux-shell", shell).smp(&[1]).cpu(Cpu::A72),
        release("real/linux-stress", stress).smp(&[1, 2]),
        release("real/linux-stress-four", |config| stress_of(config, "debian/Image", 4))
            .smp(&[4])
            .cpu(Cpu::A72),
        release("real/linux-vcpus", |config| stress_of(config, "debian/Image", 8))
            .smp(&[2])
            .cpu(Cpu::A72),
        release("real/linux-affinities", affinities).smp(&[2]).cpu(Cpu::A72),
        release("real/uboot", uboot).smp(&[2]).cpu(Cpu::A72),
        release("real/installer", installer).smp(&[2]).cpu(Cpu::A72),
        release("real/crowd", crowd).smp(&[2]).cpu(Cpu::A72),
        release("real/linux-restart", restart).smp(&[2]).cpu(Cpu::A72),
        release("real/soak", soak).smp(&[2]).cpu(Cpu::A72).long(),
    ];
    // Debian's other kernels: the one for any machine, and the preemptible one.
    for place in ["debian-generic", "debian-rt"] {
        let kernel = format!("{place}/Image");
        let body = move |config| stress_of(config, &kernel, 4);
        tests.push(Test::new(format!("real/{place}"), body).profile(Profile::Release).long());
    }
    for cpus in 1..=8 {
        let name = format!("real/linux-{cpus}-vcpus");
        let body = move |config| stress_of(config, "debian/Image", cpus);
        let models: &[Cpu] = match cpus {
            2 | 8 => &[Cpu::A53, Cpu::A72, Cpu::N1, Cpu::Max],
            _ => &[Cpu::A72],
        };
        tests.push(Test::new(name, body).cpus(models).profile(Profile::Release).long());
    }
    tests
}

/// What a kernel says on its way up, if all that it looks for is there.
const BOOT: [&str; 6] = [
    "Booting Linux on physical CPU 0x0000000000",
    "psci: PSCIv1.1 detected in firmware.",
    "GICv3: CPU1: found redistributor 1 region 0:",
    "SMP: Total of 2 processors activated.",
    "CPU: All CPU(s) started at EL1",
    "Run /init as init process",
];

/// What `make run VM=vms/linux.dts` boots, with nobody at the keyboard.
fn linux(config: Config) -> Verdict {
    let outcome = described(config, "linux")?.run()?;
    for line in BOOT {
        outcome.expect_line("linux", &[line])?;
    }
    outcome.expect_line("linux", &["STRAIN pass"])?;
    outcome.expect_line("linux", &["batch: at its end"])?;
    outcome.expect_line("linux", &["reboot: Power down"])?;
    healthy(&outcome, "linux")?;
    outcome.expect_status(0)
}

/// The same with somebody at the keyboard.
fn shell(config: Config) -> Verdict {
    let mut talk = described(config, "linux")?.attended().start()?;
    talk.expect("/ # ")?;
    talk.say("echo $((6 * 7)) on $(nproc)\r")?;
    talk.expect("42 on 2")?;
    talk.say("exit\r")?;
    let outcome = talk.finish()?;
    outcome.expect_line("linux", &["reboot: Power down"])?;
    outcome.expect_status(0)
}

fn stress(config: Config) -> Verdict {
    stress_of(config, "debian/Image", 2)
}

/// A kernel with so many vCPUs, fewer or more than there are pCPUs.
fn stress_of(config: Config, kernel: &str, cpus: u32) -> Verdict {
    let vm = Vm::linux("linux", cpus, "stress").memory(512).kernel(kernel);
    let mut case = Case::new(config).vm(vm).timeout(600);
    if config.smp == 1 {
        // All of them on one thread of the host's: where that is late for long, RCU in the guest
        // complains of what the host did. So time is by the instruction, 31 million a second.
        case = case.counting(5);
    }
    let outcome = case.run()?;
    outcome.expect_line("linux", &[&format!("SMP: Total of {cpus} processors activated.")])?;
    stressed(&outcome, "linux")?;
    if cpus > 1 {
        outcome.expect_line("linux", &["STRESS cycles: 20"])?;
    }
    outcome.expect_status(0)
}

/// vCPUs in several clusters.
fn affinities(config: Config) -> Verdict {
    let vm = Vm::linux("linux", 4, "batch").mpidr(&[0x0, 0x1, 0x100, 0x2_0300]);
    let outcome = Case::new(config).vm(vm).timeout(300).run()?;
    for line in [
        "GICv3: CPU2: found redistributor 100 region 0:",
        "CPU3: Booted secondary processor 0x0000020300",
        "SMP: Total of 4 processors activated.",
        "STRAIN pass",
        "reboot: Power down",
    ] {
        outcome.expect_line("linux", &[line])?;
    }
    healthy(&outcome, "linux")?;
    outcome.expect_status(0)
}

/// U-Boot to its prompt, and from there Linux, from where the description put it.
fn uboot(config: Config) -> Verdict {
    let mut talk = described(config, "uboot")?.attended().start()?;
    talk.expect("Hit any key to stop autoboot")?;
    talk.say("\r")?;
    talk.expect("=> ")?;
    talk.say("setenv bootargs console=ttyAMA0 batch\r")?;
    talk.expect("=> ")?;
    talk.say("booti 0x42000000 0x48000000:0x400000 $fdtcontroladdr\r")?;
    for line in BOOT {
        talk.expect(line)?;
    }
    let outcome = talk.finish()?;
    outcome.expect_line("uboot", &["U-Boot 20"])?;
    // Its settings' place is there, and holds none.
    outcome.expect_line("uboot", &["Loading Environment from Flash... *** Warning - bad CRC"])?;
    outcome.expect_line("uboot", &["STRAIN pass"])?;
    healthy(&outcome, "uboot")?;
    outcome.expect_status(0)
}

/// Debian's installer, to its first menu.
fn installer(config: Config) -> Verdict {
    let mut talk = described(config, "installer")?.timeout(200).start()?;
    talk.expect("Run /init as init process")?;
    talk.expect("Select a language")
}

/// Five VMs on two pCPUs, all of them alive, and the keyboard goes to each.
fn crowd(config: Config) -> Verdict {
    let mut talk = described(config, "crowd")?.attended().timeout(200).start()?;
    talk.expect("/ # ")?;
    let ask = [
        ("0", "echo $((6 * 7))\r", "42", "exit\r"),
        ("3", "el\r", "CurrentEL = 1", "off\r"),
        ("1", "echo $((7 * 7))\r", "49", "exit\r"),
        ("4", "el\r", "CurrentEL = 1", "off\r"),
        ("2", "version\r", "U-Boot 20", "poweroff\r"),
    ];
    for (digit, question, answer, _) in ask {
        talk.say(&format!("\u{1d}{digit}\r"))?;
        talk.say(question)?;
        talk.expect(answer)?;
    }
    for (digit, .., end) in ask {
        talk.say(&format!("\u{1d}{digit}\r"))?;
        talk.say(end)?;
    }
    let outcome = talk.finish()?;
    for name in ["debian-0", "debian-1"] {
        healthy(&outcome, name)?;
    }
    outcome.expect_status(0)
}

/// Linux that starts itself anew, and comes up like new each time.
fn restart(config: Config) -> Verdict {
    let mut talk = Case::new(config).vm(Vm::linux("linux", 2, "restart")).start()?;
    for _ in 0..4 {
        talk.expect("SMP: Total of 2 processors activated.")?;
        talk.expect("up again")?;
        talk.expect("INFO: linux: reset")?;
    }
    Ok(())
}

/// Minutes of two Linux under load, and a neighbour that misses no tick.
fn soak(config: Config) -> Verdict {
    let case = Case::new(config).attended().timeout(900);
    let case = case.vm(Vm::new("benos").kernel("benos").cpus(2));
    let case = case.vm(Vm::linux("one", 2, "soak=180")).vm(Vm::linux("two", 2, "soak=180"));
    let mut talk = case.start()?;
    talk.expect("benos> ")?;
    talk.expect("SOAK end")?;
    talk.expect("SOAK end")?;
    talk.say("ticks\r")?;
    talk.expect("handled, ")?;
    talk.say("off\r")?;
    let outcome = talk.finish()?;
    for name in ["one", "two"] {
        outcome.expect_line(name, &["STRESS pass"])?;
        outcome.expect_no_line(name, "FAIL")?;
        healthy(&outcome, name)?;
    }
    crate::demo::ticks(&outcome, "benos")?;
    outcome.expect_status(0)
}

/// All of the stress passed.
fn stressed(outcome: &Outcome, name: &str) -> Verdict {
    outcome.expect_line(name, &["STRAIN pass"])?;
    outcome.expect_line(name, &["STRESS pass"])?;
    outcome.expect_no_line(name, "FAIL")?;
    healthy(outcome, name)
}

/// The kernel found nothing to complain about.
fn healthy(outcome: &Outcome, name: &str) -> Verdict {
    for complaint in
        ["WARNING:", "BUG:", "rcu: INFO", "Oops", "Kernel panic", "irq 27: nobody cared"]
    {
        outcome.expect_no_line(name, complaint)?;
    }
    Ok(())
}

/// The machine with one of our descriptions.
fn described(config: Config, name: &str) -> Result<Case, Failure> {
    let blob = build::description(&root().join(format!("vms/{name}.dts")))?;
    let blob = fs::read(&blob).map_err(mezzanine_tools::Error::file(&blob))?;
    Ok(Case::new(config).blob(blob))
}
