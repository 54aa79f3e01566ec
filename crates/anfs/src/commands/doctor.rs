//! `anfs doctor`: looks at this machine and the node, and says what to do.

mod host;
mod network;

use serde::Serialize;
use serde_json::json;

use crate::cli::DoctorArgs;
use crate::exit::CommandError;
use crate::folders;
use crate::output::Output;
use crate::terminal::Style;

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Works, with a drawback.
    Warn,
    /// Does not work.
    Fail,
}

/// One look at one thing.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// What was seen.
    detail: String,
    /// What to do; none when all is well.
    remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, state: State::Ok, detail: detail.into(), remedy: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, state: State::Fail, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

pub(crate) fn run(args: &DoctorArgs, out: Output) -> Result<(), CommandError> {
    let dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => folders::user_data("devnet", "give --data-dir DIR")?,
    };
    let mut checks = vec![host::clock(host::unix_seconds())];
    checks.extend(host::data_folder(&dir));
    checks.extend(host::file_descriptors());
    checks.push(host::processor());
    checks.push(host::hash_clock());
    checks.push(host::hash_kernel());
    checks.push(network::port(args.port));
    checks.push(network::node(args.rpc.url(), args.rpc.rpc_url.is_some())?);
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    out.print(&json!({ "ok": failed == 0, "checks": checks }), || show(&checks, Style::stdout()))?;
    if failed > 0 {
        return Err(CommandError::failed(format!("{failed} of {} checks failed", checks.len())));
    }
    Ok(())
}

fn show(checks: &[Check], style: Style) -> String {
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => style.green("ok  "),
            State::Warn => style.yellow("warn"),
            State::Fail => style.red("fail"),
        };
        text += &format!("{state}  {:<16} {}\n", check.name, check.detail);
        if let Some(remedy) = &check.remedy {
            text += &format!("{:23}{}\n", "", style.dim(&format!("→ {remedy}")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_check_and_one_for_its_remedy() {
        let checks = [Check::ok("clock", "good"), Check::fail("disk", "full", "delete something")];
        let expected = "ok    clock            good\nfail  disk             full\n                       → delete something\n";
        assert_eq!(show(&checks, Style::plain()), expected);
    }
}
