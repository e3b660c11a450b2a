//! The physical timer of a vCPU, trapped and emulated, and when a saved virtual timer is due
//! (DDI 0487, D12.2 "The Generic Timer in AArch64 state").
//!
//! Everything here is in ticks of the system counter. `now` is the count that the guest reads
//! as CNTPCT_EL0.

#[cfg(test)]
mod tests;

/// CNTx_CTL_EL0.ENABLE.
pub const CTL_ENABLE: u64 = 1 << 0;
/// CNTx_CTL_EL0.IMASK.
pub const CTL_IMASK: u64 = 1 << 1;
/// CNTx_CTL_EL0.ISTATUS.
pub const CTL_ISTATUS: u64 = 1 << 2;

/// CNTP_CTL_EL0, CNTP_CVAL_EL0 and CNTP_TVAL_EL0 of one vCPU; off by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PhysicalTimer {
    /// ENABLE and IMASK.
    control: u64,
    compare: u64,
}

impl PhysicalTimer {
    /// CNTP_CTL_EL0. ISTATUS is UNKNOWN while the timer is off, and zero here.
    #[inline]
    pub const fn ctl(&self, now: u64) -> u64 {
        let due = self.control & CTL_ENABLE != 0 && now >= self.compare;
        self.control | if due { CTL_ISTATUS } else { 0 }
    }

    /// Writes CNTP_CTL_EL0.
    #[inline]
    pub const fn set_ctl(&mut self, value: u64) {
        self.control = value & (CTL_ENABLE | CTL_IMASK);
    }

    /// CNTP_CVAL_EL0.
    #[inline]
    pub const fn cval(&self) -> u64 {
        self.compare
    }

    /// Writes CNTP_CVAL_EL0.
    #[inline]
    pub const fn set_cval(&mut self, value: u64) {
        self.compare = value;
    }

    /// CNTP_TVAL_EL0: what is left, in 32 bits.
    #[inline]
    pub const fn tval(&self, now: u64) -> u64 {
        self.compare.wrapping_sub(now) & 0xffff_ffff
    }

    /// Writes CNTP_TVAL_EL0: a signed distance from now.
    #[inline]
    pub const fn set_tval(&mut self, now: u64, value: u64) {
        self.compare = now.wrapping_add(value as i32 as u64);
    }

    /// The level of the timer's interrupt line.
    #[inline]
    pub const fn output(&self, now: u64) -> bool {
        self.ctl(now) & (CTL_IMASK | CTL_ISTATUS) == CTL_ISTATUS
    }

    /// The count at which the line goes high, or is high since; `None` where it can't.
    #[inline]
    pub const fn deadline(&self) -> Option<u64> {
        if self.control == CTL_ENABLE { Some(self.compare) } else { None }
    }
}

/// The physical count at which a saved virtual timer is due, given the physical count `now` and
/// the saved CNTV_CTL_EL0, CNTV_CVAL_EL0 and CNTVOFF_EL2: `now` if it is due already, `None` if
/// it is off, masked, or further away than the counter counts.
pub const fn virtual_deadline(now: u64, ctl: u64, cval: u64, cntvoff: u64) -> Option<u64> {
    if ctl & (CTL_ENABLE | CTL_IMASK) != CTL_ENABLE {
        return None;
    }
    let virtual_now = now.wrapping_sub(cntvoff);
    now.checked_add(cval.saturating_sub(virtual_now))
}
