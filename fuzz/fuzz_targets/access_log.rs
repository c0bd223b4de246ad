#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| foreshadow_fuzz::access_log(bytes));
