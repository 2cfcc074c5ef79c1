//! What the programs `tcpx-client`, `tcpx-server` and `tcpx-lab` share: the flags, the live view,
//! the capture file, a script played on a [`Host`](tcpx::Host), tables and exit statuses.

pub mod app;
mod capture;
mod connections;
mod failure;
mod flags;
pub mod input;
mod knobs;
mod live;
mod script;
mod setup;
mod signals;
mod spans;
mod table;
mod text;
mod value;

pub use capture::Capture;
/// The shells that [`completions`] knows.
pub use clap_complete::Shell;
pub use failure::{Failure, finish, underlined};
pub use flags::Common;
pub use knobs::Knobs;
pub use live::{Display, Live};
pub use script::{script, script_ports};
pub use setup::{Session, is_stdout};
pub use signals::await_children;
pub use spans::Spans;
pub use table::{Cell, Fit, Table, TableArguments, TableFormat, wrapped};
pub use text::{answer, command, completions, exit_codes, man, rules, with_examples};
pub use value::{duration, endpoint, link};
