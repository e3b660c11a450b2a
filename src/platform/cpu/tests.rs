use proptest::prelude::*;
use std::string::ToString;

use super::*;

fn cpu() -> Cpu {
    Cpu { id: [0; 64], midr: 0, ctr: 0x8444_c004, dczid: 4, ich_vtr: 0x9008_0003 }
}

fn registers() -> impl Strategy<Value = Registers> {
    proptest::collection::vec(any::<u64>(), 64).prop_map(|all| {
        let mut registers = [0; 64];
        registers.copy_from_slice(&all);
        registers
    })
}

fn config() -> ProptestConfig {
    let cases = if cfg!(miri) { 1 } else { 256 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_field_shows_more_than_the_cpu_has(own in registers()) {
        for (register, (&shown, &own)) in shown(&own).iter().zip(&own).enumerate() {
            for at in (0..64).step_by(4) {
                if FIXED.iter().any(|fixed| (fixed.0, fixed.1) == (register, at)) {
                    continue;
                }
                let (shown, own) = (field(shown, at), field(own, at));
                prop_assert!(shown == 0 || lesser(register, at, shown, own) == shown);
            }
        }
    }

    #[test]
    fn what_is_common_is_shown_by_both(a in registers(), b in registers()) {
        for register in 0..64 {
            let both = common(register, a[register], b[register]);
            prop_assert_eq!(both, common(register, b[register], a[register]));
            // Adding one of them again changes nothing.
            prop_assert_eq!(both, common(register, both, a[register]));
            prop_assert_eq!(a[register], common(register, a[register], a[register]));
        }
    }
}

#[test]
fn unknown_registers_and_fields_read_as_zero() {
    let shown = shown(&[u64::MAX; 64]);
    for register in [0, 1, 7, 11, 27, 29, 31, PFR1 + 1, PFR0 + 4, DFR0 + 1, MMFR2 + 1, 63] {
        assert_eq!(shown[register], 0, "{register}");
    }
    assert_eq!(shown[PFR1], 0xff);
    assert_eq!(shown[A32_DFR0] >> 24 & 0xf, 0);
}

#[test]
fn limits_and_fixed_fields_hold() {
    // A CPU with AArch32 at EL1, CSV2_3, 52 bits of address and LPA2 on 4 KiB and 16 KiB.
    let mut own = [0; 64];
    own[PFR0] = 3 << 56 | 0x22;
    own[MMFR0] = 1 << 28 | 2 << 20 | 6;
    let shown = shown(&own);
    assert_eq!(shown[PFR0], 1 << 56 | 1 << 24 | 0x12);
    assert_eq!(shown[MMFR0], 1 << 20 | 2);
    assert_eq!(shown[DFR0], 15 << 36);
}

#[test]
fn signed_fields_are_least_at_minus_one() {
    // AdvSIMD and FP: 15 is "none", 0 is there, 1 with half precision.
    assert_eq!(common(PFR0, 0xf << 20, 1 << 20), 0xf << 20);
    assert_eq!(common(PFR0, 0, 1 << 16), 0);
    // TGran4: none is shown as none, though the limit is 0.
    let mut own = [0; 64];
    own[MMFR0] = 15 << 28;
    assert_eq!(shown(&own)[MMFR0], 15 << 28);
    // All others are unsigned.
    assert_eq!(common(ISAR0, 15 << 4, 1 << 4), 1 << 4);
}

#[test]
fn two_algorithms_have_nothing_in_common() {
    assert_eq!(common(ISAR1, 1 << 4 | 2 << 44, 5 << 4 | 1 << 44), 1 << 44);
    assert_eq!(common(ISAR2, 3 << 12, 3 << 12), 3 << 12);
}

#[test]
fn equal_cpus_run_the_same_vcpus() {
    assert_eq!(cpu().check(&cpu()), Ok(()));
    let more = Cpu { ctr: 0x8444_c004 | 1 << 28, midr: 1, ..cpu() };
    assert_eq!(cpu().check(&more), Ok(()));
}

#[test]
fn a_cpu_that_lacks_what_a_vcpu_relies_on_is_refused_by_name() {
    let mut wide = cpu();
    wide.id[MMFR0] = 5;
    let refused = wide.check(&cpu()).unwrap_err().to_string();
    let wanted = "ID_AA64MMFR0_EL1.PARange: found 0x0, wanted 0x5 as on the first pCPU";
    assert_eq!(refused, wanted);
    assert_eq!(cpu().check(&wide), Ok(()));

    let mut others = [(); 6].map(|()| cpu());
    let names = ["PFR0_EL1.RAS", "PFR1_EL1.SME", "ISAR1", "DCZID", "DminLine", "ListRegs"];
    others[0].id[PFR0] = 2 << 28;
    others[1].id[PFR1] = 1 << 24;
    others[2].id[ISAR1] = 1 << 8;
    others[3].dczid = 3;
    others[4].ctr -= 1 << 16;
    others[5].ich_vtr -= 1;
    for (other, name) in others.iter().zip(names) {
        let refused = cpu().check(other).unwrap_err().to_string();
        assert!(refused.contains(name), "{refused}");
    }
}
