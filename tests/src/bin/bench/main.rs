//! `make bench`: tcpx beside smoltcp and the kernel, in time. `bench [--quick] [WORD]` runs the
//! works whose titles contain WORD; with UPDATE=1 in the environment it writes docs/performance.md.
#![expect(clippy::print_stdout, reason = "its output is the result")]

mod engine;
mod flood;
mod machine;
mod program;
mod table;
mod user_space;
mod wire;

use machine::Noise;
use table::Table;

/// Each work is measured so many times; those who do it take turns.
const ROUNDS: usize = 5;

const INTRODUCTION: &str = "# Performance

Written by `UPDATE=1 make bench`. Each work is done several times by each, in turn. The ratio is that of a round to the first row in the
same round, more than 1 being better, as the median of all rounds, and from the worst to the best. Ratios count, not figures: they depend
on the machine, and some on what else it does. `make bench-instructions` counts instructions instead, which do not.

Wire: two network namespaces and a veth cable, MTU 1500, reno, both ends in one process with a thread each; the listener guard. A kernel
client and smoltcp meet on a TUN device, where smoltcp never sleeps. The kernel's segmentation lets it pay once for 64 KB, which a
raw IP socket cannot; the packet link can.
";

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.iter().any(|word| word == "--quick");
    let wanted = words.iter().find(|word| !word.starts_with("--"));
    let rounds = if quick { 3 } else { ROUNDS };
    let wants = |title: &str| wanted.is_none_or(|wanted| title.contains(wanted.as_str()));
    let noise = Noise::start();
    let mut text = format!("{INTRODUCTION}\n{}\n", machine::describe());
    println!("{}\n", machine::describe());
    let mut note = |table: &Table| {
        println!("{table}");
        text += &format!("\n{table}");
    };
    if wants("Engine") {
        note(&engine::bulk(rounds)?);
        note(&engine::connections(rounds)?);
    }
    if wants("Simulation") {
        note(&engine::simulation(rounds)?);
    }
    if wants("Program") {
        note(&program::whole_connection(rounds * 3)?);
    }
    if wants("Wire: us for each connection to one peer's port") {
        note(&wire::all_ports(1)?);
    }
    if wants("Wire: SYN,ACKs/s under a flood of SYNs") {
        flood::run(rounds, quick)?.iter().for_each(&mut note);
    }
    for bench in wire::all(quick)? {
        if wants(bench.title()) {
            note(&bench.run(rounds)?);
        }
    }
    let noise = noise.describe();
    println!("{noise}");
    if std::env::var_os("UPDATE").is_some() {
        let text = text + &format!("\n{noise}\n");
        std::fs::write("docs/performance.md", text)?;
    }
    Ok(())
}
