//! The estate's Consul, embedded or real, in one hand.

use super::consul::{self, ConsulEstate, GrantError, Secrets};
use super::estate::Estate;
use super::layout::embedded;
use super::links::Links;
use super::real_consul::{RealConsul, RealConsulConfig};
use super::runtime::Launcher;
use super::world::{ConsulKind, Gateway, Options, WorldError};
use crate::model::Site;
use std::sync::Arc;

pub(super) enum Consul {
    Embedded(consul::Handle),
    Real(Box<RealConsul>),
}

impl Consul {
    pub async fn start(
        options: &Options,
        estate: &Estate,
        links: &Arc<Links>,
        launcher: Launcher,
    ) -> Result<Consul, WorldError> {
        match &options.consul {
            ConsulKind::Real(binary) => {
                let config = RealConsulConfig {
                    binary: binary.clone(),
                    launcher,
                    folder: options.folder.join("consul"),
                };
                let real = RealConsul::start(config, estate, links.clone())
                    .await
                    .map_err(Box::new)?;
                Ok(Consul::Real(Box::new(real)))
            }
            ConsulKind::Embedded => Ok(Consul::Embedded(
                ConsulEstate::start(embedded(estate, options)).await?,
            )),
        }
    }

    /// The tokens, where the estate wants some. A real Consul has no access control here.
    pub async fn grant(
        &self,
        client: &reqwest::Client,
        gateways: &[Gateway],
    ) -> Result<Option<Secrets>, GrantError> {
        let (Consul::Embedded(handle), Some(first)) = (self, gateways.first()) else {
            return Ok(None);
        };
        match handle.management() {
            Some(management) => consul::grant(client, first.http, management)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// Gossip stops or returns with a site's links.
    pub async fn gossip(&self, estate: &Estate, site: &Site, cut: bool) -> Result<(), WorldError> {
        let agents = estate.consul_agents();
        let Some(agent) = agents.into_iter().find(|a| &a.site == site) else {
            return Ok(());
        };
        match self {
            Consul::Embedded(handle) => handle.set_cut(&agent.name, cut)?,
            Consul::Real(real) if !cut => real.rejoin(site).await.map_err(Box::new)?,
            Consul::Real(_) => {}
        }
        Ok(())
    }

    pub async fn stop(self) {
        match self {
            Consul::Embedded(handle) => handle.stop().await,
            Consul::Real(real) => real.stop().await,
        }
    }
}
