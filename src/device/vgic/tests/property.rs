//! The vGIC against the reference model, under guests that do as they please.

use super::hardware::Hardware;
use super::model::{Model, Name};
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const SPIS: usize = 64;
/// The PPI with a physical interrupt behind it, and that interrupt.
const TIMER: u32 = 27;
const PINTID: u16 = 26;

/// One step of the world. Numbers are reduced to what exists.
#[derive(Clone, Debug)]
enum Step {
    Ppi(usize, u32, bool),
    Spi(u32, bool),
    Timer(usize),
    Sgi(usize, u64),
    /// (vCPU, register / 0x80, bank, bits).
    Bits(usize, u64, usize, u32),
    Priority(usize, u32, u8),
    Config(usize, usize, u32),
    Route(usize, u32, u64),
    Groups(usize, u64),
    Sleep(usize, usize, bool),
    Mask(usize, u8, u8),
    Acknowledge(usize),
    End(usize),
    Dir(usize, usize),
    Load(usize),
    Put(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let v = || 0..3usize;
    let intid = || prop_oneof![0..8u32, 16..32u32, 32..40u32, 60..68u32];
    // Few bits most of the time, so that interrupts meet.
    let bits = || prop_oneof![4 => (0..32u32).prop_map(|i| 1 << i), 1 => any::<u32>()];
    let priority = || prop_oneof![Just(0x80u8), Just(0xa0), (0..32u8).prop_map(|p| p << 3)];
    let router = prop_oneof![4 => 0..4u64, 1 => Just(1 << 31), 1 => any::<u64>()];
    prop_oneof![
        4 => (v(), 16..32u32, any::<bool>()).prop_map(|(v, i, l)| Step::Ppi(v, i, l)),
        4 => (32..72u32, any::<bool>()).prop_map(|(i, l)| Step::Spi(i, l)),
        4 => v().prop_map(Step::Timer),
        4 => (v(), 0..16u64, 0..8u64, any::<bool>())
            .prop_map(|(v, i, t, irm)| Step::Sgi(v, i << 24 | t | u64::from(irm) << 40)),
        8 => (v(), 1..8u64, 0..3usize, bits()).prop_map(|(v, r, n, b)| Step::Bits(v, r, n, b)),
        2 => (v(), intid(), priority()).prop_map(|(v, i, p)| Step::Priority(v, i, p)),
        1 => (v(), 0..6usize, any::<u32>()).prop_map(|(v, n, b)| Step::Config(v, n, b)),
        2 => (v(), intid(), router).prop_map(|(v, i, r)| Step::Route(v, i, r)),
        1 => (v(), prop_oneof![3 => Just(3u64), 1 => 0..4u64])
            .prop_map(|(v, g)| Step::Groups(v, g)),
        1 => (v(), v(), any::<bool>()).prop_map(|(v, w, s)| Step::Sleep(v, w, s)),
        1 => (v(), priority(), 0..4u8).prop_map(|(v, p, g)| Step::Mask(v, p, g)),
        12 => v().prop_map(Step::Acknowledge),
        8 => v().prop_map(Step::End),
        4 => (v(), 0..4usize).prop_map(|(v, n)| Step::Dir(v, n)),
        2 => v().prop_map(Step::Load),
        1 => v().prop_map(Step::Put),
    ]
}

/// What a guest knows of itself.
#[derive(Default)]
struct Guest {
    /// Acknowledged and not ended, innermost last.
    running: Vec<u32>,
    /// Ended and not deactivated, with EOImode = 1.
    dropped: Vec<u32>,
    loaded: bool,
}

struct World {
    vgic: Vgic,
    model: Model,
    pcpus: Vec<Hardware>,
    guests: Vec<Guest>,
    lrs: usize,
    /// What a guest sees is compared after each step.
    exact: bool,
}

impl World {
    fn new(vcpus: usize, lrs: usize, eoi_mode: bool) -> Self {
        let mut pcpus = std::vec![Hardware::new(lrs); vcpus];
        if eoi_mode {
            pcpus.iter_mut().for_each(|p| p.vmcr |= lr::VMCR_VEOIM);
        }
        let mut world = Self {
            vgic: Vgic::new(vcpus, SPIS),
            model: Model::new(vcpus, SPIS),
            pcpus,
            guests: (0..vcpus).map(|_| Guest::default()).collect(),
            lrs,
            exact: true,
        };
        for v in 0..vcpus {
            world.run(Step::Load(v));
            world.run(Step::Bits(v, 2, 0, 0xfff0_ffff));
            world.run(Step::Bits(v, 1, 0, 0xffff_fff8));
        }
        for n in 1..3 {
            world.run(Step::Bits(0, 2, n, 0xffff_ff0f));
            world.run(Step::Bits(0, 1, n, 0xffff_ffcf));
        }
        world.run(Step::Groups(0, 3));
        world
    }

    /// One step; then everybody who was asked to gives attention, and what can be seen is
    /// compared.
    fn run(&mut self, step: Step) {
        let effects = self.apply(step);
        self.attend(effects);
        for v in 0..self.guests.len() {
            if self.exact {
                self.check(v);
            }
        }
    }

    fn attend(&mut self, effects: Effects) {
        let mut todo = effects;
        for round in 0.. {
            assert!(round < 20, "vCPUs keep asking each other for attention");
            for v in 0..self.guests.len() {
                if !self.guests[v].loaded {
                    continue;
                }
                if todo.contains(v) {
                    todo = todo.without(v) | self.vgic.deliver(v, &mut self.pcpus[v]);
                }
                for round in 0.. {
                    if !self.pcpus[v].maintenance() {
                        break;
                    }
                    assert!(round < 4, "a storm of maintenance interrupts");
                    todo |= self.vgic.sync(v, &mut self.pcpus[v]);
                }
            }
            let loaded = |v: &usize| self.guests[*v].loaded;
            if !(0..self.guests.len()).filter(loaded).any(|v| todo.contains(v)) {
                break;
            }
        }
    }

    fn check(&mut self, v: usize) {
        let pcpu = &self.pcpus[v];
        let wakes = self.model.unmasked(v, pcpu.vmcr).next().is_some();
        if !self.guests[v].loaded {
            assert_eq!(self.vgic.has_deliverable(v, pcpu.vmcr), wakes);
            assert!(pcpu.is_clear() && pcpu.physical.is_empty());
            return;
        }
        assert_eq!(self.vgic.has_deliverable_loaded(v, pcpu), wakes);
        let seen = pcpu.peek();
        let best = self.model.best(v, pcpu.vmcr, pcpu.running.last().copied());
        assert_eq!(seen.map(|(_, priority)| priority), best, "vCPU {v}");
        if let Some((intid, _)) = seen {
            let all = self.model.deliverable(v);
            assert!(all.iter().any(|(i, _)| *i == intid), "{intid} of {v}");
        }
        pcpu.check_physical();
        let timer = self.model.irq(Name::Private(v, TIMER));
        if !timer.pending() && timer.active.is_none() {
            assert!(!pcpu.physical.contains(&PINTID), "the timer is stuck");
        }
    }

    fn apply(&mut self, step: Step) -> Effects {
        let n = self.guests.len();
        let Self { vgic, model, pcpus, guests, lrs, .. } = self;
        let guest = |v: usize| guests[v % n].loaded;
        match step {
            Step::Ppi(v, intid, high) if intid != TIMER => {
                model.drive(Name::Private(v % n, intid), high);
                vgic.set_level(v % n, intid, high)
            }
            Step::Spi(intid, high) => {
                model.drive(Name::Spi(intid), high);
                vgic.set_spi_level(intid, high)
            }
            Step::Timer(v) if guest(v) && !pcpus[v % n].physical.contains(&PINTID) => {
                pcpus[v % n].physical.insert(PINTID);
                model.irq(Name::Private(v % n, TIMER)).latch = true;
                vgic.raise_hw(v % n, TIMER, PINTID, &mut pcpus[v % n])
            }
            Step::Sgi(v, value) if guest(v) => {
                let v = v % n;
                let targets = if value >> 40 & 1 != 0 { !(1 << v) } else { value & 0xffff };
                for target in (0..n).filter(|t| targets & 1 << t != 0) {
                    model.irq(Name::Private(target, value as u32 >> 24)).latch = true;
                }
                vgic.sgi(v, SgiRegister::Sgi1r, value, &mut pcpus[v])
            }
            Step::Bits(v, register, bank, bits) if guest(v) => {
                let v = v % n;
                let mut bits = bits;
                for i in 0..32 {
                    let name = Name::of(v, 32 * bank as u32 + i);
                    let set = bits & 1 << i != 0;
                    if register >= 6 && set && !may_activate(guests, model, name, *lrs) {
                        bits &= !(1 << i);
                    } else if register == 6 && set {
                        let router = model.irq(name).router;
                        let holder = model.target(router);
                        let holder = if bank == 0 { v } else { holder.unwrap_or(v) };
                        model.irq(name).active.get_or_insert(holder);
                    } else if register == 7 && set {
                        model.irq(name).active = None;
                    } else if set || register == 1 {
                        model.irq(name).write(register, set);
                    }
                }
                access(vgic, pcpus, v, bank, 0x80 * register, bits)
            }
            Step::Priority(v, intid, priority) if guest(v) => {
                let v = v % n;
                model.irq(Name::of(v, intid)).priority = priority;
                let offset = 0x400 + u64::from(intid);
                if intid < 32 {
                    let offset = 0x1_0000 + offset;
                    vgic.redist_write(v, v, offset, 1, priority.into(), &mut pcpus[v])
                } else {
                    vgic.dist_write(v, offset, 1, priority.into(), &mut pcpus[v])
                }
            }
            Step::Config(v, half, bits) if guest(v) => {
                let v = v % n;
                for i in 0..16 {
                    let intid = (16 * half + i) as u32;
                    if intid >= 16 {
                        let edge = bits >> (2 * i + 1) & 1 != 0;
                        model.irq(Name::of(v, intid)).edge = edge;
                    }
                }
                let offset = 0xc00 + 4 * half as u64;
                if half < 2 {
                    vgic.redist_write(v, v, 0x1_0000 + offset, 4, bits.into(), &mut pcpus[v])
                } else {
                    vgic.dist_write(v, offset, 4, bits.into(), &mut pcpus[v])
                }
            }
            Step::Route(v, intid, router) if guest(v) && intid >= 32 => {
                let v = v % n;
                model.irq(Name::Spi(intid)).router = router & 0xff_80ff_ffff;
                let offset = 0x6000 + 8 * u64::from(intid);
                vgic.dist_write(v, offset, 8, router, &mut pcpus[v])
            }
            Step::Groups(v, groups) if guest(v) => {
                model.groups = [groups & 1 != 0, groups & 2 != 0];
                vgic.dist_write(v % n, 0, 4, groups, &mut pcpus[v % n])
            }
            Step::Sleep(v, frame, asleep) if guest(v) => {
                model.awake[frame % n] = !asleep;
                let value = u64::from(asleep) << 1;
                vgic.redist_write(v % n, frame % n, 0x14, 4, value, &mut pcpus[v % n])
            }
            Step::Mask(v, pmr, groups) if guest(v) => {
                let kept = pcpus[v % n].vmcr & lr::VMCR_VEOIM;
                pcpus[v % n].vmcr = kept | u64::from(pmr) << 24 | u64::from(groups & 3);
                Effects::NONE
            }
            Step::Acknowledge(v) if guest(v) && (*lrs < 16 || guests[v % n].running.len() < 8) => {
                if let Some(intid) = pcpus[v % n].acknowledge() {
                    model.acknowledge(v % n, intid);
                    guests[v % n].running.push(intid);
                }
                Effects::NONE
            }
            Step::End(v) if guest(v) => {
                let v = v % n;
                if let Some(intid) = guests[v].running.pop() {
                    pcpus[v].end(intid);
                    if pcpus[v].vmcr & lr::VMCR_VEOIM != 0 {
                        guests[v].dropped.push(intid);
                    } else {
                        model.irq(Name::of(v, intid)).active = None;
                    }
                }
                Effects::NONE
            }
            Step::Dir(v, which) if guest(v) && !guests[v % n].dropped.is_empty() => {
                let v = v % n;
                let which = which % guests[v].dropped.len();
                let intid = guests[v].dropped.remove(which);
                model.irq(Name::of(v, intid)).active = None;
                if pcpus[v].dir(intid) { vgic.dir(v, intid, &mut pcpus[v]) } else { Effects::NONE }
            }
            Step::Load(v) if !guest(v) => {
                guests[v % n].loaded = true;
                vgic.load(v % n, &mut pcpus[v % n]);
                Effects::NONE
            }
            Step::Put(v) if guest(v) => {
                guests[v % n].loaded = false;
                vgic.put(v % n, &mut pcpus[v % n])
            }
            _ => Effects::NONE,
        }
    }

    /// Reads every state register by `v` and compares. The first reading makes the others look
    /// into their list registers, the second must be exact.
    fn read_all(&mut self, v: usize) {
        for bank in 0..1 + SPIS / 32 {
            for register in 1..8 {
                self.read(v, bank, register);
                let value = self.read(v, bank, register);
                let irqs = self.model.bank(v, bank).iter().enumerate();
                let wanted = irqs.fold(0, |w, (i, irq)| w | u64::from(irq.read(register)) << i);
                assert_eq!(value, wanted, "register {register} of bank {bank}");
            }
        }
        let (ctlr, _) = self.vgic.dist_read(v, 0, 4, &self.pcpus[v]);
        assert_eq!(ctlr >> 31, 0, "RWP is still set");
    }

    fn read(&mut self, v: usize, bank: usize, register: u64) -> u64 {
        let offset = 0x80 * register + 4 * bank as u64;
        let (value, effects) = if bank == 0 {
            self.vgic.redist_read(v, v, 0x1_0000 + offset, 4, &self.pcpus[v])
        } else {
            self.vgic.dist_read(v, offset, 4, &self.pcpus[v])
        };
        self.attend(effects);
        value
    }

    /// Everybody runs with everything unmasked until nothing is left.
    fn drain(&mut self) {
        let n = self.guests.len();
        for irq in 16..32u32 {
            (0..n).for_each(|v| self.run(Step::Ppi(v, irq, false)));
        }
        for irq in 32..32 + SPIS as u32 {
            self.run(Step::Spi(irq, false));
        }
        for v in 0..n {
            self.run(Step::Load(v));
            self.run(Step::Mask(v, 0xff, 3));
        }
        self.run(Step::Groups(0, 3));
        for bank in 0..3 {
            (0..n).for_each(|v| self.run(Step::Bits(v, 2, bank, u32::MAX)));
        }
        for _ in 0..(64 * n + SPIS) {
            for v in 0..n {
                self.run(Step::Acknowledge(v));
                self.run(Step::End(v));
                self.run(Step::Dir(v, 0));
            }
        }
        for v in 0..n {
            while !self.guests[v].running.is_empty() {
                self.run(Step::End(v));
            }
            while !self.guests[v].dropped.is_empty() {
                self.run(Step::Dir(v, 0));
            }
        }
        for v in 0..n {
            if self.exact {
                self.read_all(v);
            }
            // With sixteen list registers the guest has made interrupts active by hand.
            if self.lrs < 16 {
                assert_eq!(self.pcpus[v].occupied(), 0);
                assert!(self.pcpus[v].physical.is_empty());
            }
            self.run(Step::Put(v));
        }
        self.vgic.reset();
        assert_eq!(self.vgic, Vgic::new(n, SPIS));
    }
}

/// Whether the guest may change the active state of an interrupt by a register. EOIcount does
/// not say which interrupt was ended, so it leaves that alone where list registers are few; and
/// what it has acknowledged it ends by its CPU interface.
fn may_activate(guests: &[Guest], model: &mut Model, name: Name, lrs: usize) -> bool {
    let (Name::Private(_, intid) | Name::Spi(intid)) = name;
    let acknowledged = model.irq(name).active.is_some_and(|v| {
        let Guest { running, dropped, .. } = &guests[v];
        running.contains(&intid) || dropped.contains(&intid)
    });
    lrs >= 16 && !acknowledged && model.actives() < 8
}

/// A 32-bit write to a register of `bank` at its frame's `offset`.
fn access(
    vgic: &mut Vgic,
    pcpus: &mut [Hardware],
    v: usize,
    bank: usize,
    offset: u64,
    bits: u32,
) -> Effects {
    let (offset, value, ci) = (offset + 4 * bank as u64, bits.into(), &mut pcpus[v]);
    if bank == 0 {
        vgic.redist_write(v, v, 0x1_0000 + offset, 4, value, ci)
    } else {
        vgic.dist_write(v, offset, 4, value, ci)
    }
}

/// `CASES=…` in the environment runs more of them.
fn config(cases: u32) -> ProptestConfig {
    let wanted = std::env::var("CASES").ok().and_then(|c| c.parse().ok());
    ProptestConfig {
        cases: wanted.unwrap_or(if cfg!(miri) { 1 } else { cases }),
        failure_persistence: None,
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    }
}

/// Length of a run, in steps.
const STEPS: usize = if cfg!(miri) { 30 } else { 300 };

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn agrees_with_a_gic_that_has_no_list_registers(
        vcpus in 1..4usize,
        lrs in prop::sample::select(&[1usize, 2, 4, 16][..]),
        eoi_mode in any::<bool>(),
        steps in prop::collection::vec(step(), 1..STEPS),
    ) {
        let mut world = World::new(vcpus, lrs, eoi_mode);
        for (i, step) in steps.into_iter().enumerate() {
            world.run(step);
            let reader = i % vcpus;
            if i % 16 == 0 && world.guests[reader].loaded {
                world.read_all(reader);
            }
        }
        world.drain();
    }

    /// vCPUs that come out of their guests late, as on a real machine: what they see in between
    /// is not exact, but every edge is taken after it came, and nothing stays active.
    #[test]
    fn loses_nothing_while_attention_comes_late(
        vcpus in 1..4usize,
        lrs in prop::sample::select(&[1usize, 2, 4][..]),
        eoi_mode in any::<bool>(),
        steps in prop::collection::vec((step(), any::<bool>()), 1..STEPS),
    ) {
        let mut world = World::new(vcpus, lrs, eoi_mode);
        let mut owed = Effects::NONE;
        for (step, late) in steps {
            // Taking an interrupt back by register races with its being taken by the guest.
            if matches!(step, Step::Bits(_, 5, ..)) {
                continue;
            }
            owed |= world.apply(step);
            if !late {
                world.attend(owed);
                owed = Effects::NONE;
            }
        }
        world.attend(owed);
        world.exact = false;
        world.drain();
        for v in 0..vcpus {
            prop_assert!(world.model.deliverable(v).is_empty(), "an edge was lost");
        }
    }
}
