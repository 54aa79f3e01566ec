//! What a command prints: text for people, or one JSON value.

use std::io::{self, Write};

use eyre::{WrapErr, eyre};
use serde::Serialize;

use crate::exit::CommandError;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints a result: `value` as one line of JSON, or the text, whichever was asked for.
    pub(crate) fn print(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        if self.json {
            print_line(&serde_json::to_string(value).wrap_err("cannot write JSON")?)
        } else {
            print_line(text().trim_end_matches('\n'))
        }
    }
}

/// Prints a line at once; a reader that went away is not an error of ours.
pub(crate) fn print_line(text: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::Failed(eyre!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
