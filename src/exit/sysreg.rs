//! Trapped MRS, MSR and system instructions (EC 0x18). Above each group: what traps it.

use super::esr::{Esr, SysReg, SysRegAccess, reg};
use super::guest::{Guest, Next};
use super::inject::Exception;
use super::maintenance;
use crate::device::timer::PhysicalTimer;
use crate::device::vgic::SgiRegister;
use crate::el2::features::id_register;
use crate::platform::timer;
use crate::sched::Reason;

/// What became of an access.
pub enum Answer {
    /// A read: this value.
    Value(u64),
    /// A write, or an instruction: done.
    Done,
    /// Not yet: the vCPU blocks, and does it again when it is woken.
    Wait,
    /// Not offered to guests.
    Undefined,
}

/// Emulates one access. Sending an SGI, which is most of what a guest's kernel traps for, goes its own
/// way: it needs none of the registers that the others are saved for.
#[inline(never)]
pub fn access(guest: &mut Guest, esr: Esr) -> Next {
    let access = SysRegAccess::new(esr);
    if !access.read() && access.register() == reg::ICC_SGI1R_EL1 {
        let value = guest.state.frame.gpr(access.rt());
        guest.state.exits.registers += 1;
        guest.skip(esr);
        return send_sgi(guest, value);
    }
    any(guest, esr, access)
}

#[inline(never)]
fn any(guest: &mut Guest, esr: Esr, access: SysRegAccess) -> Next {
    guest.state.exits.registers += 1;
    let register = access.register();
    let answer = if !access.read() {
        let value = guest.state.frame.gpr(access.rt());
        write(guest, register, value)
    } else if register.is_feature_id() {
        // HCR_EL2.TID3: the feature registers, the unallocated ones of their space too.
        Answer::Value(id_register(register.crm().into(), register.op2().into()))
    } else {
        read(guest, register)
    };
    match answer {
        Answer::Value(value) => guest.state.frame.set_gpr(access.rt(), value),
        Answer::Done => {}
        Answer::Wait => return guest.leave(Reason::Block { deadline: None }),
        // FEAT_IDST: in the ID space that is told by EC 0x18 (ID_AA64MMFR2_EL1.IDS).
        Answer::Undefined if register.is_id() && id_register(7, 2) >> 36 & 0xf != 0 => {
            return guest.inject(Exception::reflect(esr, 0));
        }
        Answer::Undefined => return guest.undefined(),
    }
    guest.skip(esr);
    Next::Resume
}

fn read(guest: &mut Guest, register: SysReg) -> Answer {
    let state = &guest.state;
    Answer::Value(match register {
        // MDCR_EL2.TDA and TDOSA: kept per vCPU (el2/debug.rs).
        reg::MDSCR_EL1 => state.context.debug.mdscr(),
        // OSLM = 0b10: implemented; OSLK.
        reg::OSLSR_EL1 => 1 << 3 | u64::from(state.context.debug.os_lock) << 1,
        // No external debugger, no claim tags in use, no debug ROM.
        reg::OSDLR_EL1
        | reg::MDCCINT_EL1
        | reg::MDCCSR_EL0
        | reg::OSDTRRX_EL1
        | reg::OSDTRTX_EL1
        | reg::OSECCR_EL1
        | reg::DBGPRCR_EL1
        | reg::DBGCLAIMCLR_EL1
        | reg::DBGAUTHSTATUS_EL1
        | reg::DBGDTR_EL0
        | reg::DBGDTRRX_EL0
        | reg::MDRAR_EL1 => 0,
        reg::DBGCLAIMSET_EL1 => 0xff,
        // EL1PCTEN = 1 lets it pass, but from EL0 QEMU 7.2 asks for EL1PCEN.
        reg::CNTPCT_EL0 | reg::CNTPCTSS_EL0 => timer::now(),
        // CNTHCTL_EL2.EL1PCEN = 0.
        reg::CNTP_CTL_EL0 => state.timer.ctl(timer::now()),
        reg::CNTP_CVAL_EL0 => state.timer.cval(),
        reg::CNTP_TVAL_EL0 => state.timer.tval(timer::now()),
        // HCR_EL2.TACR and TID1: the implementer's own, empty here.
        reg::ACTLR_EL1 | reg::REVIDR_EL1 | reg::AIDR_EL1 => 0,
        _ => match state.context.debug.read(register) {
            Some(value) => value,
            None => return Answer::Undefined,
        },
    })
}

fn write(guest: &mut Guest, register: SysReg, value: u64) -> Answer {
    match register {
        // HCR_EL2.IMO and FMO: generating an SGI is the distributor's business.
        reg::ICC_ASGI1R_EL1 => sgi(guest, SgiRegister::Asgi1r, value),
        reg::ICC_SGI0R_EL1 => sgi(guest, SgiRegister::Sgi0r, value),
        // ICH_HCR_EL2.TDIR: another vCPU may have taken it, or it has no list register.
        reg::ICC_DIR_EL1 => {
            let (index, intid) = (guest.vcpu.index, value as u32 & 0xff_ffff);
            let effects = guest.vm.vgic.lock().dir(index, intid, &mut guest.lrs);
            guest.settle(effects);
        }
        reg::CNTP_CTL_EL0 => return physical_timer(guest, |own, _| own.set_ctl(value)),
        reg::CNTP_CVAL_EL0 => return physical_timer(guest, |own, _| own.set_cval(value)),
        reg::CNTP_TVAL_EL0 => return physical_timer(guest, |own, now| own.set_tval(now, value)),
        reg::MDSCR_EL1 => guest.state.context.debug.set_mdscr(value),
        reg::OSLAR_EL1 => guest.state.context.debug.os_lock = value & 1 != 0,
        reg::OSDLR_EL1
        | reg::MDCCINT_EL1
        | reg::OSDTRRX_EL1
        | reg::OSDTRTX_EL1
        | reg::OSECCR_EL1
        | reg::DBGPRCR_EL1
        | reg::DBGCLAIMSET_EL1
        | reg::DBGCLAIMCLR_EL1
        | reg::DBGDTR_EL0
        | reg::DBGDTRRX_EL0
        | reg::ACTLR_EL1 => {}
        // HCR_EL2.TSW.
        reg::DC_ISW | reg::DC_CSW | reg::DC_CISW => return maintenance::set_way(guest),
        _ => {
            if let Some(answer) = maintenance::translation(guest, register, value) {
                return answer;
            }
            if guest.state.context.debug.write(register, value).is_none() {
                return Answer::Undefined;
            }
        }
    }
    Answer::Done
}

#[inline(never)]
fn send_sgi(guest: &mut Guest, value: u64) -> Next {
    sgi(guest, SgiRegister::Sgi1r, value);
    Next::Resume
}

#[inline(always)]
fn sgi(guest: &mut Guest, register: SgiRegister, value: u64) {
    let index = guest.vcpu.index;
    let effects = guest.vm.vgic.lock().sgi(index, register, value, &mut guest.lrs);
    guest.notify(effects);
}

fn physical_timer(guest: &mut Guest, change: impl FnOnce(&mut PhysicalTimer, u64)) -> Answer {
    change(&mut guest.state.timer, timer::now());
    guest.physical_timer_changed();
    Answer::Done
}
