//! A vCPU's registers as gdb has them, and their description for it.

use gdbstub::arch;

/// The architecture, for the crate.
#[derive(Debug)]
pub enum Aarch64 {}

impl arch::Arch for Aarch64 {
    type Usize = u64;
    type Registers = Registers;
    type BreakpointKind = usize;
    type RegId = ();

    fn target_description_xml() -> Option<&'static str> {
        Some(DESCRIPTION)
    }
}

macro_rules! described {
    (core: $($core:literal)*; el1: $($name:literal)*;) => {
        /// gdb's target description: its own core feature, and EL1's registers under their names.
        const DESCRIPTION: &str = concat!(
            r#"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">"#,
            "<architecture>aarch64</architecture>",
            r#"<feature name="org.gnu.gdb.aarch64.core">"#,
            $(r#"<reg name="x"#, $core, r#"" bitsize="64"/>"#,)*
            r#"<reg name="sp" bitsize="64" type="data_ptr"/>"#,
            r#"<reg name="pc" bitsize="64" type="code_ptr"/>"#,
            r#"<reg name="cpsr" bitsize="32"/></feature><feature name="mezzanine.el1">"#,
            $(r#"<reg name=""#, $name, r#"" bitsize="64" group="system"/>"#,)*
            "</feature></target>",
        );
    };
}

described! {
    core: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30;
    el1: "SCTLR_EL1" "TCR_EL1" "TTBR0_EL1" "TTBR1_EL1" "VBAR_EL1" "ESR_EL1" "FAR_EL1" "ELR_EL1"
        "SPSR_EL1" "SP_EL0" "TPIDR_EL1";
}

/// All of them, in the order of the description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer in use.
    pub sp: u64,
    /// The program counter.
    pub pc: u64,
    /// PSTATE as in SPSR_EL2.
    pub cpsr: u32,
    /// EL1's.
    pub el1: [u64; 11],
}

impl arch::Registers for Registers {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, mut write: impl FnMut(Option<u8>)) {
        let mut put = |bytes: &[u8]| bytes.iter().for_each(|byte| write(Some(*byte)));
        self.x.iter().chain([&self.sp, &self.pc]).for_each(|value| put(&value.to_le_bytes()));
        put(&self.cpsr.to_le_bytes());
        self.el1.iter().for_each(|value| put(&value.to_le_bytes()));
    }

    fn gdb_deserialize(&mut self, mut bytes: &[u8]) -> Result<(), ()> {
        for value in self.x.iter_mut().chain([&mut self.sp, &mut self.pc]) {
            *value = u64::from_le_bytes(take(&mut bytes)?);
        }
        self.cpsr = u32::from_le_bytes(take(&mut bytes)?);
        for value in &mut self.el1 {
            *value = u64::from_le_bytes(take(&mut bytes)?);
        }
        if bytes.is_empty() { Ok(()) } else { Err(()) }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], ()> {
    let (first, rest) = bytes.split_first_chunk().ok_or(())?;
    *bytes = rest;
    Ok(*first)
}
