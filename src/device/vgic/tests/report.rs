//! What a person is told of a vCPU's interrupts.

use std::string::String;

use super::*;

fn said(vgic: &Vgic, vcpu: usize) -> Vec<String> {
    let mut out = String::new();
    for part in 0..vgic.report_parts() {
        vgic.report(vcpu, part, &mut out).expect("a String takes all");
    }
    out.lines().map(String::from).collect()
}

#[test]
fn what_is_where_is_told() {
    let (mut vgic, mut ci) = machine(2, 1);
    // One list register, three interrupts: one is active in it, two wait.
    let _ = sgi(&mut vgic, &mut ci[0], 3, 0b10);
    let _ = vgic.deliver(1, &mut ci[1]);
    assert_eq!(ci[1].acknowledge(), Some(3));
    settle(&mut vgic, 1, &mut ci[1]);
    let _ = vgic.set_level(1, 20, true);
    // SPI 40 is routed to vCPU 0, and SPI 41 to vCPU 1.
    let _ = write(&mut vgic, &mut ci[0], 0x6000 + 8 * 41, 1);
    let _ = vgic.set_level(0, 40, true);
    let _ = vgic.set_level(0, 41, true);
    let of_1 = said(&vgic, 1);
    assert!(
        of_1[0].starts_with(", loaded; list registers in use: 0; ICH_HCR_EL2 as last written 0x")
    );
    assert!(of_1[0].contains(" En "), "{of_1:?}");
    let has = |lines: &[String], wanted: &str| lines.iter().any(|line| line == wanted);
    for wanted in [
        "  LR0, written as pending: INTID 3, SGI, priority 0x00, Group 1, edge, enabled",
        "  pending: INTID 20, PPI, priority 0x00, Group 1, level, enabled, line high",
        "  pending: INTID 41, SPI, priority 0x00, Group 1, level, enabled, line high",
    ] {
        assert!(has(&of_1, wanted), "{wanted} in {of_1:#?}");
    }
    assert!(!of_1.iter().any(|line| line.contains("INTID 40, ")), "{of_1:#?}");
    let enabled = of_1.last().expect("a last line");
    assert!(enabled.starts_with("  enabled for it: INTID 0, 1, 2, "), "{enabled}");
    assert!(enabled.ends_with(", 31, 41"), "{enabled}");
    let of_0 = said(&vgic, 0);
    assert!(of_0.iter().any(|line| line.contains("INTID 40, SPI")), "{of_0:#?}");
}

#[test]
fn out_of_reset_there_is_nothing() {
    let vgic = Vgic::new(&PLAIN[..1], 32);
    let wanted = [
        ", not loaded; list registers in use: none; ICH_HCR_EL2 as last written 0x0",
        "  no interrupt is enabled for it",
    ];
    assert_eq!(said(&vgic, 0), wanted);
    assert!(said(&vgic, 7).len() <= 1);
}
