//! A VM's life: which state follows which, and nothing else.

use core::fmt;

/// Why a VM stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// Its own PSCI SYSTEM_OFF.
    PowerOff,
    /// Its own SYSTEM_RESET or SYSTEM_RESET2: it comes back like new.
    Reset,
    /// It did something that can be neither emulated nor answered by an exception.
    Fault,
}

/// Where a VM is in its life.
///
/// ```text
///  Made ─▶ Preparing ─▶ Running ─▶ Stopping(why) ─▶ Off(why)
///              ▲                        │ Reset
///              └────────────────────────┘
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// Made from its description, not started.
    Made,
    /// Its memory is being zeroed and its images are being loaded.
    Preparing,
    /// Its vCPUs may run.
    Running,
    /// Its vCPUs are leaving their pCPUs.
    Stopping(Why),
    /// No vCPU runs any more.
    Off(Why),
}

/// A step that the life cycle doesn't have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTransition {
    /// The state that the VM is in.
    pub from: Life,
    /// What was asked of it.
    pub operation: &'static str,
}

impl fmt::Display for InvalidTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a VM that is {:?} can't {}", self.from, self.operation)
    }
}

impl Life {
    fn refuse(self, operation: &'static str) -> Result<(), InvalidTransition> {
        Err(InvalidTransition { from: self, operation })
    }

    /// Its preparation begins.
    pub fn start(&mut self) -> Result<(), InvalidTransition> {
        match self {
            Self::Made | Self::Off(_) => {
                *self = Self::Preparing;
                Ok(())
            }
            _ => self.refuse("start"),
        }
    }

    /// It is prepared: its first vCPU may run.
    pub fn ready(&mut self) -> Result<(), InvalidTransition> {
        match self {
            Self::Preparing => {
                *self = Self::Running;
                Ok(())
            }
            _ => self.refuse("run"),
        }
    }

    /// It stops. Of several vCPUs that ask at once the first one's reason holds.
    pub fn stop(&mut self, why: Why) -> Result<(), InvalidTransition> {
        match self {
            Self::Running => {
                *self = Self::Stopping(why);
                Ok(())
            }
            _ => self.refuse("stop"),
        }
    }

    /// Its last vCPU has left its pCPU. Returns what is next: true to prepare it again.
    pub fn stopped(&mut self) -> Result<bool, InvalidTransition> {
        match *self {
            Self::Stopping(Why::Reset) => {
                *self = Self::Preparing;
                Ok(true)
            }
            Self::Stopping(why) => {
                *self = Self::Off(why);
                Ok(false)
            }
            _ => self.refuse("be off").map(|()| false),
        }
    }
}

#[cfg(test)]
mod tests;
