//! What can happen in a state, and what must hold in each.

use stateright::{Model, Property};

use super::world::*;

/// What must hold in each state.
pub const ALWAYS: [&str; 3] = [THROUGH, TRUE, DISABLED];
pub const THROUGH: &str = "whoever waits gets through";
pub const TRUE: &str = "what is read was so at some moment of the access";
pub const DISABLED: &str = "what was disabled is not taken afterwards";

/// What must be reached at all.
pub const BOTH_WAIT: &str = "two wait for each other";
pub const PUT_AWAY: &str = "who is awaited is put away";
pub const OVER: &str = "what is read is over already";
pub const MAINTAINED: &str = "what was disabled is ended, and its end reported";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The pCPU goes on with what it is at, or takes an interrupt.
    Run(usize),
    /// Its guest acknowledges or ends an interrupt, or makes an access.
    Acknowledge(usize),
    End(usize),
    Access(usize, Kind),
    /// Its slice is over.
    Tick(usize),
    /// There is an edge of this vCPU's interrupt.
    Edge(usize),
    /// The operator pauses or resumes this vCPU.
    Order(usize),
    /// The device or the operator goes on.
    Go,
}

/// The model: a variant, and what may happen.
pub struct Settle {
    pub variant: Variant,
    /// How many of the vCPUs are on.
    pub started: usize,
    pub kinds: &'static [Kind],
    pub budget: Budget,
}

impl Model for Settle {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.started, self.budget)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (number, pcpu) in world.pcpus.iter().enumerate() {
            let Phase::Guest(_) = pcpu.phase else {
                steps.push(Step::Run(number));
                continue;
            };
            if pcpu.sgi || pcpu.ci.maintenance() {
                steps.push(Step::Run(number));
            }
            if pcpu.ci.peek().is_some() {
                steps.push(Step::Acknowledge(number));
            }
            if !pcpu.ci.running.is_empty() {
                steps.push(Step::End(number));
            }
            if world.budget.accesses > 0 {
                steps.extend(self.kinds.iter().map(|kind| Step::Access(number, *kind)));
            }
            if world.budget.ticks > 0 {
                steps.push(Step::Tick(number));
            }
        }
        if world.wakes.is_some() || !world.kicks.is_none() {
            steps.push(Step::Go);
            return;
        }
        for vcpu in 0..self.started {
            if world.budget.edges > 0 && world.pending >> vcpu & 1 == 0 {
                steps.push(Step::Edge(vcpu));
            }
            if world.budget.orders > 0 {
                steps.push(Step::Order(vcpu));
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Run(pcpu) => next.run(self.variant, pcpu),
            Step::Acknowledge(pcpu) => {
                let bit = 1 << (next.pcpus[pcpu].ci.acknowledge()? - FIRST);
                next.taken |= next.disabled & bit != 0;
                next.pending &= !bit;
                next.active |= bit;
                next.changed();
            }
            Step::End(pcpu) => {
                let Phase::Guest(vcpu) = next.pcpus[pcpu].phase else { return None };
                next.pcpus[pcpu].ci.end(FIRST + vcpu as u32);
                next.active &= !(1 << vcpu);
                next.changed();
            }
            Step::Access(pcpu, kind) => {
                next.budget.accesses -= 1;
                next.begin(self.variant, pcpu, kind);
            }
            Step::Tick(pcpu) => {
                let Phase::Guest(vcpu) = next.pcpus[pcpu].phase else { return None };
                next.budget.ticks -= 1;
                next.pcpus[pcpu].phase = Phase::Fold(vcpu);
            }
            Step::Edge(vcpu) => {
                next.budget.edges -= 1;
                let intid = FIRST + vcpu as u32;
                let up = next.vgic.set_level(vcpu, intid, true);
                let down = next.vgic.set_level(vcpu, intid, false);
                next.wakes = (!(up | down).is_empty()).then_some(vcpu);
                next.pending |= 1 << vcpu;
                next.changed();
            }
            Step::Order(vcpu) => {
                next.budget.orders -= 1;
                let id = next.ids[vcpu];
                let resumed = next.queue.resume(id, 0);
                next.kicks = resumed.or_else(|_| next.queue.pause(id)).unwrap();
            }
            Step::Go => match next.wakes.take() {
                Some(vcpu) => next.kicks = next.queue.wake(next.ids[vcpu], 0).unwrap(),
                None => {
                    let kick = core::mem::take(&mut next.kicks);
                    next.deliver(kick, None);
                }
            },
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(THROUGH, |model: &Self, w: &World| w.gets_through(model.variant)),
            Property::always(TRUE, |_, world: &World| !world.misread),
            Property::always(DISABLED, |_, world: &World| !world.taken),
            Property::sometimes(BOTH_WAIT, |_, world: &World| {
                (0..VCPUS).filter(|vcpu| world.vgic.awaits(*vcpu)).count() == 2
            }),
            Property::sometimes(PUT_AWAY, |_, world: &World| {
                // Of two pCPUs, this is the other one.
                world.pcpus.iter().any(|pcpu| matches!(pcpu.phase, Phase::Fold(_)))
                    && (0..VCPUS).any(|vcpu| world.vgic.awaits(vcpu))
            }),
            Property::sometimes(OVER, |_, world: &World| {
                let over = |(pcpu, cpu): (usize, &Pcpu)| {
                    let now = match (cpu.phase, cpu.access) {
                        (Phase::Finish(_), Some(Access { kind: Kind::Pending, .. })) => {
                            world.pending
                        }
                        (Phase::Finish(_), Some(Access { kind: Kind::Active, .. })) => world.active,
                        _ => return false,
                    };
                    world.value(pcpu) != u64::from(now)
                };
                world.pcpus.iter().enumerate().any(over)
            }),
            Property::sometimes(MAINTAINED, |_, world: &World| {
                world.pcpus.iter().any(|pcpu| matches!(pcpu.phase, Phase::Sync(_)))
            }),
        ]
    }
}
