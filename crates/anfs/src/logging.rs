//! Logs on standard error, by `ANFS_LOG`.

use tracing_subscriber::EnvFilter;

/// Starts logging; `quiet` shows errors only, unless `ANFS_LOG` says otherwise.
pub(crate) fn start(quiet: bool) {
    let fallback = if quiet { "error" } else { "warn" };
    let filter = EnvFilter::try_from_env("ANFS_LOG").unwrap_or_else(|_| EnvFilter::new(fallback));
    let colours = crate::terminal::Style::stderr().enabled();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // Where standard error is closed there is nowhere to say so: trying to would end the thread that logs.
        .log_internal_errors(false)
        .init();
}
