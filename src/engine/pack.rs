//! Notes for Consul's KV as packed JSON.

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};

/// A note unpacks to no more than this, in bytes.
const LARGEST: u64 = 32 * 1024 * 1024;

/// # Errors
/// When it cannot be written as JSON.
pub fn pack<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let json = serde_json::to_vec(value).map_err(|e| e.to_string())?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&json).map_err(|e| e.to_string())?;
    packed.finish().map_err(|e| e.to_string())
}

/// # Errors
/// When it is no note of this version.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut json = Vec::new();
    let mut unpacked = GzDecoder::new(bytes).take(LARGEST);
    unpacked.read_to_end(&mut json).map_err(|e| e.to_string())?;
    serde_json::from_slice(&json).map_err(|e| e.to_string())
}
