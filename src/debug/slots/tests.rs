use super::*;

#[test]
fn a_breakpoint_is_for_el1_and_el0() {
    assert_eq!(breakpoint(0xffff_8000_0801_0003), (0xffff_8000_0801_0000, 0b1_1110_0111));
    // HMC, bit 13, and SSC, bits 15:14, would reach for EL2.
    assert_eq!(breakpoint(u64::MAX).1 >> 13 & 7, 0);
}

#[test]
fn a_watchpoint_selects_bytes() {
    // E, PAC 3; LSC 2 for stores; BAS from bit 5 on.
    assert_eq!(watchpoint(0x1000, 8, false, true), Some((0x1000, 7 | 2 << 3 | 0xff << 5)));
    assert_eq!(watchpoint(0x1004, 4, true, false), Some((0x1000, 7 | 1 << 3 | 0xf0 << 5)));
    assert_eq!(watchpoint(0x1007, 1, true, true), Some((0x1000, 7 | 3 << 3 | 0x80 << 5)));
    // MASK: 64 bytes.
    let wanted = Some((0x1040, 7 | 2 << 3 | 0xff << 5 | 6 << 24));
    assert_eq!(watchpoint(0x1040, 64, false, true), wanted);
}

#[test]
fn a_watchpoint_that_no_register_can_hold_is_refused() {
    for (va, length) in
        [(0x1001, 8), (0x1000, 0), (0x1000, 9), (0x1008, 16), (0, 1 << 32), (0, u64::MAX)]
    {
        assert_eq!(watchpoint(va, length, true, true), None, "{length} bytes at {va:#x}");
    }
}

#[test]
fn slots_are_taken_and_given_back() {
    let mut slots = Slots::default();
    assert!(slots.add(0, 2, breakpoint(0x1000)));
    assert!(slots.add(0, 2, breakpoint(0x2000)));
    assert!(!slots.add(0, 2, breakpoint(0x3000)), "there are two");
    assert!(slots.add(2, 1, (0x1000, 7)));
    assert!(!slots.remove(0, breakpoint(0x3000)));
    assert!(slots.remove(0, breakpoint(0x1000)));
    assert!(slots.add(0, 2, breakpoint(0x3000)));
    assert_eq!(slots.values[0][..3], [0x3000, 0x2000, 0]);
    assert_eq!(slots.values[3][0], 7);
}

#[test]
fn the_nearest_watchpoint_was_hit() {
    let mut slots = Slots::default();
    assert_eq!(slots.hit(0x1000), None);
    for (va, length, loads) in [(0x1004, 4, true), (0x2000, 0x100, false), (0x2110, 8, true)] {
        assert!(slots.add(2, 4, watchpoint(va, length, loads, true).unwrap()));
    }
    assert_eq!(slots.hit(0x1004), Some((0x1004, true, true)));
    // An access that begins before it.
    assert_eq!(slots.hit(0x1000), Some((0x1004, true, true)));
    assert_eq!(slots.hit(0x20fe), Some((0x2000, false, true)));
    assert_eq!(slots.hit(0x2110), Some((0x2110, true, true)));
}
