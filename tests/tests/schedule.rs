//! When a silent peer is asked again, and when it gets its ACK: tcpx with profile linux beside this
//! machine's kernel. `make schedule` prints the table; LONG=1 adds the schedules that take minutes,
//! CASE=TLP chooses by name.

use tcpx_tests::schedule::{Place, Row, cases};
use tcpx_tests::skip::or_skip;

#[test]
fn schedules_are_the_kernels_within_a_jiffy() {
    let Some(place) = or_skip(Place::new()) else {
        return;
    };
    let asked = |name| std::env::var(name).unwrap_or_default();
    let long = !asked("LONG").is_empty();
    let part = asked("CASE");
    let chosen = cases(long).into_iter();
    let chosen = chosen.filter(|case| case.name.contains(&part)).collect();
    let rows = place.measure(chosen).unwrap();
    for row in &rows {
        println!("{row}");
    }
    // `make` sets it to nothing where it is not asked for.
    if let Some(path) = std::env::var_os("RECORD").filter(|path| !path.is_empty()) {
        let lines: Vec<&str> = rows.iter().map(Row::record).collect();
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    let wrong: Vec<&Row> = rows.iter().filter(|row| row.is_wrong()).collect();
    println!("{} of {} schedules differ", wrong.len(), rows.len());
    assert!(
        wrong.is_empty(),
        "{}",
        wrong.iter().map(|row| row.to_string()).collect::<String>()
    );
}
