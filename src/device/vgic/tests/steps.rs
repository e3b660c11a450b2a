//! What can happen in the world of the property tests.

use super::ODD;
use proptest::prelude::*;
use std::vec::Vec;

/// One step of the world. Numbers are reduced to what exists.
#[derive(Clone, Debug)]
pub enum Step {
    /// The line of a PPI, of an SPI, of a virtual timer.
    Ppi(usize, u32, bool),
    Spi(u32, bool),
    Timer(usize, bool),
    Sgi(usize, u64),
    /// A register access, and what the guests of others do before they notice.
    Access(usize, Access, Vec<Own>),
    Mask(usize, u8, u8),
    Own(usize, Own),
    Load(usize),
    Put(usize),
}

/// What a guest does without an exit.
#[derive(Clone, Copy, Debug)]
pub enum Own {
    Acknowledge,
    End,
    /// The `n`th of those that wait for it, own ones and others' SPIs.
    Dir(usize),
}

/// A write of a register.
#[derive(Clone, Copy, Debug)]
pub enum Access {
    /// (register / 0x80, bank, bits).
    Bits(u64, usize, u32),
    Priority(u32, u8),
    Config(usize, u32),
    Route(u32, u64),
    Groups(u64),
    Sleep(usize, bool),
}

fn own() -> impl Strategy<Value = Own> {
    prop_oneof![
        6 => Just(Own::Acknowledge),
        4 => Just(Own::End),
        2 => (0..4usize).prop_map(Own::Dir),
    ]
}

fn access() -> impl Strategy<Value = Access> {
    let intid = || prop_oneof![0..8u32, 16..32u32, 32..40u32, 60..68u32];
    // Few bits most of the time, so that interrupts meet.
    let bits = || prop_oneof![4 => (0..32u32).prop_map(|i| 1 << i), 1 => any::<u32>()];
    prop_oneof![
        8 => (1..8u64, 0..3usize, bits()).prop_map(|(r, n, b)| Access::Bits(r, n, b)),
        2 => (intid(), priority()).prop_map(|(i, p)| Access::Priority(i, p)),
        1 => (0..6usize, any::<u32>()).prop_map(|(n, b)| Access::Config(n, b)),
        2 => (32..40u32, router()).prop_map(|(i, r)| Access::Route(i, r)),
        1 => prop_oneof![3 => Just(3u64), 1 => 0..4u64].prop_map(Access::Groups),
        1 => (0..3usize, any::<bool>()).prop_map(|(w, s)| Access::Sleep(w, s)),
    ]
}

fn router() -> impl Strategy<Value = u64> {
    let odd = prop::sample::select(&ODD[..]).prop_map(u64::from);
    prop_oneof![3 => 0..3u64, 3 => odd, 1 => Just(1 << 31), 1 => any::<u64>()]
}

fn priority() -> impl Strategy<Value = u8> {
    prop_oneof![Just(0x80u8), Just(0xa0), (0..32u8).prop_map(|p| p << 3)]
}

/// The fields of ICC_SGI1R_EL1 that say for whom it is.
fn sgi_targets() -> impl Strategy<Value = u64> {
    const CLUSTERS: [u64; 5] = [0, 1 << 16, 2 << 32 | 3 << 16, 1 << 40, 1 << 48];
    (prop::sample::select(&CLUSTERS[..]), 0..8u64).prop_map(|(cluster, list)| cluster | list)
}

pub fn step() -> impl Strategy<Value = Step> {
    let v = || 0..3usize;
    let meanwhile = || prop::collection::vec(own(), 0..4);
    prop_oneof![
        4 => (v(), 16..32u32, any::<bool>()).prop_map(|(v, i, l)| Step::Ppi(v, i, l)),
        4 => (32..72u32, any::<bool>()).prop_map(|(i, l)| Step::Spi(i, l)),
        4 => (v(), any::<bool>()).prop_map(|(v, h)| Step::Timer(v, h)),
        4 => (v(), 0..16u64, sgi_targets()).prop_map(|(v, i, t)| Step::Sgi(v, i << 24 | t)),
        15 => (v(), access(), meanwhile()).prop_map(|(v, a, m)| Step::Access(v, a, m)),
        1 => (v(), priority(), 0..4u8).prop_map(|(v, p, g)| Step::Mask(v, p, g)),
        24 => (v(), own()).prop_map(|(v, o)| Step::Own(v, o)),
        2 => v().prop_map(Step::Load),
        1 => v().prop_map(Step::Put),
    ]
}

/// Traffic of three SPIs that are pending again while they are active, and lead elsewhere by then.
pub fn few() -> impl Strategy<Value = Step> {
    let v = || 0..3usize;
    let intid = || 32..35u32;
    let access = prop_oneof![
        4 => (intid(), router()).prop_map(|(i, r)| Access::Route(i, r)),
        3 => (1..8u64, intid()).prop_map(|(r, i)| Access::Bits(r, 1, 1 << (i - 32))),
        1 => (intid(), priority()).prop_map(|(i, p)| Access::Priority(i, p)),
        1 => any::<u32>().prop_map(|b| Access::Config(2, b)),
        1 => (v(), any::<bool>()).prop_map(|(w, s)| Access::Sleep(w, s)),
    ];
    let meanwhile = prop::collection::vec(own(), 0..4);
    prop_oneof![
        6 => (intid(), any::<bool>()).prop_map(|(i, l)| Step::Spi(i, l)),
        6 => (v(), access, meanwhile).prop_map(|(v, a, m)| Step::Access(v, a, m)),
        12 => (v(), own()).prop_map(|(v, o)| Step::Own(v, o)),
        1 => v().prop_map(Step::Load),
        1 => v().prop_map(Step::Put),
    ]
}
