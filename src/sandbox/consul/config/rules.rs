//! What an entry must fulfil by itself, with Consul's sentences.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::go;
use super::text;

/// Splits are kept in hundredths of a percent.
const SCALE: f32 = 100.0;
const NAMESPACE: &str = "default";

/// Brings an entry into the form that Consul stores.
pub(super) fn normalize(kind: &str, entry: &mut Value) {
    match kind {
        "service-defaults" => entry["Protocol"] = json!(text(entry, "Protocol").to_lowercase()),
        "service-splitter" => {
            for split in entry["Splits"].as_array_mut().into_iter().flatten() {
                let weight = scaled(&split["Weight"]) as f32 / SCALE;
                split["Weight"] = shortest(weight);
            }
        }
        "service-router" => {
            for route in entry["Routes"].as_array_mut().into_iter().flatten() {
                let methods = route["Match"]["HTTP"]["Methods"].as_array().cloned();
                if let Some(methods) = methods {
                    let upper = methods
                        .iter()
                        .filter_map(Value::as_str)
                        .map(str::to_uppercase);
                    route["Match"]["HTTP"]["Methods"] = upper.collect();
                }
                if route.get("Destination").is_some_and(Value::is_object)
                    && route["Destination"].get("Namespace").is_none()
                {
                    route["Destination"]["Namespace"] = json!(NAMESPACE);
                }
            }
        }
        _ => {}
    }
}

/// A weight as JSON shows a 32-bit float.
fn shortest(weight: f32) -> Value {
    match weight.fract() == 0.0 {
        true => json!(weight as i64),
        false => json!(weight.to_string().parse::<f64>().unwrap_or(0.0)),
    }
}

fn scaled(weight: &Value) -> i64 {
    let weight = weight.as_f64().unwrap_or(0.0) as f32;
    f64::from(weight * SCALE).round() as i64
}

/// # Errors
/// Consul's sentence on the first rule that is broken.
pub(super) fn validate(kind: &str, entry: &Value) -> Result<(), String> {
    let name = text(entry, "Name");
    match (kind, name.is_empty()) {
        ("service-defaults", true) => Err("serviceName is required".into()),
        ("service-resolver" | "service-splitter" | "service-router", true) => {
            Err("Name is required".into())
        }
        ("service-resolver", _) => resolver(name, entry),
        ("service-splitter", _) => splitter(name, entry),
        ("service-router", _) => routes(entry),
        _ => Ok(()),
    }
}

fn is_subset_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    name.len() <= 63
        && ends.iter().all(|end| end.is_some_and(|byte| plain(*byte)))
        && bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
}

fn resolver(name: &str, entry: &Value) -> Result<(), String> {
    let subsets = entry["Subsets"].as_object();
    let has = |subset: &str| subsets.is_some_and(|subsets| subsets.contains_key(subset));
    for subset in subsets.into_iter().flat_map(|subsets| subsets.keys()) {
        if subset.is_empty() {
            return Err("Subset defined with empty name".into());
        }
        if !is_subset_name(subset) {
            return Err(format!(
                "Subset {subset:?} is invalid: must be 63 characters or fewer, begin or end with lower case alphanumeric characters, and contain lower case alphanumeric characters or '-' in between"
            ));
        }
    }
    let default = text(entry, "DefaultSubset");
    if !default.is_empty() && !has(default) {
        return Err(format!("DefaultSubset {default:?} is not a valid subset"));
    }
    let failovers = entry["Failover"].as_object();
    if let Some(redirect) = entry.get("Redirect") {
        check_redirect(name, redirect, failovers.is_some(), has)?;
    }
    for (subset, failover) in failovers.into_iter().flatten() {
        check_failover(name, subset, failover, has)?;
    }
    let timeout = text(entry, "ConnectTimeout");
    if go::parse_duration(timeout).is_ok_and(|nanos| nanos < 0) {
        return Err(format!("Bad ConnectTimeout '{timeout}', must be >= 0"));
    }
    Ok(())
}

fn check_redirect(
    name: &str,
    redirect: &Value,
    has_failover: bool,
    has: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let (service, subset) = (text(redirect, "Service"), text(redirect, "ServiceSubset"));
    if has_failover {
        return Err("Redirect and Failover cannot both be set".into());
    }
    if redirect.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err("Redirect is empty".into());
    }
    if service.is_empty() && !subset.is_empty() {
        return Err("Redirect.ServiceSubset defined without Redirect.Service".into());
    }
    if service == name && !subset.is_empty() && !has(subset) {
        return Err(format!(
            "Redirect.ServiceSubset {subset:?} is not a valid subset of {service:?}"
        ));
    }
    Ok(())
}

fn check_failover(
    name: &str,
    of: &str,
    failover: &Value,
    has: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let (service, subset) = (text(failover, "Service"), text(failover, "ServiceSubset"));
    if of != "*" && !has(of) {
        return Err(format!("Bad Failover[{of:?}]: not a valid subset"));
    }
    if failover.as_object().is_none_or(serde_json::Map::is_empty) {
        return Err(format!(
            "Bad Failover[{of:?}] one of Service, ServiceSubset, Namespace, or Datacenters is required"
        ));
    }
    if !subset.is_empty() && (service.is_empty() || service == name) && !has(subset) {
        return Err(format!(
            "Bad Failover[{of:?}].ServiceSubset {subset:?} is not a valid subset of {service:?}"
        ));
    }
    let mut datacenters = failover["Datacenters"].as_array().into_iter().flatten();
    if datacenters.any(|datacenter| datacenter == "") {
        return Err(format!(
            "Bad Failover[{of:?}].Datacenters: found empty datacenter"
        ));
    }
    Ok(())
}

fn splitter(name: &str, entry: &Value) -> Result<(), String> {
    let splits = entry["Splits"].as_array().map_or(&[][..], Vec::as_slice);
    if splits.is_empty() {
        return Err("no splits configured".into());
    }
    let (mut seen, mut sum) = (BTreeSet::new(), 0);
    for split in splits {
        let service = match text(split, "Service") {
            "" => name,
            other => other,
        };
        let (subset, namespace) = (text(split, "ServiceSubset"), text(split, "Namespace"));
        if !seen.insert((service, subset, namespace)) {
            return Err(format!(
                "split destination occurs more than once: service={service:?}, subset={subset:?}, namespace={namespace:?}"
            ));
        }
        sum += scaled(&split["Weight"]);
    }
    if sum != 10_000 {
        return Err(format!(
            "the sum of all split weights must be 100, not {:.6}",
            sum as f32 / SCALE
        ));
    }
    Ok(())
}

fn routes(entry: &Value) -> Result<(), String> {
    for (at, route) in entry["Routes"].as_array().into_iter().flatten().enumerate() {
        let http = &route["Match"]["HTTP"];
        let paths: Vec<&str> = ["PathExact", "PathPrefix", "PathRegex"]
            .into_iter()
            .filter(|field| !text(http, field).is_empty())
            .collect();
        for field in paths.iter().filter(|field| **field != "PathRegex") {
            let path = text(http, field);
            if !path.starts_with('/') {
                return Err(format!(
                    "Route[{at}] {field} doesn't start with '/': {path:?}"
                ));
            }
        }
        if paths.len() > 1 {
            return Err(format!(
                "Route[{at}] should only contain at most one of PathExact, PathPrefix, or PathRegex"
            ));
        }
        parameters(at, http)?;
        let rewrites = !text(&route["Destination"], "PrefixRewrite").is_empty();
        if rewrites && !paths.iter().any(|field| *field != "PathRegex") {
            return Err(format!(
                "Route[{at}] cannot make use of PrefixRewrite without configuring either PathExact or PathPrefix"
            ));
        }
    }
    Ok(())
}

fn parameters(at: usize, http: &Value) -> Result<(), String> {
    for (field, fewest, ways) in [
        ("Header", 1, "Present, Exact, Prefix, Suffix, or Regex"),
        ("QueryParam", 0, "Present, Exact, or Regex"),
    ] {
        for (number, one) in http[field].as_array().into_iter().flatten().enumerate() {
            if text(one, "Name").is_empty() {
                return Err(format!(
                    "Route[{at}] {field}[{number}] missing required Name field"
                ));
            }
            let given = ["Present", "Exact", "Prefix", "Suffix", "Regex"];
            let count = given.iter().filter(|way| one.get(**way).is_some()).count();
            if !(fewest..=1).contains(&count) {
                return Err(format!(
                    "Route[{at}] {field}[{number}] should only contain one of {ways}"
                ));
            }
        }
    }
    let mut seen = BTreeSet::new();
    for method in http["Methods"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !seen.insert(method) {
            return Err(format!(
                "Route[{at}] Methods contains {method:?} more than once"
            ));
        }
    }
    Ok(())
}
