//! More interrupts than list registers.

use super::*;

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
fn an_end_beyond_the_list_registers_is_not_that_of_what_a_register_made_active() {
    let (mut vgic, mut ci) = machine(1, 1);
    for (intid, priority) in [(0, 0x80), (1, 0x60), (2, 0x20), (3, 0x40)] {
        prioritise(&mut vgic, &mut ci[0], intid, priority);
    }
    let _ = sgi(&mut vgic, &mut ci[0], 0, 1);
    assert_eq!(ci[0].acknowledge(), Some(0));
    // Of higher priority than what runs, and nobody will end it.
    let _ = vgic.redist_write(0, 0, 0x1_0300, 4, 1 << 2, &mut ci[0]);
    for intid in [1, 3] {
        let _ = sgi(&mut vgic, &mut ci[0], intid, 1);
        assert_eq!(ci[0].acknowledge(), Some(intid as u32));
        settle(&mut vgic, 0, &mut ci[0]);
    }
    for (intid, left) in [(3, 0b111), (1, 0b101), (0, 0b100)] {
        ci[0].end(intid);
        settle(&mut vgic, 0, &mut ci[0]);
        assert_eq!(vgic.redist_read(0, 0, 0x1_0300, 4, &ci[0]).0, left);
    }
    let _ = vgic.redist_write(0, 0, 0x1_0380, 4, 1 << 2, &mut ci[0]);
    assert_eq!(ci[0].occupied(), 0);
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
