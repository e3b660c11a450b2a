//! The console: the multiplexer over the machine's UART.

use core::fmt;

use log::LevelFilter;
use spin::Once;

use super::pl011::Uart;

static UART: Once<Uart> = Once::new();

/// Takes the UART.
pub fn init(uart: Uart) {
    UART.call_once(|| uart);
}

/// Sends `log`'s records to the console.
pub fn init_log(level: Option<LevelFilter>) {
    static LOGGER: Logger = Logger;
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(level.unwrap_or(LevelFilter::Info));
}

/// Announces VM `id`.
pub fn add_vm(_id: usize, _name: &str) {}

/// All VMs are announced.
pub fn begin() {}

/// Shows what VM `id` wrote and didn't end with a line end.
pub fn flush_vm(_id: usize) {}

/// A byte that VM `id` sent.
pub fn vm_byte(_id: usize, byte: u8) {
    Emergency { line_start: false }.send(byte);
}

/// The UART's interrupt.
pub fn interrupt() {}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        use fmt::Write;
        let _ = writeln!(Emergency::new(), "{}: {}", record.level(), record.args());
    }

    fn flush(&self) {}
}

/// The last resort: straight to the UART, past every lock, each line behind `[mezzanine] `.
pub struct Emergency {
    line_start: bool,
}

impl Emergency {
    /// At the start of a line.
    pub fn new() -> Self {
        Self { line_start: true }
    }

    fn send(&self, byte: u8) {
        if let Some(uart) = UART.get() {
            while !uart.try_send(byte) {}
        }
    }
}

impl Default for Emergency {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Emergency {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.line_start {
                "[mezzanine] ".bytes().for_each(|byte| self.send(byte));
                self.line_start = false;
            }
            if byte == b'\n' {
                self.send(b'\r');
                self.line_start = true;
            }
            self.send(byte);
        }
        Ok(())
    }
}
