//! A syndrome's fields, each with its bits, its value and what that means: the table of an exit.

use mezzanine::exit::esr::{Abort, Ec, Esr, SysRegAccess};

/// A field of ESR_EL2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The Arm ARM's name.
    pub name: &'static str,
    /// Its highest and lowest bit.
    pub bits: (u32, u32),
    /// Its value.
    pub value: u32,
    /// What the value means.
    pub words: String,
}

/// Names of a field's values, or a sentence for all of them.
type Words = fn(u32) -> String;

/// What the 16 bits of a call's or breakpoint's immediate are called.
const IMM16: [(&str, u32, u32, Words); 1] = [("imm16", 15, 0, |value| format!("#{value:#x}"))];

const WFX: [(&str, u32, u32, Words); 3] = [
    ("CV", 24, 24, |value| yes_no(value, "COND is valid", "COND is not valid")),
    ("COND", 23, 20, |value| if value == 14 { "always".into() } else { "a condition".into() }),
    ("TI", 1, 0, |value| ["WFI", "WFE", "WFIT", "WFET"][value as usize & 3].into()),
];

const SYSREG: [(&str, u32, u32, Words); 7] = [
    ("Op0", 21, 20, |_| String::new()),
    ("Op2", 19, 17, |_| String::new()),
    ("Op1", 16, 14, |_| String::new()),
    ("CRn", 13, 10, |_| String::new()),
    ("Rt", 9, 5, register),
    ("CRm", 4, 1, |_| String::new()),
    ("Direction", 0, 0, |value| yes_no(value, "read (MRS)", "write (MSR, SYS)")),
];

/// Valid only with ISV.
const SYNDROME: [(&str, u32, u32, Words); 5] = [
    ("SAS", 23, 22, |value| format!("{} byte{}", 1 << value, if value == 0 { "" } else { "s" })),
    ("SSE", 21, 21, |value| yes_no(value, "sign-extended", "not sign-extended")),
    ("SRT", 20, 16, register),
    ("SF", 15, 15, |value| yes_no(value, "a 64-bit register", "a 32-bit register")),
    ("AR", 14, 14, |value| yes_no(value, "acquire or release", "no ordering")),
];

const DATA_ABORT: [(&str, u32, u32, Words); 5] = [
    ("FnV", 10, 10, |value| yes_no(value, "FAR is not valid", "FAR is valid")),
    ("EA", 9, 9, |_| String::new()),
    ("CM", 8, 8, |value| yes_no(value, "cache maintenance", "a load or store")),
    ("S1PTW", 7, 7, walk),
    ("WnR", 6, 6, |value| yes_no(value, "a write", "a read")),
];

const FETCH_ABORT: [(&str, u32, u32, Words); 3] = [
    ("FnV", 10, 10, |value| yes_no(value, "FAR is not valid", "FAR is valid")),
    ("EA", 9, 9, |_| String::new()),
    ("S1PTW", 7, 7, walk),
];

/// The fields of a syndrome, from the highest down (Arm DDI 0487, ESR_EL2).
pub fn of(esr: Esr) -> Vec<Field> {
    let bits = esr.bits() as u32;
    let field = |(name, high, low, words): (&'static str, u32, u32, Words)| {
        let value = (u64::from(bits) >> low & ((1 << (high - low + 1)) - 1)) as u32;
        Field { name, bits: (high, low), value, words: words(value) }
    };
    let class: (&str, u32, u32, Words) = ("EC", 31, 26, |value| Ec(value as u8).name().into());
    let length: (&str, u32, u32, Words) =
        ("IL", 25, 25, |value| yes_no(value, "4 bytes", "2 bytes"));
    let mut fields = vec![field(class), field(length)];
    match esr.ec() {
        Ec::WFX => fields.extend(WFX.map(field)),
        Ec::HVC64 | Ec::SMC64 | Ec::SVC64 | Ec::BRK => fields.extend(IMM16.map(field)),
        Ec::SYSREG => {
            fields.extend(SYSREG.map(field));
            let register = SysRegAccess::new(esr).register();
            fields[2].words = register.to_string();
        }
        Ec::DATA_ABORT_LOWER => {
            let valid: (&str, u32, u32, Words) =
                ("ISV", 24, 24, |value| yes_no(value, "bits 23:14 are valid", "no syndrome"));
            fields.push(field(valid));
            if bits >> 24 & 1 == 1 {
                fields.extend(SYNDROME.map(field));
            }
            fields.extend(DATA_ABORT.map(field));
            fields.push(status("DFSC", esr));
        }
        Ec::INSTRUCTION_ABORT_LOWER => {
            fields.extend(FETCH_ABORT.map(field));
            fields.push(status("IFSC", esr));
        }
        _ => fields.push(field(("ISS", 24, 0, |_| String::new()))),
    }
    fields
}

/// The fault status code of an abort.
fn status(name: &'static str, esr: Esr) -> Field {
    let words = Abort::new(esr).fault().to_string();
    Field { name, bits: (5, 0), value: esr.iss() & 0x3f, words }
}

fn register(value: u32) -> String {
    if value == 31 { "the zero register".into() } else { format!("x{value}") }
}

fn walk(value: u32) -> String {
    yes_no(value, "on a stage-1 table walk", "on the access itself")
}

fn yes_no(value: u32, yes: &str, no: &str) -> String {
    if value == 0 { no.into() } else { yes.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::{HVC, STORE};

    fn words(esr: u32, name: &str) -> String {
        let fields = of(Esr::new(esr.into()));
        let field = fields.iter().find(|field| field.name == name).unwrap();
        format!("{:#x} {}", field.value, field.words)
    }

    #[test]
    fn fields_are_those_of_the_class() {
        assert_eq!(words(STORE, "EC"), "0x24 data abort from a lower EL");
        assert_eq!(words(STORE, "SAS"), "0x2 4 bytes");
        assert_eq!(words(STORE, "SRT"), "0x1 x1");
        assert_eq!(words(STORE, "WnR"), "0x1 a write");
        assert_eq!(words(STORE, "DFSC"), "0x7 translation fault level 3");
        assert_eq!(words(HVC, "imm16"), "0x0 #0x0");
        // MSR ICC_SGI1R_EL1, x2: Op0 3, Op1 0, CRn 12, CRm 11, Op2 5.
        let esr = 0x18 << 26 | 1 << 25 | 3 << 20 | 5 << 17 | 12 << 10 | 2 << 5 | 11 << 1;
        assert_eq!(words(esr, "Op0"), "0x3 ICC_SGI1R_EL1");
        assert_eq!(words(esr, "Rt"), "0x2 x2");
    }

    /// Bits of an abort without a syndrome mean nothing.
    #[test]
    fn what_is_not_valid_is_not_shown() {
        let fields = of(Esr::new(u64::from(STORE & !(1 << 24))));
        assert!(fields.iter().all(|field| field.name != "SAS"));
        assert!(fields.iter().any(|field| field.name == "DFSC"));
    }
}
