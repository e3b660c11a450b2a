//! The vGIC against the reference model, under guests that do as they please.

use super::hardware::Hardware;
use super::model::{Model, Name};
use super::steps::{Access, Own, Step, few, step};
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const SPIS: usize = 64;
/// The physical interrupt behind the virtual timer's.
const PINTID: u16 = 26;

/// What a guest knows of itself, and what its exits know of its timer.
#[derive(Default)]
struct Guest {
    /// Acknowledged and not ended, innermost last.
    running: Vec<u32>,
    /// Ended and not deactivated, with EOImode = 1.
    dropped: Vec<u32>,
    loaded: bool,
    /// The line of the virtual timer, and at the last look while its interrupt is on its way.
    line: bool,
    seen: Option<bool>,
}

struct World {
    vgic: Vgic,
    model: Model,
    pcpus: Vec<Hardware>,
    guests: Vec<Guest>,
    lrs: usize,
    affinities: Vec<u32>,
    /// What a guest sees is compared after each step.
    exact: bool,
}

impl World {
    fn new(affinities: &[u32], pcpu: Hardware, eoi_mode: bool) -> Self {
        let (vcpus, lrs) = (affinities.len(), pcpu.lr_count());
        let mut pcpus = vec![pcpu; vcpus];
        if eoi_mode {
            pcpus.iter_mut().for_each(|p| p.vmcr |= lr::VMCR_VEOIM);
        }
        let mut world = Self {
            vgic: Vgic::new(affinities, SPIS),
            model: Model::new(affinities, SPIS),
            pcpus,
            guests: (0..vcpus).map(|_| Guest::default()).collect(),
            lrs,
            affinities: affinities.into(),
            exact: true,
        };
        for v in 0..vcpus {
            world.run(Step::Load(v));
            world.write(v, Access::Bits(2, 0, 0xfff0_ffff));
            world.write(v, Access::Bits(1, 0, 0xffff_fff8));
        }
        for n in 1..3 {
            world.write(0, Access::Bits(2, n, 0xffff_ff0f));
            world.write(0, Access::Bits(1, n, 0xffff_ffcf));
        }
        world.write(0, Access::Groups(3));
        world
    }

    fn write(&mut self, v: usize, access: Access) {
        self.run(Step::Access(v, access, vec![]));
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
            for v in (0..self.guests.len()).filter(|&v| self.guests[v].loaded).collect::<Vec<_>>() {
                todo |= self.timer(v);
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

    /// An exit of `v`, as far as its virtual timer is concerned: the physical interrupt fires if
    /// its line is high and it is not active; a line that went low is noticed.
    fn timer(&mut self, v: usize) -> Effects {
        let (guest, pcpu) = (&mut self.guests[v], &mut self.pcpus[v]);
        if guest.line && pcpu.physical.insert(PINTID) {
            guest.seen = Some(true);
            return self.vgic.raise_timer(v, PINTID, pcpu);
        }
        if guest.seen.is_none_or(|seen| seen == guest.line) {
            return Effects::NONE;
        }
        let (in_flight, effects) = self.vgic.set_timer(v, guest.line, pcpu);
        guest.seen = in_flight.then_some(guest.line);
        effects
    }

    fn check(&mut self, v: usize) {
        let pcpu = &self.pcpus[v];
        if !self.guests[v].loaded {
            assert!(pcpu.is_clear() && pcpu.physical.is_empty());
            return;
        }
        let wakes = self.model.unmasked(v, pcpu.vmcr).next().is_some();
        assert_eq!(self.vgic.has_deliverable(v, pcpu), wakes);
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
        let Self { vgic, model, pcpus, guests, .. } = self;
        let guest = |v: usize| guests[v % n].loaded;
        match step {
            Step::Ppi(v, intid, high) if intid != TIMER => {
                model.drive(Name::Private(v % n, intid), high);
                vgic.set_level(v % n, intid, high)
            }
            Step::Spi(intid, high) => {
                model.drive(Name::Spi(intid), high);
                vgic.set_level(0, intid, high)
            }
            Step::Timer(v, high) if guest(v) => {
                guests[v % n].line = high;
                model.drive(Name::Private(v % n, TIMER), high);
                Effects::NONE
            }
            Step::Sgi(v, value) if guest(v) => {
                let v = v % n;
                model.sgi(v, value);
                vgic.sgi(v, SgiRegister::Sgi1r, value, &mut pcpus[v])
            }
            Step::Access(v, access, meanwhile) if guest(v) => {
                self.access(v % n, access, &meanwhile)
            }
            Step::Mask(v, pmr, groups) if guest(v) => {
                let kept = pcpus[v % n].vmcr & lr::VMCR_VEOIM;
                pcpus[v % n].vmcr = kept | u64::from(pmr) << 24 | u64::from(groups & 3);
                Effects::NONE
            }
            Step::Own(v, own) if guest(v) => self.own(v % n, own),
            Step::Load(v) if !guest(v) => {
                guests[v % n].loaded = true;
                guests[v % n].seen = vgic.load(v % n, &mut pcpus[v % n]).then_some(true);
                Effects::NONE
            }
            Step::Put(v) if guest(v) => {
                guests[v % n].loaded = false;
                vgic.put(v % n, &mut pcpus[v % n])
            }
            _ => Effects::NONE,
        }
    }

    /// What the guest of `v` does with its CPU interface.
    fn own(&mut self, v: usize, own: Own) -> Effects {
        let Self { model, pcpus, guests, lrs, .. } = self;
        match own {
            Own::Acknowledge if *lrs < 16 || guests[v].running.len() < 8 => {
                if let Some(intid) = pcpus[v].acknowledge() {
                    model.acknowledge(v, intid);
                    guests[v].running.push(intid);
                }
            }
            Own::End => {
                if let Some(intid) = guests[v].running.pop() {
                    pcpus[v].end(intid);
                    if pcpus[v].vmcr & lr::VMCR_VEOIM != 0 {
                        guests[v].dropped.push(intid);
                    } else {
                        model.end(v, intid);
                    }
                }
            }
            Own::Dir(which) => return self.deactivate(v, which),
            Own::Acknowledge => {}
        }
        Effects::NONE
    }

    /// `v` deactivates one of what it, or for SPIs anybody, has dropped.
    fn deactivate(&mut self, v: usize, which: usize) -> Effects {
        let all = (0..self.guests.len()).flat_map(|w| {
            let list = self.guests[w].dropped.iter().enumerate();
            list.map(move |(at, &intid)| (w, at, intid))
        });
        let all: Vec<_> = all.filter(|&(w, _, intid)| w == v || intid >= 32).collect();
        let Some(&(w, at, intid)) = all.get(which % all.len().max(1)) else { return Effects::NONE };
        self.guests[w].dropped.remove(at);
        let mut effects = Effects::NONE;
        if self.pcpus[v].dir(intid) {
            effects = self.vgic.dir(v, intid, &mut self.pcpus[v]);
            effects |= self.settle(v, &[]);
        }
        self.model.irq(Name::of(v, intid)).active = None;
        effects
    }

    /// Those whom `v` waits for come out of their guests; these do something before.
    fn settle(&mut self, v: usize, meanwhile: &[Own]) -> Effects {
        let mut effects = Effects::NONE;
        for w in (0..self.guests.len()).filter(|&w| w != v) {
            if self.vgic.awaits(v) && self.guests[w].loaded {
                // A trapped ICC_DIR_EL1 is an exit.
                for &own in meanwhile.iter().filter(|own| !matches!(own, Own::Dir(_))) {
                    effects |= self.own(w, own);
                }
                effects |= self.vgic.deliver(w, &mut self.pcpus[w]);
            }
        }
        assert!(!self.vgic.awaits(v), "nobody is left to wait for");
        effects
    }

    /// `v` writes a register.
    fn access(&mut self, v: usize, access: Access, meanwhile: &[Own]) -> Effects {
        let Some((frame, offset, size, value)) = self.address(v, access) else {
            return Effects::NONE;
        };
        let effects = self.vgic.write(v, frame, offset, size, value, &mut self.pcpus[v]);
        assert!(!effects.contains(v));
        let effects = effects | self.settle(v, meanwhile);
        self.model.write(v, frame, offset, size, value);
        effects
    }

    /// Where the register lies, and what is written: what no guest may do is left out.
    fn address(&mut self, v: usize, access: Access) -> Option<(Frame, u64, u32, u64)> {
        let n = self.guests.len();
        let place = |private: bool, offset: u64| {
            if private { (Frame::Redist(v), 0x1_0000 + offset) } else { (Frame::Dist, offset) }
        };
        let ((frame, offset), size, value) = match access {
            Access::Bits(register, bank, mut bits) => {
                let mut room = 8usize.saturating_sub(self.model.actives());
                let wanted = if register >= 6 { bits } else { 0 };
                for i in (0..32).filter(|i| wanted >> i & 1 != 0) {
                    let full = register == 6 && room == 0;
                    if full || !self.may_activate(Name::of(v, 32 * bank as u32 + i)) {
                        bits &= !(1 << i);
                    } else if register == 6 {
                        room -= 1;
                    }
                }
                (place(bank == 0, 0x80 * register + 4 * bank as u64), 4, bits.into())
            }
            Access::Priority(intid, priority) => {
                (place(intid < 32, 0x400 + u64::from(intid)), 1, priority.into())
            }
            Access::Config(half, bits) => {
                // A timer's line is a level.
                let bits = if half == 1 { bits & !(2 << (2 * (TIMER - 16))) } else { bits };
                (place(half < 2, 0xc00 + 4 * half as u64), 4, bits.into())
            }
            Access::Route(intid, router) => {
                ((Frame::Dist, 0x6000 + 8 * u64::from(intid)), 8, router)
            }
            Access::Groups(groups) => ((Frame::Dist, 0), 4, groups),
            Access::Sleep(of, asleep) => ((Frame::Redist(of % n), 0x14), 4, u64::from(asleep) << 1),
        };
        Some((frame, offset, size, value))
    }

    /// Whether the guest may change the active state of an interrupt by a register: not of one
    /// that it will end, too.
    fn may_activate(&mut self, name: Name) -> bool {
        let (Name::Private(_, intid) | Name::Spi(intid)) = name;
        let acknowledged = self.model.irq(name).active.is_some_and(|v| {
            let Guest { running, dropped, .. } = &self.guests[v];
            running.contains(&intid) || dropped.contains(&intid)
        });
        !acknowledged
    }

    /// Reads every state register by `v` and compares.
    fn read_all(&mut self, v: usize) {
        for bank in 0..1 + SPIS / 32 {
            for register in 1..8 {
                let value = self.read(v, bank, register);
                let irqs = self.model.bank(v, bank).iter().enumerate();
                let wanted = irqs.fold(0, |w, (i, irq)| w | u64::from(irq.read(register)) << i);
                assert_eq!(value, wanted, "register {register} of bank {bank}");
            }
        }
    }

    fn read(&mut self, v: usize, bank: usize, register: u64) -> u64 {
        let offset = 0x80 * register + 4 * bank as u64;
        let (frame, offset) =
            if bank == 0 { (Frame::Redist(v), 0x1_0000 + offset) } else { (Frame::Dist, offset) };
        let (value, others) = self.vgic.read(v, frame, offset, 4, &self.pcpus[v]);
        if others.is_empty() {
            return value;
        }
        let effects = self.settle(v, &[Own::Acknowledge]);
        let value = self.vgic.read_settled(v, frame, offset, 4, &self.pcpus[v]);
        self.attend(effects);
        value
    }

    /// Whether nothing is left for `v`, neither in the model nor in its list registers.
    fn is_quiet(&self, v: usize) -> bool {
        let Guest { running, dropped, .. } = &self.guests[v];
        running.is_empty()
            && dropped.is_empty()
            && self.model.deliverable(v).is_empty()
            && self.pcpus[v].occupied() == 0
    }

    /// Everybody runs with everything unmasked until nothing is left.
    fn drain(&mut self) {
        let n = self.guests.len();
        for v in 0..n {
            self.run(Step::Load(v));
            self.run(Step::Mask(v, 0xff, 3));
            self.run(Step::Timer(v, false));
        }
        for irq in 16..32u32 {
            (0..n).for_each(|v| self.run(Step::Ppi(v, irq, false)));
        }
        for irq in 32..32 + SPIS as u32 {
            self.run(Step::Spi(irq, false));
        }
        self.write(0, Access::Groups(3));
        for bank in 0..3 {
            (0..n).for_each(|v| self.write(v, Access::Bits(2, bank, u32::MAX)));
            // What was made active by a register ends by one.
            (0..n).for_each(|v| self.write(v, Access::Bits(7, bank, u32::MAX)));
        }
        for _ in 0..(64 * n + SPIS) {
            if (0..n).all(|v| self.is_quiet(v)) {
                break;
            }
            for v in 0..n {
                self.run(Step::Own(v, Own::Acknowledge));
                self.run(Step::Own(v, Own::End));
                self.run(Step::Own(v, Own::Dir(0)));
            }
        }
        for v in 0..n {
            while !self.guests[v].running.is_empty() {
                self.run(Step::Own(v, Own::End));
            }
            while !self.guests[v].dropped.is_empty() {
                self.run(Step::Own(v, Own::Dir(0)));
            }
        }
        for v in 0..n {
            if self.exact {
                self.read_all(v);
            }
            assert_eq!(self.pcpus[v].occupied(), 0);
            assert!(self.pcpus[v].physical.is_empty());
            self.run(Step::Put(v));
        }
        self.vgic.reset();
        assert_eq!(self.vgic, Vgic::new(&self.affinities, SPIS));
    }
}

/// Takes these steps with vCPUs that give attention at once: each sees what it would see with a
/// GIC that has no list registers.
pub fn agrees(affinities: &[u32], pcpu: Hardware, eoi_mode: bool, steps: Vec<Step>) {
    let mut world = World::new(affinities, pcpu, eoi_mode);
    let vcpus = affinities.len();
    for (i, step) in steps.into_iter().enumerate() {
        world.run(step);
        let reader = i % vcpus;
        if i % 16 == 0 && world.guests[reader].loaded {
            world.read_all(reader);
        }
    }
    world.drain();
}

/// Takes these steps, after which some are late to come out of their guests, as on a real machine:
/// what they see in between is not exact, but every edge is taken after it came, and nothing
/// stays active.
pub fn loses_nothing(affinities: &[u32], pcpu: Hardware, eoi_mode: bool, steps: Vec<(Step, bool)>) {
    let mut world = World::new(affinities, pcpu, eoi_mode);
    let mut owed = Effects::NONE;
    for (step, late) in steps {
        // Taking an interrupt back by register races with its being taken by the guest.
        if matches!(step, Step::Access(_, Access::Bits(5, ..), _)) {
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
    for v in 0..affinities.len() {
        assert!(world.model.deliverable(v).is_empty(), "an edge was lost");
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

fn affinities() -> impl Strategy<Value = [u32; 3]> {
    prop_oneof![Just([0, 1, 2]), Just(ODD)]
}

/// Length of a run, in steps.
const STEPS: usize = if cfg!(miri) { 8 } else { 300 };

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn agrees_with_a_gic_that_has_no_list_registers(
        vcpus in 1..4usize,
        affinities in affinities(),
        lrs in prop::sample::select(&[1usize, 2, 4, 16][..]),
        eoi_mode in any::<bool>(),
        steps in prop::collection::vec(step(), 1..STEPS),
    ) {
        agrees(&affinities[..vcpus], Hardware::new(lrs), eoi_mode, steps);
    }

    #[test]
    fn agrees_where_few_interrupts_come_again_and_their_routes_change(
        vcpus in 2..4usize,
        affinities in affinities(),
        lrs in prop::sample::select(&[1usize, 4, 16][..]),
        eoi_mode in any::<bool>(),
        steps in prop::collection::vec(few(), 1..STEPS),
    ) {
        let edges = Step::Access(0, Access::Config(2, u32::MAX), Vec::new());
        let steps = [edges].into_iter().chain(steps).collect();
        agrees(&affinities[..vcpus], Hardware::new(lrs), eoi_mode, steps);
    }

    #[test]
    fn loses_nothing_while_attention_comes_late(
        vcpus in 1..4usize,
        affinities in affinities(),
        lrs in prop::sample::select(&[1usize, 2, 4][..]),
        eoi_mode in any::<bool>(),
        steps in prop::collection::vec((step(), any::<bool>()), 1..STEPS),
    ) {
        loses_nothing(&affinities[..vcpus], Hardware::new(lrs), eoi_mode, steps);
    }
}
