//! What gdb would say, packet by packet, to VMs that are a record of what was asked of them.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::debug::registers::Registers;
use crate::debug::slots::{Slots, Values};

/// Two VMs of two vCPUs; memory of a page at 0x1000, and nothing else.
struct Fake {
    log: Vec<String>,
    memory: Vec<u8>,
    breakpoints: BTreeMap<u64, Vec<u8>>,
    registers: [Registers; 2],
    stop: Option<Stop>,
}

impl Fake {
    fn range(va: u64, length: usize) -> core::ops::Range<usize> {
        let start = va.wrapping_sub(0x1000).min(0x1000) as usize;
        start..start.saturating_add(length).min(0x1000)
    }
}

impl Machine for Fake {
    fn attach(&mut self, vm: Option<usize>) -> Option<usize> {
        let vm = vm.unwrap_or(0);
        self.log.push(format!("attach {vm}"));
        (vm < 2).then_some(vm)
    }

    fn detach(&mut self) {
        self.log.push("detach".into());
    }

    fn kill(&mut self) {
        self.log.push("kill".into());
    }

    fn on(&self) -> u64 {
        0b11
    }

    fn name(&self) -> &str {
        "guest"
    }

    fn registers(&mut self, vcpu: usize, look: &mut dyn FnMut(&mut Registers)) -> bool {
        self.registers.get_mut(vcpu).map(look).is_some()
    }

    fn read(&mut self, _: usize, va: u64, into: &mut [u8]) -> usize {
        let found = &self.memory[Self::range(va, into.len())];
        into[..found.len()].copy_from_slice(found);
        found.len()
    }

    fn write(&mut self, _: usize, va: u64, bytes: &[u8]) -> usize {
        let place = &mut self.memory[Self::range(va, bytes.len())];
        place.copy_from_slice(&bytes[..place.len()]);
        place.len()
    }

    fn add_software(&mut self, va: u64) -> bool {
        self.breakpoints.insert(va, Vec::new());
        va < 0x2000
    }

    fn remove_software(&mut self, va: u64) {
        self.breakpoints.remove(&va);
    }

    fn count(&self, _: usize) -> usize {
        2
    }

    fn load(&mut self, values: &Values) {
        self.log.push(format!("load {:x?} {:x?}", &values[1][..2], &values[3][..2]));
    }

    fn resume(&mut self, going: u64, stepping: u64) {
        self.log.push(format!("resume {going:x} {stepping:x}"));
    }

    fn stop(&mut self) {
        self.log.push("stop".into());
        self.stop = Some(Stop::Told);
    }

    fn poll(&mut self) -> Option<Stop> {
        self.stop.take()
    }
}

struct Gdb(Session<Fake>);

impl Gdb {
    fn new() -> Self {
        let memory = (0..0x1000).map(|at| at as u8).collect();
        let registers = [Registers::default(), Registers { pc: 0x1234, ..Registers::default() }];
        let (log, breakpoints) = (Vec::new(), BTreeMap::new());
        Gdb(Session::new(Fake { log, memory, breakpoints, registers, stop: None }))
    }

    fn raw(&mut self, bytes: &[u8]) -> String {
        bytes.iter().for_each(|byte| self.0.receive(*byte));
        self.heard()
    }

    fn heard(&mut self) -> String {
        let mut heard = String::new();
        self.0.send(|bytes| {
            heard = String::from_utf8_lossy(bytes).into_owned();
            bytes.len()
        });
        heard
    }

    /// Sends a packet; the answer without its frame.
    fn ask(&mut self, packet: &str) -> String {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        let answer = self.raw(format!("+${packet}#{sum:02x}").as_bytes());
        let answer = answer.strip_prefix('+').unwrap_or(&answer);
        let body = answer.strip_prefix('$').and_then(|rest| rest.rsplit_once('#'));
        body.map_or(String::new(), |(body, _)| body.into())
    }

    /// What gdb says when it connects.
    fn greet(&mut self) {
        assert!(self.ask("qSupported:multiprocess+;swbreak+;hwbreak+").contains("multiprocess+"));
    }

    fn log(&mut self) -> Vec<String> {
        core::mem::take(&mut self.0.target.machine.log)
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_plain_gdb_gets_the_first_vm_with_a_thread_for_each_vcpu() {
    let mut gdb = Gdb::new();
    gdb.greet();
    assert_eq!(gdb.log(), [] as [&str; 0], "nothing stops before gdb wants something");
    assert_eq!(gdb.ask("?"), "T05thread:p01.01;");
    assert_eq!(gdb.log(), ["attach 0"]);
    assert_eq!(gdb.ask("qfThreadInfo"), "mp01.01,p01.02");
    assert_eq!(gdb.ask("qThreadExtraInfo,p1.2"), hex("vCPU 1 of guest"));
    assert_eq!(gdb.ask("D;1"), "OK");
    assert_eq!(gdb.log(), ["detach"]);
}

#[test]
fn vms_are_processes_for_one_that_attaches_itself() {
    let mut gdb = Gdb::new();
    gdb.greet();
    assert_eq!(gdb.ask("!"), "OK");
    assert!(gdb.ask("?").starts_with("W00"));
    assert_eq!(gdb.log(), [] as [&str; 0]);
    assert_eq!(gdb.ask("vAttach;9"), "E79");
    assert_eq!(gdb.ask("vAttach;2"), "T05thread:p02.01;");
    assert_eq!(gdb.ask("D;2"), "OK");
    assert_eq!(gdb.ask("vAttach;1"), "T05thread:p01.01;");
    assert_eq!(gdb.ask("vKill;1"), "OK");
    assert_eq!(gdb.log(), ["attach 8", "attach 1", "detach", "attach 0", "kill", "detach"]);
}

#[test]
fn registers_and_memory_go_both_ways() {
    let mut gdb = Gdb::new();
    gdb.greet();
    gdb.ask("Hgp1.2");
    let all = gdb.ask("g");
    // x0 to x30, sp, pc, cpsr in 4 bytes, eleven of EL1's. (RLE: gdb's business.)
    let mut bytes = std::vec![0u8; 33 * 8 + 4 + 11 * 8];
    bytes[32 * 8] = 0x34;
    assert!(all.contains("3412"), "{all}");
    bytes[..8].copy_from_slice(&0x55u64.to_le_bytes());
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(gdb.ask(&format!("G{digits}")), "OK");
    assert_eq!(gdb.0.target.machine.registers[1].x[0], 0x55);
    assert_eq!(gdb.0.target.machine.registers[1].pc, 0x34);
    assert_eq!(gdb.0.target.machine.registers[0].x[0], 0);

    assert_eq!(gdb.ask("m1001,4"), "01020304");
    assert_eq!(gdb.ask("M1001,2:aabb"), "OK");
    assert_eq!(gdb.ask("m1000,4"), "00aabb03");
    assert_eq!(gdb.ask("m1ffe,4"), "feff", "as far as there is memory");
    assert_eq!(gdb.ask("m9000,4"), "E0e");
    assert_eq!(gdb.ask("M1fff,2:aabb"), "E0e");
}

#[test]
fn stops_are_told_with_their_reason() {
    let mut gdb = Gdb::new();
    gdb.greet();
    gdb.ask("?");
    assert_eq!(gdb.ask("Z0,1000,4"), "OK");
    assert_eq!(gdb.ask("Z0,8000,4"), "E16");
    assert_eq!(gdb.ask("Z1,1000,4"), "OK");
    assert_eq!(gdb.ask("Z2,1008,8"), "OK");
    assert_eq!(gdb.ask("Z2,1001,8"), "E16");
    assert_eq!(gdb.log()[1..], ["load [1e7, 0] [0, 0]", "load [1e7, 0] [1ff7, 0]"]);
    for (stop, wanted) in [
        (Stop::Software(1), "T05thread:p01.02;swbreak:;"),
        (Stop::Hardware(0), "T05thread:p01.01;hwbreak:;"),
        (Stop::Stepped(1), "T05thread:p01.02;"),
        (Stop::Watchpoint(1, 0x1004), "T05thread:p01.02;watch:1008;"),
        (Stop::Told, "T02thread:p01.01;"),
    ] {
        assert_eq!(gdb.ask("vCont;c:p1.-1"), "", "it runs");
        assert!(gdb.0.is_running());
        gdb.0.poll();
        assert_eq!(gdb.heard(), "", "nothing has stopped yet");
        gdb.0.target.machine.stop = Some(stop);
        gdb.0.poll();
        let told = gdb.heard();
        assert!(told.starts_with(&format!("${wanted}")), "{stop:?}: {told}");
        assert!(!gdb.0.is_running());
    }
    assert_eq!(gdb.ask("vCont;c"), "");
    gdb.0.target.machine.stop = Some(Stop::Off);
    gdb.0.poll();
    assert!(gdb.heard().starts_with("$W00"));
    assert_eq!(gdb.log().last().unwrap(), "detach");
}

#[test]
fn vcpus_go_on_and_step_as_gdb_says() {
    let mut gdb = Gdb::new();
    gdb.greet();
    gdb.ask("?");
    gdb.log();
    for (packet, wanted) in [
        ("vCont;c:p1.-1", "resume ffffffffffffffff 0"),
        ("vCont;s:p1.2;c:p1.-1", "resume ffffffffffffffff 2"),
        ("vCont;s:p1.1", "resume 1 1"),
        ("vCont;c:p1.2", "resume 2 0"),
    ] {
        gdb.ask(packet);
        assert_eq!(gdb.log(), [wanted], "{packet}");
        gdb.0.target.machine.stop = Some(Stop::Stepped(0));
        gdb.0.poll();
    }
    // Ctrl-C.
    gdb.ask("vCont;c");
    gdb.raw(b"\x03");
    gdb.0.poll();
    assert!(gdb.heard().starts_with("$T02"));
}

#[test]
fn another_gdb_begins_anew_whatever_the_last_one_was_at() {
    for before in ["?", "vCont;c", "m1000,"] {
        let mut gdb = Gdb::new();
        gdb.greet();
        gdb.ask("?");
        gdb.ask("Z1,1000,4");
        gdb.raw(format!("${before}").as_bytes());
        gdb.ask("vCont;c");
        gdb.greet();
        assert_eq!(gdb.log().last().unwrap(), "detach", "after {before}");
        assert_eq!(gdb.ask("?"), "T05thread:p01.01;");
        assert_eq!(gdb.0.target.slots, Slots::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any bytes, packets with good frames among them: it goes on, and the next gdb is served.
    #[test]
    fn garbage_harms_nobody(
        parts in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| (false, bytes)),
                "[a-zA-Z?!,;:.0-9-]{0,24}".prop_map(|text| (true, text.into_bytes())),
                "(m|M|G|P|Z0,|z2,|vCont;|qXfer:features:read:|H|T|X|vAttach;)[0-9a-f,:;scp.-]{0,24}"
                    .prop_map(|text| (true, text.into_bytes())),
            ],
            0..30,
        )
    ) {
        let mut gdb = Gdb::new();
        for (framed, bytes) in parts {
            if framed {
                let sum = bytes.iter().copied().fold(0u8, u8::wrapping_add);
                gdb.raw(b"$");
                gdb.raw(&bytes);
                gdb.raw(format!("#{sum:02x}").as_bytes());
            } else {
                gdb.raw(&bytes);
            }
            gdb.0.poll();
        }
        gdb.raw(&[b'$'; 1]);
        gdb.raw(&[b'x'; PACKET + 100]);
        gdb.greet();
        prop_assert_eq!(gdb.ask("?"), "T05thread:p01.01;");
    }
}
