//! Random operations against what must always hold.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::*;

const SLICE: u64 = 1000;

#[derive(Clone, Debug)]
enum Op {
    Add { weight: u32, affinity: u8, dedicated: Option<usize> },
    AddJob,
    Start(usize),
    Wake(usize),
    Pick(usize),
    Put(usize, u8),
    Rest(usize),
    Rouse(usize),
    Expire(usize),
    Stop(usize),
    Pause(usize),
    Resume(usize),
    Regroup(usize),
    Move(usize, u8),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let dedicated = prop::option::weighted(0.1, 0usize..4);
    prop_oneof![
        1 => (1u32..500, 1u8..8, dedicated)
            .prop_map(|(weight, affinity, dedicated)| Op::Add { weight, affinity, dedicated }),
        1 => Just(Op::AddJob),
        3 => (0usize..8).prop_map(Op::Start),
        4 => (0usize..8).prop_map(Op::Wake),
        6 => (0usize..3).prop_map(Op::Pick),
        5 => (0usize..3, 0u8..5).prop_map(|(pcpu, reason)| Op::Put(pcpu, reason)),
        4 => (0usize..3).prop_map(Op::Rest),
        3 => (0usize..3).prop_map(Op::Rouse),
        2 => (0usize..3).prop_map(Op::Expire),
        1 => (0usize..8).prop_map(Op::Stop),
        1 => (0usize..8).prop_map(Op::Pause),
        1 => (0usize..8).prop_map(Op::Resume),
        1 => (0usize..8).prop_map(Op::Regroup),
        1 => (0usize..8, 1u8..8).prop_map(|(id, affinity)| Op::Move(id, affinity)),
        3 => (1u64..3 * SLICE).prop_map(Op::Wait),
    ]
}

/// The queue, beside what its callers know.
struct World {
    queue: RunQueue,
    now: u64,
    ids: Vec<EntityId>,
    /// Bit p: pCPU p found nothing or no competition, and was not kicked since.
    unaware: u8,
    /// Bit p: pCPU p must pick: it was kicked, or it put back what it ran.
    obliged: u8,
    /// Bit p: what runs on pCPU p waits there.
    resting: u8,
    /// Woken while running, neither picked nor at rest since.
    tokens: Vec<EntityId>,
    /// When what runs on each pCPU was last charged or roused, and what each entity ran.
    since: [u64; 3],
    ran: Vec<u64>,
}

impl World {
    fn new() -> Self {
        let mut queue = RunQueue::new(3, SLICE).unwrap();
        let mut ids: Vec<_> = (0..3).map(|_| queue.add(100, 7, None).unwrap()).collect();
        ids.push(queue.add(300, 3, None).unwrap());
        // Times so large that they are soon moved back.
        for cpu in &mut queue.pcpus {
            cpu.clock = (1 << 62) - 5000;
        }
        Self {
            queue,
            now: 0,
            ids,
            unaware: 0,
            obliged: 0,
            resting: 0,
            tokens: Vec::new(),
            since: [0; 3],
            ran: std::vec![0; 9],
        }
    }

    fn id(&self, index: usize) -> EntityId {
        self.ids[index % self.ids.len()]
    }

    fn running(&self, pcpu: usize) -> Option<EntityId> {
        let current = self.queue.pcpus[pcpu].current;
        self.ids.iter().copied().find(|id| id.0 == current)
    }

    fn owns(&self, pcpu: usize, id: EntityId) -> bool {
        self.queue.pcpus[pcpu].owner == id.0
    }

    fn kicked(&mut self, kick: Result<Kick, SchedError>) {
        if let Ok(kick) = kick {
            self.unaware &= !kick.reschedule;
            self.obliged |= kick.reschedule;
        }
    }

    fn apply(&mut self, op: Op) {
        let now = self.now;
        let kick = match op {
            Op::Wait(ticks) => {
                self.now += ticks;
                return;
            }
            Op::Add { weight, affinity, dedicated } => {
                if self.ids.len() < 8
                    && let Ok(id) = self.queue.add(weight, affinity, dedicated)
                {
                    self.ids.push(id);
                }
                return;
            }
            Op::AddJob => {
                if self.ids.len() < 8 {
                    self.ids.push(self.queue.add_job(100).unwrap());
                }
                return;
            }
            Op::Regroup(index) => {
                let group = self.ids.iter().copied().skip(index % self.ids.len());
                return self.queue.regroup(group, now);
            }
            Op::Pick(pcpu) => return self.pick(pcpu),
            Op::Rest(pcpu) => return self.rest(pcpu),
            Op::Rouse(pcpu) => return self.rouse(pcpu),
            Op::Put(pcpu, reason) => return self.put(pcpu, reason),
            Op::Wake(index) => return self.wake(self.id(index)),
            Op::Start(index) => self.queue.start(self.id(index), now),
            Op::Stop(index) => self.queue.stop(self.id(index)),
            Op::Pause(index) => self.queue.pause(self.id(index)),
            Op::Resume(index) => self.queue.resume(self.id(index), now),
            Op::Move(index, affinity) => self.queue.set_affinity(self.id(index), affinity),
            Op::Expire(pcpu) => self.queue.expire(pcpu, now),
        };
        self.kicked(kick);
    }

    fn pick(&mut self, pcpu: usize) {
        let Ok(pick) = self.queue.pick(pcpu, self.now) else {
            assert!(self.running(pcpu).is_some());
            return;
        };
        self.unaware &= !(1 << pcpu);
        self.obliged &= !(1 << pcpu);
        let kick = match pick {
            Pick::Run { id, slice_end, kick, .. } => {
                self.tokens.retain(|&token| token != id);
                // An owner does not share: nobody tells it anything, while it runs.
                let alone = slice_end.is_none() && !self.owns(pcpu, id);
                self.unaware |= u8::from(alone) << pcpu;
                self.since[pcpu] = self.now;
                kick
            }
            Pick::Idle { kick } => {
                self.unaware |= 1 << pcpu;
                kick
            }
        };
        self.kicked(Ok(kick));
    }

    fn put(&mut self, pcpu: usize, reason: u8) {
        let Some(id) = self.running(pcpu) else { return };
        let reason = match reason {
            0 => Reason::Yield,
            1 => Reason::Preempted,
            2 => Reason::Block { deadline: None },
            3 => Reason::Block { deadline: Some(self.now + SLICE) },
            _ => Reason::Off,
        };
        self.unaware &= !(1 << pcpu);
        self.obliged |= 1 << pcpu;
        self.resting &= !(1 << pcpu);
        self.charge(pcpu, id);
        let state = self.queue.put(pcpu, id, self.now, reason).unwrap();
        assert!(!matches!(state, State::Running(_)));
        if self.tokens.contains(&id) {
            assert_ne!(state, State::Blocked, "a wake-up was lost");
        }
    }

    fn charge(&mut self, pcpu: usize, id: EntityId) {
        self.ran[id.slot()] += self.now - self.since[pcpu];
        self.since[pcpu] = self.now;
    }

    fn rest(&mut self, pcpu: usize) {
        let Some(id) = self.running(pcpu).filter(|_| self.resting & 1 << pcpu == 0) else { return };
        self.charge(pcpu, id);
        self.tokens.retain(|&token| token != id);
        if self.queue.rest(pcpu, id, self.now).unwrap() {
            self.resting |= 1 << pcpu;
            self.unaware |= 1 << pcpu;
        } else {
            // It is not for nothing that it has to leave.
            assert_eq!(self.unaware & 1 << pcpu, 0);
        }
    }

    fn rouse(&mut self, pcpu: usize) {
        let Some(id) = self.running(pcpu).filter(|_| self.resting & 1 << pcpu != 0) else { return };
        self.resting &= !(1 << pcpu);
        self.since[pcpu] = self.now;
        self.queue.rouse(pcpu, id, self.now).unwrap();
        if self.owns(pcpu, id) {
            self.unaware &= !(1 << pcpu);
        }
    }

    fn wake(&mut self, id: EntityId) {
        let before = self.queue.state(id);
        let kick = self.queue.wake(id, self.now);
        match before {
            Ok(State::Blocked) => assert_eq!(self.queue.state(id), Ok(State::Ready)),
            Ok(State::Running(pcpu)) => {
                assert_eq!(kick.unwrap().notice, 1 << pcpu);
                self.tokens.push(id);
            }
            _ => {}
        }
        self.kicked(kick);
    }

    fn check(&self) {
        let queue = &self.queue;
        for (pcpu, cpu) in queue.pcpus.iter().enumerate() {
            let bit = 1 << pcpu;
            let waits = cpu.current == u16::MAX || self.resting & bit != 0;
            assert!(queue.idle & bit == 0 || waits, "pCPU {pcpu} is idle and runs something");
            assert!(queue.lone & bit == 0 || !waits, "pCPU {pcpu} runs nothing alone");
        }
        for (slot, entity) in queue.entities.slots.iter().enumerate() {
            let here = |pcpu: usize| queue.pcpus[pcpu].current == slot as u16;
            let places: Vec<usize> = (0..MAX_PCPUS).filter(|&pcpu| here(pcpu)).collect();
            match entity.state {
                State::Running(pcpu) => assert_eq!(places, [pcpu as usize]),
                _ => assert!(places.is_empty()),
            }
            assert_ne!(entity.allowed, 0);
            assert_eq!(queue.classes[usize::from(entity.class)].mask, entity.allowed);
            if entity.state == State::Ready {
                let unaware = entity.allowed & self.unaware;
                let hope = unaware == 0 || self.obliged != 0;
                assert!(hope, "slot {slot} is Ready, but nobody will tell pCPUs {unaware:#b}");
            }
            assert_eq!(entity.account.run, self.ran[slot]);
            assert!(entity.timer.is_none() || entity.state == State::Blocked);
        }
    }

    /// From here on pCPUs do only what kicks and timers ask for, and with that alone everybody
    /// who is Ready must run before long.
    fn drain(&mut self) {
        for pcpu in 0..3 {
            // One that has never picked has not come up; now it does.
            self.pick(pcpu);
        }
        let mut waiting: Vec<EntityId> = self.ids.clone();
        waiting.retain(|&id| self.queue.state(id) == Ok(State::Ready));
        for _ in 0..2000 {
            for pcpu in 0..3 {
                if self.queue.next_event(pcpu).is_some_and(|at| at <= self.now) {
                    self.apply(Op::Expire(pcpu));
                }
                let slice_end = self.queue.pcpus[pcpu].slice_end;
                self.obliged |= u8::from(slice_end.is_some_and(|end| end <= self.now)) << pcpu;
                if self.obliged & 1 << pcpu != 0 {
                    self.put(pcpu, 1);
                    self.pick(pcpu);
                }
                if let Some(id) = self.running(pcpu) {
                    waiting.retain(|&other| other != id);
                }
            }
            self.now += SLICE / 5;
            if waiting.is_empty() {
                return;
            }
        }
        panic!("never picked: {waiting:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_invariants_hold(ops in prop::collection::vec(op(), 1..if cfg!(miri) { 30 } else { 120 })) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
            world.check();
        }
        world.drain();
    }
}
