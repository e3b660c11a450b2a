use super::*;

fn armed(compare: u64) -> PhysicalTimer {
    let mut timer = PhysicalTimer::default();
    timer.set_cval(compare);
    timer.set_ctl(CTL_ENABLE);
    timer
}

#[test]
fn line_goes_high_at_the_compare_value() {
    let timer = armed(100);
    assert!(!timer.output(99));
    assert!(timer.output(100));
    assert_eq!(timer.ctl(99), CTL_ENABLE);
    assert_eq!(timer.ctl(100), CTL_ENABLE | CTL_ISTATUS);
    assert_eq!(timer.deadline(), Some(100));
}

#[test]
fn a_masked_timer_has_status_but_no_output() {
    let mut timer = armed(100);
    timer.set_ctl(CTL_ENABLE | CTL_IMASK);
    assert_eq!(timer.ctl(100), CTL_ENABLE | CTL_IMASK | CTL_ISTATUS);
    assert!(!timer.output(100));
    assert_eq!(timer.deadline(), None);
}

#[test]
fn a_timer_that_is_off_has_neither() {
    let mut timer = armed(100);
    timer.set_ctl(0);
    assert_eq!(timer.ctl(200), 0);
    assert!(!timer.output(200));
    assert_eq!(timer.deadline(), None);
}

#[test]
fn status_and_reserved_bits_of_ctl_are_not_writable() {
    let mut timer = PhysicalTimer::default();
    timer.set_cval(u64::MAX);
    timer.set_ctl(u64::MAX);
    assert_eq!(timer.ctl(0), CTL_ENABLE | CTL_IMASK);
}

#[test]
fn tval_is_a_signed_distance() {
    let mut timer = PhysicalTimer::default();
    timer.set_tval(1_000, 24);
    assert_eq!((timer.cval(), timer.tval(1_000)), (1_024, 24));
    timer.set_tval(1_000, 0xffff_ffff);
    assert_eq!((timer.cval(), timer.tval(1_000)), (999, 0xffff_ffff));
    timer.set_tval(1_000, 0xdead_beef_0000_0001);
    assert_eq!(timer.cval(), 1_001);
}

#[test]
fn tval_wraps_with_the_counter() {
    let mut timer = PhysicalTimer::default();
    timer.set_tval(u64::MAX, 2);
    assert_eq!(timer.cval(), 1);
    timer.set_tval(0, 0x8000_0000);
    assert_eq!(timer.cval(), 0xffff_ffff_8000_0000);
    assert_eq!(timer.tval(5), 0x7fff_fffb);
}

#[test]
fn saved_virtual_timer_is_due_at_its_count_plus_the_offset() {
    assert_eq!(virtual_deadline(1_500, CTL_ENABLE, 800, 1_000), Some(1_800));
    assert_eq!(virtual_deadline(1_900, CTL_ENABLE, 800, 1_000), Some(1_900));
    assert_eq!(virtual_deadline(1_500, CTL_ENABLE | CTL_ISTATUS, 0, 1_000), Some(1_500));
}

#[test]
fn saved_virtual_timer_that_is_off_masked_or_at_infinity_is_never_due() {
    assert_eq!(virtual_deadline(1_500, 0, 0, 0), None);
    assert_eq!(virtual_deadline(1_500, CTL_ENABLE | CTL_IMASK, 0, 0), None);
    assert_eq!(virtual_deadline(1_500, CTL_ENABLE, u64::MAX, 1_000), None);
}
