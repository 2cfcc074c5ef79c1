//! What connections cost in memory: the steady state of one allocates nothing, not a segment, not
//! an acknowledgment; an idle one is small, and one that carried much gives its buffers back.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod memory;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tcpx::network::Network;
use tcpx::{Host, HostOptions, Stream};
use tcpx_cli::app::{Ends, Player};
use tcpx_proto::config::ConnConfig;
use tcpx_proto::script::Script;
use tcpx_tests::pair::Pair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE.set(LIVE.get() + layout.size() as isize);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn established_bulk_allocates_nothing_after_its_buffers_have_grown() {
    let conn = ConnConfig::default();
    let mut pair = Pair::new(&conn).unwrap();
    let (client, server) = pair.connect(&conn).unwrap();
    let mut chunk = vec![7; 16_384];
    pair.bulk(client, server, 4 << 20, &mut chunk).unwrap();
    let allocations = ALLOCATIONS.get();
    let packets = pair.packets;
    pair.bulk(client, server, 8 << 20, &mut chunk).unwrap();
    assert!(
        pair.packets - packets > 5_000,
        "too few packets to mean anything"
    );
    assert_eq!(ALLOCATIONS.get() - allocations, 0);
}

#[test]
fn established_idle_after_bulk_gives_its_buffers_back() {
    let conn = ConnConfig::default();
    let mut pair = Pair::new(&conn).unwrap();
    let mut chunk = vec![7; 16_384];
    let before = LIVE.get();
    let (client, server) = pair.connect(&conn).unwrap();
    pair.bulk(client, server, 4 << 20, &mut chunk).unwrap();
    pair.advance(Duration::from_secs(1));
    let kept = LIVE.get() - before;
    assert!(kept < 2 * 4096, "{kept} bytes on both sides");
}

/// Connections whose peers say nothing, or have said something, and an application that sends back
/// what comes.
#[tokio::test(start_paused = true)]
async fn established_idle_with_an_application_that_waits_takes_less_than_5_kb() {
    const COUNT: usize = 500;
    let network = Network::new(1).unwrap();
    let client = network.add_host("10.0.0.1".parse().unwrap(), HostOptions::default());
    let server = network.add_host("10.0.0.2".parse().unwrap(), HostOptions::default());
    let listener = server
        .listen_with(80, COUNT, &server.config().conn)
        .unwrap();
    let mut ours = Vec::with_capacity(COUNT);
    let mut tasks = JoinSet::new();
    let before = LIVE.get();
    for _ in 0..COUNT {
        ours.push(client.connect((server.address(), 80).into()).await.unwrap());
        tasks.spawn(echo(server.clone(), listener.accept().await.unwrap().0));
    }
    let live = || (LIVE.get() - before) / COUNT as isize;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // That is both ends.
    assert!(live() < 5000, "{} bytes before any data", live());
    for stream in &mut ours {
        stream.write_all(&[7; 10_000]).await.unwrap();
        stream.read_exact(&mut [0; 10_000]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(live() < 5000, "{} bytes after some data", live());
}

async fn echo(host: Host, stream: Stream) {
    let script: Script = "echo; close".parse().unwrap();
    Player::on(&host, script, Arc::new(stream), Ends::none())
        .play()
        .await
        .unwrap();
}
