//! VMs, as the debugger's requests reach them.

use core::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use log::info;

use super::registers::Registers;
use super::slots::Values;
use super::target::{Machine, Stop};
use crate::el2::lock::{Lock, rank};
use crate::el2::state::El1;
use crate::el2::{cache, debug};
use crate::exit::esr::Ec;
use crate::exit::pstate;
use crate::memory::walk::Stage1;
use crate::memory::{Ipa, PAGE_SIZE};
use crate::sched::State as Scheduled;
use crate::vm::life::{Life, Why};
use crate::vm::{self, State, Vcpu, Vm, schedule};

/// BRK #0.
const BRK: [u8; 4] = 0xd420_0000_u32.to_le_bytes();
/// What of PSTATE is gdb's to write: flags, and what is masked. The level is not.
const WRITABLE: u64 = pstate::NZCV | pstate::DAIF;

/// A BRK of the debugger's.
struct Software {
    va: u64,
    /// Where it was put.
    ipa: Ipa,
    /// What was there.
    instruction: [u8; 4],
}

/// What the service shares with vCPUs that come to a breakpoint.
struct Shared {
    breakpoints: ArrayVec<Software, 64>,
    /// The life of the VM that these were put into: another one has other memory.
    life: usize,
    /// Why it stops. Of several vCPUs the first one's reason is told: the others come to theirs again.
    stop: Option<Stop>,
}

static SHARED: Lock<Shared, { rank::DEVICE }> =
    Lock::new(Shared { breakpoints: ArrayVec::new_const(), life: 0, stop: None });

/// A debug exception of a VM's that the debugger has. If it is the debugger's, and no BRK of the guest's
/// own, the VM begins to pause.
#[cold]
pub fn stops(vm: &'static Vm, vcpu: &Vcpu, ec: Ec, pc: u64, far: u64) -> bool {
    let mut shared = SHARED.lock();
    let stop = match ec {
        Ec::BRK if shared.life != vm.lives() => return false,
        Ec::BRK if !shared.breakpoints.iter().any(|one| one.va == pc) => return false,
        Ec::BRK => Stop::Software(vcpu.index),
        Ec::BREAKPOINT_LOWER => Stop::Hardware(vcpu.index),
        Ec::WATCHPOINT_LOWER => Stop::Watchpoint(vcpu.index, far),
        _ => Stop::Stepped(vcpu.index),
    };
    shared.stop.get_or_insert(stop);
    drop(shared);
    // Refused where it is on its way already, or ends.
    let _ = vm.pause();
    super::wake();
    true
}

/// The machine's VMs, and the one that the debugger is attached to.
#[derive(Default)]
pub struct Vms {
    vm: Option<&'static Vm>,
    /// It is to stop as soon as it can: it may be at its reset.
    stopping: bool,
}

impl Vms {
    /// Shows a vCPU's saved state to `look`; `None` if it is off.
    fn state<R>(&self, vcpu: usize, look: impl FnOnce(&mut State) -> R) -> Option<R> {
        let vm = self.vm?;
        vm.with_state(vm.vcpus.get(vcpu)?, look)
    }

    /// What translates its virtual addresses.
    fn stage1(&self, vcpu: usize) -> Option<Stage1> {
        self.state(vcpu, |state| Stage1::from(&state.context.el1))
    }

    /// Runs `part` on the pieces of `length` bytes at `va` that lie in a page each, with how far they
    /// are and where they lead; returns how much it could do in all.
    fn pages(
        &self,
        vcpu: usize,
        va: u64,
        length: usize,
        mut part: impl FnMut(&Vm, Ipa, core::ops::Range<usize>) -> usize,
    ) -> usize {
        let (Some(stage1), Some(vm)) = (self.stage1(vcpu), self.vm) else { return 0 };
        let mut done = 0;
        while done < length {
            let at = va.wrapping_add(done as u64);
            let page = (PAGE_SIZE - at % PAGE_SIZE) as usize;
            let end = done.saturating_add(page).min(length);
            let ipa = stage1.translate(at, |table| vm.descriptor(table));
            let Some(ipa) = ipa else { break };
            let now = part(vm, Ipa::new(ipa), done..end);
            done += now;
            if now == 0 || done < end {
                break;
            }
        }
        done
    }

    /// Gives the debug registers of all its vCPUs that are on to `owner`. None steps any more.
    fn give(&self, vm: &'static Vm, owner: debug::Owner) {
        for vcpu in &vm.vcpus {
            let _ = vm.with_state(vcpu, |state| {
                state.context.debug.give(owner);
                state.frame.pstate &= !pstate::SS;
            });
        }
    }
}

/// Waits until a VM that pauses is paused: as long as its vCPUs take to be kicked out. Whether it is.
fn is_paused(vm: &Vm) -> bool {
    loop {
        match vm.life() {
            Life::Pausing => cache::yield_now(),
            life => return matches!(life, Life::Paused(_)),
        }
    }
}

/// What gdb is shown of a vCPU, and may change.
fn exchange(state: &mut State, look: &mut dyn FnMut(&mut Registers)) {
    let (frame, el1) = (&mut state.frame, &mut state.context.el1);
    let is_el0_stack = frame.pstate & pstate::SP == 0;
    let mut registers = Registers {
        x: frame.x,
        sp: if is_el0_stack { el1.sp_el0 } else { el1.sp_el1 },
        pc: frame.pc,
        cpsr: frame.pstate as u32,
        el1: in_order(el1).map(|register| *register),
    };
    look(&mut registers);
    frame.x = registers.x;
    frame.pc = registers.pc;
    frame.pstate = frame.pstate & !WRITABLE | u64::from(registers.cpsr) & WRITABLE;
    in_order(el1).into_iter().zip(registers.el1).for_each(|(register, value)| *register = value);
    match is_el0_stack {
        true => el1.sp_el0 = registers.sp,
        false => el1.sp_el1 = registers.sp,
    }
}

/// EL1's registers in the order of gdb's description.
fn in_order(el1: &mut El1) -> [&mut u64; 11] {
    let El1 { sctlr, tcr, ttbr0, ttbr1, vbar, esr, far, elr, spsr, sp_el0, tpidr_el1, .. } = el1;
    [sctlr, tcr, ttbr0, ttbr1, vbar, esr, far, elr, spsr, sp_el0, tpidr_el1]
}

impl Machine for Vms {
    fn attach(&mut self, vm: Option<usize>) -> Option<usize> {
        let mut wanted = vm::all().filter(|one| vm.is_none_or(|id| id == one.id));
        // One that the operator has paused will do.
        let vm = wanted.find(|vm| {
            let _ = vm.pause();
            is_paused(vm)
        })?;
        info!("{}: a debugger is attached", vm.name);
        vm.debugged.store(true, Ordering::Relaxed);
        self.give(vm, debug::Owner::Debugger);
        *self = Self { vm: Some(vm), stopping: false };
        Some(vm.id)
    }

    fn detach(&mut self) {
        let Some(vm) = self.vm.take() else { return };
        let _ = vm.pause();
        let mut shared = SHARED.lock();
        let breakpoints = core::mem::take(&mut shared.breakpoints);
        let life = shared.life;
        shared.stop = None;
        drop(shared);
        if life == vm.lives() && is_paused(vm) {
            for one in &breakpoints {
                vm.write(one.ipa, &one.instruction);
            }
        }
        // First, so that a vCPU that is reset from here on is the guest's own.
        vm.debugged.store(false, Ordering::Relaxed);
        self.give(vm, debug::Owner::Guest);
        debug::set_debuggers(&Values::default());
        info!("{}: the debugger has let it go", vm.name);
        let _ = vm.resume();
    }

    fn kill(&mut self) {
        let _ = self.vm.map(|vm| vm.stop(Why::PowerOff));
    }

    fn on(&self) -> u64 {
        let state = |vcpu: &Vcpu| schedule::with(|queue| queue.state(vcpu.entity))?.ok();
        let vcpus = self.vm.into_iter().flat_map(|vm| &vm.vcpus);
        let on = vcpus.filter(|vcpu| state(vcpu).is_some_and(|state| state != Scheduled::Off));
        on.fold(0, |bits, vcpu| bits | 1u64.checked_shl(vcpu.index as u32).unwrap_or(0))
    }

    fn name(&self) -> &str {
        self.vm.map_or("", |vm| &vm.name)
    }

    fn registers(&mut self, vcpu: usize, look: &mut dyn FnMut(&mut Registers)) -> bool {
        self.state(vcpu, |state| exchange(state, look)).is_some()
    }

    fn read(&mut self, vcpu: usize, va: u64, into: &mut [u8]) -> usize {
        self.pages(vcpu, va, into.len(), |vm, ipa, range| {
            into.get_mut(range).map_or(0, |part| vm.read(ipa, part))
        })
    }

    fn write(&mut self, vcpu: usize, va: u64, bytes: &[u8]) -> usize {
        self.pages(vcpu, va, bytes.len(), |vm, ipa, range| {
            bytes.get(range).map_or(0, |part| vm.write(ipa, part))
        })
    }

    fn add_software(&mut self, va: u64) -> bool {
        let Some(vm) = self.vm else { return false };
        // Where the first of its vCPUs that sees something there sees it.
        let mut stage1 = (0..vm.vcpus.len()).filter_map(|vcpu| self.stage1(vcpu));
        let ipa = stage1.find_map(|stage1| stage1.translate(va, |table| vm.descriptor(table)));
        let ipa = ipa.filter(|_| va.is_multiple_of(4)).map(Ipa::new);
        let Some(ipa) = ipa else { return false };
        let mut instruction = [0; 4];
        if vm.read(ipa, &mut instruction) != 4 {
            return false;
        }
        let mut shared = SHARED.lock();
        if shared.life != vm.lives() {
            shared.breakpoints.clear();
            shared.life = vm.lives();
        }
        let known = shared.breakpoints.iter().any(|one| one.va == va);
        if !known && shared.breakpoints.try_push(Software { va, ipa, instruction }).is_err() {
            return false;
        }
        drop(shared);
        vm.write(ipa, &BRK) == 4
    }

    fn remove_software(&mut self, va: u64) {
        let Some(vm) = self.vm else { return };
        let mut shared = SHARED.lock();
        let found = shared.breakpoints.iter().position(|one| one.va == va);
        let one = found.and_then(|index| shared.breakpoints.swap_pop(index));
        let life = shared.life;
        drop(shared);
        if let Some(one) = one.filter(|_| life == vm.lives()) {
            vm.write(one.ipa, &one.instruction);
        }
    }

    fn count(&self, group: usize) -> usize {
        debug::count(group)
    }

    fn load(&mut self, values: &Values) {
        debug::set_debuggers(values);
    }

    fn resume(&mut self, going: u64, stepping: u64) {
        let Some(vm) = self.vm else { return };
        SHARED.lock().stop = None;
        self.stopping = false;
        for vcpu in vm.vcpus.iter().filter(|vcpu| stepping >> vcpu.index & 1 != 0) {
            let _ = vm.with_state(vcpu, |state| {
                state.context.debug.give(debug::Owner::Stepper);
                state.frame.pstate |= pstate::SS;
            });
        }
        let _ = vm.resume_some(|vcpu| going >> vcpu.index & 1 != 0);
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn poll(&mut self) -> Option<Stop> {
        let vm = self.vm?;
        if self.stopping {
            let _ = vm.pause();
        }
        if is_paused(vm) {
            // Those that have not come to their step make none any more.
            self.give(vm, debug::Owner::Debugger);
            return Some(SHARED.lock().stop.take().unwrap_or(Stop::Told));
        }
        matches!(vm.life(), Life::Made | Life::Off(_)).then_some(Stop::Off)
    }
}
