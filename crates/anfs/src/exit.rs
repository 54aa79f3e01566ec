//! Errors as words and exit codes.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::terminal::Style;

/// A failure of a command, with the exit code that scripts see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Anything without a code of its own: 1.
    #[error(transparent)]
    Failed(#[from] eyre::Report),
    /// The command line makes no sense: 2.
    #[error("{0}")]
    Usage(String),
    /// No node answers: 3.
    #[error("{0}")]
    Unreachable(String),
    /// The node answers, and says no: 4.
    #[error("{message}")]
    Refused {
        /// The node's words.
        message: String,
        /// The JSON-RPC error code, where the refusal is one.
        rpc_code: Option<i64>,
        /// What came with it: of a revert, the data that it returned.
        data: Option<Value>,
    },
    /// The data folder is in use or unusable: 5.
    #[error("{0}")]
    Folder(String),
}

impl CommandError {
    /// A failure that no exit code of its own belongs to.
    pub(crate) fn failed(words: impl Into<String>) -> Self {
        Self::Failed(eyre::Report::msg(words.into()))
    }

    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Refused { .. } => 4,
            Self::Folder(_) => 5,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Failed(report) => format!("{report:#}"),
            other => other.to_string(),
        }
    }

    fn json(&self) -> Value {
        let mut object = json!({ "error": self.text(), "code": self.code() });
        if let Self::Refused { rpc_code, data, .. } = self {
            object["rpcCode"] = json!(rpc_code);
            object["data"] = json!(data);
        }
        object
    }
}

impl From<anfs_node::NodeError> for CommandError {
    fn from(error: anfs_node::NodeError) -> Self {
        use anfs_node::NodeError as E;
        match error {
            E::Mnemonic(_) | E::Spec(_) | E::TooManyByzantine { .. } => Self::Usage(error.to_string()),
            E::Store(_) | E::OtherNetwork { .. } | E::File { .. } => Self::Folder(error.to_string()),
            E::Record(error) if error.is_of_folder() => Self::Folder(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

/// Prints the error and gives its exit code.
pub(crate) fn report(error: &CommandError, json: bool) -> ExitCode {
    let line = if json {
        error.json().to_string()
    } else {
        format!("{} {}", Style::stderr().red("error:"), error.text())
    };
    // A reader that went away still gets the exit code.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(error.code())
}

/// Prints what is wrong with the command line, or the help that was asked for, and gives the exit code.
pub(crate) fn report_parsing(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let text = error.render().to_string();
        let text = text.trim().trim_start_matches("error: ");
        return report(&CommandError::Usage(text.to_owned()), true);
    }
    // Nothing is left to be told to a reader that went away.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_as_json_carry_the_exit_code_and_the_nodes_data() {
        let refused = CommandError::Refused {
            message: "no".into(),
            rpc_code: Some(3),
            data: Some(json!("0x08c379a0")),
        };
        let expected = json!({ "error": "no", "code": 4, "rpcCode": 3, "data": "0x08c379a0" });
        assert_eq!(refused.json(), expected);
        assert_eq!(CommandError::failed("x").json(), json!({ "error": "x", "code": 1 }));
    }
}
