//! Owners and watchdogs that are killed, in processes of their own, each test in a network
//! namespace of its own.

use crate::guard::tests::{in_namespace, open, rules};
use crate::ports::GuardKind;
use crate::ports::Ports;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Not a test: the process that others kill. It holds a guard until its input ends.
#[test]
fn helper_process_holds_a_guard() {
    if std::env::var_os("TCPX_TEST_HOLD").is_some() {
        let _link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        eprintln!("guarded");
        _ = std::io::stdin().read(&mut [0]);
    }
}

/// A process that holds a guard, or is about to.
struct Owner(Child);

impl Owner {
    /// Starts it with this in front of its PATH.
    fn start(path: &str) -> Owner {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "guard::watchdog::tests::helper_process_holds_a_guard",
                "--nocapture",
            ])
            .env("TCPX_TEST_HOLD", "1")
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        Owner(child.unwrap())
    }

    fn await_guard(&mut self) {
        let mut lines = BufReader::new(self.0.stderr.as_mut().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "guarded"));
        assert_eq!(rules().len(), 1);
    }

    /// Its watchdog, if there is one: a process whose parent it is.
    fn watchdog(&self) -> Option<Pid> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap();
        let children =
            tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok());
        let children: String = children.collect();
        Pid::from_raw(children.split_whitespace().next()?.parse().unwrap())
    }

    fn kill_watchdog(&self) {
        let before = self.watchdog();
        kill_process(before.unwrap(), Signal::KILL).unwrap();
        until("another watchdog is there", || {
            self.watchdog().is_some_and(|now| Some(now) != before)
        });
    }

    /// Kills it, and waits until its watchdog has done its work.
    fn kill(mut self, meanwhile: impl FnOnce()) {
        let watchdog = self.watchdog().unwrap();
        kill_process(Pid::from_child(&self.0), Signal::KILL).unwrap();
        self.0.wait().unwrap();
        meanwhile();
        until("no rule is left", || rules().is_empty());
        until("the watchdog has ended", || {
            test_kill_process(watchdog).is_err()
        });
        assert_eq!(rules(), Vec::<String>::new());
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(
            Instant::now() < patience,
            "waited in vain until {what}; {:?}",
            rules()
        );
        sleep(Duration::from_millis(10));
    }
}

/// An `iptables` to put first into the PATH: a few lines of shell before the real one. `$here` is
/// its directory.
struct Wrapper(PathBuf);

impl Wrapper {
    fn new(name: &str, lines: &str) -> Wrapper {
        let directory = std::env::temp_dir().join(format!("tcpx-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let script =
            format!("#!/bin/sh\nhere=${{0%/*}} PATH=${{PATH#*:}}\n{lines}\nexec iptables \"$@\"\n");
        let path = directory.join("iptables");
        // Written by a shell: while we had it open for writing, a child that another test is just
        // starting would hold it, too.
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$0\""])
            .arg(&path)
            .arg(script)
            .status()
            .unwrap();
        assert!(written.success());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Wrapper(directory)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Waits until the wrapper has made this file.
    fn await_file(&self, name: &str) {
        until(name, || self.0.join(name).exists());
    }
}

impl Drop for Wrapper {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Inserts slowly: `$here/begun`, half a second, the rule, `$here/inserted`.
const SLOW: &str = r#"case " $* " in *" -I "*) : >"$here/begun"; sleep 0.5; iptables "$@"; : >"$here/inserted"; exit;; esac"#;

#[test]
fn owner_killed_leaves_no_rule() {
    in_namespace(|| {
        let mut owner = Owner::start("/");
        owner.await_guard();
        owner.kill(|| ());
    });
}

#[test]
fn owner_killed_while_iptables_inserts_leaves_no_rule() {
    in_namespace(|| {
        let slow = Wrapper::new("slow", SLOW);
        let owner = Owner::start(slow.path());
        slow.await_file("begun");
        owner.kill(|| slow.await_file("inserted"));
    });
}

#[test]
fn watchdog_killed_while_iptables_inserts_and_then_its_owner_leave_no_rule() {
    in_namespace(|| {
        let slow = Wrapper::new("slow-dog", SLOW);
        let owner = Owner::start(slow.path());
        slow.await_file("begun");
        owner.kill_watchdog();
        owner.kill(|| slow.await_file("inserted"));
    });
}

#[test]
fn watchdog_killed_is_replaced_and_the_rule_stays_until_its_owner_goes() {
    in_namespace(|| {
        let mut owner = Owner::start("/");
        owner.await_guard();
        for _ in 0..3 {
            owner.kill_watchdog();
        }
        assert_eq!(rules().len(), 1);
        owner.kill(|| ());
    });
}

#[test]
fn watchdog_ignores_the_signals_of_everyday_life() {
    in_namespace(|| {
        let mut owner = Owner::start("/");
        owner.await_guard();
        let watchdog = owner.watchdog().unwrap();
        for signal in [
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::PIPE,
            Signal::TERM,
            Signal::USR1,
            Signal::USR2,
        ] {
            kill_process(watchdog, signal).unwrap();
        }
        assert!(
            rustix::process::getsid(Some(watchdog)).unwrap() == watchdog,
            "no terminal's hangup reaches it"
        );
        owner.kill(|| ());
    });
}

#[test]
fn removal_is_repeated_until_the_rule_is_gone() {
    in_namespace(|| {
        // As iptables ends when another one has held the lock for too long.
        let busy = r#"case " $* " in *" -D "*) [ -e "$here/busy" ] || { : >"$here/busy"; exit 4; };; esac"#;
        let wrapper = Wrapper::new("busy", busy);
        let mut owner = Owner::start(wrapper.path());
        owner.await_guard();
        owner.kill(|| wrapper.await_file("busy"));
    });
}

#[test]
fn iptables_killed_as_it_had_inserted_is_an_error_and_leaves_no_rule() {
    in_namespace(|| {
        let wrapper = Wrapper::new(
            "killed",
            r#"case " $* " in *" -I "*) iptables "$@"; : >"$here/inserted"; kill -KILL $$;; esac"#,
        );
        let mut owner = Owner::start(wrapper.path());
        wrapper.await_file("inserted");
        assert!(!owner.0.wait().unwrap().success());
        until("no rule is left", || rules().is_empty());
    });
}
