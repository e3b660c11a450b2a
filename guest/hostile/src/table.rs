//! The families of attacks, one line each: what the tests run, and what `make hostile` prints.

/// A family of attacks.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// From 1 on.
    pub number: u32,
    /// What the names of its variants begin with.
    pub name: &'static str,
    /// What it tries.
    pub title: &'static str,
}

const fn family(number: u32, name: &'static str, title: &'static str) -> Family {
    Family { number, name, title }
}

/// All of them.
pub const FAMILIES: [Family; 40] = [
    family(1, "id", "reads every ID register, unallocated ones too"),
    family(2, "pauth", "changes and uses pointer-authentication keys"),
    family(3, "pmu", "uses the performance monitors"),
    family(4, "debug", "sets breakpoints, watchpoints and steps where its neighbour runs"),
    family(
        5,
        "extensions",
        "uses AMU, SPE, TRBE, LOR, RAS, MPAM, SVE and SME, which it was not offered",
    ),
    family(6, "impdef", "writes ACTLR_EL1 and IMPLEMENTATION DEFINED registers"),
    family(7, "setway", "cleans and invalidates caches by set and way without end"),
    family(8, "unmap", "maintains caches while the memory is taken away"),
    family(9, "calls", "floods with SMC and HVC: reserved functions, any immediate"),
    family(10, "sleep", "sleeps with an interrupt pending, and with nothing that could wake it"),
    family(11, "wake", "sleeps until a timer that fires at the worst moment"),
    family(12, "sysregs", "holds patterns in system registers over a thousand switches"),
    family(13, "fp", "holds patterns in V registers, FPCR and FPSR over as many"),
    family(14, "cpuon", "starts one CPU from all others at once"),
    family(15, "psci", "makes PSCI calls with wrong targets and entry points"),
    family(16, "system", "switches off and resets from a secondary while its peers spin"),
    family(17, "sgi", "sends SGIs with every filter, list and range"),
    family(18, "gicmap", "reads and writes all of the GIC's frames, at every width"),
    family(19, "flood", "has more interrupts pending and active than list registers"),
    family(20, "flip", "disables, re-enables and ends interrupts that are active and pending"),
    family(21, "selfsgi", "sends itself all sixteen SGIs"),
    family(22, "sre", "uses the GIC's system registers where it turned them off"),
    family(23, "nosyndrome", "accesses devices by instructions that give no syndrome"),
    family(24, "walk", "walks tables that lie in a device, fetches instructions from one"),
    family(25, "straddle", "accesses across the ends of RAM and of devices, and unaligned"),
    family(26, "ipa", "uses addresses at the top and beyond, and one frame by two"),
    family(27, "width", "loads from devices with sign extension, into and from XZR"),
    family(28, "serror", "raises external aborts and SErrors"),
    family(29, "vectors", "takes exceptions with a bad stack, level or vector base"),
    family(30, "aarch32", "runs 32-bit code at EL0 and returns to a 32-bit EL1"),
    family(31, "asid", "runs CPUs with one ASID and different tables, and local TLBIs"),
    family(32, "split", "stores through a block while it is split"),
    family(33, "stale", "uses a mapping that a peer takes away"),
    family(34, "vmids", "is made and destroyed more often than there are VMIDs"),
    family(35, "scrub", "searches its memory for a predecessor's words"),
    family(36, "buffers", "passes bad buffers to hypercalls"),
    family(37, "shared", "rewrites what is being processed, and fights for a shared word"),
    family(38, "noise", "makes the hypervisor and the console print"),
    family(39, "forms", "comes with malformed descriptions, trees and images"),
    family(40, "storm", "takes a million traps a second, with a timer that is never served"),
];
