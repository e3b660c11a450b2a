use super::*;

fn at(ipa: u64) -> Target {
    route(Ipa::new(ipa), 2)
}

#[test]
fn every_device_is_found_from_its_first_to_its_last_byte() {
    assert_eq!(at(0x0800_0000), Target::Gic(Frame::Dist, 0));
    assert_eq!(at(0x0800_ffff), Target::Gic(Frame::Dist, 0xffff));
    assert_eq!(at(0x080a_0000), Target::Gic(Frame::Redist(0), 0));
    assert_eq!(at(0x080d_ffff), Target::Gic(Frame::Redist(1), 0x1_ffff));
    assert_eq!(at(0x0900_0000), Target::Uart(0));
    assert_eq!(at(0x0900_0fff), Target::Uart(0xfff));
}

#[test]
fn what_lies_between_and_beyond_is_no_device() {
    for ipa in [
        0,
        0x07ff_ffff,
        0x0801_0000,
        0x0809_ffff,
        0x080e_0000,
        0x08ff_ffff,
        0x0900_1000,
        0x4000_0000,
        u64::MAX,
    ] {
        assert_eq!(at(ipa), Target::None, "{ipa:#x}");
    }
}

#[test]
fn sixteen_redistributors_end_below_the_uart() {
    let last = GICR_BASE + vgic::MAX_VCPUS as u64 * GICR_STRIDE;
    assert!(last <= UART_BASE);
}
