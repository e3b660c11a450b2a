//! PSCI by several vCPUs that race, against a plain model: who is on, off, on its way.

use crate::input::Input;
use mezzanine::device::calls::{Guest, Mitigations, Outcome, call};
use mezzanine::device::psci::{Power, PowerState};

const RAM: (u64, u64) = (0x4000_0000, 0x800_0000);
const ROM: (u64, u64) = (0x400_0000, 0x1000);

/// Arm DEN0022, table 5-2: SUCCESS to INVALID_ADDRESS.
const SUCCESS: i64 = 0;
const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;
const ON_PENDING: i64 = -5;
const INVALID_ADDRESS: i64 = -9;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Is {
    Off,
    /// CPU_ON has said SUCCESS, and it has not begun.
    Starting,
    On,
    /// CPU_OFF was called, and its pCPU has not put it away.
    Leaving,
}

/// What a caller is to see.
#[derive(Debug, PartialEq)]
enum Answer {
    Value(i64),
    Starts(usize, u64, u64),
    Waits,
    Leaves,
    VmEnds(bool),
}

struct Model {
    vcpus: Vec<Is>,
}

impl Model {
    fn new(vcpus: usize) -> Self {
        let mut states = vec![Is::Off; vcpus];
        states[0] = Is::On;
        Self { vcpus: states }
    }

    /// Arm DEN0022, chapter 5, function by function.
    fn answer(&mut self, id: u32, [x1, x2, x3]: [u64; 3]) -> Answer {
        let (wide, number) = (id & 1 << 30 != 0, id & !(1 << 30));
        let [x1, x2, x3] = if wide { [x1, x2, x3] } else { [x1, x2, x3].map(|x| x & 0xffff_ffff) };
        let runs_at = |at: u64| {
            at.is_multiple_of(4)
                && [RAM, ROM].iter().any(|(base, size)| (*base..base + size).contains(&at))
        };
        Answer::Value(match (number, wide) {
            // VERSION of PSCI and of SMCCC.
            (0x8400_0000 | 0x8000_0000, false) => 0x1_0001,
            (0x8400_0001, _) if x1 as u32 & !0x1_ffff != 0 => INVALID_PARAMETERS,
            (0x8400_0001, _) if x1 & 0x1_0000 != 0 && !runs_at(x2) => INVALID_ADDRESS,
            (0x8400_0001, _) => return Answer::Waits,
            (0x8400_0002, false) => return Answer::Leaves,
            (0x8400_0003, _) => match self.vcpus.get(x1 as usize) {
                _ if x1 > 0xff => INVALID_PARAMETERS,
                None => INVALID_PARAMETERS,
                Some(_) if !runs_at(x2) => INVALID_ADDRESS,
                Some(Is::On | Is::Leaving) => ALREADY_ON,
                Some(Is::Starting) => ON_PENDING,
                Some(Is::Off) => {
                    self.vcpus[x1 as usize] = Is::Starting;
                    return Answer::Starts(x1 as usize, x2, x3);
                }
            },
            (0x8400_0004, _) => self.affinity_info(x1, x2),
            (0x8400_0006, false) => 2,
            (0x8400_0008, false) => return Answer::VmEnds(false),
            (0x8400_0009, false) => return Answer::VmEnds(true),
            (0x8400_000a, false) => {
                let wide = [1, 3, 4, 0x12];
                let narrow = [0, 1, 2, 3, 4, 6, 8, 9, 0xa, 0x12];
                let known = match x1 as u32 {
                    0x8000_0000 => true,
                    id @ 0x8400_0000..0x8400_0020 => narrow.contains(&(id & 0x1f)),
                    id @ 0xc400_0000..0xc400_0020 => wide.contains(&(id & 0x1f)),
                    _ => false,
                };
                if known { SUCCESS } else { NOT_SUPPORTED }
            }
            (0x8400_0012, _) => match x1 as i32 {
                0 => return Answer::VmEnds(true),
                1.. => INVALID_PARAMETERS,
                _ => NOT_SUPPORTED,
            },
            // SMCCC_ARCH_FEATURES of itself and of VERSION.
            (0x8000_0001, false) if matches!(x1 as u32, 0x8000_0000 | 0x8000_0001) => SUCCESS,
            _ => NOT_SUPPORTED,
        })
    }

    fn affinity_info(&self, target: u64, level: u64) -> i64 {
        // Aff0 is a vCPU's number; everything above it is 0, and does not count below the level.
        let lowest = match level {
            0 => 0,
            1 => 0xff,
            2 => 0xffff,
            3 => 0xff_ffff,
            _ => return INVALID_PARAMETERS,
        };
        let node = target & !lowest;
        let vcpus = match level {
            0 if node < self.vcpus.len() as u64 => &self.vcpus[node as usize..][..1],
            1.. if node == 0 => &self.vcpus[..],
            _ => return INVALID_PARAMETERS,
        };
        if vcpus.iter().any(|is| matches!(is, Is::On | Is::Leaving)) {
            0
        } else if vcpus.contains(&Is::Starting) {
            2
        } else {
            1
        }
    }
}

/// Takes the bytes for calls, and for who gets on with what it was told.
pub fn run(data: &[u8]) {
    with(data, |guest, args, power| call(guest, args, || power));
}

fn with(data: &[u8], call: impl Fn(&Guest, [u64; 4], &mut Power) -> Outcome) {
    let mut input = Input::new(data);
    let vcpus = 1 + input.below(16);
    let guest = Guest {
        affinities: (0..vcpus as u32).collect(),
        memory: vec![ROM, RAM],
        mitigations: Mitigations::new(0, false, [-1; 3]),
        random: false,
        stolen_time: false,
    };
    let (mut power, mut model) = (Power::new(), Model::new(vcpus));
    while !input.is_empty() {
        let vcpu = input.below(vcpus);
        match model.vcpus[vcpu] {
            Is::Starting => {
                power.started(vcpu);
                model.vcpus[vcpu] = Is::On;
            }
            Is::Leaving => {
                power.stopped(vcpu);
                model.vcpus[vcpu] = Is::Off;
            }
            // One of the others gets on later.
            Is::Off => {}
            Is::On => {
                let args = arguments(&mut input);
                let outcome = call(&guest, args, &mut power);
                let answer = model.answer(args[0] as u32, [args[1], args[2], args[3]]);
                assert_eq!(seen(outcome), answer, "vCPU {vcpu} calls {args:x?}");
                match answer {
                    Answer::Leaves => model.vcpus[vcpu] = Is::Leaving,
                    Answer::VmEnds(_) => (power, model) = (Power::new(), Model::new(vcpus)),
                    _ => {}
                }
            }
        }
        for (vcpu, is) in model.vcpus.iter().enumerate() {
            let state = match is {
                Is::Off => PowerState::Off,
                Is::Starting => PowerState::OnPending,
                Is::On | Is::Leaving => PowerState::On,
            };
            assert_eq!(power.state(vcpu), state, "vCPU {vcpu}");
        }
        assert_eq!(power.all_off(), model.vcpus.iter().all(|is| *is == Is::Off));
    }
}

fn seen(outcome: Outcome) -> Answer {
    match outcome {
        Outcome::Return(value) => Answer::Value(value as i64),
        Outcome::CpuOn { target, entry, context } => Answer::Starts(target, entry, context),
        Outcome::CpuOff => Answer::Leaves,
        Outcome::Suspend => Answer::Waits,
        Outcome::SystemOff => Answer::VmEnds(false),
        Outcome::SystemReset => Answer::VmEnds(true),
        other => panic!("{other:?}"),
    }
}

fn arguments(input: &mut Input) -> [u64; 4] {
    let id = match input.below(8) {
        // PSCI's own numbers, CPU_ON and CPU_OFF above all.
        0 | 1 => 0xc400_0003,
        2 => 0x8400_0002,
        3 | 4 => 0x8400_0000 | input.u8() as u32 & 0x1f,
        5 => 0xc400_0000 | input.u8() as u32 & 0x1f,
        6 => 0x8000_0000 | input.u8() as u32 & 1,
        _ => input.u32(),
    };
    let high = if input.below(8) == 0 { input.u64() << 32 } else { 0 };
    let x1 = match input.below(8) {
        0..6 => input.below(20) as u64,
        6 => input.near(&[0x1_0000, 0x8400_0000, 0xc400_0000, 0x8000_0000]),
        _ => input.u64(),
    };
    let x2 = match input.below(4) {
        0 => input.below(6) as u64,
        _ => input.near(&[RAM.0, RAM.0 + 0x8_0000, RAM.0 + RAM.1, ROM.0, ROM.0 + ROM.1]),
    };
    [high | u64::from(id), x1, x2, input.u64()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    #[test]
    fn two_that_both_start_a_vcpu_are_found() {
        assert_bites("psci", run, |data| {
            with(data, |guest, args, power| {
                let before = power.clone();
                let outcome = call(guest, args, || &mut *power);
                // CPU_ON forgets that the vCPU is on its way.
                if matches!(outcome, Outcome::CpuOn { .. }) {
                    *power = before;
                }
                outcome
            });
        });
    }

    #[test]
    fn an_entry_outside_of_memory_is_found() {
        assert_bites("psci", run, |data| {
            with(data, |guest, args, power| {
                let wide = Guest { memory: vec![(0, u64::MAX)], ..guest.clone() };
                call(&wide, args, || power)
            });
        });
    }
}
