//! What a document says besides the experiments' own words, in each language.

use super::chinese;
use tcpx_experiment::coverage;
use tcpx_experiment::experiment::{Arm, Experiment, Prose, World};
use tcpx_experiment::oracle::{self, Evidence};

/// The language of a document.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
pub enum Language {
    /// All experiments
    En,
    /// Those of the article
    Zh,
}

impl Language {
    pub(super) const fn words(self) -> &'static Words {
        match self {
            Language::En => &EN,
            Language::Zh => &ZH,
        }
    }
}

/// The words of a document.
pub(super) struct Words {
    language: Language,
    /// The index down to its first heading.
    pub(super) head: &'static str,
    /// Back to the index.
    pub(super) up: &'static str,
    /// To the same page in the other language: its directory, and what the link is called.
    pub(super) other: (&'static str, &'static str),
    pub(super) by_group: &'static str,
    pub(super) by_question: &'static str,
    /// In the order of [`Group`](tcpx_experiment::experiment::Group).
    pub(super) groups: [&'static str; 6],
    pub(super) columns: [&'static str; 4],
    /// The textbook, RFC 9293, Linux, how to run it.
    pub(super) labels: [&'static str; 4],
    pub(super) not_shown: &'static str,
    pub(super) not_run: &'static str,
    pub(super) without: &'static str,
    pub(super) with: &'static str,
    pub(super) separator: &'static str,
    /// The count over all arms, and what is expected of it.
    pub(super) together: [&'static str; 2],
    worlds: [&'static str; 3],
}

const EN: Words = Words {
    language: Language::En,
    head: "\
# The experiments

Each experiment runs without a rule of TCP (✂) and with it: in the simulation (`sim`, real constants), on a wire (`wire`, the two
programs in two network namespaces, scaled constants) and against Linux 6.18 (`kernel`). The ladders show the simulation.
",
    up: "All experiments",
    other: ("experiments.zh-CN", "中文"),
    by_group: "By group",
    by_question: "By question",
    groups: ["The article's questions", "Opening a connection", "Closing a connection", "Is the peer still there?", "Data", "Attacks"],
    columns: ["world", "run", "expected", "observed"],
    labels: ["The textbook", "RFC 9293", "Linux 6.18", "Run it"],
    not_shown: "Not shown",
    not_run: "not run",
    without: "Without the rule",
    with: "With the rule",
    separator: ": ",
    together: [coverage::ARM, coverage::EXPECTED],
    worlds: ["sim", "wire", "kernel"],
};

const ZH: Words = Words {
    language: Language::Zh,
    head: "\
# 文章里的实验

每个实验都运行两遍：去掉 TCP 的一条规则（✂），以及保留这条规则。
运行环境有三种：仿真（`sim`，真实常数）、网线（`wire`，两个程序、两个网络命名空间、缩小的常数）、与 Linux 6.18 对接（`kernel`）。梯形图取自仿真。
",
    up: "全部实验",
    other: ("experiments", "English"),
    by_group: "按类别",
    by_question: "按问题",
    groups: ["文章里的问题", "建立连接", "关闭连接", "对方还在吗？", "数据", "攻击"],
    columns: ["环境", "运行", "预期", "实际"],
    labels: ["教科书的说法", "RFC 9293", "Linux 6.18", "运行方法"],
    not_shown: "不能演示",
    not_run: "没有运行",
    without: "去掉规则",
    with: "保留规则",
    separator: "：",
    together: ["以上全部", "状态图的每一条边都走到"],
    worlds: ["仿真", "网线", "Linux"],
};

impl Words {
    pub(super) fn world(&self, world: World) -> &'static str {
        self.worlds[world as usize]
    }

    /// An experiment's own words.
    pub(super) fn prose(&self, experiment: &Experiment) -> Prose {
        match (&experiment.zh, self.language) {
            (Some(chinese), Language::Zh) => chinese.clone(),
            _ => Prose {
                title: experiment.title.clone(),
                question: experiment.question.clone(),
                story: experiment.story.clone(),
                textbook: experiment.textbook.clone(),
                rfc: experiment.rfc.clone(),
                linux: experiment.linux.clone(),
                kernel: experiment.unsupported(World::Kernel),
            },
        }
    }

    /// Why a world cannot show an experiment.
    pub(super) fn unsupported(&self, experiment: &Experiment, world: World) -> Option<String> {
        let reason = experiment.unsupported(world)?;
        Some(if world == World::Kernel {
            self.prose(experiment).kernel.unwrap_or(reason)
        } else {
            reason
        })
    }

    /// What an arm is called.
    pub(super) fn name<'a>(&self, arm: &'a Arm) -> &'a str {
        match (&arm.zh, self.language) {
            (Some(chinese), Language::Zh) => &chinese.name,
            _ => arm.name.get_ref(),
        }
    }

    /// What an arm is expected to show in a world, of which its plan says this.
    pub(super) fn expected<'a>(&self, arm: &'a Arm, world: World, says: &'a str) -> &'a str {
        match (&arm.zh, self.language) {
            (Some(chinese), Language::Zh) => {
                let other = world == World::Kernel
                    && arm
                        .kernel
                        .as_ref()
                        .is_some_and(|beside| beside.expected.is_some());
                chinese
                    .kernel
                    .as_deref()
                    .filter(|_| other)
                    .unwrap_or(&chinese.expected)
            }
            _ => says,
        }
    }

    /// Why an arm is not run beside Linux.
    pub(super) fn refused(&self, experiment: &Experiment, arm: &Arm) -> Option<String> {
        let reason = experiment.unsupported_by_kernel(arm)?;
        match self.language {
            Language::En => Some(reason),
            Language::Zh => chinese::not_run(experiment, arm).or(Some(reason)),
        }
    }

    /// What a run showed, in one line.
    pub(super) fn joined(&self, shown: &[Evidence]) -> String {
        match self.language {
            Language::En => oracle::joined(shown),
            Language::Zh => chinese::joined(shown),
        }
    }

    /// The end of a ladder that is cut.
    pub(super) fn more(&self, lines: usize) -> String {
        match self.language {
            Language::En => format!("({lines} more lines)"),
            Language::Zh => format!("（还有 {lines} 行）"),
        }
    }
}
