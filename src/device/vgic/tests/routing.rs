//! SPIs and their routes, and what one vCPU does to the interrupts of another.

use super::*;

#[test]
fn active_interrupt_ends_on_the_vcpu_that_took_it_whatever_its_route() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.set_level(0, 40, true);
    let _ = vgic.deliver(0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(40));
    assert_eq!(vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1, &mut ci[0]), Effects::NONE);
    ci[0].end(40);
    assert!(ci[0].maintenance());
    assert_eq!(vgic.sync(0, &mut ci[0]), Effects::of(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(40));
}

#[test]
fn what_is_pending_again_while_active_follows_its_route_of_then() {
    let (mut vgic, mut ci) = machine(3, 4);
    let _ = write(&mut vgic, &mut ci[0], 0xc08, 2 << 16);
    let edge = |vgic: &mut Vgic| {
        let _ = vgic.set_level(0, 40, false);
        vgic.set_level(0, 40, true)
    };
    assert_eq!(edge(&mut vgic), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(40));
    // First the edge and then the route, and the other way round.
    assert_eq!(edge(&mut vgic), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    let _ = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1, &mut ci[0]);
    assert_eq!(ci[1].acknowledge(), None, "it is still active");
    ci[0].end(40);
    assert_eq!(ci[0].peek(), None);
    assert!(ci[0].maintenance(), "the end is reported");
    assert_eq!(vgic.sync(0, &mut ci[0]), Effects::of(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(40));
    let _ = vgic.redist_write(0, 2, 0x14, 4, 0, &mut ci[0]);
    let _ = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1 << 31, &mut ci[0]);
    assert_eq!(edge(&mut vgic), Effects::of(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    ci[1].end(40);
    assert_eq!(ci[1].peek(), None);
    assert_eq!(vgic.sync(1, &mut ci[1]), Effects::of(2));
    let _ = vgic.deliver(2, &mut ci[2]);
    assert_eq!(ci[2].acknowledge(), Some(40));
}

#[test]
fn pending_spi_moves_with_its_route() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.set_level(0, 40, true);
    let _ = vgic.deliver(0, &mut ci[0]);
    let effects = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1, &mut ci[0]);
    assert_eq!(effects, Effects::of(1));
    assert_eq!(ci[0].acknowledge(), None);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(40));
}

#[test]
fn spi_routed_away_before_it_was_fetched_is_not_taken() {
    let (mut vgic, mut ci) = machine(2, 4);
    assert_eq!(vgic.set_level(0, 40, true), Effects::of(0));
    let effects = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1, &mut ci[0]);
    assert_eq!(effects, Effects::of(1));
    assert_eq!(ci[0].acknowledge(), None);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(40));
}

#[test]
fn routes_are_affinities() {
    let (mut vgic, mut ci) = machine_of(&ODD, 4);
    // Nobody has written IROUTER yet.
    assert_eq!(vgic.dist_read(0, 0x6000 + 8 * 40, 8, &ci[0]).0, 0x2);
    assert_eq!(vgic.set_level(0, 40, true), Effects::of(0));
    for (router, target) in [(0x2_0301, 2), (0x1, 9), (0x100, 1), (1 << 32 | 0x100, 9), (0x2, 0)] {
        let _ = vgic.deliver(0, &mut ci[0]);
        let effects = vgic.dist_write(0, 0x6000 + 8 * 40, 8, router, &mut ci[0]);
        assert_eq!(effects, Effects(1 << target & 0b110), "{router:#x}");
        assert_eq!(vgic.dist_read(0, 0x6000 + 8 * 40, 8, &ci[0]).0, router);
        assert_eq!(ci[0].peek().is_some(), target == 0);
    }
}

#[test]
fn spi_routed_to_nobody_stays_pending() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 0x1_0000_0000, &mut ci[0]);
    assert_eq!(vgic.set_level(0, 40, true), Effects::NONE);
    assert_eq!(read(&mut vgic, &ci[0], 0x204), 1 << 8);
}

#[test]
fn one_of_n_goes_to_the_first_that_is_awake() {
    let (mut vgic, mut ci) = machine(3, 4);
    let _ = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1 << 31, &mut ci[0]);
    let _ = vgic.redist_write(0, 2, 0x14, 4, 0, &mut ci[0]);
    assert_eq!(vgic.set_level(0, 40, true), Effects::of(2));
    let _ = vgic.deliver(2, &mut ci[2]);
    // vCPU 1 wakes, and vCPU 2 gives it back.
    let effects = vgic.redist_write(0, 1, 0x14, 4, 0, &mut ci[0]);
    assert_eq!(effects, Effects::of(2));
    assert_eq!(vgic.deliver(2, &mut ci[2]), Effects::of(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[2].acknowledge(), None);
    assert_eq!(ci[1].acknowledge(), Some(40));
}

#[test]
fn a_disable_waits_until_the_other_vcpu_has_left_the_guest() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.dist_write(0, 0x6000 + 8 * 40, 8, 1, &mut ci[0]);
    let _ = vgic.set_level(0, 40, true);
    let _ = vgic.deliver(1, &mut ci[1]);
    let effects = write(&mut vgic, &mut ci[0], 0x184, 1 << 8);
    assert_eq!(effects, Effects::of(1));
    assert!(vgic.awaits(0) && !vgic.awaits(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert!(!vgic.awaits(0));
    assert_eq!(ci[1].acknowledge(), None);
}

#[test]
fn two_that_wait_for_each_other_both_go_on() {
    let (mut vgic, mut ci) = machine(2, 4);
    for (v, ci) in ci.iter_mut().enumerate() {
        let _ = vgic.sgi(v, SgiRegister::Sgi1r, 3 << 24 | 1 << v, ci);
    }
    for (v, ci) in ci.iter().enumerate() {
        assert_eq!(vgic.redist_read(v, 1 - v, 0x1_0200, 4, ci).1, Effects::of(1 - v));
        assert!(vgic.awaits(v));
    }
    for (v, ci) in ci.iter_mut().enumerate() {
        let _ = vgic.deliver(v, ci);
    }
    for (v, ci) in ci.iter().enumerate() {
        assert!(!vgic.awaits(v));
        assert_eq!(vgic.read_settled(v, Frame::Redist(1 - v), 0x1_0200, 4, ci), 1 << 3);
    }
}

#[test]
fn who_is_put_away_keeps_nobody_waiting() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.sgi(1, SgiRegister::Sgi1r, 3 << 24 | 2, &mut ci[1]);
    let (_, others) = vgic.redist_read(0, 1, 0x1_0200, 4, &ci[0]);
    assert_eq!(others, Effects::of(1));
    assert_eq!(ci[1].acknowledge(), Some(3));
    let _ = vgic.put(1, &mut ci[1]);
    assert!(!vgic.awaits(0));
    assert_eq!(vgic.read_settled(0, Frame::Redist(1), 0x1_0200, 4, &ci[0]), 0);
    assert_eq!(vgic.read_settled(0, Frame::Redist(1), 0x1_0300, 4, &ci[0]), 1 << 3);
}

#[test]
fn what_the_guest_did_before_it_came_out_is_read() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = vgic.sgi(1, SgiRegister::Sgi1r, 3 << 24 | 2, &mut ci[1]);
    let (_, others) = vgic.redist_read(0, 1, 0x1_0300, 4, &ci[0]);
    assert_eq!(others, Effects::of(1));
    assert_eq!(ci[1].acknowledge(), Some(3));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(vgic.read_settled(0, Frame::Redist(1), 0x1_0300, 4, &ci[0]), 1 << 3);
}

#[test]
fn spi_that_one_vcpu_took_another_may_deactivate() {
    let (mut vgic, mut ci) = machine(2, 4);
    ci.iter_mut().for_each(|ci| ci.vmcr |= lr::VMCR_VEOIM);
    let _ = write(&mut vgic, &mut ci[0], 0x204, 1 << 8);
    assert_eq!(ci[0].acknowledge(), Some(40));
    ci[0].end(40);
    assert!(ci[1].dir(40), "it traps");
    assert_eq!(vgic.dir(1, 40, &mut ci[1]), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci[0]);
    assert!(!vgic.awaits(1));
    assert_eq!(read(&mut vgic, &ci[0], 0x304), 0);
}

#[test]
fn another_vcpus_interrupts_are_changed_when_it_leaves_the_guest() {
    let (mut vgic, mut ci) = machine(2, 4);
    let _ = sgi(&mut vgic, &mut ci[0], 3, 2);
    let _ = sgi(&mut vgic, &mut ci[0], 4, 2);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(3));
    // vCPU 0 clears the pending one and the active one of vCPU 1.
    let effects = vgic.redist_write(0, 1, 0x1_0280, 4, 1 << 4, &mut ci[0]);
    assert_eq!(effects, Effects::of(1));
    let _ = vgic.redist_write(0, 1, 0x1_0380, 4, 1 << 3, &mut ci[0]);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].occupied(), 0);
}
