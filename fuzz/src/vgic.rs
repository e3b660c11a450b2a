//! The vGIC under guests that do as they please, against a GIC without list registers: the model,
//! the simulated CPU interface and the world of the property tests.

use crate::input::Input;
use hardware::Hardware;
use mezzanine::device::VIRTUAL_TIMER_INTID as TIMER;
use mezzanine::device::vgic::{CpuInterface, Effects, Frame, SgiRegister, Vgic, lr};
use steps::{Access, Own, Step};

#[path = "../../src/device/vgic/tests/hardware.rs"]
pub(crate) mod hardware;
#[path = "../../src/device/vgic/tests/model.rs"]
mod model;
#[path = "../../src/device/vgic/tests/property.rs"]
#[allow(unused_imports, dead_code, reason = "its property tests are not built here")]
mod property;
#[path = "../../src/device/vgic/tests/steps.rs"]
#[allow(dead_code, reason = "its strategies are for the property tests")]
mod steps;

/// Affinities that differ in all levels, as in the property tests.
const ODD: [u32; 3] = [0x2, 0x100, 0x2_0301];

/// Steps at most: what comes later says little more.
const MOST: usize = 300;

/// Takes the bytes for steps of the world.
pub fn run(data: &[u8]) {
    with(data, None);
}

/// The same, with list registers that lose what is pending of an interrupt.
fn with(data: &[u8], loses: Option<u32>) {
    let mut input = Input::new(data);
    let vcpus = 1 + input.below(3);
    let (late, eoi_mode) = (input.flag(), input.flag());
    let lrs = input.pick(if late { &[1, 2, 4][..] } else { &[1, 2, 4, 16] });
    let affinities = if input.flag() { ODD } else { [0, 1, 2] };
    let mut pcpu = Hardware::new(lrs);
    pcpu.loses = loses;
    let mut steps = Vec::new();
    while !input.is_empty() && steps.len() < MOST {
        steps.push((step(&mut input), late && input.flag()));
    }
    if late {
        property::loses_nothing(&affinities[..vcpus], pcpu, eoi_mode, steps);
    } else {
        let steps = steps.into_iter().map(|(step, _)| step).collect();
        property::agrees(&affinities[..vcpus], pcpu, eoi_mode, steps);
    }
}

fn step(input: &mut Input) -> Step {
    match input.below(16) {
        0 => Step::Ppi(input.below(3), 16 + input.below(16) as u32, input.flag()),
        1 => Step::Spi(32 + input.below(40) as u32, input.flag()),
        2 => Step::Timer(input.below(3), input.flag()),
        3 => {
            let (intid, targets, all) = (input.below(16), input.below(8), input.flag());
            let cluster = u64::from(input.pick(&[0, 0, ODD[1], ODD[2]]));
            let cluster = (cluster & 0xff_0000) << 16 | (cluster & 0xff00) << 8;
            let value = (intid as u64) << 24 | targets as u64 | cluster | u64::from(all) << 40;
            Step::Sgi(input.below(3), value)
        }
        4..8 => {
            let (vcpu, access) = (input.below(3), access(input));
            let count = input.below(8).saturating_sub(4);
            Step::Access(vcpu, access, (0..count).map(|_| own(input)).collect())
        }
        8 => Step::Mask(input.below(3), priority(input), input.u8() & 3),
        9 => Step::Load(input.below(3)),
        10 => Step::Put(input.below(3)),
        _ => Step::Own(input.below(3), own(input)),
    }
}

fn own(input: &mut Input) -> Own {
    match input.below(8) {
        0..4 => Own::Acknowledge,
        4..7 => Own::End,
        _ => Own::Dir(input.below(4)),
    }
}

fn access(input: &mut Input) -> Access {
    let intid = |input: &mut Input| {
        let all = [0..8u32, 16..32, 32..40, 60..68].into_iter().flatten();
        input.pick(&all.collect::<Vec<_>>())
    };
    match input.below(12) {
        0..6 => {
            let (register, bank) = (1 + input.below(7) as u64, input.below(3));
            let one = 1 << (input.u8() & 31);
            let bits = if input.below(5) == 0 { input.u32() } else { one };
            Access::Bits(register, bank, bits)
        }
        6 => Access::Priority(intid(input), priority(input)),
        7 => Access::Config(input.below(6), input.u32()),
        8 | 9 => {
            let near = input.below(6) as u64;
            let router = if near == 5 { input.u64() } else { near };
            let router = if near == 3 { input.pick(&ODD).into() } else { router };
            let router = if near == 4 { 1 << 31 } else { router };
            Access::Route(32 + input.below(8) as u32, router)
        }
        10 => Access::Groups(input.u8().into()),
        _ => Access::Sleep(input.below(3), input.flag()),
    }
}

fn priority(input: &mut Input) -> u8 {
    match input.u8() {
        any @ 0..128 => any << 3,
        128..192 => 0x80,
        _ => 0xa0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_interrupt_that_is_lost_is_found() {
        for intid in [3, TIMER, 36] {
            crate::bite::assert_bites("vgic", run, |data| with(data, Some(intid)));
        }
    }
}
