//! The server's own agent.

use super::Request;
use super::reply::Reply;
use crate::sandbox::nomad::Mood;
use crate::sandbox::nomad::acl::{Need, denied};
use crate::sandbox::nomad::jobs::Refusal;
use axum::http::Method;
use serde_json::{Value, json};

/// What a Nomad 1.0.18 server says of itself.
const SELF: &str = include_str!("agent_self.json");

pub fn route(r: &Request<'_>, path: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    match path {
        "agent/self" => r.may(Need::AgentRead).map_err(Refusal::unresolved)?,
        "agent/servers" => r.may(Need::AgentRead)?,
        "agent/members" => r.may(Need::NodeRead)?,
        _ => {}
    }
    let ip = r.core.address.ip().to_string();
    match path {
        "status/leader" => Ok(Reply::json(format!("{ip}:4647").into())),
        "status/peers" => Ok(Reply::json(json!([format!("{ip}:4647")]))),
        "regions" => Ok(Reply::json(json!(["global"]))),
        "agent/self" => Ok(Reply::json(about(
            &ip,
            r.core.address.port(),
            r.core.read(|s| s.index),
            r.core.read(|s| s.acl.is_some()),
            r.core.read(|s| s.config.mood),
        ))),
        "agent/health" if r.query.get("type") == Some("client") => {
            let no = r#"{"client":{"ok":false,"message":"client not enabled"}}"#;
            Err(Refusal::new(500, no))
        }
        "agent/health" => Ok(Reply::json(
            json!({"server": {"message": "ok", "ok": true}}),
        )),
        "agent/members" => {
            let mood = r.core.read(|s| s.config.mood);
            let about = about(&ip, r.core.address.port(), 0, false, mood);
            Ok(Reply::json(
                json!({"Members": [about["member"]], "ServerDC": "dc1", "ServerName": "nomad-server", "ServerRegion": "global"}),
            ))
        }
        "agent/host" => Err(denied()), // Told only with ACLs on, or in debug mode.
        "agent/servers" => Err(Refusal::new(501, "Invalid method")),
        _ => Err(Refusal::new(404, "")),
    }
}

fn about(ip: &str, port: u16, index: u64, acl: bool, mood: Mood) -> Value {
    let text = SELF.replace("127.0.0.10", ip);
    let mut about: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    about["config"]["Version"]["Version"] = mood.version().into();
    about["member"]["Tags"]["build"] = mood.version().into();
    about["config"]["Ports"]["HTTP"] = port.into();
    about["config"]["ACL"]["Enabled"] = acl.into();
    about["config"]["AdvertiseAddrs"]["HTTP"] = format!("{ip}:{port}").into();
    for key in ["applied_index", "commit_index", "last_log_index"] {
        about["stats"]["raft"][key] = index.to_string().into();
    }
    about
}
