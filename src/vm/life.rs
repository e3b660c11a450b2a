//! A VM's life: which state follows which, and nothing else.

use core::fmt;

/// Why a VM stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
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
///  Made ─▶ Preparing ─▶ Running ──────────▶ Stopping(why) ─▶ Releasing(why) ─▶ Off(why)
///              ▲         │   ▲                   ▲  │ Reset
///              │         ▼   │                   │  │
///              │      Pausing ─▶ Paused(since) ──┘  │
///              └────────────────────────────────────┘
/// ```
///
/// Pausing has the same ways out as Paused: back to Running, and to Stopping. From Off the operator
/// starts it again: Preparing. What can't be prepared is Off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Life {
    /// Made from its description, not started.
    Made,
    /// Its memory is being zeroed and its images are being loaded.
    Preparing,
    /// Its vCPUs may run.
    Running,
    /// Its vCPUs are leaving their pCPUs, to go on later.
    Pausing,
    /// None of its vCPUs is on a pCPU. Its time stands still since the counter had this value.
    Paused(u64),
    /// Its vCPUs are leaving their pCPUs.
    Stopping(Why),
    /// No vCPU runs any more; its memory goes back to the machine.
    Releasing(Why),
    /// It has nothing but its description.
    Off(Why),
}

/// A step that the life cycle doesn't have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTransition {
    /// The state that the VM is in.
    pub from: Life,
    /// What was asked of it.
    pub operation: &'static str,
    /// The states in which that can be.
    pub only: &'static str,
}

impl fmt::Display for InvalidTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, operation, only } = self;
        write!(f, "a VM that is {from:?} can't {operation}: only one that is {only}")
    }
}

impl Life {
    fn refuse<T>(
        self,
        operation: &'static str,
        only: &'static str,
    ) -> Result<T, InvalidTransition> {
        Err(InvalidTransition { from: self, operation, only })
    }

    fn step(
        &mut self,
        is_allowed: bool,
        to: Self,
        operation: &'static str,
        only: &'static str,
    ) -> Result<(), InvalidTransition> {
        if !is_allowed {
            return self.refuse(operation, only);
        }
        *self = to;
        Ok(())
    }

    /// Its preparation begins.
    pub fn start(&mut self) -> Result<(), InvalidTransition> {
        self.step(
            matches!(self, Self::Made | Self::Off(_)),
            Self::Preparing,
            "start",
            "Made or Off",
        )
    }

    /// It is prepared: its first vCPU may run.
    pub fn ready(&mut self) -> Result<(), InvalidTransition> {
        self.step(*self == Self::Preparing, Self::Running, "run", "Preparing")
    }

    /// It can't be prepared.
    pub fn fail(&mut self) -> Result<(), InvalidTransition> {
        self.step(*self == Self::Preparing, Self::Off(Why::Fault), "fail", "Preparing")
    }

    /// It stops. Of several vCPUs that ask at once the first one's reason holds.
    pub fn stop(&mut self, why: Why) -> Result<(), InvalidTransition> {
        let is_alive = matches!(self, Self::Running | Self::Pausing | Self::Paused(_));
        self.step(is_alive, Self::Stopping(why), "stop", "Running, Pausing or Paused")
    }

    /// Its last vCPU has left its pCPU. Returns what is next: true to prepare it again.
    pub fn stopped(&mut self) -> Result<bool, InvalidTransition> {
        match *self {
            Self::Stopping(Why::Reset) => {
                *self = Self::Preparing;
                Ok(true)
            }
            Self::Stopping(why) => {
                *self = Self::Releasing(why);
                Ok(false)
            }
            _ => self.refuse("have stopped", "Stopping"),
        }
    }

    /// Its memory is the machine's. Returns why it has stopped.
    pub fn released(&mut self) -> Result<Why, InvalidTransition> {
        let Self::Releasing(why) = *self else { return self.refuse("be off", "Releasing") };
        *self = Self::Off(why);
        Ok(why)
    }

    /// It is to stand still.
    pub fn pause(&mut self) -> Result<(), InvalidTransition> {
        self.step(*self == Self::Running, Self::Pausing, "pause", "Running")
    }

    /// The last vCPU of a pausing one has left its pCPU; the counter is at `now`.
    pub fn paused(&mut self, now: u64) -> Result<(), InvalidTransition> {
        self.step(*self == Self::Pausing, Self::Paused(now), "stand still", "Pausing")
    }

    /// It goes on. Returns for how many ticks its time has stood still.
    pub fn resume(&mut self, now: u64) -> Result<u64, InvalidTransition> {
        let stood = match self {
            Self::Pausing => 0,
            Self::Paused(since) => now.saturating_sub(*since),
            _ => return self.refuse("resume", "Pausing or Paused"),
        };
        *self = Self::Running;
        Ok(stood)
    }
}

#[cfg(test)]
mod tests;
