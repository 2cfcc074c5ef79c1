//! What runs showed, in Chinese.

use std::borrow::Cow;
use tcpx_experiment::experiment::{Arm, Experiment};
use tcpx_experiment::oracle::{Evidence, Origin, Reason, Seconds, Which};
use tcpx_proto::error::CloseKind;

/// How a connection ended.
const fn ending(kind: CloseKind) -> &'static str {
    match kind {
        CloseKind::Clean => "正常",
        CloseKind::Aborted => "主动中止",
        CloseKind::Refused => "被拒绝",
        CloseKind::Reset => "被 RST 重置",
        CloseKind::ConnectTimeout => "连接超时",
        CloseKind::RetransmissionTimeout => "重传超时",
        CloseKind::UserTimeout => "用户超时",
        CloseKind::KeepAliveTimeout => "保活超时",
        CloseKind::FinWait2Timeout => "FIN-WAIT-2 超时",
        CloseKind::Unreachable => "不可达",
        CloseKind::Dropped => "被丢弃",
        CloseKind::Restarted => "主机重启",
    }
}

fn reason(reason: Reason) -> &'static str {
    reason.0.map_or("原因不明", ending)
}

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
                format!("，然后结束：{}", self::reason(*reason))
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
        Evidence::ConnectPending { nth } => format!("第 {nth} 次 connect 一直没有完成"),
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
        } => format!("{}在 {state} 中结束：{}", name(conn), self::reason(*reason)),
        Evidence::Missed { conn, text } => format!("{}正常关闭，却没有收到“{text}”", name(conn)),
        Evidence::NoBudget => "实验没有给出报文段数的上限".to_owned(),
        Evidence::Wasteful {
            a,
            b,
            bytes,
            budget,
        } => {
            format!(
                "a 发送 {a} 个报文段，b 发送 {b} 个，只为 {bytes} 字节数据，而 {budget} 个就够了"
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
                Ok(reason) => format!("{end}：{longest}关闭（{}）", self::reason(*reason)),
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

/// Why a step failed, of the sentence in its record.
fn failure(why: &str) -> Cow<'_, str> {
    let kind = why
        .strip_prefix("the connection ended: ")
        .and_then(|name| name.parse().ok());
    kind.map_or(Cow::Borrowed(why), |kind| {
        Cow::Owned(format!("连接结束，{}", ending(kind)))
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
    use tcpx_proto::error::{CallError, CloseReason};
    use tcpx_proto::state::State;

    #[test]
    fn sentence_has_the_same_facts_in_both_languages() {
        let conn = Which {
            end: End::B,
            incarnation: 2,
        };
        let stuck = Evidence::Stuck {
            conn,
            state: State::LastAck,
            time: Seconds(6.25),
            reason: Some(Reason(Some(CloseKind::RetransmissionTimeout))),
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
