//! What the model's state consists of, and what must hold in each.

use mezzanine::sched::{EntityId, Kick, RunQueue, State};

pub const PCPUS: usize = 2;
pub const VCPUS: usize = 3;

/// How a pCPU's run loop, or a peer, deviates from what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Not at all.
    Correct,
    /// WFI: looks for pending interrupts first, and takes the wake token afterwards.
    AcknowledgesLate,
    /// A peer posts an interrupt for a running vCPU without kicking its pCPU.
    DropsNotice,
    /// A pCPU ignores the kick that a pick returns.
    DropsKickOfPick,
    /// A pCPU enters a guest, or sleeps, without a last look at its attention.
    EntersBlindly,
    /// A vCPU is put back before its registers are saved.
    PutsBeforeSaving,
}

/// Where a pCPU is in its run loop. The vCPU named is the one whose registers it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// About to pick.
    Pick,
    /// Found nothing; about to sleep.
    BeforeSleep,
    /// In WFI at EL2.
    Asleep,
    /// With a vCPU: about to take the attention bits.
    Attend(usize),
    /// About to move pending interrupts to the list registers.
    Inject(usize),
    /// About to enter the guest.
    Enter(usize),
    /// In the guest.
    Guest(usize),
    /// The guest executed WFI: about to take the wake token.
    Wait(usize),
    /// About to look for pending interrupts, for the last time before it blocks.
    LastLook(usize),
    /// About to take the token, in the variant that does so late.
    AcknowledgeLate(usize),
    /// About to save the vCPU's registers and then to put it back, `true`: to block.
    Save(usize, bool),
    /// Registers saved, about to put it back.
    Put(usize, bool),
    /// Put back, but the registers are still to be saved: in the wrong variant only.
    SaveLate(usize),
}

impl Phase {
    /// The vCPU whose registers are on this pCPU.
    pub fn holds(self) -> Option<usize> {
        match self {
            Self::Pick | Self::BeforeSleep | Self::Asleep | Self::Put(..) => None,
            Self::Attend(vcpu)
            | Self::Inject(vcpu)
            | Self::Enter(vcpu)
            | Self::Guest(vcpu)
            | Self::Wait(vcpu)
            | Self::LastLook(vcpu)
            | Self::AcknowledgeLate(vcpu)
            | Self::Save(vcpu, _)
            | Self::SaveLate(vcpu) => Some(vcpu),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pcpu {
    pub phase: Phase,
    /// Attention bits: rescheduling, and interrupts to look at.
    pub reschedule: bool,
    pub notice: bool,
    /// The SGI is pending.
    pub sgi: bool,
    /// The preemption timer is armed.
    pub timer: bool,
    /// A kick that it still has to deliver.
    pub outbox: Kick,
}

/// What a party other than the run loops is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    Idle,
    /// It has posted an interrupt for this vCPU, and has not yet called `wake`.
    Posted(usize),
    /// It has a kick to deliver.
    Kicks(Kick),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vcpu {
    /// An interrupt is pending that the vCPU has not seen.
    pub pending: bool,
    /// Was stopped, or held, while running, and is to leave its pCPU.
    pub must_leave: bool,
}

/// How often things may still happen, to keep the number of states finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    pub posts: u8,
    pub waits: u8,
    pub ticks: u8,
    pub orders: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub queue: RunQueue,
    pub ids: [EntityId; VCPUS],
    pub vcpus: [Vcpu; VCPUS],
    pub pcpus: [Pcpu; PCPUS],
    pub peers: [Peer; 2],
    pub budget: Budget,
    /// Affinity masks, as last set.
    pub affinity: [u8; VCPUS],
    /// The queue refused something that the run loop may rely on.
    pub refused: bool,
}

impl World {
    /// All pCPUs about to pick, and the first `started` vCPUs Ready.
    pub fn new(budget: Budget, started: usize) -> Self {
        let mut queue = RunQueue::new(PCPUS, 1000).unwrap();
        let ids: [EntityId; VCPUS] = core::array::from_fn(|_| queue.add(100, 0xff, None).unwrap());
        for id in &ids[..started] {
            let kick = queue.start(*id, 0).unwrap();
            assert!(kick.is_none(), "no pCPU has come up yet");
        }
        let pcpu = Pcpu {
            phase: Phase::Pick,
            reschedule: false,
            notice: false,
            sgi: false,
            timer: false,
            outbox: Kick::NONE,
        };
        Self {
            queue,
            ids,
            vcpus: [Vcpu::default(); VCPUS],
            pcpus: [pcpu.clone(), pcpu],
            peers: [Peer::Idle; 2],
            budget,
            affinity: [0xff; VCPUS],
            refused: false,
        }
    }

    pub fn state(&self, vcpu: usize) -> State {
        self.queue.state(self.ids[vcpu]).unwrap()
    }

    /// One vCPU is on at most one pCPU; and where the queue says.
    pub fn each_vcpu_in_one_place(&self) -> bool {
        (0..VCPUS).all(|vcpu| {
            let here = |pcpu: &Pcpu| pcpu.phase.holds() == Some(vcpu);
            self.pcpus.iter().filter(|pcpu| here(pcpu)).count() <= 1
        })
    }

    /// Nothing is under way: each pCPU is in a guest or asleep without an SGI to come, and no
    /// peer is in the middle of something. Only a guest or a timer can change this state.
    fn settled(&self) -> bool {
        let rests =
            |pcpu: &Pcpu| matches!(pcpu.phase, Phase::Guest(_) | Phase::Asleep) && !pcpu.sgi;
        self.pcpus.iter().all(rests) && self.peers.iter().all(|&peer| peer == Peer::Idle)
    }

    /// In a settled state no interrupt is pending for a vCPU that sleeps on, or that runs and
    /// does not know.
    pub fn no_interrupt_lost(&self) -> bool {
        let unaware = |vcpu: usize| matches!(self.state(vcpu), State::Blocked | State::Running(_));
        !self.settled() || !(0..VCPUS).any(|vcpu| self.vcpus[vcpu].pending && unaware(vcpu))
    }

    /// In a settled state who is Ready waits for no pCPU that sleeps, or that runs another
    /// without a timer: neither would ever come to him.
    pub fn no_ready_vcpu_forgotten(&self) -> bool {
        let never_comes = |pcpu: &Pcpu| pcpu.phase == Phase::Asleep || !pcpu.timer;
        let forgotten = |vcpu: usize| {
            self.state(vcpu) == State::Ready
                && self.pcpus.iter().enumerate().any(|(number, pcpu)| {
                    self.affinity[vcpu] & 1 << number != 0 && never_comes(pcpu)
                })
        };
        !self.settled() || !(0..VCPUS).any(forgotten)
    }

    /// In a settled state who was stopped or held does not run, nor does anybody run where he
    /// may not.
    pub fn orders_take_effect(&self) -> bool {
        let astray = |vcpu: usize| match self.state(vcpu) {
            State::Running(pcpu) => {
                self.vcpus[vcpu].must_leave || self.affinity[vcpu] & 1 << pcpu == 0
            }
            _ => false,
        };
        !self.settled() || !(0..VCPUS).any(astray)
    }
}
