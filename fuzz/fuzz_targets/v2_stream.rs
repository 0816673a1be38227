//! `wksp_fuzz::v2_stream` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wksp_fuzz::v2_stream::run(data));
