//! `foreshadow run --config FILE`: where the policies are, which gateways there are, and whether it may act.

use super::hcl::{Document, Section};
use super::{Error, read_text};
use crate::headless::Place;
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
    /// Line and column of that list.
    pub policies_at: (usize, usize),
    pub store: PathBuf,
    /// How long readings are kept as they came.
    pub keep: Span,
    pub cycle: Span,
    pub forecasting: bool,
    /// Targets that may be written a second, over all services; `None` for the default.
    pub writes: Option<u32>,
    pub gateways: Vec<GatewayConfig>,
    /// Local address from which load is driven at shadows.
    pub source: Option<std::net::IpAddr>,
    /// Consul datacenter that holds targets and the lock.
    pub kv_datacenter: Option<String>,
    /// Where the HTTP API is served; `None` is the socket of `settings::own_socket`, an empty list nowhere.
    pub api: Option<Vec<Place>>,
    /// PEM files of its certificate and key, for HTTPS.
    pub api_tls: Option<(PathBuf, PathBuf)>,
}

pub fn read_config(path: &Path) -> Result<Config, Error> {
    let text = read_text(path)?;
    let mut config = parse_config(&path.display().to_string(), &text)?;
    // Paths in the file are meant from the file's own folder.
    let folder = path.parent().unwrap_or(Path::new("."));
    config.policies = config.policies.iter().map(|p| folder.join(p)).collect();
    config.store = folder.join(&config.store);
    if let Some((cert, key)) = &mut config.api_tls {
        (*cert, *key) = (folder.join(&cert), folder.join(&key));
    }
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
        policies_at: root.place("policies"),
        store: root
            .string("store")?
            .unwrap_or_else(|| "foreshadow.db".into())
            .into(),
        keep: root.time("keep")?.unwrap_or(crate::store::READINGS),
        cycle: root.time("cycle")?.unwrap_or(Span::secs(10)),
        forecasting: root.boolean("forecasting")?.unwrap_or(true),
        writes: root
            .number("writes_per_second", 1.0..=10_000.0)?
            .map(|n| n as u32),
        gateways,
        source: parsed(&root, "source", "an IP address")?,
        kv_datacenter: root.string("kv_datacenter")?,
        api: places(&root)?,
        api_tls: api_tls(&root)?,
    };
    if config.cycle < Span::millis(200) {
        return Err(root.bad("cycle", "cycle must be at least \"200ms\"".into()));
    }
    if config.keep < Span::secs(600) {
        return Err(root.bad("keep", "keep must be at least \"10m\"".into()));
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

/// `"off"`, a place or several.
fn places(root: &Section) -> Result<Option<Vec<Place>>, Error> {
    let Some(given) = root.one_or_more("api")? else {
        return Ok(None);
    };
    let places = given.iter().filter(|p| *p != "off").map(|p| p.parse());
    let places = places.collect::<Result<Vec<Place>, _>>();
    let places = places.map_err(|e| root.bad("api", format!("api: {e}; or \"off\"")))?;
    if places.len() < given.len() && given.len() > 1 {
        let why = "api is \"off\", or says where it is served, not both".into();
        return Err(root.bad("api", why));
    }
    Ok(Some(places))
}

fn api_tls(root: &Section) -> Result<Option<(PathBuf, PathBuf)>, Error> {
    match (root.string("api_cert")?, root.string("api_key")?) {
        (Some(cert), Some(key)) => Ok(Some((cert.into(), key.into()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(root.missing("api_key", "the key of api_cert, in PEM")),
        (None, Some(_)) => Err(root.missing("api_cert", "the certificate of api_key, in PEM")),
    }
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

    fn api(lines: &str) -> Result<Config, Error> {
        let text = format!("policies = []\n{lines}\ngateway \"g\" {{\n  site = \"s\"\n}}\n");
        parse_config("c.hcl", &text)
    }

    #[test]
    fn the_api_is_served_at_one_place_or_several_or_nowhere() {
        let places = |lines: &str| api(lines).unwrap().api;
        assert_eq!(places(""), None);
        assert_eq!(places("api = \"off\""), Some(vec![]));
        let one = Place::Http("127.0.0.1:4680".parse().unwrap());
        assert_eq!(places("api = \"127.0.0.1:4680\""), Some(vec![one.clone()]));
        let both = "api = [\"127.0.0.1:4680\", \"unix:///run/a.sock\"]";
        let socket = Place::Unix("/run/a.sock".into());
        assert_eq!(places(both), Some(vec![one, socket]));
    }

    #[test]
    fn a_place_that_strangers_could_reach_is_refused_where_it_stands() {
        let error = api("api = \"0.0.0.0:4680\"").unwrap_err().to_string();
        assert!(error.starts_with("c.hcl:2:7: api: plain HTTP"), "{error}");
        let error = api("api_cert = \"a.pem\"").unwrap_err().to_string();
        assert!(error.contains("lacks api_key"), "{error}");
        let error = api("api = [\"off\", \"127.0.0.1:1\"]").unwrap_err();
        assert!(error.to_string().contains("not both"), "{error}");
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
