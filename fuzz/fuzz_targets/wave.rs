#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cellshard_fuzz::wave_stream(data));
