//! The virtual timer's interrupt, which has a physical one behind it.

use super::*;

#[test]
fn timer_is_deactivated_physically_by_the_guest_itself() {
    let (mut vgic, mut ci) = machine(1, 4);
    for _ in 0..3 {
        ci[0].physical.insert(27);
        assert_eq!(vgic.raise_timer(0, 27, &mut ci[0]), Effects::NONE);
        assert!(vgic.cpus[0].timer != 0);
        assert_eq!(ci[0].acknowledge(), Some(27));
        ci[0].end(27);
        assert!(!ci[0].maintenance(), "no exit for it");
        assert!(ci[0].physical.is_empty());
    }
}

#[test]
fn timer_in_flight_follows_its_vcpu_to_another_pcpu() {
    let (mut vgic, mut ci) = machine(1, 4);
    let mut other = Hardware::new(4);
    ci[0].physical.insert(27);
    let _ = vgic.raise_timer(0, 27, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(27));
    let _ = vgic.put(0, &mut ci[0]);
    assert!(ci[0].physical.is_empty(), "it can fire for the next vCPU");
    assert!(ci[0].is_clear());
    vgic.load(0, &mut other);
    assert!(other.physical.contains(&27));
    other.running = ci[0].running.clone();
    other.end(27);
    assert!(other.physical.is_empty());
    let _ = vgic.put(0, &mut other);
    assert!(vgic.cpus[0].timer == 0);
}

#[test]
fn timer_that_is_moved_before_it_is_taken_is_withdrawn() {
    let (mut vgic, mut ci) = machine(1, 4);
    ci[0].physical.insert(27);
    let _ = vgic.raise_timer(0, 27, &mut ci[0]);
    assert_eq!(vgic.set_timer(0, false, &mut ci[0]), (false, Effects::NONE));
    assert_eq!(ci[0].acknowledge(), None);
    assert!(ci[0].physical.is_empty(), "it can fire again");
    assert_eq!(ci[0].occupied(), 0);
}

#[test]
fn timer_that_is_moved_by_its_handler_ends_as_ever() {
    let (mut vgic, mut ci) = machine(1, 4);
    ci[0].physical.insert(27);
    let _ = vgic.raise_timer(0, 27, &mut ci[0]);
    let pending = |vgic: &mut Vgic, ci: &Hardware| vgic.redist_read(0, 0, 0x1_0200, 4, ci).0 >> 27;
    assert_eq!(ci[0].acknowledge(), Some(27));
    assert_eq!(pending(&mut vgic, &ci[0]), 1, "its line is high still");
    assert_eq!(vgic.set_timer(0, false, &mut ci[0]), (true, Effects::NONE));
    assert_eq!(pending(&mut vgic, &ci[0]), 0);
    assert!(ci[0].physical.contains(&27));
    ci[0].end(27);
    assert!(ci[0].physical.is_empty());
    assert_eq!(vgic.set_timer(0, true, &mut ci[0]), (false, Effects::NONE));
}

#[test]
fn timer_is_not_pending_by_register_but_by_its_line() {
    for (acknowledged, register) in [(false, 0x1_0280), (true, 0x1_0380)] {
        let (mut vgic, mut ci) = machine(1, 4);
        ci[0].physical.insert(27);
        let _ = vgic.raise_timer(0, 27, &mut ci[0]);
        if acknowledged {
            assert_eq!(ci[0].acknowledge(), Some(27));
            ci[0].running.clear();
        }
        let _ = vgic.redist_write(0, 0, register, 4, 1 << 27, &mut ci[0]);
        assert!(ci[0].physical.contains(&27));
        assert_eq!(ci[0].acknowledge(), Some(27));
    }
}

#[test]
fn timer_of_another_vcpu_is_released_when_a_register_takes_its_state_away() {
    let (mut vgic, mut ci) = machine(2, 1);
    // Active, with its line low, and without a list register.
    ci[1].physical.insert(27);
    let _ = vgic.raise_timer(1, 27, &mut ci[1]);
    let _ = vgic.redist_write(1, 1, 0x1_0400 + 3, 1, 0x80, &mut ci[1]);
    let _ = vgic.redist_write(1, 1, 0x1_0400 + 27, 1, 0xa0, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(27));
    let _ = vgic.sgi(0, SgiRegister::Sgi1r, 3 << 24 | 2, &mut ci[0]);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(3));
    let _ = vgic.set_timer(1, false, &mut ci[1]);
    assert!(ci[1].physical.contains(&27));
    let effects = vgic.redist_write(0, 1, 0x1_0380, 4, 1 << 27, &mut ci[0]);
    assert_eq!(effects, Effects::of(1));
    let _ = vgic.deliver(1, &mut ci[1]);
    assert!(ci[1].physical.is_empty());
}

#[test]
fn masked_timer_stays_in_flight_until_it_is_enabled() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = vgic.redist_write(0, 0, 0x1_0180, 4, 1 << 27, &mut ci[0]);
    ci[0].physical.insert(27);
    let _ = vgic.raise_timer(0, 27, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), None);
    let _ = vgic.put(0, &mut ci[0]);
    assert!(vgic.cpus[0].timer != 0);
    vgic.load(0, &mut ci[0]);
    assert!(ci[0].physical.contains(&27));
    let _ = vgic.redist_write(0, 0, 0x1_0100, 4, 1 << 27, &mut ci[0]);
    assert_eq!(ci[0].acknowledge(), Some(27));
    ci[0].end(27);
    assert!(ci[0].physical.is_empty());
}
