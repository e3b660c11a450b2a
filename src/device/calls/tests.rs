use super::code::*;
use super::*;

fn guest() -> Guest {
    Guest {
        affinities: [0, 1].into(),
        memory: [(0x4000_0000, 0x800_0000)].into(),
        mitigations: Mitigations::new(0, false, [-1; 3]),
        random: true,
        stolen_time: true,
    }
}

fn outcome(guest: &Guest, id: u64, x1: u64) -> Outcome {
    call(guest, [id, x1, 0, 0], || -> &mut Power { panic!("locked") })
}

fn value(guest: &Guest, id: u64, x1: u64) -> u64 {
    match outcome(guest, id, x1) {
        Outcome::Return(value) => value,
        other => panic!("{id:#x}: {other:?}"),
    }
}

const ARCH_FEATURES: u64 = 0x8000_0001;

#[test]
fn a_cpu_that_says_nothing_has_no_workarounds() {
    for workaround in [0x8000_8000, 0x8000_7fff, 0x8000_3fff] {
        assert_eq!(value(&guest(), ARCH_FEATURES, workaround), NOT_SUPPORTED);
        assert_eq!(value(&guest(), workaround, 0), NOT_SUPPORTED);
    }
}

#[test]
fn a_cpu_that_is_safe_needs_no_workaround() {
    let mut guest = guest();
    guest.mitigations = Mitigations::new(1, true, [0, 0, 0]);
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_8000), 1);
    assert_eq!(value(&guest, 0x8000_8000, 0), SUCCESS);
    assert_eq!(guest.mitigations.at_switch, Some(0x8000_3fff));
    // SSBS is what the guest has for the second; branch history is the firmware's to mitigate.
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_7fff), NOT_SUPPORTED);
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_3fff), 0);
    assert_eq!(outcome(&guest, 0x8000_3fff, 0), Outcome::Firmware(0x8000_3fff));

    guest.mitigations = Mitigations::new(3, true, [-1; 3]);
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_3fff), 1);
    assert_eq!(value(&guest, 0x8000_3fff, 0), SUCCESS);
    assert_eq!(guest.mitigations.at_switch, None);
}

#[test]
fn what_the_firmware_mitigates_goes_to_the_firmware() {
    let mut guest = guest();
    guest.mitigations = Mitigations::new(0, false, [0, 0, 1]);
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_8000), 0);
    assert_eq!(outcome(&guest, 0x8000_8000, 0), Outcome::Firmware(0x8000_8000));
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_3fff), 1);
    assert_eq!(outcome(&guest, 0x8000_3fff, 0), Outcome::Firmware(0x8000_3fff));
    assert_eq!(Mitigations::new(0, true, [0, -1, -1]).at_switch, Some(0x8000_8000));
    // The second is on for good: NOT_REQUIRED, and no call.
    assert_eq!(value(&guest, ARCH_FEATURES, 0x8000_7fff), -2i64 as u64);
    assert_eq!(value(&guest, 0x8000_7fff, 0), NOT_SUPPORTED);
}

#[test]
fn what_is_not_there_is_not_supported() {
    let nothing = Guest { random: false, stolen_time: false, ..guest() };
    for id in (0x8400_0050..0x8400_0060).chain([0xc400_0053, 0xc500_0020, 0xc500_0021]) {
        assert_eq!(value(&nothing, id, 0xc500_0021), NOT_SUPPORTED, "{id:#x}");
    }
    assert_eq!(value(&nothing, ARCH_FEATURES, 0xc500_0020), NOT_SUPPORTED);
    // Neither are other widths, yielding calls, and a vendor's.
    for id in [0xc400_0050, 0x0400_0050, 0x8500_0020, 0x4500_0020, 0x8600_ff01, 0xc000_0000] {
        assert_eq!(value(&guest(), id, 0), NOT_SUPPORTED, "{id:#x}");
    }
}

#[test]
fn random_numbers_are_announced_truthfully() {
    assert_eq!(value(&guest(), 0x8400_0050, 0), 0x1_0000);
    let is_there = |id| outcome(&guest(), id, 8) != Outcome::Return(NOT_SUPPORTED);
    for id in (0x8400_0050..0x8400_0060).chain(0xc400_0050..0xc400_0060) {
        // TRNG_FEATURES of an unknown function says the same as its absence would.
        let told = value(&guest(), 0x8400_0051, id) == SUCCESS;
        assert_eq!(told, is_there(id) || id == 0x8400_0051, "{id:#x}");
    }
    assert_eq!(outcome(&guest(), 0x8400_0053, 7), Outcome::Random(7, 32));
    assert_eq!(outcome(&guest(), 0xc400_0053, 192), Outcome::Random(192, 64));
    // The UUID is told by its first word from NOT_SUPPORTED.
    let Outcome::Four([first, ..]) = outcome(&guest(), 0x8400_0052, 0) else { panic!() };
    assert!(first < 0xffff_ffff);
}

#[test]
fn stolen_time_is_found_as_linux_looks_for_it() {
    assert_eq!(value(&guest(), ARCH_FEATURES, 0xc500_0020), SUCCESS);
    assert_eq!(value(&guest(), 0xc500_0020, 0xc500_0020), SUCCESS);
    assert_eq!(value(&guest(), 0xc500_0020, 0xc500_0021), SUCCESS);
    assert_eq!(value(&guest(), 0xc500_0020, 0xc500_0022), NOT_SUPPORTED);
    assert_eq!(outcome(&guest(), 0xc500_0021, 0), Outcome::StolenTime);
}
