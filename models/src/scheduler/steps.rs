//! What can happen in a state, and what comes of it.

use mezzanine::sched::{Kick, Pick, Reason, SchedError, State};
use stateright::{Model, Property};

use super::world::{Budget, Cast, PCPUS, Peer, Phase, VCPUS, Variant, World};

/// What must hold in each state.
pub const ALWAYS: [&str; 6] = [
    ONE_PLACE,
    NO_INTERRUPT_LOST,
    NOBODY_FORGOTTEN,
    WORK_CONSERVED,
    ORDERS_OBEYED,
    NOTHING_REFUSED,
];
pub const ONE_PLACE: &str = "each vCPU is on one pCPU at most";
pub const NO_INTERRUPT_LOST: &str = "no interrupt is lost";
pub const NOBODY_FORGOTTEN: &str = "no Ready vCPU is forgotten";
pub const WORK_CONSERVED: &str = "no pCPU sleeps beside a Ready vCPU without a call on its way";
pub const ORDERS_OBEYED: &str = "orders take effect";
const NOTHING_REFUSED: &str = "the run loop asks for nothing that is refused";

/// What must be reached at all.
pub const SOMETIMES: [&str; 6] =
    [A_THIRD_WAITS, WOKEN_WHILE_BLOCKING, ALL_ASLEEP, READY_BESIDE_REST, RESUMED, WOKEN_AND_CALLED];
const A_THIRD_WAITS: &str = "both pCPUs are in guests and a third vCPU waits";
const WOKEN_WHILE_BLOCKING: &str = "a vCPU is woken on its way to sleep";
pub const READY_BESIDE_REST: &str = "a pCPU is at rest, and another vCPU becomes Ready";
pub const ALL_AT_REST: &str = "all pCPUs are at rest";
pub const RESUMED: &str = "a vCPU at rest goes on by an interrupt of its own";
const WOKEN_AND_CALLED: &str = "a vCPU at rest has an interrupt, and its pCPU is called";
const ALL_ASLEEP: &str = "all pCPUs sleep and a vCPU is blocked";

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The pCPU goes on with its run loop.
    Run(usize),
    /// The SGI reaches the pCPU in its guest or in its sleep.
    Interrupt(usize),
    /// The preemption timer fires in the guest.
    Tick(usize),
    /// The guest executes WFI, or a job has nothing more to do.
    Wfi(usize),
    /// The guest's own timer fires while its pCPU rests.
    Timer(usize),
    /// The peer makes an interrupt pending for the vCPU.
    Post(usize, usize),
    /// The peer goes on.
    Go(usize),
    /// The peer gives an order for the vCPU.
    Order(usize, Order, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Start,
    Stop,
    Pause,
    Resume,
    /// To this pCPU alone.
    Move(u8),
}

/// The model: a variant, who there is, how many of them are started, and a budget.
pub struct Scheduler {
    pub variant: Variant,
    pub cast: Cast,
    pub started: usize,
    pub budget: Budget,
}

impl Model for Scheduler {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.budget, self.started, self.cast)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (number, pcpu) in world.pcpus.iter().enumerate() {
            if !pcpu.phase.is_quiet() {
                steps.push(Step::Run(number));
            } else if pcpu.sgi {
                steps.push(Step::Interrupt(number));
            }
            if matches!(pcpu.phase, Phase::AtRest(_)) && world.budget.posts > 0 {
                steps.push(Step::Timer(number));
            }
            if matches!(pcpu.phase, Phase::Guest(_)) {
                if world.budget.waits > 0 {
                    steps.push(Step::Wfi(number));
                }
                if pcpu.timer && world.budget.ticks > 0 {
                    steps.push(Step::Tick(number));
                }
            }
        }
        for (number, peer) in world.peers.iter().enumerate() {
            if *peer != Peer::Idle {
                steps.push(Step::Go(number));
            } else if number == 0 || world.peers[0] != Peer::Idle {
                // The peers are alike: the second acts only while the first is busy.
                orders(world, number, steps);
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Run(pcpu) => next.run(pcpu, self.variant),
            Step::Interrupt(pcpu) => next.interrupt(pcpu),
            Step::Tick(pcpu) => next.tick(pcpu),
            Step::Wfi(pcpu) => next.wfi(pcpu),
            Step::Timer(pcpu) => next.timer(pcpu),
            Step::Post(peer, vcpu) => {
                next.budget.posts -= 1;
                next.vcpus[vcpu].pending = true;
                next.peers[peer] = Peer::Posted(vcpu);
            }
            Step::Go(peer) => next.go(peer, self.variant),
            Step::Order(peer, order, vcpu) => next.order(peer, order, vcpu),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_PLACE, |_, w: &World| w.each_vcpu_in_one_place()),
            Property::always(NO_INTERRUPT_LOST, |_, w: &World| w.no_interrupt_lost()),
            Property::always(NOBODY_FORGOTTEN, |_, w: &World| w.no_ready_vcpu_forgotten()),
            Property::always(WORK_CONSERVED, |_, w: &World| w.nobody_waits_beside_rest()),
            Property::always(ORDERS_OBEYED, |_, w: &World| w.orders_take_effect()),
            Property::always(NOTHING_REFUSED, |_, w: &World| !w.refused),
            Property::sometimes(A_THIRD_WAITS, |_, w: &World| {
                w.pcpus.iter().all(|pcpu| matches!(pcpu.phase, Phase::Guest(_)))
                    && (0..VCPUS).any(|vcpu| w.state(vcpu) == State::Ready)
            }),
            Property::sometimes(WOKEN_WHILE_BLOCKING, |_, w: &World| {
                w.pcpus.iter().any(|pcpu| matches!(pcpu.phase, Phase::Put(_, true) if pcpu.notice))
            }),
            Property::sometimes(READY_BESIDE_REST, |_, w: &World| {
                w.pcpus.iter().any(|pcpu| matches!(pcpu.phase, Phase::AtRest(_)))
                    && (0..VCPUS).any(|vcpu| w.state(vcpu) == State::Ready)
            }),
            Property::sometimes(ALL_AT_REST, |_, w: &World| {
                w.pcpus.iter().all(|pcpu| matches!(pcpu.phase, Phase::AtRest(_)))
            }),
            Property::sometimes(RESUMED, |_, w: &World| {
                w.pcpus.iter().any(|pcpu| match pcpu.phase {
                    Phase::Look(vcpu, false) => w.vcpus[vcpu].pending,
                    _ => false,
                })
            }),
            Property::sometimes(WOKEN_AND_CALLED, |_, w: &World| {
                w.pcpus.iter().any(|pcpu| match pcpu.phase {
                    Phase::Look(vcpu, true) => w.vcpus[vcpu].pending,
                    _ => false,
                })
            }),
            Property::sometimes(ALL_ASLEEP, |_, w: &World| {
                w.pcpus.iter().all(|pcpu| pcpu.phase == Phase::Asleep)
                    && (0..VCPUS).any(|vcpu| w.state(vcpu) == State::Blocked)
            }),
        ]
    }
}

/// What a peer with nothing else to do may begin.
fn orders(world: &World, peer: usize, steps: &mut Vec<Step>) {
    for vcpu in 0..VCPUS {
        let state = world.state(vcpu);
        if state == State::Off {
            // Where the vCPUs are alike they start in order.
            let first = (0..vcpu).all(|other| world.state(other) != State::Off);
            if (first || world.cast != Cast::Alike) && world.budget.orders > 0 {
                steps.push(Step::Order(peer, Order::Start, vcpu));
            }
            continue;
        }
        if world.budget.posts > 0 && !world.vcpus[vcpu].pending {
            steps.push(Step::Post(peer, vcpu));
        }
        if world.budget.orders > 0 && world.vcpus.iter().all(|vcpu| !vcpu.must_leave) {
            if state == State::Paused {
                steps.push(Step::Order(peer, Order::Resume, vcpu));
            } else {
                steps.push(Step::Order(peer, Order::Stop, vcpu));
                steps.push(Step::Order(peer, Order::Pause, vcpu));
                if world.cast == Cast::Alike && world.affinity[vcpu] == 0xff {
                    steps.push(Step::Order(peer, Order::Move(1), vcpu));
                }
            }
        }
    }
}

/// The rest is over. Who was called leaves all the same.
fn go_on(vcpu: usize, called: bool, variant: Variant) -> Phase {
    match called && variant != Variant::ForgetsCall {
        true => Phase::Save(vcpu, false),
        false => Phase::Inject(vcpu),
    }
}

/// The counter stands still: slices end when the model says so.
const NOW: u64 = 0;

impl World {
    /// The next step of the run loop of `pcpu`.
    fn run(&mut self, pcpu: usize, variant: Variant) {
        let outbox = core::mem::take(&mut self.pcpus[pcpu].outbox);
        if !outbox.is_none() {
            return self.deliver(outbox, Some(pcpu));
        }
        let attention = self.pcpus[pcpu].reschedule || self.pcpus[pcpu].notice;
        let attention = attention && variant != Variant::EntersBlindly;
        let phase = match self.pcpus[pcpu].phase {
            Phase::Pick => self.pick(pcpu, variant),
            Phase::BeforeSleep if attention => self.awake(pcpu),
            Phase::BeforeSleep => Phase::Asleep,
            Phase::Attend(vcpu) => {
                let cpu = &mut self.pcpus[pcpu];
                cpu.notice = false;
                match core::mem::take(&mut cpu.reschedule) {
                    true => Phase::Save(vcpu, false),
                    false => Phase::Inject(vcpu),
                }
            }
            Phase::Inject(vcpu) => {
                self.vcpus[vcpu].pending = false;
                Phase::Enter(vcpu)
            }
            Phase::Enter(vcpu) if attention => Phase::Attend(vcpu),
            Phase::Enter(vcpu) => Phase::Guest(vcpu),
            Phase::Wait(vcpu, called) if variant == Variant::LooksBeforeRest => {
                Phase::LastLook(vcpu, called, true)
            }
            Phase::Wait(vcpu, called) => {
                let free = self.rest(pcpu, vcpu, variant);
                Phase::LastLook(vcpu, called, free)
            }
            Phase::LastLook(vcpu, called, _) if self.vcpus[vcpu].pending => {
                Phase::Rouse(vcpu, called, true)
            }
            Phase::LastLook(vcpu, false, true) if variant == Variant::LooksBeforeRest => {
                Phase::RestLate(vcpu)
            }
            Phase::LastLook(vcpu, false, true) => Phase::BeforeRest(vcpu),
            Phase::LastLook(vcpu, ..) => Phase::Save(vcpu, true),
            Phase::RestLate(vcpu) => match self.rest(pcpu, vcpu, variant) {
                true => Phase::BeforeRest(vcpu),
                false => Phase::Save(vcpu, true),
            },
            Phase::BeforeRest(vcpu) if attention => Phase::Woken(vcpu),
            Phase::BeforeRest(vcpu) => Phase::AtRest(vcpu),
            Phase::Woken(vcpu) => {
                let cpu = &mut self.pcpus[pcpu];
                cpu.notice = false;
                let called = core::mem::take(&mut cpu.reschedule);
                let forgets = matches!(variant, Variant::IgnoresCall | Variant::SleepsOn);
                Phase::Rouse(vcpu, called && !forgets, false)
            }
            Phase::Rouse(vcpu, called, seen) => {
                let roused = self.queue.rouse(pcpu, self.ids[vcpu], NOW);
                self.refused |= roused.is_err();
                match seen {
                    true => go_on(vcpu, called, variant),
                    false => Phase::Look(vcpu, called),
                }
            }
            Phase::Look(vcpu, called) if self.vcpus[vcpu].pending => go_on(vcpu, called, variant),
            Phase::Look(vcpu, _) if variant == Variant::SleepsOn => Phase::BeforeRest(vcpu),
            Phase::Look(vcpu, called) => Phase::Wait(vcpu, called),
            Phase::Save(vcpu, block) if variant == Variant::PutsBeforeSaving => {
                self.put(pcpu, vcpu, block);
                Phase::SaveLate(vcpu)
            }
            Phase::Save(vcpu, block) => {
                // What it was called for it finds when it picks; what the vCPU was told is in its
                // vGIC.
                self.take_attention(pcpu);
                Phase::Put(vcpu, block)
            }
            Phase::Put(vcpu, block) => {
                self.put(pcpu, vcpu, block);
                self.pick(pcpu, variant)
            }
            Phase::SaveLate(_) => Phase::Pick,
            quiet @ (Phase::Guest(_) | Phase::Asleep | Phase::AtRest(_)) => quiet,
        };
        self.pcpus[pcpu].phase = phase;
    }

    /// Under the lock: pick.
    fn pick(&mut self, pcpu: usize, variant: Variant) -> Phase {
        let (phase, timer, kick) = match self.queue.pick(pcpu, NOW) {
            Ok(Pick::Run { id, slice_end, kick, .. }) => {
                let vcpu = self.ids.iter().position(|&known| known == id);
                (vcpu.map_or(Phase::Pick, Phase::Attend), slice_end.is_some(), kick)
            }
            Ok(Pick::Idle { kick }) => (Phase::BeforeSleep, false, kick),
            Err(_) => {
                self.refused = true;
                (Phase::Pick, false, Kick::NONE)
            }
        };
        let cpu = &mut self.pcpus[pcpu];
        cpu.timer = timer;
        if variant != Variant::DropsKickOfPick {
            cpu.outbox = kick;
        }
        phase
    }

    /// Under the lock: rest.
    fn rest(&mut self, pcpu: usize, vcpu: usize, variant: Variant) -> bool {
        let before = self.queue.clone();
        let free = self.queue.rest(pcpu, self.ids[vcpu], NOW);
        self.refused |= free.is_err();
        match variant {
            Variant::RestsUnmarked => self.queue = before,
            Variant::RestsBesideWaiting => return true,
            _ => {}
        }
        free == Ok(true)
    }

    /// Under the lock: put.
    fn put(&mut self, pcpu: usize, vcpu: usize, block: bool) {
        let reason = match block {
            true => Reason::Block { deadline: None },
            false => Reason::Preempted,
        };
        let state = self.queue.put(pcpu, self.ids[vcpu], NOW, reason);
        self.refused |= state.is_err();
        self.vcpus[vcpu].must_leave = false;
    }

    /// Out of the sleep, or not into it: attention, then pick.
    fn awake(&mut self, pcpu: usize) -> Phase {
        self.take_attention(pcpu);
        Phase::Pick
    }

    fn take_attention(&mut self, pcpu: usize) {
        let cpu = &mut self.pcpus[pcpu];
        cpu.reschedule = false;
        cpu.notice = false;
    }

    fn interrupt(&mut self, pcpu: usize) {
        self.pcpus[pcpu].sgi = false;
        self.pcpus[pcpu].phase = match self.pcpus[pcpu].phase {
            Phase::Guest(vcpu) => Phase::Attend(vcpu),
            Phase::AtRest(vcpu) => Phase::Woken(vcpu),
            _ => self.awake(pcpu),
        };
    }

    fn tick(&mut self, pcpu: usize) {
        self.budget.ticks -= 1;
        if let Phase::Guest(vcpu) = self.pcpus[pcpu].phase {
            self.pcpus[pcpu].phase = Phase::Save(vcpu, false);
        }
    }

    fn wfi(&mut self, pcpu: usize) {
        self.budget.waits -= 1;
        if let Phase::Guest(vcpu) = self.pcpus[pcpu].phase {
            self.pcpus[pcpu].phase = match self.is_job(vcpu) {
                true => Phase::Save(vcpu, true),
                false => Phase::Wait(vcpu, false),
            };
        }
    }

    /// What ends the sleep is the interrupt itself: nobody has called `wake`.
    fn timer(&mut self, pcpu: usize) {
        self.budget.posts -= 1;
        if let Phase::AtRest(vcpu) = self.pcpus[pcpu].phase {
            self.vcpus[vcpu].pending = true;
            self.pcpus[pcpu].phase = Phase::Woken(vcpu);
        }
    }

    /// `Presence::post` and the SGI, to each pCPU named; `own` needs no SGI.
    fn deliver(&mut self, kick: Kick, own: Option<usize>) {
        for number in 0..PCPUS {
            let (bit, cpu) = (1 << number, &mut self.pcpus[number]);
            if (kick.reschedule | kick.notice) & bit == 0 {
                continue;
            }
            let quiet = !cpu.reschedule && !cpu.notice;
            cpu.reschedule |= kick.reschedule & bit != 0;
            cpu.notice |= kick.notice & bit != 0;
            let away = cpu.phase.is_quiet();
            cpu.sgi |= quiet && away && own != Some(number);
        }
    }

    /// The next step of a peer.
    fn go(&mut self, peer: usize, variant: Variant) {
        self.peers[peer] = match self.peers[peer] {
            Peer::Posted(vcpu) => {
                let kick = self.queue.wake(self.ids[vcpu], NOW);
                let drops = variant == Variant::DropsNotice;
                self.kicks(
                    kick.map(|kick| Kick { notice: if drops { 0 } else { kick.notice }, ..kick }),
                )
            }
            Peer::Kicks(kick) => {
                self.deliver(kick, None);
                Peer::Idle
            }
            Peer::Idle => Peer::Idle,
        };
    }

    fn order(&mut self, peer: usize, order: Order, vcpu: usize) {
        self.budget.orders -= 1;
        let id = self.ids[vcpu];
        let runs = matches!(self.state(vcpu), State::Running(_));
        let kick = match order {
            Order::Start => self.queue.start(id, NOW),
            Order::Resume => self.queue.resume(id, NOW),
            Order::Stop => self.queue.stop(id),
            Order::Pause => self.queue.pause(id),
            Order::Move(mask) => {
                self.affinity[vcpu] = mask;
                self.queue.set_affinity(id, mask)
            }
        };
        self.vcpus[vcpu].must_leave |= runs && matches!(order, Order::Stop | Order::Pause);
        self.peers[peer] = self.kicks(kick);
    }

    fn kicks(&mut self, kick: Result<Kick, SchedError>) -> Peer {
        match kick {
            Ok(kick) if kick.is_none() => Peer::Idle,
            Ok(kick) => Peer::Kicks(kick),
            Err(_) => {
                self.refused = true;
                Peer::Idle
            }
        }
    }
}
