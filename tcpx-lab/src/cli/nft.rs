//! Fault rules as an nftables table.

use super::say;
use crate::linux::nft::{self, Own};
use anyhow::Result;
use clap::Args;
use std::net::IpAddr;
use std::process::ExitCode;
use tcpx_cli::{Failure, finish, underlined};
use tcpx_proto::fault::FaultRule;
use tcpx_proto::lexer::Mistake;

/// The rules and their host.
#[derive(Args, Debug)]
pub struct NftArguments {
    /// Rule, such as 'drop out fin'; the first match wins
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
    /// Address of the host that the rules apply to: its packets are `out`
    #[arg(long, value_name = "ADDR")]
    address: IpAddr,
    /// Port of that host [default: any]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// Prints the table. The exit status is 2 for an invalid rule, and for one that nftables cannot
/// express.
///
/// # Errors
/// The table cannot be printed.
pub fn run(arguments: &NftArguments) -> Result<ExitCode> {
    match table(arguments) {
        Ok(table) => say(&table)?,
        Err(failure) => return Ok(finish("tcpx-lab", Err(failure))),
    }
    Ok(ExitCode::SUCCESS)
}

fn table(arguments: &NftArguments) -> Result<String, Failure> {
    let refused = |line: &str, mistake: &Mistake| underlined("RULE", line, mistake);
    let rules = arguments
        .rules
        .iter()
        .map(|line| FaultRule::parse(line).map_err(|mistake| refused(line, &mistake)))
        .collect::<Result<Vec<FaultRule>, Failure>>()?;
    let own = Own {
        address: arguments.address,
        ports: arguments.port.map_or(0..=u16::MAX, |port| port..=port),
    };
    nft::table(&rules, &own).map_err(|(rule, mistake)| refused(&rule.text, &mistake))
}
