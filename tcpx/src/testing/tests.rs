//! The tools of tests, tested: in memory, without time, without privilege; and one in namespaces.

use super::*;
use crate::link::LinkOptions;
use crate::ports::Ports;
use crate::record::{Observed, Observer, Role, Start};
use crate::{Host, Listener};
use std::io::{ErrorKind, Write};
use std::net::Ipv6Addr;
use tcpx_proto::config::Profile;
use tcpx_proto::event::{Event, What};
use tcpx_proto::fault::FaultRule;
use tcpx_proto::state::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn rules(lines: &[&str]) -> Vec<FaultRule> {
    lines.iter().map(|line| line.parse().unwrap()).collect()
}

async fn echo(mut far: Stream) {
    let (mut reader, mut writer) = tokio::io::split(&mut far);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
    drop((reader, writer));
    far.closed().await.unwrap();
}

/// Sends this many bytes through an echo and asserts that the same bytes come back.
async fn round_trip(near: &Stream, octets: usize) {
    let sent: Vec<u8> = (0..octets).map(|at| (at % 251) as u8).collect();
    let mut reader = near;
    let mut writer = near;
    let mut received = Vec::new();
    let send = async {
        writer.write_all(&sent).await?;
        writer.shutdown().await
    };
    let ((), _) = tokio::try_join!(send, reader.read_to_end(&mut received)).unwrap();
    assert!(received == sent);
}

#[tokio::test(start_paused = true)]
async fn silent_peer_is_given_up_after_r2_in_no_time() {
    let began = std::time::Instant::now();
    let Pair {
        mut near,
        far,
        network,
        ..
    } = pair(PairOptions::default()).await.unwrap();
    far.host().vanish();
    near.write_all(b"anybody there?").await.unwrap();
    let error = near.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    // tcp_retries2: the first timer that expires 924.6 s after the first retransmission, and up to
    // an eighth of the last timeout (15 s) later for the timer wheel.
    assert!(
        (Duration::from_secs(920)..Duration::from_secs(941)).contains(&network.elapsed()),
        "{:?}",
        network.elapsed()
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn fault_added_and_ended_delays_only_what_came_between() {
    let Pair {
        mut near,
        mut far,
        network,
        ..
    } = pair(PairOptions::default()).await.unwrap();
    let mut took = Vec::new();
    for fault in [None, Some("delay=3s out data"), None] {
        far.host().end_faults();
        fault
            .into_iter()
            .for_each(|line| far.host().add_fault(line.parse().unwrap()));
        let asked = network.elapsed();
        far.write_all(b"answer").await.unwrap();
        near.read_exact(&mut [0; 6]).await.unwrap();
        took.push((network.elapsed() - asked).as_secs());
    }
    assert_eq!(took, [0, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn abort_and_restart_of_the_far_end_reset_the_near_end() {
    for restart in [false, true] {
        let Pair {
            mut near,
            far,
            far_diary,
            ..
        } = pair(PairOptions::default()).await.unwrap();
        if restart {
            far.host().restart()
        } else {
            far.abort()
        }
        // A host that restarted answers the first segment with a RST, as it would an unknown
        // peer's.
        _ = near.write_all(b"hello").await;
        let error = near.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{far_diary}");
    }
}

#[tokio::test(start_paused = true)]
async fn far_end_dropped_is_the_end_of_input_and_both_close_clean() {
    let Pair {
        mut near,
        far,
        network,
        ..
    } = pair(PairOptions::default()).await.unwrap();
    let server = far.host();
    drop(far);
    assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
    near.shutdown().await.unwrap();
    assert_eq!(near.closed().await.unwrap(), CloseReason::Clean);
    server.closed().await.unwrap();
    // The far end closed first: TIME-WAIT was there, and its 60 s are over.
    assert!(network.elapsed() > Duration::from_secs(60) && server.connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn cable_that_is_cut_and_mended_loses_nothing() {
    let Pair {
        near,
        far,
        network,
        near_diary,
        ..
    } = pair(PairOptions::default()).await.unwrap();
    network.link(
        NEAR,
        FAR,
        Link {
            loss: 1000,
            ..Link::default()
        },
    );
    let echo = tokio::spawn(echo(far));
    let repair = async {
        near_diary
            .until(|entry| {
                entry
                    .segment()
                    .is_some_and(|segment| segment.out && segment.retransmission == 3)
            })
            .await;
        network.link(NEAR, FAR, Link::default());
    };
    tokio::join!(round_trip(&near, 1000), repair);
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pair_whose_handshake_fails_says_how() {
    let near = HostOptions {
        faults: rules(&["drop out syn"]),
        ..HostOptions::default()
    };
    let lost = pair(PairOptions {
        near,
        ..PairOptions::default()
    })
    .await
    .err()
    .unwrap();
    assert!(
        matches!(lost, Error::Ended(CloseReason::ConnectTimeout)),
        "{lost}"
    );
    // The near end believes in a connection that the far end does not.
    let near = HostOptions {
        faults: rules(&["drop out segment#2.."]),
        ..HostOptions::default()
    };
    let half = pair(PairOptions {
        near,
        ..PairOptions::default()
    })
    .await
    .err()
    .unwrap();
    assert!(
        matches!(half, Error::Ended(CloseReason::ConnectTimeout)),
        "{half}"
    );
}

/// What both ends saw of a transfer over a bad link.
fn run(seed: u64) -> [String; 2] {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let link = Link {
            loss: 50,
            duplicate: 30,
            reorder: 100,
            late: Duration::from_millis(5),
            ..Link::default()
        };
        let faults = rules(&["rate=5% drop out data", "rate=5% corrupt in segment"]);
        let near = HostOptions {
            faults,
            ..HostOptions::default()
        };
        let Pair {
            near,
            far,
            near_diary,
            far_diary,
            ..
        } = pair(PairOptions {
            seed,
            link,
            near,
            ..PairOptions::default()
        })
        .await
        .unwrap();
        let echo = tokio::spawn(echo(far));
        round_trip(&near, 200_000).await;
        echo.await.unwrap();
        [near_diary.to_string(), far_diary.to_string()]
    })
}

#[test]
fn same_seed_gives_the_same_run_to_the_last_line() {
    let first = run(7);
    assert!(first == run(7));
    assert!(first != run(8));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_time_and_two_threads_carry_a_megabyte_both_ways() {
    let link = Link {
        loss: 5,
        ..Link::new(Duration::from_micros(100))
    };
    let Pair { near, far, .. } = pair(PairOptions {
        link,
        ..PairOptions::default()
    })
    .await
    .unwrap();
    let echo = tokio::spawn(echo(far));
    tokio::time::timeout(Duration::from_secs(60), round_trip(&near, 1 << 20))
        .await
        .unwrap();
    drop(near);
    // TIME-WAIT is the near end's.
    echo.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn hosts_with_ipv6_addresses_and_a_third_one_talk() {
    let network = Network::new(1).unwrap();
    let address = |last| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let server = network.add_host(address(1), HostOptions::default());
    let listener: Listener = server.listen_with(80, 8, &server.config().conn).unwrap();
    for last in [2, 3] {
        let client = network.add_host(address(last), HostOptions::default());
        let mut near = client
            .connect(SocketAddr::new(address(1), 80))
            .await
            .unwrap();
        let mut far = listener.accept().await.unwrap().0;
        assert_eq!(far.peer_addr().ip(), address(last));
        near.write_all(b"six").await.unwrap();
        far.read_exact(&mut [0; 3]).await.unwrap();
    }
    let nobody = server
        .connect(SocketAddr::new(address(9), 80))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(nobody, Error::Ended(CloseReason::ConnectTimeout)),
        "{nobody}"
    );
}

#[tokio::test(start_paused = true)]
async fn rule_added_to_a_host_that_nobody_watched_counts_from_then_on() {
    let network = Network::new(1).unwrap();
    let [client, server] =
        [NEAR, FAR].map(|address| network.add_host(address, HostOptions::default()));
    let listener = server.listen_with(PORT, 1, &server.config().conn).unwrap();
    let mut near = client.connect(SocketAddr::new(FAR, PORT)).await.unwrap();
    let mut far = listener.accept().await.unwrap().0;
    near.write_all(b"first").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    client.add_fault("drop out data#1".parse().unwrap());
    near.write_all(b"second").await.unwrap();
    far.read_exact(&mut [0; 6]).await.unwrap();
    near.reached(State::Established).await.unwrap();
    assert!(
        network.elapsed() >= Duration::from_millis(200),
        "sent again after an RTO"
    );
}

#[tokio::test(start_paused = true)]
async fn diary_names_rules_and_is_saved_as_lines_with_them() {
    let Pair {
        mut near,
        mut far,
        near_diary,
        ..
    } = pair(PairOptions::default()).await.unwrap();
    near.host().add_fault("drop out data#1".parse().unwrap());
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    let dropped = near_diary
        .until(|entry| matches!(entry, Observed::Segment(segment) if segment.rule.is_some()))
        .await;
    assert!(
        dropped
            .to_string()
            .ends_with("call: ack-of-syn, data  drop by `drop out data#1`"),
        "{dropped}"
    );
    let path = std::env::temp_dir().join(format!("tcpx-diary-{}.jsonl", std::process::id()));
    near_diary
        .save(
            &path,
            &Start::in_memory(Role::Client, Profile::Linux, near.host().seed()),
        )
        .unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(text.lines().next().unwrap().contains(r#""role":"client""#));
    assert!(
        text.contains(r#""verdict":"drop","rule":"drop out data#1""#),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1 + near_diary.count(|_| true));
}

/// Panics at the first text.
struct Squeamish;

impl Observer for Squeamish {
    fn observe(&mut self, observed: &Observed) {
        let text = |event: &Event| matches!(event.what, What::Accepted { text: 1.., .. });
        assert!(!observed.event().is_some_and(text), "text");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_at_one_host_ends_it_with_an_error_and_the_other_goes_on() {
    let far = HostOptions {
        observers: vec![Box::new(Squeamish)],
        ..HostOptions::default()
    };
    let Pair {
        mut near, mut far, ..
    } = pair(PairOptions {
        far,
        ..PairOptions::default()
    })
    .await
    .unwrap();
    let reader = tokio::spawn(async move { far.read(&mut [0]).await });
    // The task that delivers the segment panics: here the network's own task, which ends.
    near.write_all(b"text").await.unwrap();
    let error = reader.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("panic"), "{error}");
}

#[test]
fn runtime_that_shuts_down_ends_what_waits_elsewhere_with_an_error() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let own = runtime();
    let other = runtime();
    let mut near = own.block_on(pair(PairOptions::default())).unwrap().near;
    drop(own);
    assert!(other.block_on(near.read(&mut [0])).is_err());
    assert!(Network::new(1).is_err(), "no runtime");
}

#[test]
fn network_is_gone_with_its_last_handle() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let shared = runtime.block_on(async {
        let Pair { near, .. } = pair(PairOptions::default()).await.unwrap();
        std::sync::Arc::downgrade(near.host().shared())
    });
    assert!(shared.upgrade().is_none());
}

#[test]
fn isolated_test_is_root_there_and_the_kernels_client_meets_a_host_of_ours() {
    let name =
        "testing::tests::isolated_test_is_root_there_and_the_kernels_client_meets_a_host_of_ours";
    let outcome = isolated(name, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let ours: SocketAddr = "127.0.0.2:7000".parse().unwrap();
            let faults = rules(&["drop out data#1"]);
            let link = LinkOptions::new(ours.ip(), Ports::Exact(ours.port()));
            let diary = Diary::new();
            let options = HostOptions {
                faults,
                observers: vec![Box::new(diary.clone())],
                ..HostOptions::default()
            };
            let host = Host::open(link, options).unwrap();
            let listener = host
                .listen_with(ours.port(), 1, &host.config().conn)
                .unwrap();
            let mut near = tokio::net::TcpStream::connect(ours).await.unwrap();
            let mut far = listener.accept().await.unwrap().0;
            far.write_all(b"late").await.unwrap();
            near.read_exact(&mut [0; 4]).await.unwrap();
            let again = |entry: &Observed| {
                entry.segment().is_some_and(|segment| {
                    segment.out && segment.len == 4 && segment.retransmission == 1
                })
            };
            assert_eq!(diary.count(again), 1, "{diary}");
            near.set_zero_linger().unwrap();
            drop(near);
            assert_eq!(far.closed().await.unwrap(), CloseReason::Reset);
        });
    });
    if let Err(error) = outcome {
        assert!(
            !std::env::var("REQUIRE").is_ok_and(|list| list.contains("netns")),
            "netns is required, and {error}"
        );
        _ = writeln!(std::io::stderr(), "skipped: {error}");
    }
}

#[test]
#[should_panic(expected = "there is no test")]
fn isolated_test_of_a_wrong_name_is_no_success() {
    if isolated("testing::tests::no_such_test", || {}).is_err() {
        panic!("there is no test of namespaces here");
    }
}

#[tokio::test(start_paused = true)]
async fn options_change_read_back_and_pass_from_a_listener_to_what_it_accepts() {
    let network = Network::new(1).unwrap();
    let [client, server] = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| network.add_host(ip.parse().unwrap(), HostOptions::default()));
    let listener = server.listen(80).unwrap();
    listener.set_nodelay(true).unwrap();
    listener.set_tos(0x28).unwrap();
    let near = client
        .connect("10.0.0.2:80".parse().unwrap())
        .await
        .unwrap();
    let (far, _) = listener.accept().await.unwrap();
    assert_eq!((far.nodelay().unwrap(), far.tos().unwrap()), (true, 0x28));
    assert_eq!((near.nodelay().unwrap(), near.tos().unwrap()), (false, 0));
    let keepalive = crate::KeepAlive {
        idle: Duration::from_secs(10),
        interval: Duration::from_secs(1),
        probes: 3,
    };
    near.set_keepalive(Some(keepalive)).unwrap();
    near.set_user_timeout(Some(Duration::from_secs(3))).unwrap();
    near.set_linger2(Duration::from_secs(2)).unwrap();
    near.set_ttl(9).unwrap();
    near.set_linger(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(near.linger().unwrap(), Some(Duration::from_secs(5)));
    assert_eq!(near.keepalive().unwrap(), Some(keepalive));
    assert_eq!(near.user_timeout().unwrap(), Some(Duration::from_secs(3)));
    assert_eq!(
        (near.linger2().unwrap(), near.ttl().unwrap()),
        (Duration::from_secs(2), 9)
    );
    server.vanish();
    assert_eq!(near.closed().await.unwrap(), CloseReason::KeepAliveTimeout);
    // The user timeout ends it when the second probe is due.
    assert_eq!(network.elapsed().as_secs(), 11);
    assert!(near.set_nodelay(true).is_err());
}

#[tokio::test(start_paused = true)]
async fn peek_waits_for_data_and_the_next_read_has_it_again() {
    let network = Network::new(1).unwrap();
    let [client, server] = ["10.0.0.1", "10.0.0.2"]
        .map(|ip| network.add_host(ip.parse().unwrap(), HostOptions::default()));
    let listener = server.listen(80).unwrap();
    let mut near = client
        .connect("10.0.0.2:80".parse().unwrap())
        .await
        .unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let mut seen = [0; 9];
    let (peeked, ()) = tokio::join!(far.peek(&mut seen), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        near.write_all(b"hello").await.unwrap();
        near.shutdown().await.unwrap();
    });
    assert_eq!((peeked.unwrap(), &seen[..5]), (5, &b"hello"[..]));
    let mut heard = String::new();
    far.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "hello");
    assert_eq!(far.peek(&mut seen).await.unwrap(), 0, "the end");
}
