//! Behaviour of the vGIC, with a simulated CPU interface that a guest would use.

mod hardware;
mod model;
mod property;

use super::*;
use hardware::Hardware;
use std::vec::Vec;

/// A VM whose groups, interrupts and vCPUs are all enabled, each vCPU on a pCPU of its own.
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

/// vCPU 0 writes a 32-bit register of the distributor.
fn write(vgic: &mut Vgic, ci: &mut Hardware, offset: u64, value: u64) -> Effects {
    vgic.dist_write(0, offset, 4, value, ci)
}

/// vCPU 0 reads a 32-bit register of the distributor.
fn read(vgic: &mut Vgic, ci: &Hardware, offset: u64) -> u64 {
    vgic.dist_read(0, offset, 4, ci).0
}

#[test]
fn sgi_to_self_is_signalled_before_the_next_entry() {
    let (mut vgic, mut ci) = machine(1, 4);
    let effects = vgic.sgi(0, SgiRegister::Sgi1r, 5 << 24 | 1, &mut ci[0]);
    assert_eq!(effects, Effects::NONE);
    assert_eq!(ci[0].acknowledge(), Some(5));
    ci[0].end(5);
    assert_eq!(ci[0].acknowledge(), None);
}

#[test]
fn typer_tells_the_spis() {
    let (mut vgic, ci) = machine(1, 4);
    assert_eq!(read(&mut vgic, &ci[0], 4), 1 << 24 | 9 << 19 | 2);
}
