//! A look at a VM that runs, for the operator's services: its vCPUs' registers, and its memory as
//! they see it.

use core::sync::atomic::Ordering;

use aarch64_cpu::registers::VTCR_EL2;
use log::info;
use tock_registers::interfaces::Readable;

use super::description::VmConfig;
use super::life::{InvalidTransition, Life};
use super::{State, Vcpu, Vm, schedule};
use crate::el2::cache;
use crate::el2::debug::Owner;
use crate::el2::state::El1;
use crate::memory::stage2::TableMemory;
use crate::memory::walk::{Regime, Stage1, Walk};
use crate::memory::{Ipa, PAGE_SIZE, guest};
use crate::platform::timer;
use crate::sched;

impl From<&El1> for Stage1 {
    fn from(el1: &El1) -> Self {
        Self { sctlr: el1.sctlr, tcr: el1.tcr, ttbr: [el1.ttbr0, el1.ttbr1] }
    }
}

impl Vm {
    /// What it was made of.
    pub fn config(&self) -> &VmConfig<'static> {
        &self.config
    }

    /// Where it is in its life.
    pub fn life(&self) -> Life {
        *self.life.lock()
    }

    /// Lets it go on.
    pub fn resume(&'static self) -> Result<(), InvalidTransition> {
        self.resume_some(|_| true)
    }

    /// Lets it go on, and of its vCPUs those that `go` is true for: others wait for the next time.
    pub fn resume_some(&'static self, go: impl Fn(&Vcpu) -> bool) -> Result<(), InvalidTransition> {
        let mut life = self.life.lock();
        let now = timer::now();
        let stood = life.resume(now)?;
        self.note_life(&life);
        self.tell_pause("resumed");
        self.cntvoff.fetch_add(stood, Ordering::Relaxed);
        let entities = self.vcpus.iter().map(|vcpu| vcpu.entity);
        schedule::with(|queue| queue.regroup(entities, now));
        for vcpu in &self.vcpus {
            let goes = go(vcpu);
            vcpu.left_behind.store(!goes, Ordering::Relaxed);
            // Who looks at a vCPU lets it go on when that is over.
            if goes && !vcpu.held.load(Ordering::Acquire) {
                schedule::tell(|queue| queue.resume(vcpu.entity, now));
            }
        }
        Ok(())
    }

    /// Whose the debug registers of its vCPUs are.
    pub fn debug_owner(&self) -> Owner {
        if self.debugged.load(Ordering::Relaxed) { Owner::Debugger } else { Owner::Guest }
    }

    /// Says that it was paused or resumed; not at each step that a debugger makes.
    pub(super) fn tell_pause(&self, what: &str) {
        if self.debug_owner() == Owner::Guest {
            info!("{}: {what}", self.name);
        }
    }

    /// Takes `vcpu` off its pCPU, looks at it, and lets it go on as it was: to the guest a moment in
    /// which others were preferred, or a WFI that ends early (D1.7.2). `None` if it is off.
    ///
    /// For services alone: whoever waits here has no vCPU loaded that others wait for, and no lock.
    pub fn with_state<R>(
        &'static self,
        vcpu: &Vcpu,
        look: impl FnOnce(&mut State) -> R,
    ) -> Option<R> {
        // Until it is let go the VM neither resumes it nor starts anew: see `resume`, `check_left`.
        while vcpu.held.swap(true, Ordering::Acquire) {
            cache::yield_now();
        }
        let seen = self.wait_until_off_pcpu(vcpu).then(|| {
            // SAFETY: it is Paused, and held: nobody lets it run before it is let go below.
            look(unsafe { vcpu.state() })
        });
        let life = self.life.lock();
        vcpu.held.store(false, Ordering::Release);
        if *life == Life::Running && !vcpu.left_behind.load(Ordering::Relaxed) {
            // Refused where it is off.
            schedule::tell(|queue| queue.resume(vcpu.entity, timer::now()));
        }
        drop(life);
        // It may have been the last one that a VM that stops has waited for.
        self.check_left();
        seen
    }

    /// Whether somebody is still at the registers of one of its vCPUs.
    pub(super) fn is_looked_at(&self) -> bool {
        self.vcpus.iter().any(|vcpu| vcpu.held.load(Ordering::Acquire))
    }

    /// Pauses `vcpu`; whether that is what it is now, or it is off.
    fn wait_until_off_pcpu(&self, vcpu: &Vcpu) -> bool {
        loop {
            // Again and again: a VM that is resumed meanwhile takes the request back.
            schedule::tell(|queue| queue.pause(vcpu.entity));
            match schedule::with(|queue| queue.state(vcpu.entity)) {
                Some(Ok(sched::State::Paused)) => return true,
                Some(Ok(sched::State::Running(_))) => cache::yield_now(),
                Some(Ok(sched::State::Ready | sched::State::Blocked)) => {}
                Some(Ok(sched::State::Off)) | Some(Err(_)) | None => return false,
            }
        }
    }

    /// Reads its memory at `ipa`, as its vCPUs see it; returns how many bytes, up to where there is
    /// none. What nobody has touched reads as the zeros that it will be; a VM that is off has nothing.
    pub fn read(&self, ipa: Ipa, into: &mut [u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = ipa.wrapping_add(done as u64);
            let memory = self.memory.lock();
            let now = match memory.stage2.translate(at) {
                Some(found) => guest::read(found.pa, found.len, rest) as usize,
                None if memory.has_frames() && self.has_memory(at) => {
                    let page = (PAGE_SIZE - at.offset_in(PAGE_SIZE)) as usize;
                    rest.iter_mut().take(page).map(|byte| *byte = 0).count()
                }
                None => 0,
            };
            if now == 0 {
                break;
            }
            done = done.wrapping_add(now);
        }
        done
    }

    /// Writes to its memory at `ipa`, also where it may not itself; returns how many bytes, up to
    /// where there is none. What it writes may be instructions.
    pub fn write(&self, ipa: Ipa, bytes: &[u8]) -> usize {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let at = ipa.wrapping_add(done as u64);
            let mut memory = self.memory.lock();
            let Some(found) = memory.stage2.translate(at) else {
                // A first touch, slice by slice.
                if self.touch_locked(&mut memory, at) {
                    continue;
                }
                break;
            };
            let part = rest.get(..rest.len().min(found.len as usize)).unwrap_or_default();
            let now = guest::write(found.pa, part) as usize;
            if now == 0 {
                break;
            }
            done = done.wrapping_add(now);
        }
        cache::dsb_ish();
        cache::ic_ialluis();
        cache::dsb_ish();
        done
    }

    /// A descriptor of the guest's own tables.
    pub fn descriptor(&self, ipa: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        (self.read(Ipa::new(ipa), &mut bytes) == bytes.len()).then(|| u64::from_le_bytes(bytes))
    }

    /// Stage 2's walk for `ipa`, step by step, with its regime.
    pub fn walk_stage2(&self, ipa: Ipa) -> (Regime, Walk) {
        let regime = Regime::stage2(self.vttbr, VTCR_EL2.get());
        // The lock, so that tables stay tables.
        let memory = self.memory.lock();
        let read = |at| Some(memory.stage2.tables().read(crate::memory::Pa::new(at)));
        (regime, regime.walk(ipa.get(), read))
    }
}
