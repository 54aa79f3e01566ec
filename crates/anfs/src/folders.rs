//! Where the user's things lie.

use std::env;
use std::path::PathBuf;

use crate::exit::CommandError;

/// `anfs/NAME` in the user's data folder (`XDG_DATA_HOME`, else `~/.local/share`); `remedy` completes the
/// sentence when there is no such folder.
pub(crate) fn user_data(name: &str, remedy: &str) -> Result<PathBuf, CommandError> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("anfs").join(name))
        .ok_or_else(|| CommandError::Usage(format!("no home folder is set; {remedy}")))
}
