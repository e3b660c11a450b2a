//! A TCG plugin for QEMU: counts every instruction that is executed, those of EL2 apart. At its end
//! QEMU prints `instructions: N, of EL2: M`. Its arguments:
//!
//! | argument | what it does |
//! |---|---|
//! | `profile=FILE` | writes there, for each instruction of EL2's image that was executed, a line `<offset in the image> <how often>` |
//! | `log=FILE` | writes there what was marked, and when: [`log`] |
//! | `vectors=OFFSET` | logs each visit to EL2: the offset in the image of the vector table |
//! | `first=OFFSET` | logs the first time that the instruction there is executed; as often as wanted |
//! | `linux` | counts, in all of this, only what lies between Linux's first instruction and that of its first process |
//!
//! The interface is QEMU's `include/qemu/qemu-plugin.h`, API version 1 (QEMU 4.2 to 7.2 and later,
//! as far as a QEMU still takes plugins of version 1). The counts are exact where QEMU runs its CPUs
//! by turns, as under `-icount` or `thread=single`.

mod log;
mod qemu;
mod window;

use qemu::Instruction;
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    fmt::Write,
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// The version of the interface that this plugin was written for; QEMU looks for the symbol.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

/// Mezzanine's own addresses (src/el2/layout.rs); no guest of ours runs at such.
const EL2: std::ops::Range<u64> = 0xff80_0000_0000..0xff82_0000_0000;

static ALL: AtomicU64 = AtomicU64::new(0);
static AT_EL2: AtomicU64 = AtomicU64::new(0);

/// Bytes of EL2's image that are told apart: more than its text has.
const IMAGE: usize = 2 << 20;
static EACH: [AtomicU64; IMAGE / 4] = [const { AtomicU64::new(0) }; IMAGE / 4];

/// What the arguments ask for.
#[derive(Debug, Default)]
struct Wanted {
    profile: Option<String>,
    log: Option<String>,
    vectors: Option<u64>,
    first: Vec<u64>,
    linux: bool,
}

static WANTED: OnceLock<Wanted> = OnceLock::new();

fn wanted() -> &'static Wanted {
    WANTED.get_or_init(Wanted::default)
}

impl Wanted {
    /// Takes one argument; an error says what was wanted.
    fn take(&mut self, argument: &str) -> Result<(), String> {
        let number = |text: &str| {
            text.parse().map_err(|_| format!("{argument}: a decimal offset in the image wanted"))
        };
        match argument.split_once('=') {
            Some(("profile", file)) => self.profile = Some(file.into()),
            Some(("log", file)) => self.log = Some(file.into()),
            Some(("vectors", offset)) => self.vectors = Some(number(offset)?),
            Some(("first", offset)) => self.first.push(number(offset)?),
            // QEMU itself gives a word without a value this one.
            Some(("linux", "on")) => self.linux = true,
            _ => {
                return Err(format!(
                    "{argument}: profile=, log=, vectors=, first= or linux wanted"
                ));
            }
        }
        Ok(())
    }
}

/// All instructions so far, and EL2's. In a callback: those ahead of the instruction that it is for.
fn counts() -> [u64; 2] {
    [&ALL, &AT_EL2].map(|count| count.load(Ordering::Relaxed))
}

/// A block is translated: each of its instructions is to be counted when it runs.
extern "C" fn on_translation(_: u64, block: *mut c_void) {
    let wanted = wanted();
    // SAFETY: QEMU calls this with a block that is valid during the call.
    for instruction in unsafe { Instruction::of(block) } {
        let address = instruction.address();
        instruction.count(&ALL);
        if EL2.contains(&address) {
            instruction.count(&AT_EL2);
            let offset = address - EL2.start;
            if let Some(one) = EACH.get(offset as usize / 4).filter(|_| wanted.profile.is_some()) {
                instruction.count(one);
            }
            log::in_el2(wanted, &instruction, offset);
        } else {
            log::elsewhere(wanted, &instruction);
        }
        if wanted.linux {
            window::watch(&instruction);
        }
    }
}

extern "C" fn at_exit(_: u64, _: *mut c_void) {
    let [all, at_el2] = window::counts(wanted(), counts());
    eprintln!("instructions: {all}, of EL2: {at_el2}");
    if let Some(file) = &wanted().profile {
        let each = EACH.iter().map(|one| one.load(Ordering::Relaxed)).collect();
        let mut text = String::new();
        for (index, count) in window::profile(wanted(), each).into_iter().enumerate() {
            if count > 0 {
                let _ = writeln!(text, "{} {count}", 4 * index);
            }
        }
        write(file, &text);
    }
    if let Some(file) = &wanted().log {
        write(file, &log::text());
    }
}

fn write(file: &str, text: &str) {
    if let Err(error) = fs::write(file, text) {
        eprintln!("{file}: {error}");
    }
}

/// QEMU calls it once, when it has loaded the plugin. 0 is success.
///
/// # Safety
///
/// QEMU's arguments: `count` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let mut wanted = Wanted::default();
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: QEMU passes `count` strings.
        let argument = unsafe { CStr::from_ptr(*arguments.add(index)) }.to_string_lossy();
        if let Err(why) = wanted.take(&argument) {
            eprintln!("counter: {why}");
            return 1;
        }
    }
    let _ = WANTED.set(wanted);
    // SAFETY: the callbacks have the types that QEMU calls them by, and live for ever.
    unsafe {
        qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        qemu::qemu_plugin_register_atexit_cb(id, at_exit, std::ptr::null_mut());
    }
    0
}
