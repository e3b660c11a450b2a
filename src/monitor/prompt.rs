//! The monitor's prompt: a line editor with a history (the crate `embedded-cli`), fed key by key.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;

use embedded_cli::arguments::Arg;
use embedded_cli::cli::{Cli, CliBuilder, CliHandle};
use embedded_cli::command::RawCommand;
use embedded_cli::service::{Autocomplete, CommandProcessor, Help, ProcessError};
use embedded_io::{ErrorType, Write};
use spin::Mutex;

/// What stands before a command.
const PROMPT: &str = "mz> ";
/// Bytes of a command.
const LINE: usize = 160;
/// Bytes of the commands before.
const HISTORY: usize = 1 << 10;

/// What the editor writes, until it is taken. The editor owns its writer: hence the second hand.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<u8>>>);

impl ErrorType for Shown {
    type Error = Infallible;
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The crate asks for a set of commands, for completion and help that aren't compiled in.
enum Commands {}

impl Autocomplete for Commands {}
impl Help for Commands {}

/// The command that was entered.
struct Taken(Option<String>);

impl CommandProcessor<Shown, Infallible> for Taken {
    fn process<'a>(
        &mut self,
        editor: &mut CliHandle<'_, Shown, Infallible>,
        raw: RawCommand<'a>,
    ) -> Result<(), ProcessError<'a, Infallible>> {
        editor.set_prompt("");
        self.0 = Some(text(&raw));
        Ok(())
    }
}

/// The prompt.
pub struct Prompt {
    editor: Cli<Shown, Infallible, [u8; LINE], [u8; HISTORY]>,
    shown: Shown,
}

impl Default for Prompt {
    /// One that has just been shown.
    fn default() -> Self {
        let shown = Shown::default();
        let editor = CliBuilder::default().prompt(PROMPT).writer(shown.clone());
        let editor = editor.command_buffer([0; LINE]).history_buffer([0; HISTORY]);
        let Ok(editor) = editor.build();
        Self { editor, shown }
    }
}

impl Prompt {
    /// A key. Returns the command that it completes; then nothing is prompted until the command is
    /// [done](Self::done).
    pub fn key(&mut self, key: u8) -> Option<String> {
        let mut taken = Taken(None);
        let key = match key {
            // DEL is what most terminals send for backspace; and a column of the console is a byte.
            0x7f => 0x08,
            0x80.. => return None,
            key => key,
        };
        let Ok(()) = self.editor.process_byte::<Commands, _>(key, &mut taken);
        taken.0
    }

    /// The command is done: prompts for the next.
    pub fn done(&mut self) {
        let Ok(()) = self.editor.set_prompt(PROMPT);
    }

    /// What a terminal is to be sent, since the last time.
    pub fn take_shown(&mut self) -> Vec<u8> {
        core::mem::take(&mut *self.shown.0.lock())
    }
}

/// The words of a command, as they were typed.
fn text(raw: &RawCommand<'_>) -> String {
    let mut text = String::from(raw.name());
    for word in raw.args().args() {
        text.push(' ');
        match word {
            Ok(Arg::Value(word)) => text.push_str(word),
            Ok(Arg::ShortOption(letter)) => text.extend(['-', letter]),
            Ok(Arg::LongOption(word)) => text.extend(["--", word]),
            Ok(Arg::DoubleDash) => text.push_str("--"),
            Err(_) => text.push('-'),
        }
    }
    text
}

#[cfg(test)]
mod tests;
