//! What runs showed, in Chinese.

use std::borrow::Cow;
use tcpx_experiment::experiment::{Arm, Experiment};
use tcpx_experiment::oracle::{Evidence, Origin, Seconds, Which};
use tcpx_proto::error::{CallError, CloseReason};
use tcpx_proto::wire::IcmpKind;

/// How a connection ended.
const REASONS: [(CloseReason, &str); 12] = [
    (CloseReason::Clean, "正常"),
    (CloseReason::Aborted, "主动中止"),
    (CloseReason::Refused, "被拒绝"),
    (CloseReason::Reset, "被 RST 重置"),
    (CloseReason::ConnectTimeout, "连接超时"),
    (CloseReason::RetransmissionTimeout, "重传超时"),
    (CloseReason::UserTimeout, "用户超时"),
    (CloseReason::KeepAliveTimeout, "保活超时"),
    (CloseReason::FinWait2Timeout, "FIN-WAIT-2 超时"),
    (CloseReason::Unreachable(IcmpKind::Unreachable(3)), "不可达"),
    (CloseReason::Dropped, "被丢弃"),
    (CloseReason::Restarted, "主机重启"),
];

/// All of it in one line.
pub(super) fn joined(shown: &[Evidence]) -> String {
    shown.iter().map(one).collect::<Vec<_>>().join("；")
}

/// Why an arm is not run beside Linux.
pub(super) fn not_run(experiment: &Experiment, arm: &Arm) -> Option<String> {
    if arm
        .kernel
        .as_ref()
        .is_some_and(|beside| beside.reason.is_some())
    {
        return arm.zh.as_ref()?.kernel.clone();
    }
    experiment
        .rule_that_linux_keeps(arm)
        .map(|rule| format!("Linux 不能去掉 {rule}"))
}

fn one(shown: &Evidence) -> String {
    match shown {
        Evidence::Disagree {
            end,
            state,
            other,
            time,
        } => {
            let other = other
                .as_ref()
                .map_or_else(|| "已经消失".to_owned(), |state| format!("处于 {state}"));
            format!(
                "{end} 处于 {state}，而 {} {other}，持续 {}",
                end.other(),
                seconds(time)
            )
        }
        Evidence::Phantom {
            end,
            state,
            peer,
            time,
        } => format!(
            "{end} 与 {peer} 处于 {state}，而对方并不知情，持续 {}",
            seconds(time)
        ),
        Evidence::TimeWaitMisplaced { conn } => {
            format!("{}没有先关闭，却进入了 TIME-WAIT", name(conn))
        }
        Evidence::TimeWaitMissing { conn } => format!("{}先关闭，却从未进入 TIME-WAIT", name(conn)),
        Evidence::TimeWaitKilled { conn, time } => format!(
            "{}的 TIME-WAIT 在 {} 后被 RST 结束",
            name(conn),
            seconds(time)
        ),
        Evidence::NoClose => "没有一方关闭".to_owned(),
        Evidence::Stuck {
            conn,
            state,
            time,
            reason,
        } => {
            let ended = reason.as_ref().map_or_else(String::new, |reason| {
                format!("，然后结束：{}", ending(reason))
            });
            format!("{}停留在 {state} {}{ended}", name(conn), seconds(time))
        }
        Evidence::Waits {
            end,
            step,
            time,
            state,
        } => format!(
            "{end} 在 `{step}` 一步等待 {}，状态为 {state}",
            seconds(time)
        ),
        Evidence::NoConnect => "没有一方发起连接".to_owned(),
        Evidence::ConnectFailed { nth, why } => {
            format!("第 {nth} 次 connect 失败：{}", failure(why))
        }
        Evidence::ConnectPending { nth } => format!("第 {nth} 次 connect 一直没有结束"),
        Evidence::Strange { conn, text, origin } => {
            let origin = match origin {
                Origin::Incarnation(other) => format!(
                    "它是 {} 在第 {} 次连接中发送的",
                    other.end, other.incarnation
                ),
                Origin::Nowhere => "而对方从未发送过".to_owned(),
                Origin::Instead(sent) => format!("而对方在那里发送的是“{sent}”"),
            };
            format!(
                "{} 在第 {} 次连接中收到“{text}”，{origin}",
                conn.end, conn.incarnation
            )
        }
        Evidence::NoEnd => "没有连接结束".to_owned(),
        Evidence::Ended {
            conn,
            state,
            reason,
        } => format!("{}在 {state} 中结束：{}", name(conn), ending(reason)),
        Evidence::Missed { conn, text } => format!("{}正常关闭，却没有收到“{text}”", name(conn)),
        Evidence::NoBudget => "实验没有给出报文段数的上限".to_owned(),
        Evidence::Wasteful {
            a,
            b,
            octets,
            budget,
        } => {
            format!(
                "a 发送 {a} 个报文段，b 发送 {b} 个，只为 {octets} 字节数据，而 {budget} 个就够了"
            )
        }
        Evidence::Unconnected { end } => format!("{end}：没有连接"),
        Evidence::Silent { end } => format!("{end}：不再出声"),
        Evidence::Went {
            end,
            longest,
            ended,
        } => {
            let longest = longest.as_ref().map_or_else(String::new, |(state, time)| {
                format!("{state} {}，", seconds(time))
            });
            match ended {
                Ok(reason) => format!("{end}：{longest}关闭（{}）", ending(reason)),
                Err(state) => format!("{end}：{longest}仍处于 {state}"),
            }
        }
        Evidence::Edges { all, own, forged } => {
            format!(
                "{all} 条边走过 {} 条：{own} 条由两个 TCP 自己走过，{forged} 条只靠伪造的报文",
                own + forged
            )
        }
        Evidence::Unwalkable { from, on, to, .. } => {
            format!("{from} 遇到 {on} 到 {to} 这条边走不到")
        }
    }
}

/// With the blank that stands between a Latin letter and what follows.
fn name(Which { end, incarnation }: &Which) -> String {
    if *incarnation > 1 {
        format!("{end} 的第 {incarnation} 次连接")
    } else {
        format!("{end} ")
    }
}

/// How a connection ended, of the word in its record.
fn ending(word: &str) -> Cow<'_, str> {
    let known = REASONS.iter().find(|(reason, _)| reason.name() == word);
    known.map_or(Cow::Borrowed(word), |(_, chinese)| Cow::Borrowed(*chinese))
}

/// Why a step failed, of the sentence in its record.
fn failure(why: &str) -> Cow<'_, str> {
    let known = REASONS
        .iter()
        .find(|(reason, _)| CallError::Ended(*reason).to_string() == why);
    known.map_or(Cow::Borrowed(why), |(_, chinese)| {
        Cow::Owned(format!("连接结束，{chinese}"))
    })
}

fn seconds(time: &Seconds) -> String {
    let text = time.to_string();
    match text.split_once(' ') {
        Some((number, "us")) => format!("{number} 微秒"),
        Some((number, "ms")) => format!("{number} 毫秒"),
        Some((number, _)) => format!("{number} 秒"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcpx_experiment::end::End;

    #[test]
    fn every_reason_that_a_record_gives_has_its_word() {
        for word in tcpx_proto::error::CloseKind::ALL.map(|kind| kind.name()) {
            assert_ne!(ending(word), word);
        }
    }

    #[test]
    fn sentence_has_the_same_facts_in_both_languages() {
        let conn = Which {
            end: End::B,
            incarnation: 2,
        };
        let stuck = Evidence::Stuck {
            conn,
            state: "LAST-ACK".to_owned(),
            time: Seconds(6.25),
            reason: Some("retransmission-timeout".to_owned()),
        };
        assert_eq!(
            stuck.to_string(),
            "b's connection 2 is in LAST-ACK for 6.2 s, then ends: retransmission-timeout"
        );
        assert_eq!(
            one(&stuck),
            "b 的第 2 次连接停留在 LAST-ACK 6.2 秒，然后结束：重传超时"
        );
        let refused = Evidence::ConnectFailed {
            nth: 1,
            why: CallError::Ended(CloseReason::Refused).to_string(),
        };
        assert_eq!(one(&refused), "第 1 次 connect 失败：连接结束，被拒绝");
    }
}
