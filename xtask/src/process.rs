//! Running programs.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use eyre::{Context as _, Result, ensure};

/// Runs a command with our own output; fails if it fails.
pub(crate) fn execute(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().wrap_err_with(|| format!("cannot start {}", shown(command)))?;
    ensure!(status.success(), "{}: {status}", shown(command));
    Ok(())
}

/// Runs a command and returns what it prints; fails if it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().wrap_err_with(|| format!("cannot start {}", shown(command)))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {}\n{error}", shown(command), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) success: bool,
    /// Standard output and standard error, as they were interleaved.
    pub(crate) text: String,
}

/// Runs a command, keeps all it prints, and shows each line at once if `echo`.
pub(crate) fn capture(command: &mut Command, echo: bool) -> Result<Finished> {
    let name = shown(command);
    let (reader, writer) = std::io::pipe().wrap_err("cannot make a pipe")?;
    let twin = writer.try_clone().wrap_err("cannot make a pipe")?;
    command.stdin(Stdio::null()).stdout(twin).stderr(writer);
    let mut child = command.spawn().wrap_err_with(|| format!("cannot start {name}"))?;
    // The command holds the pipe's writing ends, which must close for the reading to end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.wrap_err_with(|| format!("cannot read the output of {name}"))?;
        let line = String::from_utf8_lossy(&line);
        if echo {
            println!("{line}");
        }
        text.push_str(&line);
        text.push('\n');
    }
    let status = child.wait().wrap_err_with(|| format!("cannot wait for {name}"))?;
    Ok(Finished { success: status.success(), text })
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(std::ffi::OsStr::to_string_lossy).collect();
    words.join(" ")
}
