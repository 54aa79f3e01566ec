//! Secrets that a person types, or a script sets in the environment.

use std::env;
use std::io::{self, BufRead, IsTerminal, Read, Write};

use eyre::{WrapErr, eyre};
use zeroize::Zeroizing;

use crate::exit::CommandError;

/// Where scripts put the password.
pub(crate) const PASSWORD_ENV: &str = "ANFS_PASSWORD";
/// Where scripts put the password that replaces it.
pub(crate) const NEW_PASSWORD_ENV: &str = "ANFS_NEW_PASSWORD";

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// The password of something that exists: from the environment, else asked for.
pub(crate) fn current(what: &str) -> Result<Zeroizing<String>, CommandError> {
    match from_env(PASSWORD_ENV) {
        Some(password) => Ok(password),
        None => ask(&format!("Password of {what}: "), PASSWORD_ENV),
    }
}

/// A password for something new: from the environment, else asked for twice.
pub(crate) fn chosen(what: &str, variable: &str) -> Result<Zeroizing<String>, CommandError> {
    let password = match from_env(variable) {
        Some(password) => password,
        None => {
            let first = ask(&format!("New password for {what}: "), variable)?;
            if first != ask("The same again: ", variable)? {
                return Err(CommandError::failed("the two passwords differ; try again"));
            }
            first
        }
    };
    if password.is_empty() {
        return Err(CommandError::Usage("an empty password guards nothing; choose another".to_owned()));
    }
    Ok(password)
}

/// A private key: asked for on a terminal, else the first line of standard input.
pub(crate) fn private_key() -> Result<Zeroizing<String>, CommandError> {
    if io::stdin().is_terminal() { hidden("Private key: ") } else { line() }
}

fn from_env(variable: &str) -> Option<Zeroizing<String>> {
    env::var(variable).ok().map(Zeroizing::new)
}

fn ask(prompt: &str, variable: &str) -> Result<Zeroizing<String>, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Usage(format!(
            "a password is needed, and there is no terminal to ask on; set {variable}"
        )));
    }
    hidden(prompt)
}

fn line() -> Result<Zeroizing<String>, CommandError> {
    let mut text = Zeroizing::new(String::new());
    let mut limited = io::stdin().lock().take(LINE_BYTES_MAX);
    limited.read_line(&mut text).wrap_err("cannot read standard input")?;
    let end = text.trim_end_matches(['\n', '\r']).len();
    text.truncate(end);
    Ok(text)
}

/// Asks on the terminal without showing what is typed.
#[cfg(unix)]
fn hidden(prompt: &str) -> Result<Zeroizing<String>, CommandError> {
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// Puts the terminal back as it was, whatever happens in between.
    struct Restore(Termios);

    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }

    eprint!("{prompt}");
    io::stderr().flush().wrap_err("cannot write to standard error")?;
    let before = tcgetattr(io::stdin()).map_err(|error| eyre!("cannot look at the terminal: {error}"))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    let _restore = Restore(before);
    tcsetattr(io::stdin(), OptionalActions::Flush, &silent)
        .map_err(|error| eyre!("cannot stop the terminal from showing the password: {error}"))?;
    let text = line();
    eprintln!();
    text
}

#[cfg(not(unix))]
fn hidden(_prompt: &str) -> Result<Zeroizing<String>, CommandError> {
    Err(CommandError::Usage(format!(
        "this system's terminal cannot hide what is typed; set {PASSWORD_ENV}, and give keys by standard input"
    )))
}
