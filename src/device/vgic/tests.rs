//! Behaviour of the vGIC, with a simulated CPU interface that a guest would use.

mod hardware;
mod model;
mod property;
mod registers;
mod report;
mod routing;
mod spill;
mod steps;
mod timer;

use super::*;
use hardware::Hardware;
use std::vec::Vec;

/// Affinities by number, and three that differ in all levels.
const PLAIN: [u32; MAX_VCPUS] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const ODD: [u32; 3] = [0x2, 0x100, 0x2_0301];

/// A VM with 64 SPIs whose groups and interrupts are all enabled, in Group 1 and of priority 0,
/// each vCPU on a pCPU of its own.
fn machine(vcpus: usize, lrs: usize) -> (Vgic, Vec<Hardware>) {
    machine_of(&PLAIN[..vcpus], lrs)
}

/// The same, of vCPUs with these affinities.
fn machine_of(affinities: &[u32], lrs: usize) -> (Vgic, Vec<Hardware>) {
    let mut vgic = Vgic::new(affinities, 64);
    let mut ci: Vec<Hardware> = affinities.iter().map(|_| Hardware::new(lrs)).collect();
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
fn sgi_to_another_cluster_reaches_nobody() {
    let (mut vgic, mut ci) = machine(2, 4);
    for elsewhere in [1 << 16, 1 << 32, 1 << 48] {
        let effects = sgi(&mut vgic, &mut ci[0], 1, elsewhere | 0xffff);
        assert_eq!(effects, Effects::NONE, "{elsewhere:#x}");
    }
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn sgi_has_no_range_selector() {
    for affinities in [[0, 1], [0x200, 1]] {
        let (mut vgic, mut ci) = machine_of(&affinities, 4);
        assert_eq!(sgi(&mut vgic, &mut ci[0], 1, 15 << 44 | 0b10), Effects::of(1));
    }
}

#[test]
fn sgi_is_decoded_by_affinities() {
    let (mut vgic, mut ci) = machine_of(&ODD, 4);
    let cases = [
        (0b111, 0b001),
        (0b011, 0),
        (1 << 16 | 0b001, 0b010),
        (1 << 16 | 0b110, 0),
        (2 << 32 | 3 << 16 | 0xffff, 0b100),
        (2 << 32 | 0xffff, 0),
        (3 << 16 | 0xffff, 0),
        (1 << 48 | 0xffff, 0),
        (1 << 40, 0b110),
        (1 << 40 | 2 << 32 | 3 << 16 | 2, 0b110),
    ];
    for (value, targets) in cases {
        let effects = sgi(&mut vgic, &mut ci[0], 1, value);
        assert_eq!(effects, Effects(targets).without(0), "{value:#x}");
        for (v, ci) in ci.iter_mut().enumerate() {
            let _ = vgic.deliver(v, ci);
            assert_eq!(ci.acknowledge().is_some(), Effects(targets).contains(v), "{value:#x}");
            ci.end(1);
        }
    }
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
    assert_eq!(vgic, Vgic::new(&PLAIN[..2], 64));
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
