//! The harness: which tests run on which machines, and what a case is made of.

mod case;
mod description;
mod outcome;
mod runner;

pub use case::{Case, Talk};
pub use description::{Description, Vm, image};
pub use mezzanine_tools::build::Profile;
pub use outcome::{Failure, Outcome};
pub use runner::main;

use std::fmt;

/// What a test ends with.
pub type Verdict = Result<(), Failure>;

/// The CPU models that are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// Armv8.0, in order, no VHE.
    A53,
    /// Armv8.0, no VHE, the first of its line.
    A57,
    /// Armv8.0, no VHE.
    A72,
    /// Armv8.2, the line of N1.
    A76,
    /// Armv8.2: VHE, LSE, RAS.
    N1,
    /// Everything that QEMU has.
    Max,
}

impl Cpu {
    /// QEMU's `-cpu`. Pointer authentication by the architected algorithm takes QEMU most of its
    /// time, so `max` uses the IMPLEMENTATION DEFINED one.
    pub fn model(self) -> &'static str {
        match self {
            Cpu::A53 => "cortex-a53",
            Cpu::A57 => "cortex-a57",
            Cpu::A72 => "cortex-a72",
            Cpu::A76 => "cortex-a76",
            Cpu::N1 => "neoverse-n1",
            Cpu::Max => "max,pauth-impdef=on",
        }
    }
}

/// One machine that a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The CPU model.
    pub cpu: Cpu,
    /// The number of pCPUs.
    pub smp: u32,
    /// How the hypervisor was compiled.
    pub profile: Profile,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = match self.cpu {
            Cpu::A53 => "a53",
            Cpu::A57 => "a57",
            Cpu::A72 => "a72",
            Cpu::A76 => "a76",
            Cpu::N1 => "n1",
            Cpu::Max => "max",
        };
        write!(f, "{cpu} smp={} {}", self.smp, self.profile.directory())
    }
}

/// A test, and the machines that it can run on.
pub struct Test {
    /// `area/behaviour`.
    pub name: String,
    /// What is done on each machine.
    pub body: Box<dyn Fn(Config) -> Verdict + Send + Sync>,
    /// Whether the hypervisor takes part, or only guests on the bare machine.
    pub needs_hypervisor: bool,
    long: bool,
    cpus: Vec<Cpu>,
    smps: Vec<u32>,
    profiles: Vec<Profile>,
}

impl Test {
    /// A test for every machine.
    pub fn new<F>(name: impl Into<String>, body: F) -> Self
    where
        F: Fn(Config) -> Verdict + Send + Sync + 'static,
    {
        Test {
            name: name.into(),
            body: Box::new(body),
            needs_hypervisor: true,
            long: false,
            // The oldest and the newest that matter.
            cpus: vec![Cpu::A72, Cpu::Max],
            smps: vec![1, 2, 4],
            profiles: vec![Profile::Release, Profile::Debug],
        }
    }

    /// A test of guests on the bare machine.
    pub fn without_hypervisor<F>(name: impl Into<String>, body: F) -> Self
    where
        F: Fn(Config) -> Verdict + Send + Sync + 'static,
    {
        let mut test = Test::new(name, body);
        test.needs_hypervisor = false;
        test
    }

    /// Only with these numbers of pCPUs.
    pub fn smp(mut self, smps: &[u32]) -> Self {
        self.smps = smps.into();
        self
    }

    /// Only on this CPU model.
    pub fn cpu(self, cpu: Cpu) -> Self {
        self.cpus(&[cpu])
    }

    /// On these CPU models.
    pub fn cpus(mut self, cpus: &[Cpu]) -> Self {
        self.cpus = cpus.into();
        self
    }

    /// Only where everything is asked for: what takes minutes.
    pub fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Only with this profile: for what is slow, and for what does not depend on the hypervisor.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profiles = vec![profile];
        self
    }

    /// The machines to run on: all of them, or so many that each pair of choices is there.
    pub fn configs(&self, all: bool) -> Vec<Config> {
        let mut product = Vec::new();
        for &cpu in &self.cpus {
            for &smp in &self.smps {
                for &profile in &self.profiles {
                    product.push(Config { cpu, smp, profile });
                }
            }
        }
        match (all, self.long) {
            (true, _) => product,
            (false, true) => Vec::new(),
            (false, false) => pairwise(product),
        }
    }
}

/// Picks from all machines so many that each pair of choices (this CPU with that profile, …) is
/// in one of them: most faults that hang on the machine hang on one choice or on two.
fn pairwise(mut left: Vec<Config>) -> Vec<Config> {
    let mut covered: Vec<Config> = Vec::new();
    let pairs = |covered: &[Config], config: &Config| {
        let fresh = |same: &dyn Fn(&Config) -> bool| usize::from(!covered.iter().any(same));
        fresh(&|c| (c.cpu, c.smp) == (config.cpu, config.smp))
            + fresh(&|c| (c.cpu, c.profile) == (config.cpu, config.profile))
            + fresh(&|c| (c.smp, c.profile) == (config.smp, config.profile))
    };
    loop {
        // The first of the best: `max_by_key` would take the last.
        let best = (0..left.len()).rev().max_by_key(|&index| pairs(&covered, &left[index]));
        match best {
            Some(index) if pairs(&covered, &left[index]) > 0 => covered.push(left.remove(index)),
            _ => return covered,
        }
    }
}
