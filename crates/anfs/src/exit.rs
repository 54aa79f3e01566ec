//! Errors as words and exit codes.

use std::process::ExitCode;

/// A failure of a command, with the exit code that scripts see.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// Anything without a code of its own: 1.
    #[error(transparent)]
    Failed(#[from] eyre::Report),
    /// The command line makes no sense: 2.
    #[error("{0}")]
    Usage(String),
    /// The data folder is in use or unusable: 5.
    #[error("{0}")]
    Folder(String),
}

impl CommandError {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Folder(_) => 5,
        }
    }
}

impl From<anfs_node::NodeError> for CommandError {
    fn from(error: anfs_node::NodeError) -> Self {
        use anfs_node::NodeError as E;
        match error {
            E::Mnemonic(_) | E::Spec(_) => Self::Usage(error.to_string()),
            E::Store(_) | E::OtherNetwork { .. } | E::File { .. } => Self::Folder(error.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

/// Prints the error and gives its exit code.
pub(crate) fn report(error: &CommandError, json: bool) -> ExitCode {
    let text = match error {
        CommandError::Failed(report) => format!("{report:#}"),
        other => other.to_string(),
    };
    if json {
        eprintln!("{}", serde_json::json!({ "error": text, "code": error.code() }));
    } else {
        eprintln!("{} {text}", crate::terminal::Style::stderr().red("error:"));
    }
    ExitCode::from(error.code())
}
