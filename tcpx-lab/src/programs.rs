//! Where other programs are: the pair, and those of the system.

use std::path::PathBuf;

/// Where a program is. Debian keeps some in directories that an ordinary user's PATH leaves out.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    directories.find_map(|directory| Some(directory.join(name)).filter(|path| path.is_file()))
}

/// One of the pair: beside this program, where it was built or installed with it, or else in PATH.
pub(crate) fn sibling(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe()
        .ok()
        .map(|own| own.with_file_name(name));
    beside.filter(|path| path.is_file()).or_else(|| find(name))
}

/// What gets one of the pair that `sibling` does not find.
pub(crate) fn to_get(name: &str) -> String {
    format!("in the repository: cargo build --workspace --bins, or cargo install --path {name}")
}
