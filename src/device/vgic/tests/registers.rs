//! What the registers read as, and that no access can do harm.

use super::*;
use proptest::prelude::*;

fn redist(vgic: &mut Vgic, ci: &Hardware, frame: usize, offset: u64, size: u32) -> u64 {
    vgic.redist_read(0, frame, offset, size, ci).0
}

#[test]
fn identification_is_that_of_a_gicv3() {
    let (mut vgic, ci) = machine(1, 4);
    assert_eq!(read(&mut vgic, &ci[0], 0x4), 1 << 24 | 9 << 19 | 2);
    assert_eq!(read(&mut vgic, &ci[0], 0x8), 0x43b);
    assert_eq!(read(&mut vgic, &ci[0], 0xc), 0);
    assert_eq!(read(&mut vgic, &ci[0], 0xffe8), 0x3b);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x4, 4), 0x43b);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0xffe8, 4), 0x3b);
    assert_eq!(read(&mut vgic, &ci[0], 0xfff0), 0x0d);
}

#[test]
fn ctlr_has_one_security_state_and_affinity_routing() {
    let (mut vgic, mut ci) = machine(1, 4);
    assert_eq!(read(&mut vgic, &ci[0], 0), 0x53);
    let _ = write(&mut vgic, &mut ci[0], 0, 0);
    assert_eq!(read(&mut vgic, &ci[0], 0), 0x50);
    let _ = write(&mut vgic, &mut ci[0], 0, u64::MAX);
    assert_eq!(read(&mut vgic, &ci[0], 0), 0x53);
}

#[test]
fn redistributors_tell_affinity_number_and_which_is_the_last() {
    for affinities in [&PLAIN[..3], &ODD] {
        let (mut vgic, ci) = machine_of(affinities, 4);
        for (frame, rest) in [(0, 0), (1, 1 << 8), (2, 2 << 8 | 1 << 4)] {
            let affinity = u64::from(affinities[frame]);
            assert_eq!(redist(&mut vgic, &ci[0], frame, 8, 8), affinity << 32 | rest);
            assert_eq!(redist(&mut vgic, &ci[0], frame, 8, 4), rest);
            assert_eq!(redist(&mut vgic, &ci[0], frame, 12, 4), affinity);
        }
    }
}

#[test]
fn what_never_changes_is_known_without_the_lock() {
    let (mut vgic, ci) = machine(3, 4);
    for frame in [Frame::Dist, Frame::Redist(0), Frame::Redist(2)] {
        for (offset, size) in [(4, 4), (8, 4), (8, 8), (4, 8), (0, 4), (12, 4), (4, 1)] {
            let read = vgic.read(0, frame, offset, size, &ci[0]).0;
            if let Some(known) = typer(frame, offset, size, &PLAIN[..3], 64) {
                assert_eq!(known, read, "{frame:?} {offset:#x}");
            }
        }
    }
    assert_eq!(typer(Frame::Dist, 4, 4, &ODD, 64), Some(1 << 24 | 9 << 19 | 2));
    assert_eq!(typer(Frame::Redist(2), 8, 8, &ODD, 64), Some(0x2_0301 << 32 | 2 << 8 | 1 << 4));
}

#[test]
fn the_most_spis_that_there_can_be_reach_their_vcpu() {
    let mut vgic = Vgic::new(&PLAIN[..2], MAX_SPIS);
    let mut ci = Hardware::new(4);
    vgic.load(0, &mut ci);
    assert_eq!(read(&mut vgic, &ci, 0x4) & 31, 30);
    let _ = write(&mut vgic, &mut ci, 0, 3);
    let _ = write(&mut vgic, &mut ci, 0x100 + 4 * 30, 1 << 31);
    assert_eq!(vgic.set_level(0, 991, true), Effects::of(0));
    let _ = vgic.deliver(0, &mut ci);
    assert_eq!(ci.acknowledge(), Some(991));
    assert_eq!(vgic.set_level(0, 992, true), Effects::NONE);
}

#[test]
fn waker_follows_at_once() {
    let (mut vgic, mut ci) = machine(1, 4);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x14, 4), 6);
    let _ = vgic.redist_write(0, 0, 0x14, 4, 0, &mut ci[0]);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x14, 4), 0);
    let _ = vgic.redist_write(0, 0, 0x14, 4, u64::MAX, &mut ci[0]);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x14, 4), 6);
}

#[test]
fn priorities_have_five_bits_and_bytes() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = write(&mut vgic, &mut ci[0], 0x420, 0xffff_ffff);
    assert_eq!(read(&mut vgic, &ci[0], 0x420), 0xf8f8_f8f8);
    let _ = vgic.dist_write(0, 0x421, 1, 0x45, &mut ci[0]);
    assert_eq!(read(&mut vgic, &ci[0], 0x420), 0xf8f8_40f8);
    assert_eq!(vgic.dist_read(0, 0x421, 1, &ci[0]).0, 0x40);
    let _ = vgic.redist_write(0, 0, 0x1_041c, 4, 0x1020_3040, &mut ci[0]);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x1_041f, 1), 0x10);
}

#[test]
fn configuration_of_sgis_is_fixed_and_of_others_one_bit() {
    let (mut vgic, mut ci) = machine(1, 4);
    for value in [0, u64::MAX] {
        let _ = vgic.redist_write(0, 0, 0x1_0c00, 4, value, &mut ci[0]);
        assert_eq!(redist(&mut vgic, &ci[0], 0, 0x1_0c00, 4), 0xaaaa_aaaa);
    }
    let _ = vgic.redist_write(0, 0, 0x1_0c04, 4, u64::MAX, &mut ci[0]);
    assert_eq!(redist(&mut vgic, &ci[0], 0, 0x1_0c04, 4), 0xaaaa_aaaa);
    let _ = write(&mut vgic, &mut ci[0], 0xc0c, 0x8000_0009);
    assert_eq!(read(&mut vgic, &ci[0], 0xc0c), 0x8000_0008);
    assert_eq!(read(&mut vgic, &ci[0], 0xc08), 0);
}

#[test]
fn routes_are_written_whole_and_in_halves() {
    let (mut vgic, mut ci) = machine(1, 4);
    let at = 0x6000 + 8 * 32;
    let _ = vgic.dist_write(0, at, 8, u64::MAX, &mut ci[0]);
    assert_eq!(vgic.dist_read(0, at, 8, &ci[0]).0, 0xff_80ff_ffff);
    let _ = vgic.dist_write(0, at, 4, 1, &mut ci[0]);
    let _ = vgic.dist_write(0, at + 4, 4, 0x1_02, &mut ci[0]);
    assert_eq!(vgic.dist_read(0, at, 8, &ci[0]).0, 2 << 32 | 1);
    assert_eq!(vgic.dist_read(0, at + 4, 4, &ci[0]).0, 2);
}

#[test]
fn registers_of_the_private_banks_and_past_the_last_are_not_in_the_distributor() {
    let (mut vgic, mut ci) = machine(1, 4);
    let before = vgic.clone();
    for (offset, size) in [
        (0x80, 4),
        (0x100, 4),
        (0x10c, 4),
        (0x17c, 4),
        (0x400, 4),
        (0x41f, 1),
        (0x460, 4),
        (0xc00, 4),
        (0xc18, 4),
        (0x6000, 8),
        (0x6000 + 8 * 96, 8),
        (0x7fd8, 8),
        // SETSPI_NSR, IGRPMODR, NSACR, SGIR, INMIR.
        (0x40, 4),
        (0xd04, 4),
        (0xe08, 4),
        (0xf00, 4),
        (0xf84, 4),
    ] {
        let _ = vgic.dist_write(0, offset, size, u64::MAX, &mut ci[0]);
        assert_eq!(vgic.dist_read(0, offset, size, &ci[0]).0, 0, "{offset:#x}");
    }
    assert_eq!(vgic, before);
}

#[test]
fn accesses_of_a_wrong_size_or_alignment_read_as_zero_and_do_nothing() {
    let (mut vgic, mut ci) = machine(1, 4);
    let before = vgic.clone();
    for (offset, size) in [
        (0x4, 1),
        (0x4, 8),
        (0x104, 1),
        (0x104, 2),
        (0x104, 8),
        (0x106, 4),
        (0x422, 2),
        (0x421, 4),
        (0x420, 8),
        (0x6102, 8),
        (0x6101, 4),
        (0xffe9, 4),
    ] {
        let _ = vgic.dist_write(0, offset, size, u64::MAX, &mut ci[0]);
        assert_eq!(vgic.dist_read(0, offset, size, &ci[0]).0, 0, "{offset:#x}");
    }
    assert_eq!(vgic, before);
}

#[test]
fn set_and_clear_registers_read_alike() {
    let (mut vgic, mut ci) = machine(1, 4);
    let _ = write(&mut vgic, &mut ci[0], 0x188, 0xf0);
    for offset in [0x108, 0x188] {
        assert_eq!(read(&mut vgic, &ci[0], offset), 0xffff_ff0f);
    }
    let _ = write(&mut vgic, &mut ci[0], 0x208, 0xff);
    let _ = write(&mut vgic, &mut ci[0], 0x288, 0x3);
    for offset in [0x208, 0x288] {
        assert_eq!(read(&mut vgic, &ci[0], offset), 0xfc);
    }
    let _ = write(&mut vgic, &mut ci[0], 0x308, 0x30);
    let _ = write(&mut vgic, &mut ci[0], 0x388, 0x10);
    for offset in [0x308, 0x388] {
        assert_eq!(read(&mut vgic, &ci[0], offset), 0x20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any access whatever: no panic, no endless attention, no storm, and nothing is left when
    /// the VM is reset.
    #[test]
    fn no_access_does_harm(
        vcpus in 1..4usize,
        lrs in prop::sample::select(&[1usize, 4, 16][..]),
        accesses in prop::collection::vec(
            (0..4usize, any::<bool>(), any::<bool>(), offset(), size(), any::<u64>(), 0..6usize),
            1..if cfg!(miri) { 12 } else { 200 },
        ),
    ) {
        let (mut vgic, mut ci) = machine(vcpus, lrs);
        for (who, dist, store, offset, size, value, frame) in accesses {
            let v = who % vcpus;
            let mut todo = match (dist, store) {
                (true, true) => vgic.dist_write(v, offset, size, value, &mut ci[v]),
                (true, false) => vgic.dist_read(v, offset, size, &ci[v]).1,
                (false, true) => vgic.redist_write(v, frame, offset, size, value, &mut ci[v]),
                (false, false) => vgic.redist_read(v, frame, offset, size, &ci[v]).1,
            };
            prop_assert!(!todo.contains(v));
            let _ = vgic.set_level(0, 32 + value as u32 % 64, store);
            for _ in 0..8 {
                for (v, ci) in ci.iter_mut().enumerate() {
                    todo |= vgic.deliver(v, ci);
                    if ci.maintenance() {
                        todo |= vgic.sync(v, ci);
                    }
                }
                if todo.is_empty() {
                    break;
                }
                todo = Effects::NONE;
            }
            prop_assert!(!ci.iter().any(Hardware::maintenance), "a storm");
            if let Some(intid) = ci[v].acknowledge() {
                ci[v].end(intid);
                settle(&mut vgic, v, &mut ci[v]);
            }
        }
        for (v, ci) in ci.iter_mut().enumerate() {
            let _ = vgic.put(v, ci);
            prop_assert!(ci.is_clear());
        }
        vgic.reset();
        prop_assert_eq!(vgic, Vgic::new(&PLAIN[..vcpus], 64));
    }
}

/// Offsets, most of them where registers are.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0..0x1000u64 / 4).prop_map(|n| 4 * n),
        4 => (0..0x1000u64 / 4).prop_map(|n| 0x1_0000 + 4 * n),
        2 => (0..0x2000u64 / 8).prop_map(|n| 0x6000 + 8 * n),
        1 => any::<u64>(),
        1 => 0..0x2_0000u64,
    ]
}

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![6 => Just(4u32), 2 => Just(1), 1 => Just(2), 1 => Just(8)]
}
