//! The layout of a trace in memory, version 1. The tools of `make trace` read it by these types.
//!
//! All numbers are little-endian; offsets and sizes are bytes.
//!
//! ```text
//!  0                 Header (64)
//!  64                names: `vms` times 32 bytes, by VM number, the rest of each 0
//!  rings             `pcpus` times a ring:
//!                      RingHeader (64)
//!                      `capacity` times a Record (32)
//! ```
//!
//! Record number `n` of a ring, from 0 on, lies in its place `n % capacity`. Those of this trace are
//! numbers `begun..written`; what was there before is of an earlier one. Where they are more than
//! `capacity`, the oldest ones are lost.

/// What a trace begins with.
pub const MAGIC: [u8; 8] = *b"MZTRACE\0";
/// This layout's number.
pub const VERSION: u16 = 1;
/// Bytes of a VM's name.
pub const NAME: usize = 32;
/// [`Record::vm`] where an event is of no VM.
pub const NO_VM: u16 = u16::MAX;
/// [`Record::vcpu`] where an event is of no vCPU.
pub const NO_VCPU: u8 = u8::MAX;
/// [`Record::vcpu`] of the job that prepares a VM's memory.
pub const JOB: u8 = u8::MAX - 1;

/// The start of a trace.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: u16,
    /// Size of this header.
    pub header_size: u16,
    /// Size of a record.
    pub record_size: u16,
    /// How many rings there are, one a pCPU.
    pub pcpus: u16,
    /// Ticks a second of the counter that all times are read from (CNTFRQ_EL0).
    pub frequency: u64,
    /// The time at which it began.
    pub since: u64,
    /// The time at which it ended; 0 while it goes on.
    pub until: u64,
    /// Records that a ring has room for, a power of two.
    pub capacity: u32,
    /// How many names there are.
    pub vms: u32,
    /// Where the rings begin.
    pub rings: u64,
    /// 0.
    pub reserved: u64,
}

impl Header {
    /// As it is in memory.
    pub const fn words(&self) -> [u64; 8] {
        let sizes = self.version as u64
            | (self.header_size as u64) << 16
            | (self.record_size as u64) << 32
            | (self.pcpus as u64) << 48;
        let counts = self.capacity as u64 | (self.vms as u64) << 32;
        let magic = u64::from_le_bytes(self.magic);
        let (since, until) = (self.since, self.until);
        [magic, sizes, self.frequency, since, until, counts, self.rings, self.reserved]
    }
}

/// The start of a ring.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct RingHeader {
    /// How many records were ever written to it.
    pub written: u64,
    /// How many of them before this trace began.
    pub begun: u64,
    /// 0.
    pub reserved: [u64; 6],
}

/// One event.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// When: CNTPCT_EL0.
    pub time: u64,
    /// What: an [`Event`].
    pub event: u8,
    /// Which vCPU it concerns, or [`JOB`], or [`NO_VCPU`].
    pub vcpu: u8,
    /// Of which VM, or [`NO_VM`].
    pub vm: u16,
    /// By event.
    pub detail: u32,
    /// By event.
    pub a: u64,
    /// By event.
    pub b: u64,
}

/// Whom an event concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Who {
    /// As [`Record::vm`].
    pub vm: u16,
    /// As [`Record::vcpu`].
    pub vcpu: u8,
}

impl Who {
    /// No VM's.
    pub const NOBODY: Self = Self { vm: NO_VM, vcpu: NO_VCPU };
}

impl Record {
    /// Of `event`, at no time yet.
    pub const fn new(event: Event, who: Who, detail: u32, a: u64, b: u64) -> Self {
        Self { time: 0, event: event as u8, vcpu: who.vcpu, vm: who.vm, detail, a, b }
    }

    /// As it is in memory.
    pub const fn words(&self) -> [u64; 4] {
        let what = self.event as u64 | (self.vcpu as u64) << 8 | (self.vm as u64) << 16;
        [self.time, what | (self.detail as u64) << 32, self.a, self.b]
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
        /// What happened, on the pCPU whose ring it is in.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u8)]
        pub enum Event { $($(#[$doc])* $name = $number,)* }

        impl Event {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The event of this number.
            pub fn new(number: u8) -> Option<Self> {
                Self::ALL.iter().copied().find(|event| *event as u8 == number)
            }
        }
    };
}

events! {
    /// ERET into the guest. `a`: PC (ELR_EL2), `b`: PSTATE (SPSR_EL2).
    Enter = 1,
    /// Back by a synchronous exception. `detail`: ESR_EL2 bits 31:0. For aborts (EC 0x20, 0x24) and
    /// watchpoints (0x34) `a` is FAR_EL2 and `b` HPFAR_EL2; else `a` is the PC and `b` is x0.
    ExitSync = 2,
    /// Back by an interrupt. `detail`: the INTID that is pending first, `a`: PC, `b`: PSTATE.
    ExitIrq = 3,
    /// Back by an SError. `detail`: ESR_EL2 bits 31:0, `a`: PC, `b`: PSTATE.
    ExitSError = 4,
    /// The exit has been handled. `detail`: its [`Kind`], `a`: the PC at which the guest goes on, `b`:
    /// 0 if it goes on at once, 1 if the vCPU leaves the pCPU.
    Handled = 5,
    /// An exception is given to the guest. `detail`: ESR_EL1 bits 31:0, `a`: the vector that it goes
    /// to, `b`: the PC that it is taken from.
    Inject = 6,
    /// A list register has been written since the last entry. `detail`: its number, `a`: the value,
    /// ICH_LR<n>_EL2: a state of pending is an interrupt for the guest.
    ListWrite = 7,
    /// A list register was changed by the guest, which took or ended its interrupt. As
    /// [`ListWrite`](Self::ListWrite).
    ListRead = 8,
    /// Nothing to run, or what runs waits: this pCPU sleeps.
    Idle = 9,
    /// A vCPU, or a job, is given this pCPU. `a`: ticks that it has waited for pCPUs in all, `b`: when
    /// its slice ends, or `u64::MAX`.
    SchedIn = 10,
    /// It is put back. `detail`: a [`Left`], `a`: the deadline that it waits for, or `u64::MAX`.
    SchedOut = 11,
    /// A vCPU, or a job, is told of news by what this pCPU does: if it waits, it waits no more.
    Wake = 12,
    /// This pCPU sends a kick. `detail`: the pCPU that it goes to.
    Kick = 13,
    /// This pCPU is about to take a kick.
    Kicked = 14,
    /// It is about to take a timer's interrupt. `detail`: INTID.
    Timer = 15,
    /// A hypercall, HVC or SMC. `detail`: the function, `a`: x1, `b`: x2.
    Call = 16,
    /// A stage-2 fault on memory of the VM. `a`: IPA.
    Stage2Fault = 17,
    /// A VM comes to another state of its life. `detail`: a [`Stage`].
    Life = 18,
    /// It is awake again.
    Awake = 19,
}

macro_rules! numbered {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $number:literal $text:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[repr(u32)]
        pub enum $type { $($(#[$doc])* $name = $number,)* }

        impl $type {
            /// All of them, with their names.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $text)),*];
        }
    };
}

/// How many kinds of exits are counted: all but [`Kind::None`].
pub const KINDS: usize = Kind::ALL.len() - 1;

numbered! {
    /// The kinds of exits, as `vm::exits` counts them.
    Kind {
        /// Nothing was counted.
        None = 0 "none",
        /// HVC or SMC.
        Call = 1 "calls",
        /// A trapped register or system instruction.
        Register = 2 "registers",
        /// A load or store of a device, by its syndrome.
        Device = 3 "devices",
        /// Any other data abort.
        Abort = 4 "aborts",
        /// An abort of a fetch.
        Fetch = 5 "fetches",
        /// WFI or WFE.
        Wait = 6 "waits",
        /// The first use of FP or SIMD since it was loaded.
        Fp = 7 "fp",
        /// Any other exception of its own.
        Other = 8 "others",
        /// A physical interrupt.
        Interrupt = 9 "interrupts",
        /// A physical SError.
        SError = 10 "serrors",
    }
}

numbered! {
    /// Why a pCPU gave back what it ran.
    Left {
        /// It gave way (WFE, or a job's slice).
        Yield = 0 "yields",
        /// Its slice was over, or somebody called.
        Preempted = 1 "preempted",
        /// It waits.
        Block = 2 "blocks",
        /// It ended.
        Off = 3 "off",
    }
}

numbered! {
    /// Where a VM is in its life.
    Stage {
        /// Made from its description, not started.
        Made = 0 "made",
        /// Its images are being loaded.
        Preparing = 1 "preparing",
        /// Its vCPUs may run.
        Running = 2 "running",
        /// Its vCPUs are leaving their pCPUs, to go on later.
        Pausing = 3 "pausing",
        /// It stands still.
        Paused = 4 "paused",
        /// Its vCPUs are leaving their pCPUs.
        Stopping = 5 "stopping",
        /// Its memory goes back.
        Releasing = 6 "releasing",
        /// It has nothing but its description.
        Off = 7 "off",
    }
}
