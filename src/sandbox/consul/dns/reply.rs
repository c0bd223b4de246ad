//! An answer, and those that every kind of question may have.

use std::time::SystemTime;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::Record;

use super::super::world::RpcError;
use super::records;

/// An answer before it is put into a message.
#[derive(Debug)]
pub(super) struct Reply {
    pub code: ResponseCode,
    pub truncated: bool,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
    pub additionals: Vec<Record>,
}

impl Default for Reply {
    fn default() -> Self {
        Self {
            code: ResponseCode::NoError,
            truncated: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

impl Reply {
    pub fn no_such_name() -> Self {
        Self {
            code: ResponseCode::NXDomain,
            authorities: vec![soa()],
            ..Self::default()
        }
    }

    pub fn failed(error: &RpcError) -> Self {
        match error.text == RpcError::NO_PATH {
            true => Self::no_such_name(),
            false => Self {
                code: ResponseCode::ServFail,
                ..Self::default()
            },
        }
    }
}

pub(super) fn soa() -> Record {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    records::soa_record(since.as_secs() as u32)
}
