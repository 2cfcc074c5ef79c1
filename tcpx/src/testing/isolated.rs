//! A test in namespaces of its own: root inside, unprivileged outside.

use crate::error::Error;
use crate::link::loopback_up;
use crate::netns::unshare::{Outside, unshare};
use rustix::thread::UnshareFlags;
use std::env;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Its value is the name of the test that is to run here and now.
const VARIABLE: &str = "TCPX_ISOLATED";
/// Printed by the test that ran; a test program that finds no test of that name is content, too.
const RAN: &str = "tcpx: isolated test at work";

/// Runs a test in a network namespace of its own whose loopback is up, as its root: raw sockets
/// work, every port is free, and nothing reaches the machine's network. An ordinary user becomes
/// root of a user namespace for that, by user_namespaces(7).
///
/// Such a namespace must be entered before a process has a second thread, which a test program has
/// long had. So the program runs itself again, with this one test, in a child process that enters
/// between fork and exec. `name` is the test's whole path, as the test program prints it. What the
/// child printed is printed here.
///
/// ```no_run
/// # use tcpx::{Host, HostOptions, Ports, link::LinkOptions};
/// #[test]
/// fn own_client_survives_a_bad_network() -> Result<(), tcpx::Error> {
///     tcpx::testing::isolated("tests::own_client_survives_a_bad_network", || {
///         // A runtime, a Host on 127.0.0.2 with faults, and your client, which connects to that address as to any other.
///     })
/// }
/// ```
///
/// # Errors
/// The kernel gives no such namespaces here (a container's seccomp profile,
/// `kernel.unprivileged_userns_clone=0`, AppArmor): skip the test, or fail.
///
/// # Panics
/// When the test does, and when there is none of this name.
pub fn isolated(name: &str, test: impl FnOnce()) -> Result<(), Error> {
    if env::var_os(VARIABLE).is_some_and(|wanted| wanted == name) {
        loopback_up().map_err(Error::io("put the loopback up"))?;
        println!("{RAN}");
        test();
        return Ok(());
    }
    let mut child = Command::new(env::current_exe().map_err(Error::io("find this test program"))?);
    child
        .args([
            name,
            "--exact",
            "--nocapture",
            "--include-ignored",
            "--test-threads=1",
        ])
        .env(VARIABLE, name)
        .stdin(Stdio::null());
    // SAFETY: between fork and exec `enter` makes system calls on strings made here, and allocates
    // nothing.
    unsafe { child.pre_exec(enter()) };
    let output = child
        .output()
        .map_err(Error::io("enter a namespace of the test's own"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    print!("{said}");
    eprint!("{complained}");
    assert!(
        said.contains(RAN),
        "there is no test {name:?} in this program: the name is its whole path"
    );
    assert!(
        output.status.success(),
        "the isolated test failed: {}",
        output.status
    );
    _ = io::stdout().flush();
    Ok(())
}

/// What the child does before it becomes another program.
fn enter() -> impl FnMut() -> io::Result<()> + Send + Sync + 'static {
    let outside = Outside::now();
    move || {
        // Root needs no user namespace, and a container may refuse one.
        if unshare(UnshareFlags::NEWNET).is_ok() {
            return Ok(());
        }
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
        outside.map_to_root()
    }
}
