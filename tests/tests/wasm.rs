//! The experiments in WebAssembly: the module's report is the native one, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;
use tcpx_experiment::report::{SEED, simulated};

/// The output of a command that must succeed.
fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; run make deps"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn report_of_the_module_is_the_native_report() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    output(Command::new("make").arg("wasm").current_dir(root));
    let target = std::env::var("CARGO_TARGET_DIR").map_or(root.join("target"), Into::into);
    let module = target.join("wasm32-unknown-unknown/wasm/examples/experiments.wasm");
    let script = root.join("tests/wasm/report.mjs");
    let shown = output(Command::new("node").args([script, module]));
    let native = simulated(&[], SEED).unwrap();
    assert!(native.matches("\"arm\"").count() > 128, "{native}");
    let place = shown.lines().zip(native.lines()).position(|(a, b)| a != b);
    assert!(shown == native, "they differ in line {place:?}");
}
