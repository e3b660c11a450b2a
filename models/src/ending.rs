//! vCPUs that switch each other and themselves on and off by PSCI while one of them ends the VM or
//! starts it anew: the real power states, life cycle and run queue, and the steps of `Vm` and
//! `exit::call` between their locks; and an operator who starts the VM again when it is off.
//!
//! As in `pausing`, kicks are no part of it: a pCPU with a request for its vCPU may put it away at
//! any time, and a free one may pick at any time.

use mezzanine::device::calls::{self, Mitigations, Outcome};
use mezzanine::device::psci::{Power, PowerState};
use mezzanine::sched::{EntityId, Pick, Reason, RunQueue, State};
use mezzanine::vm::life::{Life, Why};
use stateright::{Checker, Model, Property};

const PCPUS: usize = 2;
const VCPUS: usize = 3;
const CPU_ON: u64 = 0xc400_0003;
const RAM: u64 = 0x4000_0000;

/// How `Vm` deviates from what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Not at all.
    Correct,
    /// Who starts a vCPU doesn't look whether its VM is being stopped.
    StartsBlindly,
    /// A vCPU counts as off from its call on, not from its leave on.
    OffAtOnce,
    /// CPU_ON looks at the power state, and changes it later.
    LooksUnlocked,
    /// A vCPU counts as on only after it was let run.
    OnTooLate,
    /// Who puts a vCPU away doesn't look whether it was the last.
    PutsBlindly,
    /// Who puts a vCPU away doesn't look whether its VM has started anew since.
    CountsOffAnew,
    /// The VM counts as off before its memory is the machine's again.
    OffTooEarly,
}

/// What a pCPU is about to do: the next section under a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pcpu {
    Free,
    Runs(usize),
    /// In a wrong variant: the first vCPU has seen that the second is off.
    Sees(usize, usize),
    /// The first vCPU's CPU_ON has won: the second is to be put into the state out of reset,
    Resets(usize, usize),
    /// counted as on,
    CountsOn(usize, usize),
    /// let run,
    Starts(usize, usize),
    /// and stopped if its VM is being stopped.
    Looks(usize, usize),
    /// The vCPU of this life of the VM was put away, and is off: it is to be counted as off.
    CountsOff(usize, u8),
    /// No vCPU is on, and the VM is to be stopped.
    Mourns,
    /// All vCPUs from this one on are to be stopped; then the one that made the call leaves.
    Stops(usize, Option<usize>),
    /// If all vCPUs are off, the VM is, or starts anew.
    Checks(Option<usize>),
    /// The VM's memory goes back to the machine.
    Releases(Option<usize>),
    /// The vCPU that made the call is off by itself.
    Leaves(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    queue: RunQueue,
    ids: [EntityId; VCPUS],
    power: Power,
    life: Life,
    pcpus: [Pcpu; PCPUS],
    /// How many calls of each vCPU have won since it was last off.
    winners: [u8; VCPUS],
    /// The state of a vCPU was changed by who didn't have it for itself.
    torn: bool,
    /// How often the VM was prepared.
    lives: u8,
    has_memory: bool,
    /// How often things may still happen.
    starts: u8,
    ends: u8,
    stops: u8,
    restarts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pick(usize),
    /// The pCPU goes on with what it is at.
    Run(usize),
    /// Its vCPU leaves, as it was asked to.
    Put(usize),
    /// Its vCPU calls: CPU_ON of this one, CPU_OFF, SYSTEM_OFF or SYSTEM_RESET.
    CpuOn(usize, usize),
    CpuOff(usize),
    System(usize, Why),
    /// The operator starts the VM that is off.
    Start,
    /// The VM's job has taken memory, or has it still, and prepared it.
    Prepared,
}

struct Ending {
    variant: Variant,
    /// How many CPU_ON, CPU_OFF, ends or resets, and starts there may be.
    budget: [u8; 4],
}

const ALONE: &str = "a vCPU is reset by one who has it for itself";
const ONE: &str = "of several calls one wins";
const OFF: &str = "of a VM that is off, or prepared anew, nobody runs";
const ENDS: &str = "a stop takes effect";
const AGREE: &str = "who counts as on is on";
const OWNS: &str = "a VM that runs has its memory";
const HAPPENS: [&str; 3] = ["it is off", "it started anew", "all its vCPUs went off"];

impl World {
    fn state(&self, vcpu: usize) -> State {
        self.queue.state(self.ids[vcpu]).unwrap()
    }

    fn is_on(&self, vcpu: usize) -> bool {
        self.state(vcpu) != State::Off
    }

    /// There is a request for this vCPU to stop, and it runs there.
    fn must_leave(&self, pcpu: usize, vcpu: usize) -> bool {
        let put = self.queue.clone().put(pcpu, self.ids[vcpu], 0, Reason::Preempted);
        put == Ok(State::Off)
    }

    /// CPU_ON, as PSCI answers it.
    fn cpu_on(&mut self, target: usize) -> bool {
        let guest = calls::Guest {
            affinities: (0..VCPUS as u32).collect(),
            memory: vec![(RAM, 1 << 20)],
            mitigations: Mitigations::new(1, false, [-1; 3]),
            random: false,
            stolen_time: false,
        };
        let outcome = calls::call(&guest, [CPU_ON, target as u64, RAM, 0], || &mut self.power);
        matches!(outcome, Outcome::CpuOn { .. })
    }

    fn stop(&mut self, why: Why, caller: Option<usize>) -> Pcpu {
        match self.life.stop(why) {
            Ok(()) => Pcpu::Stops(0, caller),
            Err(_) => Self::back(caller),
        }
    }

    fn back(caller: Option<usize>) -> Pcpu {
        caller.map_or(Pcpu::Free, Pcpu::Leaves)
    }

    /// The next section of `pcpu`.
    fn run(&mut self, variant: Variant, pcpu: usize) -> Pcpu {
        match self.pcpus[pcpu] {
            Pcpu::Sees(own, target) => {
                // It takes what it saw for what is.
                self.power.stopped(target);
                let _ = self.cpu_on(target);
                self.winners[target] += 1;
                Pcpu::Resets(own, target)
            }
            Pcpu::Resets(own, target) => {
                let runs = |other: &Pcpu| *other == Pcpu::Runs(target);
                self.torn |= self.is_on(target) || self.pcpus.iter().any(runs);
                match variant {
                    Variant::OnTooLate => Pcpu::Starts(own, target),
                    _ => Pcpu::CountsOn(own, target),
                }
            }
            Pcpu::CountsOn(own, target) => {
                self.power.started(target);
                match variant {
                    Variant::OnTooLate => Pcpu::Looks(own, target),
                    _ => Pcpu::Starts(own, target),
                }
            }
            Pcpu::Starts(own, target) => {
                let _ = self.queue.start(self.ids[target], 0);
                match variant {
                    Variant::StartsBlindly => Pcpu::Runs(own),
                    Variant::OnTooLate => Pcpu::CountsOn(own, target),
                    _ => Pcpu::Looks(own, target),
                }
            }
            Pcpu::Looks(own, target) => {
                if matches!(self.life, Life::Stopping(_)) {
                    let _ = self.queue.stop(self.ids[target]);
                }
                Pcpu::Runs(own)
            }
            Pcpu::CountsOff(_, lives)
                if lives != self.lives && variant != Variant::CountsOffAnew =>
            {
                Pcpu::Free
            }
            Pcpu::CountsOff(vcpu, _) => {
                if variant != Variant::OffAtOnce {
                    self.power.stopped(vcpu);
                    self.winners[vcpu] = 0;
                }
                match variant {
                    _ if self.power.all_off() && self.life == Life::Running => Pcpu::Mourns,
                    Variant::PutsBlindly => Pcpu::Free,
                    _ => Pcpu::Checks(None),
                }
            }
            Pcpu::Mourns => self.stop(Why::Fault, None),
            Pcpu::Stops(VCPUS, caller) => Pcpu::Checks(caller),
            Pcpu::Stops(vcpu, caller) => {
                let _ = self.queue.stop(self.ids[vcpu]);
                Pcpu::Stops(vcpu + 1, caller)
            }
            Pcpu::Checks(caller) => {
                let left = !(0..VCPUS).any(|v| self.is_on(v));
                if matches!(self.life, Life::Stopping(_)) && left && !self.life.stopped().unwrap() {
                    if variant == Variant::OffTooEarly {
                        self.life.released().unwrap();
                    }
                    return Pcpu::Releases(caller);
                }
                Self::back(caller)
            }
            Pcpu::Releases(caller) => {
                self.has_memory = false;
                if variant != Variant::OffTooEarly {
                    self.life.released().unwrap();
                }
                Self::back(caller)
            }
            Pcpu::Leaves(vcpu) => {
                let lives = self.lives;
                self.queue.put(pcpu, self.ids[vcpu], 0, Reason::Off).unwrap();
                Pcpu::CountsOff(vcpu, lives)
            }
            other => other,
        }
    }

    /// Nothing goes on but what guests do.
    fn settled(&self) -> bool {
        let rests = |(pcpu, doing): (usize, &Pcpu)| match doing {
            Pcpu::Free => true,
            Pcpu::Runs(vcpu) => !self.must_leave(pcpu, *vcpu),
            _ => false,
        };
        let waits = (0..VCPUS).any(|vcpu| self.state(vcpu) == State::Ready);
        let free = self.pcpus.contains(&Pcpu::Free);
        self.pcpus.iter().enumerate().all(rests) && !(waits && free)
    }
}

impl Model for Ending {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut queue = RunQueue::new(PCPUS, 1000).unwrap();
        let ids: [EntityId; VCPUS] = core::array::from_fn(|_| queue.add(100, 0xff, None).unwrap());
        let _ = queue.start(ids[0], 0).unwrap();
        vec![World {
            queue,
            ids,
            power: Power::new(),
            life: Life::Running,
            pcpus: [Pcpu::Free; PCPUS],
            winners: [1, 0, 0],
            torn: false,
            lives: 0,
            has_memory: true,
            starts: self.budget[0],
            ends: self.budget[1],
            stops: self.budget[2],
            restarts: self.budget[3],
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.life == Life::Preparing {
            steps.push(Step::Prepared);
        }
        if matches!(world.life, Life::Off(_)) && world.restarts > 0 {
            steps.push(Step::Start);
        }
        for (pcpu, doing) in world.pcpus.iter().enumerate() {
            match *doing {
                Pcpu::Free => steps.push(Step::Pick(pcpu)),
                Pcpu::Runs(vcpu) => {
                    if world.must_leave(pcpu, vcpu) {
                        steps.push(Step::Put(pcpu));
                    }
                    if world.ends > 0 {
                        steps.push(Step::CpuOff(pcpu));
                    }
                    if world.stops > 0 {
                        steps.push(Step::System(pcpu, Why::PowerOff));
                        steps.push(Step::System(pcpu, Why::Reset));
                    }
                    if world.starts > 0 {
                        let others = (0..VCPUS).filter(|other| *other != vcpu);
                        steps.extend(others.map(|other| Step::CpuOn(pcpu, other)));
                    }
                }
                _ => steps.push(Step::Run(pcpu)),
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        let own = |pcpu: usize| match world.pcpus[pcpu] {
            Pcpu::Runs(vcpu) => Some(vcpu),
            _ => None,
        };
        match step {
            Step::Pick(pcpu) => match next.queue.pick(pcpu, 0).unwrap() {
                Pick::Run { id, .. } => {
                    let vcpu = next.ids.iter().position(|known| *known == id)?;
                    next.pcpus[pcpu] = Pcpu::Runs(vcpu);
                }
                Pick::Idle { .. } => return None,
            },
            Step::Run(pcpu) => next.pcpus[pcpu] = next.run(self.variant, pcpu),
            Step::Put(pcpu) | Step::CpuOff(pcpu) => {
                let vcpu = own(pcpu)?;
                let reason = if matches!(step, Step::Put(_)) {
                    Reason::Preempted
                } else {
                    next.ends -= 1;
                    Reason::Off
                };
                if self.variant == Variant::OffAtOnce
                    && reason == Reason::Off
                    && next.power.state(vcpu) == PowerState::On
                {
                    next.power.stopped(vcpu);
                    next.winners[vcpu] = 0;
                    // It leaves its pCPU a moment later.
                    let _ = next.queue.stop(next.ids[vcpu]);
                    return Some(next);
                }
                next.queue.put(pcpu, next.ids[vcpu], 0, reason).unwrap();
                next.pcpus[pcpu] = Pcpu::CountsOff(vcpu, world.lives);
            }
            Step::CpuOn(pcpu, target) => {
                let vcpu = own(pcpu)?;
                next.starts -= 1;
                if self.variant == Variant::LooksUnlocked
                    && next.power.state(target) == PowerState::Off
                {
                    next.pcpus[pcpu] = Pcpu::Sees(vcpu, target);
                } else if next.cpu_on(target) {
                    next.winners[target] += 1;
                    next.pcpus[pcpu] = Pcpu::Resets(vcpu, target);
                }
            }
            Step::System(pcpu, why) => {
                let vcpu = own(pcpu)?;
                next.stops -= 1;
                next.pcpus[pcpu] = next.stop(why, Some(vcpu));
            }
            Step::Start => {
                next.restarts -= 1;
                next.life.start().unwrap();
            }
            Step::Prepared => {
                next.lives += 1;
                next.has_memory = true;
                next.power = Power::new();
                next.winners = [1, 0, 0];
                next.life.ready().unwrap();
                next.torn |= next.is_on(0);
                let _ = next.queue.start(next.ids[0], 0);
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ALONE, |_, world: &World| !world.torn),
            Property::always(ONE, |_, world: &World| world.winners.iter().all(|won| *won <= 1)),
            Property::always(OFF, |_, world: &World| {
                let off = matches!(world.life, Life::Releasing(_) | Life::Off(_) | Life::Preparing);
                let runs = |pcpu: &Pcpu| matches!(pcpu, Pcpu::Runs(_));
                !off || !(0..VCPUS).any(|v| world.is_on(v)) && !world.pcpus.iter().any(runs)
            }),
            Property::always(ENDS, |_, world: &World| {
                !(world.settled() && matches!(world.life, Life::Stopping(_)))
            }),
            Property::always(AGREE, |_, world: &World| {
                let agree = |v| (world.power.state(v) == PowerState::On) == world.is_on(v);
                !(world.settled() && world.life == Life::Running) || (0..VCPUS).all(agree)
            }),
            Property::always(OWNS, |_, world: &World| {
                world.life != Life::Running || world.has_memory
            }),
            Property::sometimes(HAPPENS[0], |_, world: &World| {
                world.life == Life::Off(Why::PowerOff)
            }),
            Property::sometimes(HAPPENS[1], |_, world: &World| {
                world.lives > 0 && world.life == Life::Running
            }),
            Property::sometimes(HAPPENS[2], |_, world: &World| world.life == Life::Off(Why::Fault)),
        ]
    }
}

fn check(variant: Variant, budget: [u8; 4]) -> impl Checker<Ending> {
    Ending { variant, budget }.checker().spawn_bfs().join()
}

/// Nothing that must always hold is broken.
fn holds(budget: [u8; 4]) -> impl Checker<Ending> {
    let checker = check(Variant::Correct, budget);
    println!("{} states", checker.unique_state_count());
    for property in [ALONE, ONE, OFF, ENDS, AGREE, OWNS] {
        checker.assert_no_discovery(property);
    }
    checker
}

/// The checker finds that the variant breaks this property.
fn finds(variant: Variant, budget: [u8; 4], property: &'static str) {
    check(variant, budget).assert_any_discovery(property);
}

#[test]
fn one_vcpu_wins_and_the_vm_ends_with_all() {
    let checker = holds([2, 1, 1, 0]);
    for state in HAPPENS {
        checker.assert_any_discovery(state);
    }
}

#[test]
fn the_next_life_is_no_business_of_the_last() {
    holds([1, 0, 2, 0]);
    holds([1, 2, 1, 0]);
}

#[test]
fn an_operator_starts_it_when_it_is_off() {
    let checker = holds([1, 0, 2, 1]);
    checker.assert_any_discovery(HAPPENS[1]);
}

#[test]
fn a_vcpu_started_in_a_vm_that_stops_is_found() {
    finds(Variant::StartsBlindly, [2, 0, 1, 0], ENDS);
}

#[test]
fn a_vcpu_that_is_reset_while_it_runs_is_found() {
    finds(Variant::OffAtOnce, [2, 1, 0, 0], ALONE);
}

#[test]
fn two_winners_are_found() {
    finds(Variant::LooksUnlocked, [3, 0, 0, 0], ONE);
}

#[test]
fn a_vcpu_that_is_off_before_it_counts_as_on_is_found() {
    finds(Variant::OnTooLate, [1, 1, 0, 0], AGREE);
}

#[test]
fn a_stop_that_nobody_ends_is_found() {
    finds(Variant::PutsBlindly, [1, 0, 1, 0], ENDS);
}

#[test]
fn a_leave_that_is_counted_in_the_next_life_is_found() {
    finds(Variant::CountsOffAnew, [2, 0, 1, 0], AGREE);
}

#[test]
fn a_vm_that_loses_the_memory_of_its_next_life_is_found() {
    finds(Variant::OffTooEarly, [0, 0, 1, 1], OWNS);
}
