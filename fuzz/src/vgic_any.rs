//! Any access to any offset of the vGIC's frames, of any size: no panic, no attention without end,
//! no storm of maintenance interrupts, and nothing left after a reset.

use crate::input::Input;
use crate::vgic::hardware::Hardware;
use mezzanine::device::vgic::{Effects, Frame, SgiRegister, Vgic};

const SPIS: usize = 64;
/// Accesses at most.
const MOST: usize = 400;

/// Takes the bytes for accesses.
pub fn run(data: &[u8]) {
    with(data, false);
}

/// The same, for a hypervisor that is deaf to maintenance interrupts or is not.
fn with(data: &[u8], deaf: bool) {
    let mut input = Input::new(data);
    let vcpus = 1 + input.below(4);
    let lrs = input.pick(&[1, 4, 16]);
    let affinities: Vec<u32> = (0..vcpus as u32).collect();
    let mut vgic = Vgic::new(&affinities, SPIS);
    let mut pcpus = vec![Hardware::new(lrs); vcpus];
    for (v, pcpu) in pcpus.iter_mut().enumerate() {
        vgic.load(v, pcpu);
    }
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let v = input.below(vcpus);
        let before = pcpus[v].vmcr;
        let effects = step(&mut vgic, &mut pcpus, v, &mut input);
        settle(&mut vgic, &mut pcpus, effects, deaf);
        assert_eq!(pcpus[v].vmcr, before, "ICH_VMCR_EL2 is the guest's");
    }
    for (v, pcpu) in pcpus.iter_mut().enumerate() {
        let _ = vgic.put(v, pcpu);
        assert!(pcpu.is_clear(), "something is left in the list registers");
    }
    vgic.reset();
    assert_eq!(vgic, Vgic::new(&affinities, SPIS));
}

fn step(vgic: &mut Vgic, pcpus: &mut [Hardware], v: usize, input: &mut Input) -> Effects {
    let what = input.below(8);
    match what {
        0..4 => {
            let frame = if input.flag() {
                Frame::Dist
            } else {
                Frame::Redist(input.below(pcpus.len() + 1))
            };
            let offset = offset(input);
            let size = input.pick(&[4, 1, 2, 8, 4, 4, 3, 0]);
            if what == 0 {
                return vgic.read(v, frame, offset, size, &pcpus[v]).1;
            }
            let effects = vgic.write(v, frame, offset, size, input.u64(), &mut pcpus[v]);
            assert!(!effects.contains(v));
            effects
        }
        4 => {
            let register =
                input.pick(&[SgiRegister::Sgi0r, SgiRegister::Sgi1r, SgiRegister::Asgi1r]);
            vgic.sgi(v, register, input.u64(), &mut pcpus[v])
        }
        5 => vgic.set_level(v, input.u16().into(), input.flag()),
        6 => vgic.dir(v, input.u16().into(), &mut pcpus[v]),
        _ => {
            if let Some(intid) = pcpus[v].acknowledge() {
                pcpus[v].end(intid);
            }
            Effects::NONE
        }
    }
}

/// Offsets, most of them where registers are.
fn offset(input: &mut Input) -> u64 {
    let kind = input.below(6);
    let number = u64::from(input.u16());
    match kind {
        0 | 1 => 4 * (number % 0x400),
        2 | 3 => 0x1_0000 + 4 * (number % 0x400),
        4 => 0x6000 + 8 * (number % 0x400),
        _ => number << 1 | input.u64(),
    }
}

/// Everybody comes out of its guest and goes back, as often as somebody has news.
fn settle(vgic: &mut Vgic, pcpus: &mut [Hardware], mut todo: Effects, deaf: bool) {
    for _ in 0..8 {
        for (v, pcpu) in pcpus.iter_mut().enumerate() {
            todo |= vgic.deliver(v, pcpu);
            if pcpu.maintenance() && !deaf {
                todo |= vgic.sync(v, pcpu);
            }
        }
        if todo.is_empty() {
            break;
        }
        todo = Effects::NONE;
    }
    assert!(!pcpus.iter().any(Hardware::maintenance), "a storm");
    assert!((0..pcpus.len()).all(|v| !vgic.awaits(v)), "somebody waits for ever");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maintenance_interrupt_that_nobody_handles_is_found() {
        crate::bite::assert_bites("vgic_any", run, |data| with(data, true));
    }
}
