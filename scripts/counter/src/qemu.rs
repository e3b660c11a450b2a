//! What is used of QEMU's plugin interface (`include/qemu/qemu-plugin.h`).

use std::{
    ffi::{c_int, c_uint, c_void},
    sync::atomic::AtomicU64,
};

/// QEMU_PLUGIN_INLINE_ADD_U64.
const INLINE_ADD: c_int = 0;
/// QEMU_PLUGIN_CB_NO_REGS.
const NO_REGISTERS: c_int = 0;

type OnTranslation = extern "C" fn(u64, *mut c_void);
type AtExit = extern "C" fn(u64, *mut c_void);

/// Called ahead of an instruction, with the number of the CPU and what was registered with it.
pub type OnExecution = extern "C" fn(c_uint, *mut c_void);

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: OnTranslation);
    pub fn qemu_plugin_register_atexit_cb(id: u64, callback: AtExit, data: *mut c_void);
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_insn_data(instruction: *const c_void) -> *const c_void;
    fn qemu_plugin_insn_size(instruction: *const c_void) -> usize;
    fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut c_void,
        operation: c_int,
        at: *const AtomicU64,
        by: u64,
    );
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut c_void,
        callback: OnExecution,
        flags: c_int,
        data: *mut c_void,
    );
}

/// An instruction of a block that is being translated.
pub struct Instruction(*mut c_void);

impl Instruction {
    /// The instructions of `block`.
    ///
    /// # Safety
    /// `block` is QEMU's and stays valid for as long as any of them is used.
    pub unsafe fn of(block: *mut c_void) -> impl Iterator<Item = Self> {
        // SAFETY: as the caller promises; indices are below the number of instructions.
        let count = unsafe { qemu_plugin_tb_n_insns(block) };
        (0..count).map(move |index| {
            // SAFETY: likewise.
            Self(unsafe { qemu_plugin_tb_get_insn(block, index) })
        })
    }

    /// Its virtual address.
    pub fn address(&self) -> u64 {
        // SAFETY: QEMU's instruction, valid by the promise made to `of`.
        unsafe { qemu_plugin_insn_vaddr(self.0) }
    }

    /// Its word; 0 where it has no four bytes.
    pub fn word(&self) -> u32 {
        // SAFETY: as above; QEMU says how many bytes there are at the address that it gives.
        unsafe {
            match qemu_plugin_insn_size(self.0) {
                4 => u32::from_le(qemu_plugin_insn_data(self.0).cast::<u32>().read_unaligned()),
                _ => 0,
            }
        }
    }

    /// Adds one to `counter` each time it is executed.
    pub fn count(&self, counter: &'static AtomicU64) {
        // SAFETY: as above; the counter lives for ever.
        unsafe { qemu_plugin_register_vcpu_insn_exec_inline(self.0, INLINE_ADD, counter, 1) }
    }

    /// Calls `callback` with `data` each time it is about to be executed.
    pub fn call(&self, callback: OnExecution, data: u64) {
        // SAFETY: as above; the number is passed on as it is, and nobody takes it for an address.
        unsafe {
            let data = std::ptr::without_provenance_mut(data as usize);
            qemu_plugin_register_vcpu_insn_exec_cb(self.0, callback, NO_REGISTERS, data);
        }
    }
}
