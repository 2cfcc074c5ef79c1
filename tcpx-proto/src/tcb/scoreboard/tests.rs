//! The scoreboard, compared with a list of bytes.

use super::*;
use alloc::vec::Vec;
use proptest::prelude::*;

const START: Seq = Seq(u32::MAX - 20);

fn at(time: u64) -> Instant {
    Instant(time)
}

/// One hundred bytes, ten a segment, each sent at a time of its own.
fn board() -> Scoreboard {
    let mut board = Scoreboard::default();
    (0..10).for_each(|n| board.sent(START + 10 * n, START + 10 * n + 10, at(u64::from(n))));
    board
}

fn hold(board: &mut Scoreboard, left: u32, right: u32) -> bool {
    board.held(START + left, START + right, |_| {})
}

/// The runs as offsets, and the first letters of their marks.
fn spelt(board: &Scoreboard) -> Vec<(u32, u32, Mark)> {
    board
        .runs
        .iter()
        .map(|run| (run.start.since(START), run.end.since(START), run.mark))
        .collect()
}

/// How many of the runs before `end` give a round-trip time when they are acknowledged.
fn samples(board: &mut Scoreboard, end: Seq) -> u32 {
    let mut samples = 0;
    board.acknowledged(end, |run| samples += u32::from(run.is_sample()));
    samples
}

/// Proves 6675-2.
#[test]
fn rfc_6675_4_is_lost_below_three_blocks_or_more_than_two_segments() {
    let mut three = board();
    assert!(hold(&mut three, 41, 42) && hold(&mut three, 51, 52) && hold(&mut three, 61, 62));
    assert!(three.lose_below_held(3, 10));
    assert_eq!(three.bytes(Mark::Lost), 41);
    let mut two = board();
    hold(&mut two, 40, 60);
    assert!(
        !two.lose_below_held(3, 10),
        "two segments are not more than two"
    );
    hold(&mut two, 60, 61);
    assert!(
        two.lose_below_held(3, 10) && !two.lose_below_held(3, 10),
        "once"
    );
    assert_eq!(
        spelt(&two)[..2],
        [(0, 40, Mark::Lost), (40, 61, Mark::Held)]
    );
    assert_eq!(two.next_lost(), Some((START, START + 40)));
}

#[test]
fn resent_bytes_are_not_lost_by_what_was_held_before() {
    let mut board = board();
    hold(&mut board, 40, 100);
    board.lose_below_held(3, 10);
    board.sent(START, START + 10, at(50));
    assert_eq!(board.next_lost(), Some((START + 10, START + 40)));
    assert!(!board.lose_below_held(3, 10));
    assert_eq!(board.bytes(Mark::Resent), 10);
    assert_eq!(board.bytes(Mark::Lost), 30);
    assert_eq!(board.bytes(Mark::Held), 60);
}

#[test]
fn rfc_6675_4_next_seg_finds_the_doubtful_below_what_is_held_and_the_last() {
    let mut board = board();
    assert_eq!(board.next_doubtful(), None);
    hold(&mut board, 10, 20);
    assert_eq!(board.next_doubtful(), Some((START, START + 10)));
    board.sent(START, START + 10, at(50));
    assert_eq!(board.next_doubtful(), None);
    assert_eq!(
        board.last(25),
        Some((START + 90, START + 100)),
        "not beyond what was sent together"
    );
}

#[test]
fn sieve_of_held_bytes_stays_within_its_bound_and_counts_no_more() {
    let mut board = Scoreboard::default();
    board.sent(START, START + 100_000, at(0));
    let believed = (0..20_000)
        .filter(|n| hold(&mut board, 1 + 4 * n, 2 + 4 * n))
        .count();
    assert!((500..=520).contains(&believed), "{believed}");
    assert!(board.runs.len() <= MAX_RUNS + 2);
    board.lose_all();
    for n in 0..5000 {
        board.sent(START + 4 * n, START + 4 * n + 1, at(u64::from(n) + 1));
        assert_eq!(board.bytes.iter().sum::<u32>(), 100_000);
        let last = board.runs.back().unwrap();
        assert_eq!((last.end, last.at), (START + 100_000, at(0)));
        assert!(board.runs.len() <= 2 * MAX_RUNS + 2);
    }
    board.acknowledged(START + 100_000, |_| {});
    assert_eq!(board.runs.len(), 0);
    assert_eq!(board.bytes, [0; 5]);
}

#[test]
fn block_is_not_counted_where_there_are_as_many_runs_as_may_be() {
    let mut board = Scoreboard::default();
    board.sent(START, START + 100_000, at(0));
    let mut left = 0;
    while board.runs.len() < MAX_RUNS {
        assert!(hold(&mut board, left, left + 1));
        left += 2;
    }
    assert_eq!(
        board.runs.len(),
        MAX_RUNS,
        "each block but the first adds two"
    );
    assert!(!hold(&mut board, left, left + 1));
}

/// Karn: bytes that share one time for several transmissions give no sample.
#[test]
fn rfc_6298_3_bytes_whose_times_were_thrown_together_give_no_sample() {
    let mut board = Scoreboard::default();
    (0..1500).for_each(|n| board.sent(START + n, START + n + 1, at(n.into())));
    assert!(hold(&mut board, 100, 101));
    assert!(board.runs.len() < 10, "{}", board.runs.len());
    let mut told = 0;
    board.acknowledged(START + 1500, |run| told += u32::from(run.is_sample()));
    assert_eq!(told, 0);
}

#[test]
fn runs_of_one_fate_and_time_are_one_and_those_of_two_times_stay_apart() {
    let mut board = board();
    assert_eq!(board.runs.len(), 10, "each sent at a time of its own");
    board.lose_first(10);
    board.sent(START, START + 10, at(50));
    assert_eq!(board.runs.len(), 10);
    board.sent(START + 10, START + 20, at(60));
    board.sent(START + 20, START + 30, at(60));
    let twice = (10, 30, Mark::Twice);
    assert_eq!(
        spelt(&board)[..3],
        [(0, 10, Mark::Resent), twice, (30, 40, Mark::Sent)]
    );
    board.sent(START + 30, START + 40, at(70));
    assert_eq!(
        spelt(&board)[1..3],
        [twice, (30, 40, Mark::Twice)],
        "sent later"
    );
}

/// Karn: what was thrown together once stays so, whatever joins it.
#[test]
fn bytes_of_two_times_give_no_sample_though_the_next_have_the_later_time() {
    let mut board = Scoreboard::default();
    board.sent(START, START + 10, at(5));
    board.sent(START + 10, START + 30, at(7));
    hold(&mut board, 20, 30);
    board.lose_all();
    assert_eq!(spelt(&board)[0], (0, 20, Mark::Lost));
    board.forget_held();
    assert_eq!(spelt(&board), [(0, 30, Mark::Lost)]);
    board.nothing_is_lost();
    assert_eq!(samples(&mut board, START + 30), 0);
}

#[test]
fn bytes_that_are_lost_with_some_that_went_twice_give_no_sample() {
    let mut board = Scoreboard::default();
    board.sent(START, START + 20, at(5));
    board.sent(START + 10, START + 20, at(5));
    board.lose_all();
    assert_eq!(spelt(&board), [(0, 20, Mark::Lost)]);
    board.nothing_is_lost();
    assert_eq!(samples(&mut board, START + 20), 0);
}

#[test]
fn board_gives_the_memory_of_a_burst_back_once_it_is_over() {
    let mut board = Scoreboard::default();
    (0..100).for_each(|n| board.sent(START + n, START + n + 1, at(n.into())));
    let full = board.memory();
    assert!(full >= 100 * size_of::<Run>());
    assert!(!board.has_slack(), "it is in use");
    board.acknowledged(START + 99, |_| {});
    assert_eq!(board.memory(), full);
    assert!(board.has_slack());
    board.give_back();
    assert!(!board.has_slack() && board.memory() < full / 10);
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Send(u32),
    Again(u32, u32),
    Hold(u32, u32),
    Acknowledge(u32),
    Lose,
    LoseAll,
    Forget,
}

fn any_input() -> impl Strategy<Value = Input> {
    let stretch = (0u32..120, 1u32..30);
    prop_oneof![
        3 => (1u32..30).prop_map(Input::Send),
        3 => stretch.clone().prop_map(|(from, len)| Input::Again(from, len)),
        6 => stretch.prop_map(|(from, len)| Input::Hold(from, len)),
        2 => (0u32..40).prop_map(Input::Acknowledge),
        2 => Just(Input::Lose),
        1 => Just(Input::LoseAll),
        1 => Just(Input::Forget),
    ]
}

proptest! {
    /// Every byte has the fate that a list of single bytes would give it.
    #[test]
    fn board_is_a_list_of_bytes(inputs in prop::collection::vec(any_input(), 1..80)) {
        let mut board = Scoreboard::default();
        let mut model = Vec::<Mark>::new();
        let mut una = 0usize;
        for (time, input) in inputs.into_iter().enumerate() {
            let now = at(time as u64 / 3);
            let nxt = una + model.len();
            let inside = |from: u32, len: u32| {
                (una + from as usize).min(nxt)..(una + (from + len) as usize).min(nxt)
            };
            let seq = |at: usize| START + at as u32;
            match input {
                Input::Send(len) => {
                    board.sent(seq(nxt), seq(nxt) + len, now);
                    model.resize(model.len() + len as usize, Mark::Sent);
                }
                Input::Again(from, len) => {
                    let range = inside(from, len);
                    if !range.is_empty() {
                        board.sent(seq(range.start), seq(range.end), now);
                        for mark in &mut model[range.start - una..range.end - una] {
                            *mark = match *mark {
                                Mark::Held => Mark::Held,
                                Mark::Lost | Mark::Resent => Mark::Resent,
                                Mark::Sent | Mark::Twice => Mark::Twice,
                            };
                        }
                    }
                }
                Input::Hold(from, len) => {
                    let range = inside(from, len);
                    if !range.is_empty() {
                        let bytes = &mut model[range.start - una..range.end - una];
                        let mut delivered = 0;
                        let expected = bytes.iter().filter(|mark| **mark != Mark::Held).count();
                        let news = board.held(seq(range.start), seq(range.end), |run| {
                            delivered += run.len()
                        });
                        prop_assert_eq!(news, expected > 0);
                        prop_assert_eq!(delivered as usize, expected);
                        bytes.fill(Mark::Held);
                    }
                }
                Input::Acknowledge(len) => {
                    let gone = model
                        .drain(..model.len().min(len as usize))
                        .filter(|mark| *mark != Mark::Held)
                        .count();
                    una = nxt - model.len();
                    let mut delivered = 0;
                    board.acknowledged(seq(una), |run| delivered += run.len());
                    prop_assert_eq!(delivered as usize, gone);
                }
                Input::Lose => {
                    let above = |from: usize| {
                        let held = |mark: &Mark| *mark == Mark::Held;
                        let blocks = (from + 1..model.len())
                            .filter(|at| held(&model[*at]) && !held(&model[at - 1]))
                            .count();
                        blocks >= 3 || model[from..].iter().filter(|mark| held(mark)).count() > 20
                    };
                    let lost: Vec<usize> = (0..model.len())
                        .filter(|at| model[*at] == Mark::Sent && above(*at))
                        .collect();
                    prop_assert_eq!(board.lose_below_held(3, 10), !lost.is_empty());
                    lost.into_iter().for_each(|at| model[at] = Mark::Lost);
                }
                Input::LoseAll => {
                    board.lose_all();
                    model
                        .iter_mut()
                        .filter(|mark| **mark != Mark::Held)
                        .for_each(|mark| *mark = Mark::Lost);
                }
                Input::Forget => {
                    board.forget_held();
                    model
                        .iter_mut()
                        .filter(|mark| **mark == Mark::Held)
                        .for_each(|mark| *mark = Mark::Lost);
                }
            }
            let spread: Vec<Mark> = board
                .runs
                .iter()
                .flat_map(|run| core::iter::repeat_n(run.mark, run.len() as usize))
                .collect();
            prop_assert_eq!(&spread, &model);
            for mark in [
                Mark::Sent,
                Mark::Held,
                Mark::Lost,
                Mark::Resent,
                Mark::Twice,
            ] {
                prop_assert_eq!(
                    board.bytes(mark) as usize,
                    model.iter().filter(|byte| **byte == mark).count()
                );
            }
            prop_assert!(
                board
                    .runs
                    .iter()
                    .zip(board.runs.iter().skip(1))
                    .all(|(a, b)| a.end == b.start)
            );
        }
    }
}
