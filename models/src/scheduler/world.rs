//! What the model's state consists of, and what must hold in each.

use mezzanine::sched::{EntityId, Kick, RunQueue, State};

pub const PCPUS: usize = 2;
pub const VCPUS: usize = 3;

/// How a pCPU's run loop, or a peer, deviates from what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Not at all.
    Correct,
    /// WFI: looks for pending interrupts first, and says afterwards that it rests, which takes the
    /// wake token.
    LooksBeforeRest,
    /// A pCPU at rest forgets that it was called, but asks whether it may go on resting.
    IgnoresCall,
    /// A pCPU at rest that is called sleeps on, and asks nobody.
    SleepsOn,
    /// A pCPU at rest that is called, and has news at the same time, goes on with its guest.
    ForgetsCall,
    /// A pCPU rests without the run queue's knowledge.
    RestsUnmarked,
    /// A pCPU rests though somebody waits for it, as the run queue says.
    RestsBesideWaiting,
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
    /// In WFI of the guest: about to say that it rests. Here and below `true`: it was called.
    Wait(usize, bool),
    /// About to look for pending interrupts, for the last time before it sleeps or blocks; and
    /// whether nobody else wants the pCPU.
    LastLook(usize, bool, Free),
    /// About to say that it rests, in the variant that does so late.
    RestLate(usize),
    /// About to sleep, with its vCPU loaded.
    BeforeRest(usize),
    /// In WFI at EL2, with its vCPU loaded.
    AtRest(usize),
    /// Woken, about to take the attention bits.
    Woken(usize),
    /// About to say that the rest is over; it looks at what has come, or has seen it.
    Rouse(usize, bool, Seen),
    /// About to look at what ended its rest.
    Look(usize, bool),
    /// About to save the vCPU's registers and then to put it back, `true`: to block.
    Save(usize, bool),
    /// Registers saved, about to put it back.
    Put(usize, bool),
    /// Put back, but the registers are still to be saved: in the wrong variant only.
    SaveLate(usize),
}

/// Whether the run queue lets the vCPU rest.
pub type Free = bool;
/// Whether the interrupt that ends the rest has been seen.
pub type Seen = bool;

impl Phase {
    /// Nothing but an interrupt or the guest ends this.
    pub fn is_quiet(self) -> bool {
        matches!(self, Self::Guest(_) | Self::Asleep | Self::AtRest(_))
    }

    /// The pCPU comes to a pick, whatever it finds on its way.
    fn is_called(self) -> bool {
        matches!(
            self,
            Self::Pick
                | Self::Save(..)
                | Self::Put(..)
                | Self::SaveLate(_)
                | Self::Wait(_, true)
                | Self::LastLook(_, true, _)
                | Self::Rouse(_, true, _)
                | Self::Look(_, true)
        )
    }

    /// The vCPU whose registers are on this pCPU.
    pub fn holds(self) -> Option<usize> {
        match self {
            Self::Pick | Self::BeforeSleep | Self::Asleep | Self::Put(..) => None,
            Self::Attend(vcpu)
            | Self::Inject(vcpu)
            | Self::Enter(vcpu)
            | Self::Guest(vcpu)
            | Self::Wait(vcpu, _)
            | Self::LastLook(vcpu, ..)
            | Self::RestLate(vcpu)
            | Self::BeforeRest(vcpu)
            | Self::AtRest(vcpu)
            | Self::Woken(vcpu)
            | Self::Rouse(vcpu, ..)
            | Self::Look(vcpu, _)
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

/// Who there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// Three equal vCPUs that may run anywhere.
    Alike,
    /// A vCPU to which pCPU 1 is dedicated, one that has pCPU 0, and a job, which may run on both.
    OwnerAndJob,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub cast: Cast,
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
    pub fn new(budget: Budget, started: usize, cast: Cast) -> Self {
        let mut queue = RunQueue::new(PCPUS, 1000).unwrap();
        let (ids, affinity) = match cast {
            Cast::Alike => {
                (core::array::from_fn(|_| queue.add(100, 0xff, None).unwrap()), [0xff; VCPUS])
            }
            Cast::OwnerAndJob => {
                let owner = queue.add(100, 0xff, Some(1)).unwrap();
                let other = queue.add(100, 0xff, None).unwrap();
                ([owner, other, queue.add_job(100).unwrap()], [2, 1, 0xff])
            }
        };
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
            cast,
            queue,
            ids,
            vcpus: [Vcpu::default(); VCPUS],
            pcpus: [pcpu.clone(), pcpu],
            peers: [Peer::Idle; 2],
            budget,
            affinity,
            refused: false,
        }
    }

    pub fn is_job(&self, vcpu: usize) -> bool {
        self.cast == Cast::OwnerAndJob && vcpu == VCPUS - 1
    }

    /// Whether `pcpu` runs who it is dedicated to: nobody else can expect it then.
    fn runs_owner(&self, pcpu: usize) -> bool {
        self.cast == Cast::OwnerAndJob && pcpu == 1 && self.pcpus[1].phase == Phase::Guest(0)
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
        let quiet = |pcpu: &Pcpu| pcpu.phase.is_quiet() && !pcpu.sgi;
        self.pcpus.iter().all(quiet) && self.peers.iter().all(|&peer| peer == Peer::Idle)
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
                    let expected = self.affinity[vcpu] & 1 << number != 0;
                    expected && !self.runs_owner(number) && never_comes(pcpu)
                })
        };
        !self.settled() || !(0..VCPUS).any(forgotten)
    }

    /// While a pCPU sleeps, at rest or idle, and somebody is Ready who may run there, some pCPU
    /// is called, or on its way to a pick.
    pub fn nobody_waits_beside_rest(&self) -> bool {
        let sleeps = |pcpu: &Pcpu| matches!(pcpu.phase, Phase::Asleep | Phase::AtRest(_));
        let waits = |number: usize| {
            (0..VCPUS).any(|vcpu| {
                self.state(vcpu) == State::Ready && self.affinity[vcpu] & 1 << number != 0
            })
        };
        let calls = |kick: Kick| kick.reschedule != 0;
        let called = |pcpu: &Pcpu| {
            pcpu.phase.is_called()
                || calls(pcpu.outbox)
                || pcpu.reschedule && (pcpu.sgi || !pcpu.phase.is_quiet())
        };
        let hope = || {
            let peer = |peer: &Peer| matches!(peer, Peer::Kicks(kick) if calls(*kick));
            self.pcpus.iter().any(called) || self.peers.iter().any(peer)
        };
        let beside = |(number, pcpu): (usize, &Pcpu)| sleeps(pcpu) && waits(number);
        !self.pcpus.iter().enumerate().any(beside) || hope()
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
