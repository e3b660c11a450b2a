//! A VM that is paused and goes on while its own vCPUs switch each other on and off: the real life
//! cycle and the real run queue, and the steps of `Vm` between their locks.
//!
//! Kicks are no part of it (`scheduler` has them): a pCPU with a request for its vCPU may put it
//! away at any time, and a free one may pick at any time. A step is one section under a lock; the VM's
//! life stays locked over several sections of the run queue's.

use mezzanine::sched::{EntityId, Pick, Reason, RunQueue, State};
use mezzanine::vm::life::Life;
use stateright::{Checker, Model, Property};

const PCPUS: usize = 2;
const VCPUS: usize = 2;

/// How `Vm` deviates from what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variant {
    /// Not at all.
    Correct,
    /// Who starts a vCPU doesn't look whether its VM is being paused.
    StartsBlindly,
    /// Who starts a vCPU looks, and pauses it later, without keeping the life locked.
    LooksUnlocked,
    /// Its time stands still from the operator's key on, not from the last vCPU's leave on.
    StandsAtOnce,
    /// Who puts a vCPU away for a pause doesn't look whether it was the last.
    PutsBlindly,
}

/// What a pCPU does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pcpu {
    Free,
    Runs(usize),
    /// Its vCPU has switched this one on, and is about to look at the VM's life.
    Looks(usize, usize),
    /// In a wrong variant: it has seen that the VM is being paused.
    Pauses(usize, usize),
    /// It has put a vCPU away that is off or paused.
    Left,
}

/// The operator: holds the life's lock while there are vCPUs to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Idle,
    Pauses(usize),
    Resumes(usize),
    /// All are told that they are to pause.
    Told,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    queue: RunQueue,
    ids: [EntityId; VCPUS],
    life: Life,
    operator: Operator,
    pcpus: [Pcpu; PCPUS],
    /// How often things may still happen.
    keys: u8,
    starts: u8,
    ends: u8,
    ticks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Key,
    Operator,
    Pick(usize),
    /// The pCPU goes on with what it is at.
    Run(usize),
    /// Its vCPU switches another on.
    Start(usize, usize),
    /// Its vCPU leaves: for a request or another vCPU, or to switch itself off.
    Put(usize),
    End(usize),
}

struct Pausing(Variant);

const STANDS_STILL: &str = "while time stands still, nobody runs";
const ENDS: &str = "a pause takes effect, and nobody is held in a VM that runs";
const HAPPENS: &str = "it is paused with a vCPU that was started meanwhile";

impl World {
    fn state(&self, vcpu: usize) -> State {
        self.queue.state(self.ids[vcpu]).unwrap()
    }

    /// Nobody holds the lock on its life.
    fn is_unlocked(&self) -> bool {
        !matches!(self.operator, Operator::Pauses(_) | Operator::Resumes(_))
    }

    /// There is a request for this vCPU, which runs.
    fn must_leave(&self, vcpu: usize) -> bool {
        let runs = matches!(self.state(vcpu), State::Running(_));
        runs && self.queue.clone().resume(self.ids[vcpu], 0).is_ok()
    }

    fn check_left(&mut self) {
        let left = |vcpu| matches!(self.state(vcpu), State::Off | State::Paused);
        if self.life == Life::Pausing && (0..VCPUS).all(left) {
            self.life.paused(0).unwrap();
        }
    }

    /// Nothing but a guest or the operator changes it: no pCPU is in the middle of something, has a
    /// vCPU that is to leave, or has none while one waits.
    fn settled(&self) -> bool {
        let rests = |pcpu: &Pcpu| match pcpu {
            Pcpu::Free => true,
            Pcpu::Runs(vcpu) => !self.must_leave(*vcpu),
            _ => false,
        };
        let waits = (0..VCPUS).any(|vcpu| self.state(vcpu) == State::Ready);
        let free = self.pcpus.contains(&Pcpu::Free);
        self.operator == Operator::Idle && self.pcpus.iter().all(rests) && !(waits && free)
    }
}

impl Model for Pausing {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut queue = RunQueue::new(PCPUS, 1000).unwrap();
        let ids: [EntityId; VCPUS] = core::array::from_fn(|_| queue.add(100, 0xff, None).unwrap());
        for id in &ids[..1] {
            let _ = queue.start(*id, 0).unwrap();
        }
        vec![World {
            queue,
            ids,
            life: Life::Running,
            operator: Operator::Idle,
            pcpus: [Pcpu::Free; PCPUS],
            keys: 3,
            starts: 2,
            ends: 1,
            ticks: 1,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        match world.operator {
            Operator::Idle if world.keys > 0 => steps.push(Step::Key),
            Operator::Idle => {}
            _ => steps.push(Step::Operator),
        }
        for (number, pcpu) in world.pcpus.iter().enumerate() {
            match *pcpu {
                Pcpu::Free => steps.push(Step::Pick(number)),
                Pcpu::Runs(vcpu) => {
                    if world.must_leave(vcpu) || world.ticks > 0 {
                        steps.push(Step::Put(number));
                    }
                    if world.ends > 0 {
                        steps.push(Step::End(number));
                    }
                    let off = (0..VCPUS).find(|vcpu| world.state(*vcpu) == State::Off);
                    if let (true, Some(vcpu)) = (world.starts > 0, off) {
                        steps.push(Step::Start(number, vcpu));
                    }
                }
                Pcpu::Pauses(..) => steps.push(Step::Run(number)),
                Pcpu::Looks(..) | Pcpu::Left if world.is_unlocked() => {
                    steps.push(Step::Run(number));
                }
                Pcpu::Looks(..) | Pcpu::Left => {}
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Key => {
                next.keys -= 1;
                next.operator = if next.life.resume(0).is_ok() {
                    Operator::Resumes(0)
                } else {
                    next.life.pause().ok()?;
                    if self.0 == Variant::StandsAtOnce {
                        next.life.paused(0).unwrap();
                    }
                    Operator::Pauses(0)
                };
            }
            Step::Operator => {
                next.operator = match next.operator {
                    Operator::Pauses(VCPUS) => Operator::Told,
                    Operator::Pauses(vcpu) => {
                        let _ = next.queue.pause(next.ids[vcpu]);
                        Operator::Pauses(vcpu + 1)
                    }
                    Operator::Resumes(VCPUS) => Operator::Idle,
                    Operator::Resumes(vcpu) => {
                        let _ = next.queue.resume(next.ids[vcpu], 0);
                        Operator::Resumes(vcpu + 1)
                    }
                    Operator::Told | Operator::Idle => {
                        next.check_left();
                        Operator::Idle
                    }
                };
            }
            Step::Pick(pcpu) => match next.queue.pick(pcpu, 0).unwrap() {
                Pick::Run { id, .. } => {
                    let vcpu = next.ids.iter().position(|known| *known == id)?;
                    next.pcpus[pcpu] = Pcpu::Runs(vcpu);
                }
                Pick::Idle { .. } => return None,
            },
            Step::Start(pcpu, vcpu) => {
                let Pcpu::Runs(own) = next.pcpus[pcpu] else { return None };
                next.starts -= 1;
                let _ = next.queue.start(next.ids[vcpu], 0).unwrap();
                next.pcpus[pcpu] = match self.0 {
                    Variant::StartsBlindly => Pcpu::Runs(own),
                    _ => Pcpu::Looks(own, vcpu),
                };
            }
            Step::Put(pcpu) | Step::End(pcpu) => {
                let Pcpu::Runs(own) = next.pcpus[pcpu] else { return None };
                let reason = match step {
                    Step::End(_) => Reason::Off,
                    _ => Reason::Preempted,
                };
                match reason {
                    Reason::Off => next.ends -= 1,
                    _ if !next.must_leave(own) => next.ticks -= 1,
                    _ => {}
                }
                let left = match next.queue.put(pcpu, next.ids[own], 0, reason).unwrap() {
                    State::Off => true,
                    State::Paused => self.0 != Variant::PutsBlindly,
                    _ => false,
                };
                next.pcpus[pcpu] = if left { Pcpu::Left } else { Pcpu::Free };
            }
            Step::Run(pcpu) => {
                next.pcpus[pcpu] = match next.pcpus[pcpu] {
                    Pcpu::Looks(own, vcpu) => {
                        let pausing = matches!(next.life, Life::Pausing | Life::Paused(_));
                        match self.0 {
                            Variant::LooksUnlocked if pausing => Pcpu::Pauses(own, vcpu),
                            _ => {
                                if pausing {
                                    let _ = next.queue.pause(next.ids[vcpu]);
                                }
                                Pcpu::Runs(own)
                            }
                        }
                    }
                    Pcpu::Pauses(own, vcpu) => {
                        let _ = next.queue.pause(next.ids[vcpu]);
                        Pcpu::Runs(own)
                    }
                    Pcpu::Left => {
                        next.check_left();
                        Pcpu::Free
                    }
                    other => other,
                };
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(STANDS_STILL, |_, world: &World| {
                let runs = |vcpu| matches!(world.state(vcpu), State::Running(_) | State::Ready);
                !matches!(world.life, Life::Paused(_)) || !(0..VCPUS).any(runs)
            }),
            Property::always(ENDS, |_, world: &World| {
                let held = (0..VCPUS).any(|vcpu| world.state(vcpu) == State::Paused);
                !world.settled()
                    || match world.life {
                        Life::Running => !held,
                        life => life != Life::Pausing,
                    }
            }),
            Property::sometimes(HAPPENS, |_, world: &World| {
                matches!(world.life, Life::Paused(_)) && world.state(1) == State::Paused
            }),
        ]
    }
}

fn check(variant: Variant) -> impl Checker<Pausing> {
    Pausing(variant).checker().spawn_bfs().join()
}

#[test]
fn a_pause_holds_all_vcpus_and_resume_lets_all_go() {
    let checker = check(Variant::Correct);
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn a_vcpu_started_without_a_look_is_found() {
    check(Variant::StartsBlindly).assert_any_discovery(ENDS);
}

#[test]
fn a_vcpu_paused_after_the_resume_is_found() {
    check(Variant::LooksUnlocked).assert_any_discovery(ENDS);
}

#[test]
fn time_that_stands_while_a_vcpu_runs_is_found() {
    check(Variant::StandsAtOnce).assert_any_discovery(STANDS_STILL);
}

#[test]
fn a_pause_that_nobody_ends_is_found() {
    check(Variant::PutsBlindly).assert_any_discovery(ENDS);
}
