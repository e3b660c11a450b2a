//! What can go wrong in the tools, one line each.

use std::{fmt, io, path::PathBuf};

/// The result of a tool's work.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a tool could not do its work.
#[derive(Debug)]
pub enum Error {
    /// A program that is needed is not on this machine.
    Missing {
        /// The program's name.
        program: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A program was started and could not be, or ended, badly.
    Failed {
        /// The program and what it was to do.
        what: String,
        /// How it ended.
        how: String,
    },
    /// A file could not be read, written or made sense of.
    File {
        /// The file.
        path: PathBuf,
        /// What was wrong with it.
        why: String,
    },
    /// The command line or a variable says something that has no meaning here.
    Usage(String),
}

impl Error {
    /// Names the file that an input or output error is about.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |error| Error::File { path, why: error.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Missing { program, remedy } => write!(f, "{program} is not here: {remedy}"),
            Error::Failed { what, how } => write!(f, "{what}: {how}"),
            Error::File { path, why } => write!(f, "{}: {why}", path.display()),
            Error::Usage(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Error {}
