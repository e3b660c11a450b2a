//! Behaviour of the vGIC, with a simulated CPU interface that a guest would use.

mod hardware;
mod model;
mod property;
mod registers;
mod routing;
mod steps;
mod timer;

use super::*;
use hardware::Hardware;
use std::vec::Vec;

/// A VM with 64 SPIs whose groups and interrupts are all enabled, in Group 1 and of priority 0,
/// each vCPU on a pCPU of its own.
fn machine(vcpus: usize, lrs: usize) -> (Vgic, Vec<Hardware>) {
    let mut vgic = Vgic::new(vcpus, 64);
    let mut ci: Vec<Hardware> = (0..vcpus).map(|_| Hardware::new(lrs)).collect();
    for (v, ci) in ci.iter_mut().enumerate() {
        vgic.load(v, ci);
    }
    let _ = write(&mut vgic, &mut ci[0], 0x0, 3);
    for n in 1..3 {
        let _ = write(&mut vgic, &mut ci[0], 0x80 + 4 * n, u64::MAX);
        let _ = write(&mut vgic, &mut ci[0], 0x100 + 4 * n, u64::MAX);
    }
    for (v, ci) in ci.iter_mut().enumerate() {
        let _ = vgic.redist_write(v, v, 0x1_0080, 4, u64::MAX, ci);
        let _ = vgic.redist_write(v, v, 0x1_0100, 4, u64::MAX, ci);
    }
    (vgic, ci)
}

/// Shorter names.
impl Vgic {
    fn dist_read(&mut self, v: usize, offset: u64, size: u32, ci: &Hardware) -> (u64, Effects) {
        self.read(v, Frame::Dist, offset, size, ci)
    }

    fn dist_write(
        &mut self,
        v: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut Hardware,
    ) -> Effects {
        self.write(v, Frame::Dist, offset, size, value, ci)
    }

    fn redist_read(
        &mut self,
        v: usize,
        of: usize,
        offset: u64,
        size: u32,
        ci: &Hardware,
    ) -> (u64, Effects) {
        self.read(v, Frame::Redist(of), offset, size, ci)
    }

    fn redist_write(
        &mut self,
        v: usize,
        of: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut Hardware,
    ) -> Effects {
        self.write(v, Frame::Redist(of), offset, size, value, ci)
    }
}

/// vCPU 0 writes a 32-bit register of the distributor.
fn write(vgic: &mut Vgic, ci: &mut Hardware, offset: u64, value: u64) -> Effects {
    vgic.dist_write(0, offset, 4, value, ci)
}

/// vCPU 0 reads a 32-bit register of the distributor.
fn read(vgic: &mut Vgic, ci: &Hardware, offset: u64) -> u64 {
    vgic.dist_read(0, offset, 4, ci).0
}

/// vCPU 0 sets the priority of one of its interrupts.
fn prioritise(vgic: &mut Vgic, ci: &mut Hardware, intid: u64, priority: u64) {
    let _ = if intid < 32 {
        vgic.redist_write(0, 0, 0x1_0400 + intid, 1, priority, ci)
    } else {
        vgic.dist_write(0, 0x400 + intid, 1, priority, ci)
    };
}

/// An SGI from vCPU 0, in the layout of ICC_SGI1R_EL1.
fn sgi(vgic: &mut Vgic, ci: &mut Hardware, intid: u64, rest: u64) -> Effects {
    vgic.sgi(0, SgiRegister::Sgi1r, intid << 24 | rest, ci)
}

/// Takes all maintenance interrupts.
fn settle(vgic: &mut Vgic, vcpu: usize, ci: &mut Hardware) {
    for _ in 0..4 {
        if ci.maintenance() {
            let _ = vgic.sync(vcpu, ci);
        }
    }
    assert!(!ci.maintenance());
}

#[test]
fn sgi_to_self_is_signalled_before_the_next_entry() {
    let (mut vgic, mut ci) = machine(1, 4);
    for intid in (0..16).chain(0..16) {
        assert_eq!(sgi(&mut vgic, &mut ci[0], intid, 1), Effects::NONE);
        assert_eq!(ci[0].acknowledge(), Some(intid as u32));
        ci[0].end(intid as u32);
        assert_eq!(ci[0].acknowledge(), None);
    }
}

#[test]
fn sgi_reaches_its_target_list_and_nobody_else() {
    let (mut vgic, mut ci) = machine(3, 4);
    let effects = sgi(&mut vgic, &mut ci[0], 1, 0b1110);
    assert_eq!(effects, Effects(0b110));
    for (v, ci) in ci.iter_mut().enumerate().skip(1) {
        let _ = vgic.deliver(v, ci);
        assert_eq!(ci.acknowledge(), Some(1));
    }
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn sgi_with_irm_reaches_all_but_the_sender() {
    let (mut vgic, mut ci) = machine(3, 4);
    assert_eq!(sgi(&mut vgic, &mut ci[0], 1, 1 << 40 | 1), Effects(0b110));
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn sgi_to_another_cluster_or_range_reaches_nobody() {
    let (mut vgic, mut ci) = machine(2, 4);
    for elsewhere in [1 << 16, 1 << 32, 1 << 44, 1 << 48] {
        let effects = sgi(&mut vgic, &mut ci[0], 1, elsewhere | 0xffff);
        assert_eq!(effects, Effects::NONE, "{elsewhere:#x}");
    }
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn sgi0r_and_asgi1r_reach_group_0_only() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = vgic.redist_write(0, 0, 0x1_0080, 4, !1, &mut ci[0]);
    for register in [SgiRegister::Sgi0r, SgiRegister::Asgi1r] {
        let _ = vgic.sgi(0, register, 1 << 24 | 1, &mut ci[0]);
        assert_eq!(ci[0].acknowledge(), None);
        let _ = vgic.sgi(0, register, 1, &mut ci[0]);
        assert_eq!(ci[0].lr(0) & lr::LR_GROUP1, 0);
        assert_eq!(ci[0].acknowledge(), Some(0));
        ci[0].end(0);
    }
    let _ = vgic.sgi(0, SgiRegister::Sgi1r, 1, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(0));
}

#[test]
fn level_is_sampled_again_after_the_end() {
    let (mut vgic, mut ci) = machine(1, 4);
    assert_eq!(vgic.set_level(0, 33, true), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    for _ in 0..3 {
        assert_eq!(ci[0].acknowledge(), Some(33));
        ci[0].end(33);
        assert!(ci[0].maintenance(), "the end is reported");
        settle(&mut vgic, 0, &mut ci[0]);
    }
    assert_eq!(ci[0].acknowledge(), Some(33));
    assert_eq!(vgic.set_level(0, 33, false), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    ci[0].end(33);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn lowered_line_retracts_a_pending_interrupt() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = vgic.set_level(0, 30, true);
    let _ = vgic.deliver(0, &mut ci[0]);
    assert_eq!(vgic.set_level(0, 30, false), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn edge_during_the_handler_comes_once_more() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    assert_eq!(ci[0].acknowledge(), Some(3));
    for _ in 0..3 {
        let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    }
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(3));
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn more_pending_than_list_registers_come_by_priority() {
    let (mut vgic, mut ci) = machine(1, 2);
    for i in 0..16 {
        prioritise(&mut vgic, &mut ci[0], i, 8 * (i * 7 % 16) + 8);
        let _ = sgi(&mut vgic, &mut ci[0], i, 1);
    }
    for rank in 0..16u8 {
        let (intid, priority) = ci[0].peek().expect("none is lost");
        assert_eq!(priority, 8 * rank + 8);
        assert_eq!(ci[0].acknowledge(), Some(intid));
        settle(&mut vgic, 0, &mut ci[0]);
        ci[0].end(intid);
        settle(&mut vgic, 0, &mut ci[0]);
    }
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn with_all_list_registers_active_a_better_one_still_preempts() {
    let (mut vgic, mut ci) = machine(1, 2);
    for i in 0..6 {
        prioritise(&mut vgic, &mut ci[0], i, 8 * (7 - i));
    }
    let _ = sgi(&mut vgic, &mut ci[0], 0, 1);
    for i in 0..5 {
        assert_eq!(ci[0].acknowledge(), Some(i));
        settle(&mut vgic, 0, &mut ci[0]);
        let _ = sgi(&mut vgic, &mut ci[0], u64::from(i) + 1, 1);
    }
    assert_eq!(ci[0].acknowledge(), Some(5));
    // Ends come innermost first, most of them without a list register.
    for i in (0..6).rev() {
        ci[0].end(i);
        settle(&mut vgic, 0, &mut ci[0]);
        let left = vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0;
        assert_eq!(left, (1 << i) - 1);
    }
}

#[test]
fn ends_beyond_the_list_registers_count_even_before_their_maintenance_interrupt() {
    let (mut vgic, mut ci) = machine(1, 1);
    for (intid, priority) in [(0, 0x80), (1, 0x40)] {
        prioritise(&mut vgic, &mut ci[0], intid, priority);
        let _ = sgi(&mut vgic, &mut ci[0], intid, 1);
        assert_eq!(ci[0].acknowledge(), Some(intid as u32));
        settle(&mut vgic, 0, &mut ci[0]);
    }
    ci[0].end(1);
    ci[0].end(0);
    let _ = sgi(&mut vgic, &mut ci[0], 2, 1);
    assert_eq!(vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0, 0);
    assert_eq!(ci[0].acknowledge(), Some(2));
}

#[test]
fn worse_one_waits_without_a_storm_while_all_are_active() {
    let (mut vgic, mut ci) = machine(1, 1);
    prioritise(&mut vgic, &mut ci[0], 1, 0x80);
    let _ = sgi(&mut vgic, &mut ci[0], 0, 1);
    assert_eq!(ci[0].acknowledge(), Some(0));
    let _ = sgi(&mut vgic, &mut ci[0], 1, 1);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
    ci[0].end(0);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(1));
}

#[test]
fn eoi_mode_1_deactivates_in_any_order_beyond_the_list_registers() {
    let (mut vgic, mut ci) = machine(1, 2);
    ci[0].vmcr |= lr::VMCR_VEOIM;
    for i in 0..5 {
        let _ = sgi(&mut vgic, &mut ci[0], i, 1);
        assert_eq!(ci[0].acknowledge(), Some(i as u32));
        ci[0].end(i as u32);
        settle(&mut vgic, 0, &mut ci[0]);
    }
    for (i, left) in [(3, 0b10111), (0, 0b10110), (4, 0b110), (1, 0b100), (2, 0)] {
        if ci[0].dir(i) {
            let _ = vgic.dir(0, i, &mut ci[0]);
        }
        assert_eq!(vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0, left);
    }
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn eoi_mode_1_with_ends_counted_all_the_same_is_no_storm() {
    let (mut vgic, mut ci) = machine(1, 1);
    ci[0].vmcr |= lr::VMCR_VEOIM;
    for i in [1, 0] {
        let _ = sgi(&mut vgic, &mut ci[0], i, 1);
        assert_eq!(ci[0].acknowledge(), Some(i as u32));
        ci[0].end(i as u32);
        settle(&mut vgic, 0, &mut ci[0]);
    }
    let counted = ci[0].hcr() + (1 << lr::HCR_EOICOUNT_SHIFT);
    ci[0].set_hcr(counted);
    settle(&mut vgic, 0, &mut ci[0]);
    assert!(!ci[0].maintenance());
    assert_eq!(vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0, 0b11);
}

#[test]
fn interrupt_made_active_by_register_is_deactivated_like_any_other() {
    let (mut vgic, mut ci) = machine(1, 4);
    ci[0].vmcr |= lr::VMCR_VEOIM;
    let _ = vgic.redist_write(0, 0, 0x1_0300, 4, 1 << 3, &mut ci[0]);
    assert!(!ci[0].dir(3), "it has a list register");
    assert_eq!(vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0, 0);
}

#[test]
fn disabled_interrupt_leaves_the_list_register_and_stays_pending() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    let _ = vgic.redist_write(0, 0, 0x1_0180, 4, 1 << 3, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
    assert_eq!(vgic.redist_read(0, 0, 0x1_0200, 4, &ci[0]).0, 1 << 3);
    let _ = vgic.redist_write(0, 0, 0x1_0100, 4, 1 << 3, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(3));
}

#[test]
fn disabled_and_enabled_while_active_and_pending_nothing_is_lost_or_stuck() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    assert_eq!(ci[0].acknowledge(), Some(3));
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    let _ = vgic.redist_write(0, 0, 0x1_0180, 4, 1 << 3, &mut ci[0]);
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
    let _ = vgic.redist_write(0, 0, 0x1_0100, 4, 1 << 3, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(3));
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn priority_written_while_active_does_not_hinder_the_end() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    assert_eq!(ci[0].acknowledge(), Some(3));
    prioritise(&mut vgic, &mut ci[0], 3, 0x80);
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn priority_written_and_made_active_once_more_does_not_hinder_the_end() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    assert_eq!(ci[0].acknowledge(), Some(3));
    prioritise(&mut vgic, &mut ci[0], 3, 0x80);
    let _ = vgic.redist_write(0, 0, 0x1_0300, 4, 1 << 3, &mut ci[0]);
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn renewed_interrupt_comes_back_at_its_new_priority() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    assert_eq!(ci[0].acknowledge(), Some(3));
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    prioritise(&mut vgic, &mut ci[0], 3, 0x80);
    prioritise(&mut vgic, &mut ci[0], 4, 0x40);
    let _ = sgi(&mut vgic, &mut ci[0], 4, 1);
    ci[0].end(3);
    settle(&mut vgic, 0, &mut ci[0]);
    assert_eq!(ci[0].peek(), Some((4, 0x40)));
}

#[test]
fn renewed_interrupt_does_not_overtake_one_that_waits() {
    let (mut vgic, mut ci) = machine(1, 2);
    for (intid, priority) in [(1, 0x40), (2, 0x20), (3, 0x30)] {
        prioritise(&mut vgic, &mut ci[0], intid, priority);
    }
    let _ = sgi(&mut vgic, &mut ci[0], 1, 1);
    assert_eq!(ci[0].acknowledge(), Some(1));
    for intid in [1, 2, 3] {
        let _ = sgi(&mut vgic, &mut ci[0], intid, 1);
    }
    ci[0].end(1);
    for intid in [2, 3, 1] {
        settle(&mut vgic, 0, &mut ci[0]);
        assert_eq!(ci[0].acknowledge(), Some(intid));
        settle(&mut vgic, 0, &mut ci[0]);
        ci[0].end(intid);
    }
}

#[test]
fn wfi_wakes_only_for_what_the_cpu_interface_lets_through() {
    let (mut vgic, mut ci) = machine(1, 4);
    prioritise(&mut vgic, &mut ci[0], 3, 0x80);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 1);
    for (vmcr, wakes) in
        [(0xff00_0003, true), (0x8800_0002, true), (0x8000_0003, false), (0xff00_0001, false)]
    {
        ci[0].vmcr = vmcr;
        assert_eq!(vgic.has_deliverable(0, &ci[0]), wakes, "{vmcr:#x}");
        let _ = vgic.put(0, &mut ci[0]);
        vgic.load(0, &mut ci[0]);
        assert_eq!(vgic.has_deliverable(0, &ci[0]), wakes, "{vmcr:#x}");
    }
}

#[test]
fn wfi_wakes_for_what_has_not_been_fetched_yet() {
    let (mut vgic, ci) = machine(1, 4);
    assert!(!vgic.has_deliverable(0, &ci[0]));
    let _ = vgic.set_level(0, 30, true);
    assert!(vgic.has_deliverable(0, &ci[0]));
}

#[test]
fn reset_is_as_new() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.set_level(0, 40, true);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 3);
    for (v, ci) in ci.iter_mut().enumerate() {
        let _ = vgic.put(v, ci);
    }
    vgic.reset();
    assert_eq!(vgic, Vgic::new(2, 64));
}

#[test]
fn numbers_out_of_range_do_nothing() {
    let (mut vgic, mut ci) = machine(1, 4);
    let before = vgic.clone();
    for intid in [0, 15, 96, 1023, u32::MAX] {
        assert_eq!(vgic.set_level(0, intid, true), Effects::NONE);
    }
    for intid in [30, 40] {
        assert_eq!(vgic.set_level(7, intid, true), Effects::NONE);
    }
    assert_eq!(vgic.raise_timer(usize::MAX, 27, &mut ci[0]), Effects::NONE);
    assert!(!vgic.has_deliverable(7, &ci[0]));
    assert_eq!(vgic.dir(0, 0xff_ffff, &mut ci[0]), Effects::NONE);
    assert_eq!(vgic, before);
}
