//! A virtual machine: vCPUs, memory, devices, and its life.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use log::{debug, error, info, warn};
use spin::Once;

use super::clean::Cleaning;
use super::description::VmConfig;
use super::exits::Exits;
use super::image::LoadPlan;
use super::layout::UART_INTID;
use super::life::{InvalidTransition, Life, Why};
use super::memory::{self, Memory};
use super::prepare::Preparation;
use super::schedule::{self, Thing};
use super::stolen::StolenTime;
use super::{Vcpu, tree};
use crate::console::Order;
use crate::device::STOLEN_TIME_BASE;
use crate::device::calls::{self, Mitigations};
use crate::device::pl011::Pl011;
use crate::device::psci::Power;
use crate::device::trng::Trng;
use crate::device::vgic::{Effects, Vgic};
use crate::el2::cache;
use crate::el2::features::{csv2, id_register, most_vmid};
use crate::el2::layout::MAX_PCPUS;
use crate::el2::lock::{Lock, LockGuard, rank};
use crate::memory::frames::Frames;
use crate::memory::stage2::{self, Attributes, Stage2};
use crate::memory::tables::Tables;
use crate::memory::{Ipa, PAGE_SIZE};
use crate::platform::{console, power, psci, timer};
use crate::sched::{MAX_ENTITIES, SchedError, State};

/// No vCPU has run there yet.
const NOBODY: usize = usize::MAX;
/// Each VM has a vCPU and its job in the run queue.
const MAX_VMS: usize = MAX_ENTITIES / 2;

/// A virtual machine. Made once, and never taken apart; its memory it has from its start until it
/// is off.
pub struct Vm {
    /// Its number: in the order of the description, and on the console.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// VTTBR_EL2: its stage-2 tables and its VMID.
    pub vttbr: u64,
    /// CNTVOFF_EL2: how far its virtual time is behind the machine's. 0 unless it was paused: its
    /// two counters then agree, as on the board without a hypervisor, and QEMU 7.2 is safe from
    /// it (with an offset, a comparator of 2^64 - 1 makes QEMU itself loop for ever).
    pub cntvoff: AtomicU64,
    /// The operator's debugger is attached to it. Changes while it is paused only.
    pub debugged: AtomicBool,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// How many SPIs its interrupt controller has.
    pub spis: usize,
    /// Its interrupt controller.
    pub vgic: Lock<Vgic, { rank::VGIC }>,
    /// Its UART.
    pub uart: Lock<Pl011, { rank::DEVICE }>,
    /// What its calls need to know of it.
    pub calls: calls::Guest,
    /// Its random numbers, where the machine has entropy.
    pub random: Option<Lock<Trng, { rank::DEVICE }>>,
    /// What its vCPUs are told of the time that they were kept waiting.
    pub stolen_time: StolenTime,
    /// Which of its vCPUs are on.
    pub power: Lock<Power, { rank::DEVICE }>,
    /// Which of its vCPUs ran last on each pCPU.
    last: [AtomicUsize; MAX_PCPUS],
    pub(super) memory: Lock<Memory, { rank::STAGE2 }>,
    pub(super) life: Lock<Life, { rank::LIFE }>,
    /// How often it has begun to run.
    lives: AtomicUsize,
    job: crate::sched::EntityId,
    pub(super) preparation: Lock<Preparation, { rank::LIFE }>,
    pub(super) cleaning: Lock<Cleaning, { rank::DEVICE }>,
    pub(super) plan: LoadPlan<'static>,
    pub(super) tree: Vec<u8>,
    /// Where in the tree are seeds.
    pub(super) seeds: Vec<core::ops::Range<usize>>,
    pub(super) config: VmConfig<'static>,
}

/// VMs that have been started and aren't off; boot, while it starts them; and the monitor's script.
static LIVE: AtomicUsize = AtomicUsize::new(1);
/// A VM was refused, or stopped for a fault.
static FAILED: AtomicBool = AtomicBool::new(false);
/// `stay`: the machine doesn't go off with its last VM.
static STAY: AtomicBool = AtomicBool::new(false);

/// VMs by their number.
static VMS: [Once<&Vm>; MAX_VMS] = [const { Once::new() }; MAX_VMS];

/// The VM of number `id`, if it was made.
pub fn by_id(id: usize) -> Option<&'static Vm> {
    VMS.get(id)?.get().copied()
}

/// All VMs that were made, in the order of their numbers.
pub fn all() -> impl Iterator<Item = &'static Vm> {
    VMS.iter().filter_map(Once::get).copied()
}

/// A VM was refused: the machine's status will say so.
pub fn note_failure() {
    FAILED.store(true, Ordering::Relaxed);
}

/// The machine stays on when the last VM is off.
pub fn stay() {
    STAY.store(true, Ordering::Relaxed);
}

/// The machine stays on until [`one_less`]: for a VM, or for what the operator has asked for.
pub fn one_more() {
    LIVE.fetch_add(1, Ordering::AcqRel);
}

/// A VM is off, or boot has started all: turns the machine off if no VM is left.
pub fn one_less() {
    let left = LIVE.fetch_sub(1, Ordering::AcqRel).wrapping_sub(1);
    if left == 0 && !STAY.load(Ordering::Relaxed) {
        power::off(u32::from(FAILED.load(Ordering::Relaxed)));
    }
}

impl Vm {
    /// Makes VM `id` by `config`, without memory yet.
    pub fn make(
        id: usize,
        config: VmConfig<'static>,
        ipa_bits: u8,
        random: Option<Trng>,
    ) -> Result<&'static Self, String> {
        let refuse = |why: &dyn core::fmt::Display| format!("{}: {why}", config.name);
        let plan = config.plan().map_err(|fault| format!("{fault}"))?;
        let tree = tree::build(&config, plan.initrd, random.is_some());
        let tree = tree.map_err(|fault| format!("{fault}"))?;

        // VMID 0 is left to EL2 between guests.
        let vmid = u16::try_from(id + 1).ok().filter(|vmid| *vmid <= most_vmid());
        let vmid = vmid.ok_or_else(|| refuse(&"no VMID is left"))?;
        let stolen_time_at = Ipa::new(STOLEN_TIME_BASE);
        let memory = plan.memory.iter().map(|(ipa, bytes, _)| (*ipa, *bytes));
        let memory = memory.chain([(stolen_time_at, PAGE_SIZE)]);
        let tables =
            Tables::new(vmid, ipa_bits, memory).ok_or_else(|| refuse(&stage2::Error::NoTables))?;
        let vttbr = tables.vttbr();
        let mut stage2 = Stage2::new(tables, ipa_bits).map_err(|error| refuse(&error))?;
        let stolen_time = StolenTime::new().ok_or_else(|| refuse(&stage2::Error::NoTables))?;
        let mapped = stage2.map(stolen_time_at, stolen_time.pa(), PAGE_SIZE, Attributes::ROM);
        mapped.map_err(|error| refuse(&error))?;

        let entity = |weight: u32, mask: u8, dedicated: Option<usize>| {
            let add = |queue: &mut crate::sched::RunQueue| queue.add(weight, mask, dedicated);
            schedule::with(add)
                .unwrap_or(Err(SchedError::PcpuCount(0)))
                .map_err(|error| refuse(&error))
        };
        let mut vcpus = Vec::with_capacity(config.cpus);
        let affinities = config.affinities();
        for (index, (mask, affinity)) in config.affinity.iter().zip(affinities).enumerate() {
            let own = config.dedicated.then(|| mask.trailing_zeros() as usize);
            let entity = entity(config.share, *mask, own)?;
            vcpus.push(Vcpu::new(index, *affinity, entity, config.dedicated));
        }
        let job = schedule::with(|queue| queue.add_job(config.share))
            .unwrap_or(Err(SchedError::PcpuCount(0)))
            .map_err(|error| refuse(&error))?;
        memory::make_room();
        console::add_vm(id, config.name);
        // ID_AA64PFR1_EL1.SSBS.
        let has_ssbs = id_register(4, 1) & 0xf0 != 0;
        let vm: &'static Self = alloc::boxed::Box::leak(alloc::boxed::Box::new(Self {
            id,
            name: config.name.into(),
            vttbr,
            cntvoff: AtomicU64::new(0),
            debugged: AtomicBool::new(false),
            spis: config.spis,
            vgic: Lock::new(Vgic::new(affinities, config.spis)),
            uart: Lock::new(Pl011::new()),
            calls: calls::Guest {
                affinities: affinities.into(),
                memory: plan.memory.iter().map(|(ipa, bytes, _)| (ipa.get(), *bytes)).collect(),
                mitigations: Mitigations::new(csv2(), has_ssbs, psci::mitigations()),
                random: random.is_some(),
                stolen_time: true,
            },
            random: random.map(Lock::new),
            stolen_time,
            power: Lock::new(Power::new()),
            last: [const { AtomicUsize::new(NOBODY) }; MAX_PCPUS],
            memory: Lock::new(Memory { stage2, frames: Frames::new(config.frames()) }),
            life: Lock::new(Life::Made),
            lives: AtomicUsize::new(0),
            job,
            preparation: Lock::new(Preparation::default()),
            cleaning: Lock::new(Cleaning::default()),
            plan,
            seeds: tree::seeds(&tree),
            tree,
            vcpus,
            config,
        }));
        for vcpu in &vm.vcpus {
            schedule::register(vcpu.entity, Thing::Vcpu(vm, vcpu));
        }
        schedule::register(vm.job, Thing::Job(vm));
        if let Some(slot) = VMS.get(id) {
            slot.call_once(|| vm);
        }
        Ok(vm)
    }

    /// Starts it, first the job that takes memory and loads its images; but `tell`s of it before,
    /// since it may have come far when this returns.
    pub fn start(&'static self, tell: impl FnOnce()) -> Result<(), InvalidTransition> {
        self.step(Life::start)?;
        tell();
        one_more();
        *self.preparation.lock() = Preparation::Take;
        self.call_job();
        Ok(())
    }

    /// The job can't do it: the VM is off, with nothing.
    pub(super) fn unprepared(&self, why: &dyn core::fmt::Display) {
        error!("{}: {why}", self.name);
        if self.step(Life::fail).is_ok() {
            note_failure();
            one_less();
        }
    }

    /// Does what the operator's key asks for.
    pub fn obey(&'static self, order: Order) {
        let refused = match order {
            Order::PauseOrResume => self.resume().or_else(|_| self.pause()),
            Order::Start => self.start(|| info!("{}: starts", self.name)),
        };
        if let Err(refused) = refused {
            warn!("{}: {refused}", self.name);
        }
    }

    /// The job has work to do. It is never off, so that a call is never lost: at worst it runs once
    /// for nothing.
    pub(super) fn call_job(&self) {
        let now = timer::now();
        schedule::tell(|queue| match queue.state(self.job)? {
            State::Off => queue.start(self.job, now),
            _ => queue.wake(self.job, now),
        });
    }

    /// The job is done: everything is as out of reset, and the first vCPU may run.
    pub(super) fn prepared(&self) {
        self.vgic.lock().reset();
        *self.uart.lock() = Pl011::new();
        *self.cleaning.lock() = Cleaning::default();
        self.cntvoff.store(0, Ordering::Relaxed);
        for last in &self.last {
            last.store(NOBODY, Ordering::Relaxed);
        }
        for vcpu in &self.vcpus {
            let account = schedule::with(|queue| queue.account(vcpu.entity));
            // SAFETY: no vCPU of a VM that is Preparing is on.
            let state = unsafe { vcpu.state() };
            state.exits = Exits::default();
            state.waited_before = account.and_then(|account| Some(account.ok()?.wait)).unwrap_or(0);
            self.stolen_time.set(vcpu.index, 0);
        }
        let Some(boot) = self.vcpus.first() else { return };
        // SAFETY: no vCPU of a VM that is Preparing is on.
        unsafe { boot.reset(self.plan.entry.get(), self.plan.tree.get(), self.debug_owner()) };
        // Locked until it is started: a VM with none that is on would be paused at once, and who was
        // late to tell that a vCPU is off would tell it of the next life.
        let mut life = self.life.lock();
        if life.ready().is_ok() {
            self.note_life(&life);
            self.lives.fetch_add(1, Ordering::Relaxed);
            *self.power.lock() = Power::new();
            schedule::tell(|queue| queue.start(boot.entity, timer::now()));
        }
    }

    /// Stops it, for the reason that the first caller gives: its vCPUs leave their pCPUs.
    pub fn stop(&'static self, why: Why) -> Result<(), InvalidTransition> {
        self.step(|life| life.stop(why))?;
        for vcpu in &self.vcpus {
            schedule::tell(|queue| queue.stop(vcpu.entity));
        }
        self.check_left();
        Ok(())
    }

    /// Pauses it: its vCPUs leave their pCPUs, and when the last one has, its time stands still.
    ///
    /// Its life is locked for as long as its vCPUs are told one by one, here and in
    /// [`resume`](Self::resume), so that who starts one of them, or puts the last one away, sees all of
    /// it or nothing.
    pub fn pause(&'static self) -> Result<(), InvalidTransition> {
        let mut life = self.life.lock();
        life.pause()?;
        self.note_life(&life);
        for vcpu in &self.vcpus {
            schedule::tell(|queue| queue.pause(vcpu.entity));
        }
        drop(life);
        self.check_left();
        Ok(())
    }

    /// The power states, locked at a moment at which no CPU_ON is half done: who wins one has no
    /// more to do than to reset and start the target, at EL2, and waits for nothing that the caller
    /// holds. So a call sees its target on or off, and never in between.
    #[inline(never)]
    pub fn settled_power(&self) -> LockGuard<'_, Power, { rank::DEVICE }> {
        loop {
            let power = self.power.lock();
            if !power.is_pending() {
                return power;
            }
            drop(power);
            cache::yield_now();
        }
    }

    /// Starts `vcpu`, which the caller has reset.
    pub fn start_vcpu(&self, vcpu: &Vcpu) {
        // On before it can run: it may be off again before this returns.
        self.power.lock().started(vcpu.index);
        schedule::tell(|queue| queue.start(vcpu.entity, timer::now()));
        // Who stops the VM, or pauses it, may have found it still off, a moment ago.
        let life = self.life.lock();
        match *life {
            Life::Stopping(_) => schedule::tell(|queue| queue.stop(vcpu.entity)),
            Life::Pausing | Life::Paused(_) => schedule::tell(|queue| queue.pause(vcpu.entity)),
            _ => {}
        }
    }

    /// How often it has begun to run.
    pub fn lives(&self) -> usize {
        self.lives.load(Ordering::Relaxed)
    }

    /// `vcpu` has left its pCPU for good, by CPU_OFF or because the VM stops. Where the pCPU comes
    /// to tell of it only in the next of the VM's `lives`, that is no concern of that one.
    #[cold]
    #[inline(never)]
    pub fn vcpu_is_off(&'static self, vcpu: &Vcpu, lives: usize) {
        let life = self.life.lock();
        if self.lives() != lives {
            return;
        }
        let mut power = self.power.lock();
        power.stopped(vcpu.index);
        let dead = power.all_off() && matches!(*life, Life::Running | Life::Pausing);
        drop(power);
        drop(life);
        if dead {
            error!("{}: stopped: all vCPUs are off, and nobody is left to turn one on", self.name);
            let _ = self.stop(Why::Fault);
        }
        self.check_left();
    }

    /// To be called after a vCPU was stopped or paused: if this was the last one to leave its pCPU,
    /// a VM that was stopping is off, or starts anew, and one that was pausing is paused.
    #[cold]
    #[inline(never)]
    pub fn check_left(&'static self) {
        let all = |left: fn(State) -> bool| {
            let state = |vcpu: &Vcpu| schedule::with(|queue| queue.state(vcpu.entity))?.ok();
            self.vcpus.iter().all(|vcpu| state(vcpu).is_some_and(left))
        };
        let mut life = self.life.lock();
        match *life {
            Life::Pausing if all(|state| matches!(state, State::Paused | State::Off)) => {
                // What a vCPU has read of the counter, it read before now.
                if life.paused(timer::now()).is_ok() {
                    self.note_life(&life);
                    self.tell_pause("paused");
                }
                return;
            }
            Life::Stopping(_) if all(|state| state == State::Off) && !self.is_looked_at() => {}
            _ => return,
        }
        let Ok(again) = life.stopped() else { return };
        self.note_life(&life);
        for vcpu in &self.vcpus {
            self.tell_account(vcpu);
        }
        drop(life);
        console::flush_vm(self.id);
        if again {
            info!("{}: reset", self.name);
            *self.preparation.lock() = Preparation::Take;
            return self.call_job();
        }
        self.give_back();
        match self.step(Life::released) {
            Ok(Why::Fault) => note_failure(),
            _ => info!("{}: off", self.name),
        }
        one_less();
    }

    /// Says, to those who want to know, what a vCPU has had of the machine.
    fn tell_account(&self, vcpu: &Vcpu) {
        let hertz = timer::frequency().max(1);
        let us = |ticks: u64| {
            let rest = ticks % hertz * 1_000_000 / hertz;
            (ticks / hertz).saturating_mul(1_000_000).saturating_add(rest)
        };
        if let Some(Ok(account)) = schedule::with(|queue| queue.account(vcpu.entity)) {
            debug!(
                "{} vCPU {}: ran {} us, waited {} us, moved {} times",
                self.name,
                vcpu.index,
                us(account.run),
                us(account.wait),
                account.moves
            );
        }
        // SAFETY: all vCPUs of a VM that has stopped are off.
        let exits = unsafe { &vcpu.state().exits };
        debug!("{} vCPU {}: {exits}", self.name, vcpu.index);
    }

    /// Tells the vCPUs of `effects` that their vGIC has news.
    #[inline]
    pub fn notify(&self, effects: Effects) {
        let mut mask = effects.0;
        while mask != 0 {
            let index = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            if let Some(vcpu) = self.vcpus.get(index) {
                schedule::wake(vcpu.entity);
            }
        }
    }

    /// Lets its UART receive the keys that wait for it, as many as it has room for.
    #[cold]
    pub fn take_keys(&self) {
        let mut effects = Effects::default();
        let mut uart = self.uart.lock();
        while uart.room() > 0
            && let Some(key) = console::next_key(self.id)
        {
            if let Some(level) = uart.receive(key) {
                effects |= self.vgic.lock().set_level(0, UART_INTID, level);
            }
        }
        drop(uart);
        self.notify(effects);
    }

    /// Notes that `vcpu` comes to `pcpu`; true if another vCPU of this VM was there last, so that
    /// the two could meet in its TLB: they share the VMID, and may share an ASID.
    #[inline(always)]
    pub fn arrives(&self, pcpu: usize, vcpu: usize) -> bool {
        let last = &self.last[pcpu & (MAX_PCPUS - 1)];
        let before = last.load(Ordering::Relaxed);
        if before != vcpu {
            last.store(vcpu, Ordering::Relaxed);
        }
        before != vcpu && before != NOBODY
    }
}
