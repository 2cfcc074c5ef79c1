//! The requirements of the RFCs: `rfc coverage` prints where each is kept, `rfc prove` breaks some
//! of these places and runs the tests that claim to notice (`make rfc`, `make rfc-prove`).

mod mutate;
mod prove;
#[path = "../../../tcpx-proto/tests/requirements/tags.rs"]
mod tags;

use std::path::Path;
use std::process::ExitCode;

/// An environment variable that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."));
    let requirements = tags::requirements();
    let tags = tags::Tags::read(root);
    match std::env::args().nth(1).as_deref() {
        Some("coverage") => {
            let wanted = variable("ID");
            let verbose = variable("VERBOSE").is_some();
            let each = |id: &str| match &wanted {
                Some(wanted) => wanted.split([',', ' ']).any(|it| it == id),
                None => verbose,
            };
            print!("{}", tags::report(&requirements, &tags, each));
            let problems = tags::problems(&requirements, &tags);
            for problem in &problems {
                println!("problem: {problem}");
            }
            ExitCode::from(u8::from(!problems.is_empty()))
        }
        Some("prove") => prove::main(root, &tags),
        _ => {
            eprintln!("usage: rfc coverage | prove");
            ExitCode::from(2)
        }
    }
}
