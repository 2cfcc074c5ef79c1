//! The steady state of a connection allocates nothing: not a segment, not an acknowledgment.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use tcpx_proto::config::ConnConfig;
use tcpx_tests::pair::Pair;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
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
    let (allocations, packets) = (ALLOCATIONS.load(Ordering::Relaxed), pair.packets);
    pair.bulk(client, server, 8 << 20, &mut chunk).unwrap();
    assert!(pair.packets - packets > 5_000, "too few packets to mean anything");
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - allocations, 0);
}
