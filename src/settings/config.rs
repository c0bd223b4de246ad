//! `foreshadow run --config FILE`: where the policies are, which gateways there are, and whether it may act.

use super::Error;
use super::hcl::{Document, Section};
use crate::model::{GatewayId, Site, Span};
use std::path::{Path, PathBuf};

/// A gateway: a Consul agent whose front entries are kept, and the DNS that clients there ask.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    pub id: GatewayId,
    pub site: Site,
    /// Its Consul agent; `None` is the one of `CONSUL_HTTP_ADDR`.
    pub consul: Option<String>,
    pub dns: Option<std::net::SocketAddr>,
    /// This process applies targets to that agent itself.
    pub local: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `mode = "act"`; without it nothing is ever written.
    pub act: bool,
    /// Files, and folders of which all files ending in `.hcl` count.
    pub policies: Vec<PathBuf>,
    pub store: PathBuf,
    pub cycle: Span,
    pub forecasting: bool,
    /// Targets that may be written a second, over all services; `None` for the default.
    pub writes: Option<u32>,
    pub gateways: Vec<GatewayConfig>,
    /// Local address from which load is driven at shadows.
    pub source: Option<std::net::IpAddr>,
    /// Consul datacenter that holds targets and the lock.
    pub kv_datacenter: Option<String>,
    /// Loopback address of the HTTP API; none unless asked.
    pub api: Option<std::net::SocketAddr>,
}

pub fn read_config(path: &Path) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let mut config = parse_config(&path.display().to_string(), &text)?;
    // Paths in the file are meant from the file's own folder.
    let folder = path.parent().unwrap_or(Path::new("."));
    config.policies = config.policies.iter().map(|p| folder.join(p)).collect();
    config.store = folder.join(&config.store);
    Ok(config)
}

pub fn parse_config(file: &str, text: &str) -> Result<Config, Error> {
    let document = Document::parse(file, text)?;
    let root = document.root();
    let act = match root.string("mode")?.as_deref() {
        None | Some("observe") => false,
        Some("act") => true,
        Some(other) => {
            return Err(root.bad(
                "mode",
                format!("mode must be \"observe\" or \"act\", not \"{other}\""),
            ));
        }
    };
    let gateways = root
        .blocks("gateway")
        .iter()
        .map(gateway)
        .collect::<Result<Vec<_>, _>>()?;
    if gateways.is_empty() {
        return Err(root.missing(
            "gateway",
            "at least one: gateway \"edge-a\" { site = \"edge-a\" }",
        ));
    }
    let config = Config {
        act,
        policies: root
            .strings("policies")?
            .ok_or_else(|| root.missing("policies", "policies = [\"policies/shop.hcl\"]"))?
            .into_iter()
            .map(PathBuf::from)
            .collect(),
        store: root
            .string("store")?
            .unwrap_or_else(|| "foreshadow.db".into())
            .into(),
        cycle: root.time("cycle")?.unwrap_or(Span::secs(10)),
        forecasting: root.boolean("forecasting")?.unwrap_or(true),
        writes: root
            .number("writes_per_second", 1.0..=10_000.0)?
            .map(|n| n as u32),
        gateways,
        source: parsed(&root, "source", "an IP address")?,
        kv_datacenter: root.string("kv_datacenter")?,
        api: parsed(&root, "api", "an address such as \"127.0.0.1:4680\"")?,
    };
    if config.cycle < Span::millis(200) {
        return Err(root.bad("cycle", "cycle must be at least \"200ms\"".into()));
    }
    root.finish()?;
    Ok(config)
}

fn parsed<T: std::str::FromStr>(
    section: &Section,
    key: &'static str,
    what: &str,
) -> Result<Option<T>, Error> {
    section
        .string(key)?
        .map(|text| {
            text.parse()
                .map_err(|_| section.bad(key, format!("{key} must be {what}, not \"{text}\"")))
        })
        .transpose()
}

fn gateway(g: &Section) -> Result<GatewayConfig, Error> {
    let gateway = GatewayConfig {
        id: GatewayId::new(g.label()?),
        site: g
            .string("site")?
            .map(Site::new)
            .ok_or_else(|| g.missing("site", "the Nomad datacenter in which the gateway stands"))?,
        consul: g.string("consul")?,
        dns: parsed(g, "dns", "an address such as \"127.0.0.1:8600\"")?,
        local: g.boolean("local")?.unwrap_or(true),
    };
    g.finish()?;
    Ok(gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_told_with_its_place_and_the_nearest_known_one() {
        let text = "mode = \"act\"\npolicys = [\"a.hcl\"]\ngateway \"g\" {\n  site = \"s\"\n}\npolicies = []\n";
        let error = parse_config("c.hcl", text).unwrap_err().to_string();
        assert_eq!(
            error,
            "c.hcl:2:1: the file has no policys; did you mean policies?"
        );
    }

    #[test]
    fn observing_is_the_default() {
        let config = parse_config(
            "c.hcl",
            "policies = []\ngateway \"g\" {\n  site = \"s\"\n}\n",
        )
        .unwrap();
        assert!(!config.act);
        assert_eq!(config.cycle, Span::secs(10));
    }
}
