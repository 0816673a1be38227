//! `wksp_fuzz::workspace` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wksp_fuzz::workspace::run(data));
