//! A vCPU's interrupts in words, by the model's books: what gdb's `mz-lr` says.

use core::fmt::{self, Write};

use super::Vgic;
use super::bank::{Bank, Bits};
use crate::device::{PHYSICAL_TIMER_INTID, UART_INTID, VIRTUAL_TIMER_INTID};

/// The bits of ICH_HCR_EL2 that the model sets.
const HCR: [&str; 15] = [
    "En", "", "LRENPIE", "NPIE", "VGrp0EIE", "VGrp0DIE", "VGrp1EIE", "VGrp1DIE", "", "", "", "",
    "", "", "TDIR",
];

impl Vgic {
    /// How many parts [`report`](Self::report) has for each vCPU.
    pub fn report_parts(&self) -> usize {
        self.banks_of_one() + 2
    }

    /// The vCPU's own bank, and those of the SPIs.
    fn banks_of_one(&self) -> usize {
        (self.banks.len() + 1).saturating_sub(self.cpus.len())
    }

    /// What is known of `vcpu`, part by part, so that the lock is never held for long: its list
    /// registers, then bank by bank of 32 interrupts what is in them, pending or active, and what is
    /// enabled. What a guest has acknowledged or ended since, the model learns when it folds them.
    pub fn report(&self, vcpu: usize, part: usize, out: &mut dyn Write) -> fmt::Result {
        let Some(number) = part.checked_sub(1) else { return self.report_cpu(vcpu, out) };
        if number >= self.banks_of_one() {
            return self.report_enabled(vcpu, out);
        }
        let first = 32 * number as u32;
        let Some(bank) = self.banks.get(self.at(vcpu, first)) else { return Ok(()) };
        let of_vcpu = |i: usize| match (bank.in_lr | bank.active) >> i & 1 {
            0 => bank.target(i, self.any) == vcpu,
            _ => usize::from(bank.holder[i & 31]) == vcpu,
        };
        let news = bank.in_lr | bank.pending() | bank.active;
        for i in Bits(news).filter(|i| of_vcpu(*i)) {
            bank.report(i, first, out)?;
        }
        Ok(())
    }

    fn report_enabled(&self, vcpu: usize, out: &mut dyn Write) -> fmt::Result {
        let mut before = "  enabled for it: INTID ";
        for first in (0..self.banks_of_one() as u32).map(|number| 32 * number) {
            let Some(bank) = self.banks.get(self.at(vcpu, first)) else { continue };
            for i in Bits(bank.enabled).filter(|i| bank.target(*i, self.any) == vcpu) {
                write!(out, "{before}{}", first + i as u32)?;
                before = ", ";
            }
        }
        let none = if before == ", " { "" } else { "  no interrupt is enabled for it" };
        writeln!(out, "{none}")
    }

    fn report_cpu(&self, vcpu: usize, out: &mut dyn Write) -> fmt::Result {
        let Some(cpu) = self.cpus.get(vcpu) else { return Ok(()) };
        let loaded = if cpu.loaded { "loaded" } else { "not loaded" };
        write!(out, ", {loaded}; list registers in use:")?;
        Bits(cpu.used).try_for_each(|slot| write!(out, " {slot}"))?;
        let none = if cpu.used == 0 { " none" } else { "" };
        write!(out, "{none}; ICH_HCR_EL2 as last written {:#x}", cpu.hcr)?;
        let set = HCR.iter().enumerate().filter(|(bit, _)| cpu.hcr >> bit & 1 != 0);
        set.into_iter().try_for_each(|(_, name)| write!(out, " {name}"))?;
        out.write_char('\n')?;
        match cpu.waiting() {
            0 => Ok(()),
            banks => writeln!(out, "  banks that wait for a list register: {banks:#x}"),
        }
    }
}

impl Bank {
    /// One of its interrupts, the first of which is `first`.
    fn report(&self, i: usize, first: u32, out: &mut dyn Write) -> fmt::Result {
        let is = |word: u32| word >> (i & 31) & 1 != 0;
        match (is(self.in_lr), is(self.active), is(self.allowed)) {
            (true, again, _) => {
                let state = if is(self.was_active) { "active" } else { "pending" };
                let again = if again { ", made active by a register since" } else { "" };
                write!(out, "  LR{}, written as {state}{again}", self.slot[i & 31])?;
            }
            (_, true, _) => out.write_str("  active, in no list register")?,
            (.., true) => out.write_str("  pending")?,
            (.., false) => out.write_str("  pending, not enabled")?,
        }
        let intid = first + i as u32;
        let kind = match intid {
            VIRTUAL_TIMER_INTID => "virtual timer",
            PHYSICAL_TIMER_INTID => "physical timer",
            UART_INTID => "UART",
            0..=15 => "SGI",
            16..=31 => "PPI",
            _ => "SPI",
        };
        let (priority, group) = (self.priority[i & 31], self.group >> (i & 31) & 1);
        write!(out, ": INTID {intid}, {kind}, priority {priority:#04x}, Group {group}")?;
        let (enabled, edge) = (is(self.enabled), is(self.edge));
        let words = [
            (true, if edge { "edge" } else { "level" }),
            (true, if enabled { "enabled" } else { "disabled" }),
            (enabled && !is(self.allowed), "its group is off in GICD_CTLR"),
            (!edge, if is(self.level) { "line high" } else { "line low" }),
            (edge && is(self.latch), "latched"),
        ];
        let mut words = words.into_iter().filter(|(said, _)| *said);
        words.try_for_each(|(_, word)| write!(out, ", {word}"))?;
        out.write_char('\n')
    }
}
