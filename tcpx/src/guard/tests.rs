//! The guard against a real kernel, each test in a network namespace of its own.

use super::*;
use crate::link::{Link, LinkOptions};
use crate::netns::{skip::skip, unshare::unshare};
use crate::owner::PortOwner;
use crate::ports::Ports;
use crate::privileges;
use rustix::thread::UnshareFlags;
use socket2::Protocol;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tcpx_proto::seq::Seq;
use tcpx_proto::wire::{Flags, Header, Options};

pub(crate) const LOCALHOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Runs `test` on a thread in a fresh network namespace whose loopback interface is up. Where that
/// is forbidden the test is skipped, or fails when the environment's REQUIRE names `netns`.
pub(crate) fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        if let Err(error) = unshare(UnshareFlags::NEWNET) {
            skip(format_args!(
                "a network namespace cannot be made here: {error}"
            ));
            return;
        }
        sh("ip link set lo up");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command in the namespace of the calling thread and gives its output.
pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn open(ports: Ports, guard: GuardKind) -> Result<Link, Error> {
    Link::open(LinkOptions {
        guard,
        ..LinkOptions::new(LOCALHOST, ports)
    })
}

/// The rules in the OUTPUT chain.
pub(super) fn rules() -> Vec<String> {
    sh("iptables -S OUTPUT")
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

fn lose(capability: rustix::thread::CapabilitySet) {
    let mut sets = rustix::thread::capabilities(None).unwrap();
    sets.effective -= capability;
    sets.permitted -= capability;
    sets.inheritable -= capability;
    rustix::thread::set_capabilities(None, sets).unwrap();
}

const NET_ADMIN: rustix::thread::CapabilitySet = rustix::thread::CapabilitySet::NET_ADMIN;
const NET_RAW: rustix::thread::CapabilitySet = rustix::thread::CapabilitySet::NET_RAW;

#[test]
fn kernel_answers_a_bound_port_and_is_quiet_under_each_guard() {
    in_namespace(|| {
        let options = LinkOptions::new(LOCALHOST, Ports::Block(3));
        let (reservation, ports) = Reservation::make(LOCALHOST, options.ports).unwrap();
        let probe = Probe::new(LOCALHOST, &ports, options.mark).unwrap();
        assert_eq!(answered(&probe, &ports).unwrap(), Some(*ports.start()));

        let rule = by_iptables(&options.guard_options(), &ports).unwrap();
        assert_eq!(answered(&probe, &ports).unwrap(), None);
        drop(rule);
        assert_eq!(answered(&probe, &ports).unwrap(), Some(*ports.start()));

        by_listener(&reservation).unwrap();
        assert_eq!(answered(&probe, &ports).unwrap(), None);
    });
}

#[test]
fn silence_is_known_without_waiting_for_it() {
    in_namespace(|| {
        let (reservation, ports) = Reservation::make(LOCALHOST, Ports::Exact(7000)).unwrap();
        let probe = Probe::new(LOCALHOST, &ports, crate::link::MARK).unwrap();
        by_listener(&reservation).unwrap();
        // Each of them may be disturbed; a wait would be there every time.
        let fastest = (0..20).map(|_| {
            let start = std::time::Instant::now();
            assert_eq!(answered(&probe, &ports).unwrap(), None);
            start.elapsed()
        });
        let fastest = fastest.min().unwrap();
        assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    });
}

#[test]
fn answer_and_silence_are_told_apart_where_a_firewall_drops_the_sentinels() {
    in_namespace(|| {
        let options = LinkOptions::new(LOCALHOST, Ports::Exact(7000));
        let (reservation, ports) = Reservation::make(LOCALHOST, options.ports).unwrap();
        let probe = Probe::new(LOCALHOST, &ports, options.mark).unwrap();
        sh("iptables -A OUTPUT -p tcp --tcp-flags RST RST --dport 7000 -j DROP");
        assert_eq!(answered(&probe, &ports).unwrap(), Some(7000));
        by_listener(&reservation).unwrap();
        assert_eq!(answered(&probe, &ports).unwrap(), None);
    });
}

/// Runs `work` while others never stop.
fn beside<const N: usize>(others: [&(dyn Fn() + Sync); N], work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        for other in others {
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    other();
                }
            });
        }
        // The scope reports threads that panic, after it has waited for the others.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

#[test]
fn traffic_of_others_at_our_address_is_no_answer_to_the_probe() {
    in_namespace(|| {
        let listener = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let far = listener.accept().unwrap().0;
        // Sent from our own port to the one that the probe uses, as no answer of the kernel's to
        // this probe would be.
        let socket = crate::bpf::open_raw(Protocol::TCP, "send").unwrap();
        let from = SocketAddr::new(LOCALHOST, 7000);
        let to = SocketAddr::new(LOCALHOST, 6999);
        let options = Options::default();
        let mut packet = [0; 40];
        let header = Header {
            source: from,
            destination: to,
            seq: Seq(0),
            ack: Seq(1),
            flags: Flags::RST | Flags::ACK,
            window: 0,
            urgent: 0,
            options,
            ttl: 64,
            tos: 0,
            id: 1,
        };
        header.emit((&[], &[]), &mut packet).unwrap();
        socket.set_header_included_v4(true).unwrap();
        // Each may have to wait for another, who may have stopped.
        let moment = Duration::from_millis(10);
        near.set_write_timeout(Some(moment)).unwrap();
        far.set_read_timeout(Some(moment)).unwrap();
        let speak = || _ = (&near).write(&[0; 1000]);
        let hear = || _ = (&far).read(&mut [0; 64_000]);
        let knock = || _ = TcpStream::connect_timeout(&from, moment);
        let forge = || _ = socket.send_to(&packet, &SocketAddr::new(LOCALHOST, 0).into());
        beside([&speak, &hear, &knock, &forge], || {
            for kind in [GuardKind::Listener, GuardKind::Iptables].repeat(10) {
                // A child that another test is just starting may hold a copy of a closed socket for
                // a moment.
                let link = loop {
                    match open(Ports::Exact(7000), kind) {
                        Err(Error::PortInUse { .. }) => {}
                        other => break other.unwrap(),
                    }
                };
                assert!(
                    !link.guard_description().contains("unproven"),
                    "{}",
                    link.guard_description()
                );
            }
        });
    });
}

#[test]
fn iptables_guard_dropped_leaves_the_chain_as_it_was() {
    in_namespace(|| {
        let link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        let during = rules();
        assert_eq!(during.len(), 1, "{during:?}");
        assert!(
            during[0].contains("-s 127.0.0.1/32") && during[0].contains("--sport 7000 "),
            "{during:?}"
        );
        drop(link);
        assert_eq!(rules(), Vec::<String>::new());
    });
}

#[test]
fn iptables_guard_leaves_a_neighbouring_port_its_rst() {
    in_namespace(|| {
        let _link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        let neighbour = TcpStream::connect((LOCALHOST, 7001));
        assert_eq!(neighbour.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn sweep_removes_a_stale_rule_and_spares_a_live_neighbour_and_a_stranger() {
    in_namespace(|| {
        let neighbour = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        sh(
            "iptables -A OUTPUT -p tcp --sport 9 --tcp-flags RST RST -m comment --comment \
             tcpx-00000000deadbeef -j DROP",
        );
        sh(
            "iptables -A OUTPUT -p tcp --sport 9 --tcp-flags RST RST -m comment --comment \
             'tcpx-mine, not yours' -j DROP",
        );
        let removed = sweep().unwrap();
        assert!(
            matches!(&removed[..], [rule] if rule.contains("tcpx-00000000deadbeef")),
            "{removed:?}"
        );
        let left = rules();
        assert!(
            left.len() == 2 && left[0].contains("--sport 7000") && left[1].contains("not yours"),
            "{left:?}"
        );
        drop(neighbour);
        assert_eq!(rules().len(), 1);
    });
}

#[test]
fn opening_any_guard_sweeps_what_a_dead_program_left() {
    for (kind, own) in [
        (GuardKind::Auto, 1),
        (GuardKind::Iptables, 1),
        (GuardKind::Listener, 0),
        (GuardKind::None, 0),
    ] {
        in_namespace(move || {
            sh(
                "iptables -A OUTPUT -p tcp --sport 7000 --tcp-flags RST RST -m comment --comment \
                 tcpx-00000000deadbeef -j DROP",
            );
            let link = open(Ports::Exact(7000), kind).unwrap();
            let left = rules();
            assert!(
                left.len() == own && !left.iter().any(|rule| rule.contains("deadbeef")),
                "{kind:?}: {left:?}"
            );
            assert!(
                !link.guard_description().contains("unproven"),
                "{}",
                link.guard_description()
            );
        });
    }
}

#[test]
fn rule_is_gone_after_a_panic() {
    in_namespace(|| {
        let panicked = std::panic::catch_unwind(|| {
            let _link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
            assert_eq!(rules().len(), 1);
            std::panic::resume_unwind(Box::new("as if the program had a bug"));
        });
        assert!(panicked.is_err());
        assert_eq!(rules(), Vec::<String>::new());
    });
}

#[test]
fn silence_that_was_there_before_is_called_unproven() {
    in_namespace(|| {
        sh("iptables -A OUTPUT -p tcp --tcp-flags RST RST -j DROP");
        let link = open(Ports::Exact(7000), GuardKind::Listener).unwrap();
        assert!(
            link.guard_description().contains("unproven"),
            "{}",
            link.guard_description()
        );
    });
}

#[test]
fn guard_that_another_rule_overrides_is_an_error_and_leaves_no_rule() {
    in_namespace(|| {
        // A base chain that runs before the filter table turns each RST into one that bears our
        // mark.
        sh("iptables -t mangle -A OUTPUT -p tcp --tcp-flags RST RST -j MARK --set-mark 0x70");
        let error = open(Ports::Exact(7000), GuardKind::Iptables).unwrap_err();
        assert!(matches!(error, Error::GuardFailed { .. }), "{error}");
        assert_eq!(rules(), Vec::<String>::new());
    });
}

#[test]
fn auto_takes_iptables_with_net_admin_and_the_listener_without() {
    in_namespace(|| {
        let by_rule = open(Ports::Exact(7000), GuardKind::Auto)
            .unwrap()
            .guard_description();
        assert!(
            by_rule.starts_with("iptables: rule tcpx-") && by_rule.ends_with("from 127.0.0.1:7000"),
            "{by_rule}"
        );
    });
    in_namespace(|| {
        lose(NET_ADMIN);
        let by_listener = open(Ports::Exact(7000), GuardKind::Auto)
            .unwrap()
            .guard_description();
        assert!(
            by_listener.starts_with("listener: ") && by_listener.contains("CAP_NET_ADMIN"),
            "{by_listener}"
        );
    });
}

#[test]
fn missing_capability_is_named() {
    in_namespace(|| {
        lose(NET_ADMIN);
        let error = open(Ports::Exact(7000), GuardKind::Iptables).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Privilege {
                    capability: Capability::NetAdmin,
                    ..
                }
            ),
            "{error}"
        );
        lose(NET_RAW);
        let error = open(Ports::Exact(7000), GuardKind::Listener).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Privilege {
                    capability: Capability::NetRaw,
                    ..
                }
            ),
            "{error}"
        );
    });
}

#[test]
fn port_of_a_kernel_listener_is_refused_and_its_owner_named() {
    in_namespace(|| {
        let _listener = TcpListener::bind("0.0.0.0:7000").unwrap();
        let error = open(Ports::Exact(7000), GuardKind::Listener).unwrap_err();
        let Error::PortInUse {
            address,
            owner: Some(owner),
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(
            (address, owner.state),
            (SocketAddr::new(LOCALHOST, 7000), "LISTEN")
        );
        assert_eq!(owner.program.map(|(_, pid)| pid), Some(std::process::id()));
    });
}

#[test]
fn port_of_another_link_is_refused_and_its_owner_named() {
    in_namespace(|| {
        let _link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        let error = open(Ports::Exact(7000), GuardKind::Iptables).unwrap_err();
        let Error::PortInUse {
            owner: Some(owner), ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(owner.state, "bound");
        assert_eq!(rules().len(), 1);
    });
}

#[test]
fn port_in_time_wait_is_refused_with_its_state() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:7000").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:7000").unwrap();
        // The server closes first, so that the TIME-WAIT is on port 7000.
        drop(listener.accept().unwrap());
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        drop((client, listener));
        let error = open(Ports::Exact(7000), GuardKind::Listener).unwrap_err();
        assert!(
            matches!(
                &error,
                Error::PortInUse {
                    owner: Some(PortOwner {
                        state: "TIME-WAIT",
                        program: None
                    }),
                    ..
                }
            ),
            "{error}"
        );
        let hint = error.hint().unwrap_or_default();
        assert!(hint.contains("TIME-WAIT ends, 60 s at most"), "{hint}");
    });
}

#[test]
fn no_guard_reserves_nothing_and_the_kernel_answers() {
    in_namespace(|| {
        let link = open(Ports::Exact(7000), GuardKind::None).unwrap();
        assert_eq!(
            TcpStream::connect((LOCALHOST, 7000)).unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        drop(TcpListener::bind((LOCALHOST, 7000)).unwrap());
        assert!(link.guard_description().starts_with("none"));
    });
}

#[test]
fn privileges_dropped_after_the_guard_is_up_do_not_keep_the_rule_there() {
    in_namespace(|| {
        let link = open(Ports::Exact(7000), GuardKind::Iptables).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                privileges::drop_all().unwrap();
                drop(link);
            });
        });
        assert_eq!(rules(), Vec::<String>::new());
    });
}
