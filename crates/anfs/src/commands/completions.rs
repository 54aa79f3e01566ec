//! `anfs completions`: the completion script of a shell.

use clap::CommandFactory;
use eyre::eyre;
use serde_json::json;

use crate::cli::{Cli, CompletionsArgs};
use crate::exit::CommandError;
use crate::output::Output;

pub(crate) fn run(args: &CompletionsArgs, out: Output) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "anfs", &mut script);
    let script = String::from_utf8(script).map_err(|_| eyre!("the script is no text"))?;
    let value = json!({ "shell": args.shell.to_string(), "script": script });
    out.print(&value, || script)
}
