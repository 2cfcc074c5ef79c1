#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tcpx_fuzz::script::run(data));
