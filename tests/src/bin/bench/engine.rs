//! The engine in memory, with smoltcp 0.14 doing the same work in the same run: bulk at MTU 1500
//! with checksums, connect and close.
#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tcpx_tests::pair::{Pair, large_buffers};
use tcpx_tests::smoltcp::Smoltcp;

const OCTETS: usize = 16 << 20;

fn bulk(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine bulk, MTU 1500, checksums");
    group
        .throughput(Throughput::Bytes(OCTETS as u64))
        .sample_size(10);
    let mut chunk = vec![7; 65_536];
    group.bench_function(BenchmarkId::from_parameter("tcpx"), |b| {
        let mut pair = Pair::new(&large_buffers()).unwrap();
        let (client, server) = pair.connect(&large_buffers()).unwrap();
        b.iter(|| {
            pair.bulk(client, server, black_box(OCTETS), &mut chunk)
                .unwrap()
        });
    });
    group.bench_function(BenchmarkId::from_parameter("smoltcp"), |b| {
        let mut pair = Smoltcp::new();
        pair.connect().unwrap();
        b.iter(|| pair.bulk(black_box(OCTETS), &mut chunk).unwrap());
    });
    group.finish();
}

fn connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("engine connect + close");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::from_parameter("tcpx"), |b| {
        let conn = large_buffers();
        let mut pair = Pair::new(&conn).unwrap();
        b.iter(|| pair.connect_and_close(&conn).unwrap());
    });
    group.bench_function(BenchmarkId::from_parameter("smoltcp"), |b| {
        let mut pair = Smoltcp::new();
        b.iter(|| pair.connect_and_close().unwrap());
    });
    group.finish();
}

criterion_group!(engine, bulk, connections);
criterion_main!(engine);
