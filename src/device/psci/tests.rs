use super::super::calls::{Mitigations, call};
use super::code::*;
use super::*;
use core::ops::Range;
use std::vec::Vec;

const RAM: Range<u64> = 0x4000_0000..0x4800_0000;
const ENTRY: u64 = 0x4008_0000;
const ROM: u64 = 0x400_0000;

struct Vm {
    guest: Guest,
    power: Power,
}

impl Vm {
    fn new(vcpus: u32) -> Self {
        Self::of((0..vcpus).collect())
    }

    fn of(affinities: Vec<u32>) -> Self {
        Self {
            guest: Guest {
                affinities,
                memory: [(ROM, 0x1000), (RAM.start, RAM.end - RAM.start)].into(),
                mitigations: Mitigations::new(0, false, [-1; 3]),
                random: false,
                stolen_time: false,
            },
            power: Power::new(),
        }
    }

    fn call(&mut self, args: [u64; 4]) -> Outcome {
        call(&self.guest, args, || &mut self.power)
    }

    fn value(&mut self, id: u64, x1: u64, x2: u64) -> u64 {
        match self.call([id, x1, x2, 0]) {
            Outcome::Return(value) => value,
            other => panic!("{id:#x}: {other:?}"),
        }
    }

    fn cpu_on(&mut self, target: u64, entry: u64) -> Outcome {
        self.call([0xc400_0003, target, entry, 0x1234])
    }
}

fn on(target: usize) -> Outcome {
    Outcome::CpuOn { target, entry: ENTRY, context: 0x1234 }
}

#[test]
fn versions_are_1_1() {
    let mut vm = Vm::new(1);
    assert_eq!(vm.value(0x8400_0000, 0, 0), 0x1_0001);
    assert_eq!(vm.value(0x8000_0000, 0, 0), 0x1_0001);
    assert_eq!(vm.value(0x8400_0006, 0, 0), 2);
}

#[test]
fn questions_without_state_do_not_take_the_lock() {
    let vm = Vm::new(1);
    let locked = || -> &mut Power { panic!("locked") };
    for id in [0x8400_0000, 0x8400_000a, 0x8000_0000, 0x8000_0001, 0xdead_beef] {
        let _ = call(&vm.guest, [id, 0, 0, 0], locked);
    }
}

#[test]
fn the_upper_half_of_x0_is_no_part_of_the_function() {
    assert_eq!(Vm::new(1).value(0xffff_ffff_8400_0000, 0, 0), 0x1_0001);
}

#[test]
fn one_of_several_calls_switches_a_cpu_on() {
    let mut vm = Vm::new(2);
    assert_eq!(vm.cpu_on(1, ENTRY), on(1));
    assert_eq!(vm.cpu_on(1, ENTRY), Outcome::Return(ON_PENDING));
    vm.power.started(1);
    assert_eq!(vm.cpu_on(1, ENTRY), Outcome::Return(ALREADY_ON));
    assert_eq!(vm.cpu_on(0, ENTRY), Outcome::Return(ALREADY_ON));
}

#[test]
fn a_cpu_that_is_going_off_is_on_until_it_has_stopped() {
    let mut vm = Vm::new(1);
    assert_eq!(vm.call([0x8400_0002, 0, 0, 0]), Outcome::CpuOff);
    assert_eq!(vm.cpu_on(0, ENTRY), Outcome::Return(ALREADY_ON));
    assert!(!vm.power.all_off());
    vm.power.stopped(0);
    assert!(vm.power.all_off());
    assert_eq!(vm.cpu_on(0, ENTRY), on(0));
}

#[test]
fn cpu_on_refuses_a_target_that_does_not_exist() {
    let mut vm = Vm::new(4);
    for target in [4, 16, 0x100, 0x1_0000, 0x8000_0001, 1 << 32, 1 << 40, u64::MAX] {
        let refused = Outcome::Return(INVALID_PARAMETERS);
        assert_eq!(vm.cpu_on(target, ENTRY), refused, "{target:#x}");
    }
    assert_eq!(vm.power, Power::new());
}

#[test]
fn cpu_on_refuses_an_entry_where_no_code_can_be() {
    let mut vm = Vm::new(2);
    for entry in [0, RAM.start - 4, RAM.end, ROM - 4, ROM + 0x1000, ENTRY + 2, !0, !3] {
        assert_eq!(vm.cpu_on(1, entry), Outcome::Return(INVALID_ADDRESS));
    }
    assert_eq!(vm.power, Power::new());
}

#[test]
fn cpu_on_takes_an_entry_in_any_memory() {
    for entry in [RAM.start, RAM.end - 4, ROM, ROM + 0xffc] {
        let outcome = Vm::new(2).cpu_on(1, entry);
        assert_eq!(outcome, Outcome::CpuOn { target: 1, entry, context: 0x1234 });
    }
}

#[test]
fn a_32_bit_call_uses_the_low_halves_of_its_arguments() {
    let mut vm = Vm::new(2);
    let high = 0xabcd_0000_0000_0000;
    let outcome = vm.call([0x8400_0003, high | 1, high | ENTRY, high | 0x1234]);
    assert_eq!(outcome, on(1));
}

#[test]
fn affinity_info_tells_every_state() {
    let mut vm = Vm::new(2);
    assert_eq!(vm.value(0xc400_0004, 0, 0), AFFINITY_ON);
    assert_eq!(vm.value(0xc400_0004, 1, 0), AFFINITY_OFF);
    vm.cpu_on(1, ENTRY);
    assert_eq!(vm.value(0xc400_0004, 1, 0), AFFINITY_ON_PENDING);
    vm.power.started(1);
    assert_eq!(vm.value(0x8400_0004, 1, 0), AFFINITY_ON);
}

#[test]
fn affinity_info_of_a_node_covers_its_cpus() {
    let mut vm = Vm::new(2);
    assert_eq!(vm.value(0xc400_0004, 0x55, 1), AFFINITY_ON);
    assert_eq!(vm.value(0xc400_0004, 0x5555, 2), AFFINITY_ON);
    assert_eq!(vm.value(0xc400_0004, 0x55_5555, 3), AFFINITY_ON);
    vm.power.stopped(0);
    assert_eq!(vm.value(0xc400_0004, 0, 1), AFFINITY_OFF);
    vm.cpu_on(1, ENTRY);
    assert_eq!(vm.value(0xc400_0004, 0, 3), AFFINITY_ON_PENDING);
}

#[test]
fn cpus_are_named_by_their_affinities() {
    let mut vm = Vm::of([0x1, 0x100, 0x101, 0x2_0301].into());
    for target in [0, 2, 0x102, 0x2_0300, 0x2_0101, 1 << 32 | 0x100] {
        assert_eq!(vm.cpu_on(target, ENTRY), Outcome::Return(INVALID_PARAMETERS), "{target:#x}");
        assert_eq!(vm.value(0xc400_0004, target, 0), INVALID_PARAMETERS, "{target:#x}");
    }
    assert_eq!(vm.cpu_on(0x1, ENTRY), Outcome::Return(ALREADY_ON));
    assert_eq!(vm.cpu_on(0x101, ENTRY), on(2));
    assert_eq!(vm.cpu_on(0x2_0301, ENTRY), on(3));
    vm.power.started(3);
    let nodes = [
        (0x1, 0, AFFINITY_ON),
        (0x100, 0, AFFINITY_OFF),
        (0x101, 0, AFFINITY_ON_PENDING),
        (0x07, 1, AFFINITY_ON),
        (0x1ff, 1, AFFINITY_ON_PENDING),
        (0x200, 1, INVALID_PARAMETERS),
        (0x2_0399, 1, AFFINITY_ON),
        (0x2_0100, 1, INVALID_PARAMETERS),
        (0xffff, 2, AFFINITY_ON),
        (0x2_ffff, 2, AFFINITY_ON),
        (0x1_0000, 2, INVALID_PARAMETERS),
        (0xff_ffff, 3, AFFINITY_ON),
        (1 << 32, 3, INVALID_PARAMETERS),
        (1 << 24, 3, INVALID_PARAMETERS),
    ];
    for (target, level, state) in nodes {
        assert_eq!(vm.value(0xc400_0004, target, level), state, "{target:#x} {level}");
    }
    vm.power.stopped(0);
    assert_eq!(vm.value(0xc400_0004, 0, 1), AFFINITY_OFF);
    assert_eq!(vm.value(0xc400_0004, 0, 2), AFFINITY_ON_PENDING);
    assert_eq!(vm.value(0xc400_0004, 0, 3), AFFINITY_ON);
}

#[test]
fn affinity_info_refuses_what_does_not_exist() {
    let mut vm = Vm::new(2);
    for (target, level) in [(2, 0), (0x100, 0), (0x100, 1), (1 << 40, 1), (0, 4), (0, u64::MAX)] {
        let answer = vm.value(0xc400_0004, target, level);
        assert_eq!(answer, INVALID_PARAMETERS, "{target:#x} {level}");
    }
}

#[test]
fn suspend_waits_and_reserved_bits_are_refused() {
    let mut vm = Vm::new(1);
    for state in [0, 1, 0xffff, 0x1_0000, 0xffff_ffff_0001_0000] {
        assert_eq!(vm.call([0xc400_0001, state, ENTRY, 0]), Outcome::Suspend);
    }
    for state in [0x2_0000, 1 << 24, 1 << 30, 1 << 31] {
        assert_eq!(vm.value(0x8400_0001, state, ENTRY), INVALID_PARAMETERS);
    }
    // A standby state has no entry point, a power-down state a good one.
    assert_eq!(vm.call([0xc400_0001, 0, 1, 0]), Outcome::Suspend);
    assert_eq!(vm.value(0xc400_0001, 0x1_0000, RAM.end), INVALID_ADDRESS);
}

#[test]
fn the_system_goes_off_and_resets() {
    let mut vm = Vm::new(1);
    assert_eq!(vm.call([0x8400_0008, 0, 0, 0]), Outcome::SystemOff);
    assert_eq!(vm.call([0x8400_0009, 0, 0, 0]), Outcome::SystemReset);
    for id in [0x8400_0012, 0xc400_0012] {
        assert_eq!(vm.call([id, 0, 7, 0]), Outcome::SystemReset);
        assert_eq!(vm.value(id, 1, 0), INVALID_PARAMETERS);
        assert_eq!(vm.value(id, 0x8000_0000, 0), NOT_SUPPORTED);
    }
}

/// What PSCI_FEATURES says of a function is true of the function.
#[test]
fn features_are_truthful() {
    for base in [0x8400_0000u64, 0xc400_0000] {
        for id in base..base + 0x40 {
            let mut vm = Vm::new(2);
            let known = vm.value(0x8400_000a, id, 0) == SUCCESS;
            let answered = vm.call([id, 0, 0, 0]) != Outcome::Return(NOT_SUPPORTED);
            // PSCI_FEATURES of function 0x0 is itself not supported, but answered.
            let features = id == 0x8400_000a;
            assert_eq!(known, answered || features, "{id:#x}");
        }
    }
    assert_eq!(Vm::new(1).value(0x8400_000a, 0x8000_0000, 0), SUCCESS);
}

#[test]
fn what_is_unknown_is_not_supported_in_either_width() {
    let mut vm = Vm::new(1);
    for id in [
        0,
        0x8400_0005, // MIGRATE
        0xc400_0000, // PSCI_VERSION has no 64-bit form
        0xc400_000e, // SYSTEM_SUSPEND
        0x8400_0050, // TRNG_VERSION
        0x8600_ff01, // vendor hypervisor UID
        0xc500_0020, // PV time
        0x8000_8000, // workaround 1
        0xffff_ffff,
    ] {
        assert_eq!(vm.value(id, 0, 0), u64::MAX, "{id:#x}");
    }
}
