//! A gateway as one place to speak to: its own Consul agent, and the DNS that clients there ask.

use super::consul::Consul;
use super::dns::Dns;
use crate::model::{GatewayId, Site};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Gateway {
    pub id: GatewayId,
    pub site: Site,
    pub consul: Arc<Consul>,
    pub dns: Option<Arc<Dns>>,
    /// This process keeps the front entries of that agent itself.
    pub local: bool,
}
