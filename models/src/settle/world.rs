//! What the model's state consists of.

use mezzanine::device::vgic::{Frame, Vgic};
use mezzanine::sched::{EntityId, Kick, Pick, RunQueue};

use super::hardware::Hardware;

pub const PCPUS: usize = 2;
pub const VCPUS: usize = 3;
/// One list register does for the one interrupt of each vCPU.
pub const LRS: usize = 1;
/// The SPI of the first vCPU; those of the others follow. In the registers it is bit 0.
pub const FIRST: u32 = 32;
const GICD_ISENABLER1: u64 = 0x104;
pub const GICD_ICENABLER1: u64 = 0x184;
const GICD_ISPENDR1: u64 = 0x204;
const GICD_ISACTIVER1: u64 = 0x304;

/// How the waiting deviates from what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Not at all.
    Correct,
    /// Who waits doesn't fold its own list registers.
    NeverFolds,
    /// Who is waited for isn't kicked.
    AsksQuietly,
    /// Nobody waits.
    GoesOn,
    /// A vCPU is put away, and its list registers with it.
    PutsUnfolded,
}

/// An access of GICD registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Pending,
    Active,
    /// Disables the interrupts of all others.
    Disable,
}

/// One that is not done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    pub kind: Kind,
    /// What has been set, and what has been clear, at some moment since it began.
    pub set: u8,
    pub clear: u8,
}

/// Where a pCPU is in its run loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Free,
    /// The run queue has given it this vCPU.
    Load(usize),
    /// About to look at the attention and to enter the guest.
    Enter(usize),
    /// Has taken a notice: about to deliver, and then to leave if that was asked for too.
    Attend(usize, bool),
    Guest(usize),
    /// A list register wants maintenance.
    Sync(usize),
    /// In the loop of `Guest::settle`.
    Settle(usize),
    /// Nobody is awaited any more: about to read.
    Finish(usize),
    /// About to fold the list registers for good,
    Fold(usize),
    /// and to tell the run queue.
    Put(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pcpu {
    pub phase: Phase,
    pub ci: Hardware,
    /// The access of its vCPU.
    pub access: Option<Access>,
    /// The vCPUs that it still has to wake, and the kick of the last that it woke.
    pub tells: u64,
    pub outbox: Kick,
    /// Attention bits.
    pub reschedule: bool,
    pub notice: bool,
    /// The SGI is pending.
    pub sgi: bool,
}

/// How often things may still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Accesses, in all.
    pub accesses: u8,
    /// Edges of devices.
    pub edges: u8,
    /// Preemptions.
    pub ticks: u8,
    /// Pauses and resumes.
    pub orders: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub queue: RunQueue,
    pub ids: [EntityId; VCPUS],
    pub vgic: Vgic,
    pub pcpus: [Pcpu; PCPUS],
    /// ICH_AP0R and AP1R of those that are not loaded.
    pub running: [Vec<u8>; VCPUS],
    /// A device or the operator: the vCPU that it still has to wake, or the kick to deliver.
    pub wakes: Option<usize>,
    pub kicks: Kick,
    /// What a GIC without list registers would hold: bit v is the interrupt of vCPU v.
    pub pending: u8,
    pub active: u8,
    /// What an access that is done has disabled.
    pub disabled: u8,
    pub budget: Budget,
    /// A read's value was never so; a guest took what was disabled.
    pub misread: bool,
    pub taken: bool,
}

impl World {
    /// The first two vCPUs in their guests, and each that is on with its interrupt pending.
    pub fn new(started: usize, budget: Budget) -> Self {
        let all = (1 << started) - 1;
        let mut queue = RunQueue::new(PCPUS, 1000).unwrap();
        let ids: [EntityId; VCPUS] = core::array::from_fn(|_| queue.add(100, 0xff, None).unwrap());
        for id in &ids[..started] {
            let _ = queue.start(*id, 0).unwrap();
        }
        let mut vgic = Vgic::new(&[0, 1, 2], 32);
        let pcpus = core::array::from_fn(|vcpu| {
            let picked = queue.pick(vcpu, 0).unwrap();
            assert!(matches!(picked, Pick::Run { id, .. } if id == ids[vcpu]));
            let mut ci = Hardware::new(LRS);
            vgic.load(vcpu, &mut ci);
            Pcpu {
                phase: Phase::Guest(vcpu),
                ci,
                access: None,
                tells: 0,
                outbox: Kick::NONE,
                reschedule: false,
                notice: false,
                sgi: false,
            }
        });
        let mut world = Self {
            queue,
            ids,
            vgic,
            pcpus,
            running: Default::default(),
            wakes: None,
            kicks: Kick::NONE,
            pending: all,
            active: 0,
            disabled: 0,
            budget,
            misread: false,
            taken: false,
        };
        let (vgic, own) = (&mut world.vgic, &mut world.pcpus[0].ci);
        let mut write = |offset, size, value: u64| {
            let _ = vgic.write(0, Frame::Dist, offset, size, value, own);
        };
        // GICD_CTLR; GICD_ICFGR2, edge-triggered; GICD_IROUTER32 and up.
        write(0x0, 4, 3);
        write(0xc08, 4, 0xaaaa_aaaa);
        (0..VCPUS as u64).for_each(|vcpu| write(0x6100 + 8 * vcpu, 8, vcpu));
        write(GICD_ISENABLER1, 4, all.into());
        write(GICD_ISPENDR1, 4, all.into());
        for (vcpu, pcpu) in world.pcpus.iter_mut().enumerate() {
            let _ = world.vgic.deliver(vcpu, &mut pcpu.ci);
            assert_eq!(pcpu.ci.occupied(), 1);
        }
        world
    }
}

impl Kind {
    /// The register that is read.
    pub fn register(self) -> Option<u64> {
        match self {
            Self::Pending => Some(GICD_ISPENDR1),
            Self::Active => Some(GICD_ISACTIVER1),
            Self::Disable => None,
        }
    }

    /// What `vcpu` disables by it.
    pub fn disables(self, vcpu: usize) -> u8 {
        if self == Self::Disable { !(1 << vcpu) & ((1 << VCPUS) - 1) } else { 0 }
    }
}

impl Access {
    /// Notes what is so now.
    pub fn see(&mut self, pending: u8, active: u8) {
        let now = if self.kind == Kind::Pending { pending } else { active };
        self.set |= now;
        self.clear |= !now;
    }
}
