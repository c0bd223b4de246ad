//! `/v1/operator/…`: the one server, and how its scheduler is set.

use super::Request;
use super::reply::Reply;
use crate::sandbox::nomad::acl::Need;
use crate::sandbox::nomad::jobs::Refusal;
use serde_json::json;

pub fn route(r: &Request<'_>, path: &str) -> Result<Reply, Refusal> {
    match (path, r.writes()) {
        ("scheduler/configuration", true) => {
            let body = r.json()?;
            r.may(Need::OperatorWrite)?;
            let index = r.core.write(|s| s.set_scheduler(&body))?;
            Ok(Reply::written(json!({"Index": index, "Updated": true})))
        }
        ("scheduler/configuration", false) => {
            r.may(Need::OperatorRead)?;
            Ok(r.core.read(|s| {
                let index = s.scheduler.index;
                Reply::read(index, json!({"Index": index, "KnownLeader": true, "LastContact": 0, "SchedulerConfig": s.scheduler.json()}))
            }))
        }
        ("raft/configuration", false) => {
            r.may(Need::Management)?;
            let at = format!("{}:4647", r.core.address.ip());
            Ok(Reply::json(
                json!({"Index": 0, "Servers": [{"Address": at, "ID": at, "Leader": true, "Node": "nomad-server.global", "RaftProtocol": "2", "Voter": true}]}),
            ))
        }
        ("autopilot/configuration", false) => {
            r.may(Need::OperatorRead)?;
            Ok(Reply::json(
                json!({"CleanupDeadServers": true, "CreateIndex": 4, "DisableUpgradeMigration": false, "EnableCustomUpgrades": false,
                "EnableRedundancyZones": false, "LastContactThreshold": "200ms", "MaxTrailingLogs": 250, "MinQuorum": 0, "ModifyIndex": 4,
                "ServerStabilizationTime": "10s"}),
            ))
        }
        ("autopilot/health", false) => {
            r.may(Need::OperatorRead)?;
            let why = "all servers must have raft_protocol set to 3 or higher to use this endpoint";
            Err(Refusal::new(500, why))
        }
        ("license", _) => Ok(Reply {
            status: 204,
            ..Reply::empty()
        }),
        ("raft/configuration" | "autopilot/configuration", true) => {
            Err(Refusal::new(405, "Invalid method"))
        }
        _ => Err(Refusal::new(404, "")),
    }
}
