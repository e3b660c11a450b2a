//! A TCG plugin for QEMU: counts every instruction that is executed, those of EL2 apart. At its end
//! QEMU prints `instructions: N, of EL2: M`. With the argument `profile=FILE` it writes there, for
//! each instruction of EL2's image that was executed, a line `<offset in the image> <how often>`.
//!
//! The interface is QEMU's `include/qemu/qemu-plugin.h`, API version 1 (QEMU 4.2 to 7.2 and later,
//! as far as a QEMU still takes plugins of version 1). Only what is used is declared. The counts are
//! exact where QEMU runs its CPUs by turns, as under `-icount` or `thread=single`.

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

/// QEMU_PLUGIN_INLINE_ADD_U64.
const INLINE_ADD: c_int = 0;

/// Mezzanine's own addresses (src/el2/layout.rs); no guest of ours runs at such.
const EL2: std::ops::Range<u64> = 0xff80_0000_0000..0xff82_0000_0000;

type OnTranslation = extern "C" fn(u64, *mut c_void);
type AtExit = extern "C" fn(u64, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: OnTranslation);
    fn qemu_plugin_register_atexit_cb(id: u64, callback: AtExit, data: *mut c_void);
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut c_void,
        operation: c_int,
        at: *const AtomicU64,
        by: u64,
    );
}

static ALL: AtomicU64 = AtomicU64::new(0);
static AT_EL2: AtomicU64 = AtomicU64::new(0);

/// Bytes of EL2's image that are told apart: more than its text has.
const IMAGE: usize = 2 << 20;
static EACH: [AtomicU64; IMAGE / 4] = [const { AtomicU64::new(0) }; IMAGE / 4];
/// Where the profile goes.
static PROFILE: OnceLock<String> = OnceLock::new();

/// A block is translated: each of its instructions is to be counted when it runs.
extern "C" fn on_translation(_: u64, block: *mut c_void) {
    // SAFETY: the block is QEMU's and valid during the callback; indices are below its number of
    // instructions; the counters live for ever.
    unsafe {
        for index in 0..qemu_plugin_tb_n_insns(block) {
            let instruction = qemu_plugin_tb_get_insn(block, index);
            let address = qemu_plugin_insn_vaddr(instruction);
            let at_el2 = EL2.contains(&address);
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD, &ALL, 1);
            if at_el2 {
                qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD, &AT_EL2, 1);
            }
            let offset = address.wrapping_sub(EL2.start) / 4;
            if let Some(one) = EACH.get(offset as usize).filter(|_| PROFILE.get().is_some()) {
                qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD, one, 1);
            }
        }
    }
}

extern "C" fn at_exit(_: u64, _: *mut c_void) {
    let (all, at_el2) = (ALL.load(Ordering::Relaxed), AT_EL2.load(Ordering::Relaxed));
    eprintln!("instructions: {all}, of EL2: {at_el2}");
    let Some(file) = PROFILE.get() else { return };
    let mut text = String::new();
    for (index, one) in EACH.iter().enumerate() {
        let count = one.load(Ordering::Relaxed);
        if count > 0 {
            let _ = writeln!(text, "{} {count}", 4 * index);
        }
    }
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
    for index in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: QEMU passes `count` strings.
        let argument = unsafe { CStr::from_ptr(*arguments.add(index)) }.to_string_lossy();
        match argument.strip_prefix("profile=") {
            Some(file) => {
                let _ = PROFILE.set(file.into());
            }
            None => {
                eprintln!("counter: {argument}: profile=FILE wanted");
                return 1;
            }
        }
    }
    // SAFETY: the callbacks have the types that QEMU calls them by, and live for ever.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
        qemu_plugin_register_atexit_cb(id, at_exit, std::ptr::null_mut());
    }
    0
}
