//! The laboratory's command line.

use std::path::PathBuf;
fn main() -> anyhow::Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(2).map(PathBuf::from).collect();
    let [a, b] = args.as_slice() else { anyhow::bail!("two files") };
    let (a, b) = (tcpx_lab::events::Log::read(a)?, tcpx_lab::events::Log::read(b)?);
    for exchange in tcpx_lab::exchange::pair(&a, &b) {
        print!("{}", tcpx_lab::ladder::Ladder(&exchange));
        print!("{}", tcpx_lab::figure::Figure(&exchange));
    }
    Ok(())
}
