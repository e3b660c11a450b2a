//! A vCPU while it is loaded on this pCPU: what handlers work on.

use core::sync::atomic::Ordering;

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::esr::Esr;
use super::inject::{self, Exception};
use super::pstate;
use crate::device::timer::virtual_deadline;
use crate::device::vgic::Effects;
use crate::el2::features::{features, id_register};
use crate::el2::lrs::ListRegisters;
use crate::el2::regs::VSESR_EL2;
use crate::el2::{cache, percpu, traps};
use crate::platform::{psci, timer};
use crate::sched::Reason;
use crate::trace;
use crate::trace::format::{Event, Record, Who};
use crate::vm::layout::PHYSICAL_TIMER_INTID;
use crate::vm::life::Why;
use crate::vm::schedule::Thing;
use crate::vm::{State, Vcpu, Vm, schedule};

/// What the run loop does after an exit was handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The guest goes on.
    Resume,
    /// The vCPU leaves the pCPU, for [`Guest::leave`]'s reason.
    Leave,
}

/// A loaded vCPU.
pub struct Guest {
    /// Its VM.
    pub vm: &'static Vm,
    /// Itself.
    pub vcpu: &'static Vcpu,
    /// Its registers; system registers are in the hardware.
    pub state: &'static mut State,
    /// This pCPU's list registers.
    pub lrs: ListRegisters,
    /// Why it leaves, where a handler says [`Next::Leave`].
    pub reason: Reason,
    /// While the virtual timer's interrupt is on its way through the guest: whether its line was
    /// high at the last look.
    pub timer_line: Option<bool>,
    /// When its slice ends, if somebody waits for the pCPU.
    pub slice_end: Option<u64>,
    /// When the run queue wants to be asked again: the end of the slice, or somebody's deadline.
    pub next_event: Option<u64>,
    /// This pCPU.
    pub pcpu: usize,
}

impl Guest {
    /// Loads `vcpu` onto this pCPU.
    ///
    /// # Safety
    /// The run queue has just given `vcpu` to this pCPU.
    #[inline(always)]
    pub unsafe fn load(
        vm: &'static Vm,
        vcpu: &'static Vcpu,
        slice_end: Option<u64>,
        next_event: Option<u64>,
    ) -> Self {
        // SAFETY: as the caller promises.
        let state = unsafe { vcpu.state() };
        let this = percpu::this();
        let pcpu = this.id.get();
        this.current.set(core::ptr::from_ref(vcpu) as usize);
        // Between here and the ERET the registers are partly this vCPU's and partly another's, and
        // a speculative walk (an AT, on Cortex-A72 by erratum 1319367) could leave a mix of the
        // two in the TLB. So walks are off until all is in place (D8.2.8 needs the ISBs).
        TCR_EL1.set(cache::NO_WALKS);
        cache::isb();
        // Nor may it run by what another VM has trained the branch predictors to do.
        if let Some(function) = vm.calls.mitigations.at_switch
            && VTTBR_EL2.get() != vm.vttbr
        {
            psci::call(function, 0);
        }
        VTTBR_EL2.set(vm.vttbr);
        // Before the timer is on: no comparator meets another VM's offset.
        CNTVOFF_EL2.set(vm.cntvoff.load(Ordering::Relaxed));
        let tcr = state.context.el1.tcr;
        state.context.el1.tcr |= cache::NO_WALKS;
        state.context.load();
        state.context.el1.tcr = tcr;
        HCR_EL2.set(state.hcr);
        if state.hcr & traps::HCR_VSE != 0 && features().ras {
            VSESR_EL2.set(state.serror);
        }
        cache::isb();
        TCR_EL1.set(tcr);
        if vm.arrives(pcpu, vcpu.index) {
            // Its sibling's entries carry the same VMID, and perhaps the same ASID (D8.14.2); and
            // stale instructions of the sibling's are stale for this one too.
            cache::isb();
            cache::tlbi_vmalle1();
            cache::ic_iallu();
            cache::dsb_nsh();
        }
        let mut lrs = ListRegisters;
        let in_flight = vm.vgic.lock().load(vcpu.index, &mut lrs);
        let timer_line = in_flight.then_some(true);
        let reason = Reason::Preempted;
        Self { vm, vcpu, state, lrs, reason, timer_line, slice_end, next_event, pcpu }
    }

    /// What the trace calls it.
    pub const fn who(&self) -> Who {
        Thing::Vcpu(self.vm, self.vcpu).who()
    }

    /// Tells the guest for how long, in ticks in all, the vCPU was kept waiting.
    #[inline]
    pub fn tell_stolen_time(&mut self, waited: u64) {
        if waited != self.state.waited {
            self.state.waited = waited;
            let ticks = waited.wrapping_sub(self.state.waited_before);
            self.vm.stolen_time.set(self.vcpu.index, ticks);
        }
    }

    /// Takes the vCPU off this pCPU: nothing of it stays here.
    #[inline(always)]
    pub fn put(mut self) -> Reason {
        self.state.context.save();
        // The CPU clears VSE when the guest takes its SError (D1.3.6.4).
        self.state.hcr &= HCR_EL2.get() | !traps::HCR_VSE;
        let effects = self.vm.vgic.lock().put(self.vcpu.index, &mut self.lrs);
        percpu::this().current.set(0);
        self.notify(effects);
        self.reason
    }

    /// Says that the vCPU leaves, and why.
    pub fn leave(&mut self, reason: Reason) -> Next {
        self.reason = reason;
        Next::Leave
    }

    /// Stops the VM. The vCPU is off by itself, and doesn't wait to be told: where a sibling stops
    /// the VM at the same time that may be a moment later, and none of these calls returns.
    #[cold]
    pub fn stop_vm(&mut self, why: Why) -> Next {
        // It is on its way already if that is refused.
        let _ = self.vm.stop(why);
        self.leave(Reason::Off)
    }

    /// Its stack pointer, by PSTATE.SP.
    pub fn sp(&self) -> u64 {
        if self.state.frame.pstate & pstate::SP == 0 { SP_EL0.get() } else { SP_EL1.get() }
    }

    /// Writes it.
    pub fn set_sp(&mut self, value: u64) {
        match self.state.frame.pstate & pstate::SP {
            0 => SP_EL0.set(value),
            _ => SP_EL1.set(value),
        }
    }

    /// Goes on behind the trapped instruction.
    #[inline(always)]
    pub fn skip(&mut self, esr: Esr) {
        let frame = &mut self.state.frame;
        (frame.pc, frame.pstate) = pstate::step_over(esr, frame.pc, frame.pstate);
    }

    /// The guest takes `exception` at EL1, as if the CPU had raised it.
    pub fn inject(&mut self, exception: Exception) -> Next {
        let entry = inject::take(
            exception,
            &inject::Context {
                pc: self.state.frame.pc,
                pstate: self.state.frame.pstate,
                vbar_el1: VBAR_EL1.get(),
                sctlr_el1: SCTLR_EL1.get(),
                pan: id_register(7, 1) >> 20 & 0xf != 0,
                ssbs: id_register(4, 1) >> 4 & 0xf != 0,
            },
        );
        trace::note(|| {
            let esr = entry.esr_el1 as u32;
            Record::new(Event::Inject, self.who(), esr, entry.pc, self.state.frame.pc)
        });
        self.state.frame.pc = entry.pc;
        self.state.frame.pstate = entry.pstate;
        SPSR_EL1.set(entry.spsr_el1);
        ELR_EL1.set(entry.elr_el1);
        ESR_EL1.set(entry.esr_el1);
        if let Some(far) = entry.far_el1 {
            FAR_EL1.set(far);
        }
        Next::Resume
    }

    /// An SError becomes pending in the guest: HCR_EL2.VSE, until it takes it.
    pub fn inject_serror(&mut self, iss: u32) {
        self.state.serror = u64::from(iss) & 0x1ff_ffff;
        if features().ras {
            VSESR_EL2.set(self.state.serror);
        }
        self.state.hcr |= traps::HCR_VSE;
        HCR_EL2.set(self.state.hcr);
    }

    /// The guest uses what it is not offered.
    pub fn undefined(&mut self) -> Next {
        self.inject(Exception::unknown())
    }

    /// Brings what has become deliverable into the list registers.
    pub fn deliver_interrupts(&mut self) {
        let effects = self.vm.vgic.lock().deliver(self.vcpu.index, &mut self.lrs);
        self.notify(effects);
    }

    /// Tells other vCPUs of the VM.
    #[inline(always)]
    pub fn notify(&self, effects: Effects) {
        if !effects.is_empty() {
            self.vm.notify(effects);
        }
    }

    /// After an access of the interrupt controller: tells other vCPUs of the VM, and waits for
    /// those whose list registers it concerns to have folded them, which they do on their way out
    /// of their guests and back. No lock is held meanwhile, and this vCPU does the same for others.
    #[cold]
    pub fn settle(&mut self, effects: Effects) {
        self.notify(effects);
        loop {
            let mut vgic = self.vm.vgic.lock();
            let effects = vgic.deliver(self.vcpu.index, &mut self.lrs);
            let awaits = vgic.awaits(self.vcpu.index);
            drop(vgic);
            self.notify(effects);
            if !awaits {
                return;
            }
            cache::yield_now();
        }
    }

    /// A guest moves or stops its virtual timer without an exit, and the line of the interrupt
    /// follows. Looked at after each exit while that interrupt is on its way.
    #[inline(always)]
    pub fn check_virtual_timer(&mut self) {
        if let Some(was) = self.timer_line {
            let high = is_virtual_timer_high();
            if high != was {
                self.virtual_timer_changed(high);
            }
        }
    }

    #[cold]
    fn virtual_timer_changed(&mut self, high: bool) {
        let index = self.vcpu.index;
        let (in_flight, effects) = self.vm.vgic.lock().set_timer(index, high, &mut self.lrs);
        self.timer_line = in_flight.then_some(high);
        self.notify(effects);
    }

    /// Sets the level of the emulated physical timer's interrupt, and arms the host's timer for
    /// whatever comes first.
    pub fn check_physical_timer(&mut self) {
        match self.state.timer.deadline() {
            Some(_) => self.physical_timer_changed(),
            None => self.arm(None),
        }
    }

    /// The guest has written a register of its physical timer: the line follows at once, and goes
    /// down too.
    pub fn physical_timer_changed(&mut self) {
        let now = timer::now();
        let level = self.state.timer.output(now);
        let mut vgic = self.vm.vgic.lock();
        let effects = vgic.set_level(self.vcpu.index, PHYSICAL_TIMER_INTID, level);
        let more = vgic.deliver(self.vcpu.index, &mut self.lrs);
        drop(vgic);
        self.notify((effects | more).without(self.vcpu.index));
        // A line that is up has nothing to wait for: the guest changes it by a trap. What has come
        // due since `now` was read fires at once.
        self.arm(self.state.timer.deadline().filter(|at| *at > now));
    }

    /// Arms the host's timer for the run queue's next event, or for `own` if that is earlier.
    #[inline(always)]
    pub fn arm(&self, own: Option<u64>) {
        timer::arm(earliest(self.next_event, own));
    }

    /// When the first of the guest's timers fires, as a physical count: for a vCPU that blocks.
    pub fn deadline(&self) -> Option<u64> {
        let (control, compare) = (CNTV_CTL_EL0.get(), CNTV_CVAL_EL0.get());
        let virt = virtual_deadline(timer::now(), control, compare, CNTVOFF_EL2.get());
        earliest(virt, self.state.timer.deadline())
    }

    /// What peers have asked for; whether the vCPU leaves for it.
    ///
    /// Not inlined: the run loop would fetch its constants anew after each exit.
    #[inline(never)]
    pub fn attend(&mut self, bits: u64) -> Next {
        if bits & schedule::NOTICE != 0 {
            self.deliver_interrupts();
        }
        if bits & schedule::RESCHEDULE != 0 {
            return self.leave(Reason::Preempted);
        }
        Next::Resume
    }
}

/// The line of the virtual timer's interrupt: CNTV_CTL_EL0.ISTATUS and ENABLE, and not IMASK.
#[inline(always)]
fn is_virtual_timer_high() -> bool {
    CNTV_CTL_EL0.get() & 7 == 0b101
}

/// The earlier of two deadlines.
pub fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
