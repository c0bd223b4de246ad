//! What a question under `consul.` is answered with.

use std::collections::HashSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::super::acl::Rights;
use super::super::http::prepared;
use super::super::records::{CRITICAL, CheckServiceNode, Node, ServiceAddress};
use super::super::world::{AgentRef, RpcError};
use super::reply::{Reply, soa};
use super::{Network, records, trim};

/// How often a name may lead to another one.
const MAX_RECURSION: usize = 3;
/// Address records that follow an alias, without EDNS.
const MAX_ALIAS_RECORDS: usize = 5;

/// A question with what its answer depends on.
#[derive(Clone, Copy)]
struct Asked<'a> {
    agent: &'a AgentRef,
    query: &'a Query,
    network: Network,
    edns_size: Option<u16>,
    depth: usize,
}

/// Answers a question under `consul.`
pub(super) async fn answer(
    agent: &AgentRef,
    query: &Query,
    network: Network,
    edns_size: Option<u16>,
) -> Reply {
    let asked = Asked {
        agent,
        query,
        network,
        edns_size,
        depth: MAX_RECURSION,
    };
    match query.query_type {
        RecordType::SOA => {
            let servers = asked.name_servers().await;
            Reply {
                answers: vec![soa()],
                authorities: servers.0,
                additionals: servers.1,
                ..Reply::default()
            }
        }
        RecordType::NS => {
            let servers = asked.name_servers().await;
            Reply {
                answers: servers.0,
                additionals: servers.1,
                ..Reply::default()
            }
        }
        RecordType::AXFR => Reply {
            code: ResponseCode::NotImp,
            ..Reply::default()
        },
        _ => asked.dispatch().await,
    }
}

impl Asked<'_> {
    fn kind(&self) -> RecordType {
        self.query.query_type
    }

    async fn name_servers(&self) -> (Vec<Record>, Vec<Record>) {
        let own = self.agent.datacenter.name();
        let found = self.lookup("consul", "", own).await.unwrap_or_default();
        let (mut servers, mut glue) = (Vec::new(), Vec::new());
        for entry in found.iter().take(3) {
            let name = records::node_name(&entry.node.node.to_lowercase(), own);
            servers.push(records::ns_record(name.clone()));
            let address = entry.node.address.parse::<IpAddr>().ok();
            glue.extend(
                address.and_then(|address| records::address_record(RecordType::ANY, name, address)),
            );
        }
        (servers, glue)
    }

    /// Reads `parts.kind.suffixes.consul` and hands it on.
    async fn dispatch(&self) -> Reply {
        let labels = records::labels(&self.query.name);
        let is_kind = |label: &str| {
            matches!(
                label,
                "service" | "connect" | "ingress" | "node" | "query" | "addr"
            )
        };
        let srv = self.kind() == RecordType::SRV;
        // In SRV questions the word "service" may be left out behind a name that starts with "_".
        let found = labels
            .iter()
            .rposition(|label| is_kind(label) || (srv && label.starts_with('_')));
        let Some(at) = found else {
            return Reply::no_such_name();
        };
        let (kind, parts) = match is_kind(&labels[at]) {
            true => (labels[at].as_str(), &labels[..at]),
            false => ("service", &labels[..=at]),
        };
        let suffixes = &labels[at + 1..];
        if parts.is_empty() || suffixes.len() > 1 {
            return Reply::no_such_name();
        }
        let datacenter = suffixes
            .first()
            .map_or(self.agent.datacenter.name(), String::as_str);
        match kind {
            "service" => self.service_question(parts, datacenter).await,
            "node" => self.node(&parts.join("."), datacenter).await,
            "query" => self.prepared(&parts.join("."), datacenter).await,
            "addr" if parts.len() == 1 => self.address(&parts[0]),
            _ => Reply::no_such_name(),
        }
    }

    async fn service_question(&self, parts: &[String], datacenter: &str) -> Reply {
        // RFC 2782: _name._tag.service.consul, where the tag "tcp" means any.
        if let [name, tag] = parts
            && let (Some(name), Some(tag)) = (name.strip_prefix('_'), tag.strip_prefix('_'))
        {
            return self
                .service(name, if tag == "tcp" { "" } else { tag }, datacenter)
                .await;
        }
        let (name, tags) = parts
            .split_last()
            .map_or(("", parts), |(name, tags)| (name.as_str(), tags));
        self.service(name, &tags.join("."), datacenter).await
    }

    fn address(&self, label: &str) -> Reply {
        if !matches!(label.len() / 2, 4 | 16) {
            return Reply::default();
        }
        let Some(address) = records::parse_address_label(label) else {
            return Reply::no_such_name();
        };
        let own = if address.is_ipv4() {
            RecordType::A
        } else {
            RecordType::AAAA
        };
        let record = records::address_record(own, self.query.name.clone(), address);
        Reply {
            answers: record.into_iter().collect(),
            ..Reply::default()
        }
    }

    async fn node(&self, node: &str, datacenter: &str) -> Reply {
        if !matches!(
            self.kind(),
            RecordType::ANY | RecordType::A | RecordType::AAAA | RecordType::TXT
        ) {
            return Reply::default();
        }
        let route = match self.agent.route(datacenter).await {
            Ok(route) => route,
            Err(error) => return Reply::failed(&error),
        };
        let found = route
            .datacenter
            .read(|store| store.node_services(node).1.map(|(node, _)| node));
        let rights = self.rights();
        let Some(found) = found.filter(|found| rights.sees_node(&found.node)) else {
            return Reply::no_such_name();
        };
        let mut reply = Reply::default();
        if self.kind() != RecordType::TXT {
            reply.answers = self.records_of_node(&found).await;
        }
        let meta = records::meta_records(&self.query.name, &found);
        match self.kind() {
            RecordType::TXT | RecordType::ANY => reply.answers.extend(meta),
            _ => reply.additionals.extend(meta),
        }
        reply
    }

    async fn records_of_node(&self, node: &Node) -> Vec<Record> {
        let name = self.query.name.clone();
        match node.address.parse::<IpAddr>() {
            Ok(address) => records::address_record(self.kind(), name, address)
                .into_iter()
                .collect(),
            Err(_) => {
                let target = records::name(&node.address);
                let mut found = vec![records::cname_record(name, target.clone())];
                found.extend(self.resolve_alias(target).await);
                found
            }
        }
    }

    async fn lookup(
        &self,
        name: &str,
        tag: &str,
        datacenter: &str,
    ) -> Result<Vec<CheckServiceNode>, RpcError> {
        let route = self.agent.route(datacenter).await?;
        let tags: Vec<String> = if tag.is_empty() {
            Vec::new()
        } else {
            vec![tag.into()]
        };
        let mut found = route
            .datacenter
            .read(|store| store.check_service_nodes(name, &tags).1);
        let rights = self.rights();
        found.retain(|entry| {
            rights.sees_instance(entry) && entry.checks.iter().all(|check| check.status != CRITICAL)
        });
        for last in (1..found.len()).rev() {
            found.swap(last, self.agent.datacenter.dice(last as u64 + 1) as usize);
        }
        Ok(found)
    }

    async fn service(&self, name: &str, tag: &str, datacenter: &str) -> Reply {
        match self.lookup(name, tag, datacenter).await {
            Ok(found) => self.instances(&found, datacenter, None).await,
            Err(error) => Reply::failed(&error),
        }
    }

    /// A prepared query, by name or ID, in the datacenter that it found instances in.
    async fn prepared(&self, name: &str, datacenter: &str) -> Reply {
        match prepared::run(self.agent, datacenter, name, "").await {
            Ok(None) => Reply::no_such_name(),
            Ok(Some(mut done)) => {
                let rights = self.rights();
                done.nodes.retain(|entry| rights.sees_instance(entry));
                self.instances(&done.nodes, &done.datacenter, done.query.dns_ttl())
                    .await
            }
            Err(error) => Reply::failed(&error),
        }
    }

    /// DNS questions come without a token.
    fn rights(&self) -> Rights {
        Rights::of(self.agent, "").unwrap_or(Rights::Ruled(Arc::default()))
    }

    async fn instances(
        &self,
        found: &[CheckServiceNode],
        datacenter: &str,
        ttl: Option<u32>,
    ) -> Reply {
        if found.is_empty() {
            return Reply::no_such_name();
        }
        let mut reply = Reply::default();
        if self.kind() == RecordType::SRV {
            self.add_srv_records(&mut reply, found, datacenter).await;
        } else {
            self.add_address_records(&mut reply, found, datacenter)
                .await;
        }
        if let Some(ttl) = ttl {
            let all = reply.answers.iter_mut().chain(&mut reply.additionals);
            all.for_each(|record| record.ttl = ttl);
        }
        let trimmed = trim::trim(&mut reply, self.query, self.network, self.edns_size);
        reply.truncated = trimmed && self.agent.world.dns_truncation;
        if reply.answers.is_empty() && !reply.truncated {
            reply.authorities.push(soa());
        }
        reply
    }

    async fn add_srv_records(
        &self,
        reply: &mut Reply,
        found: &[CheckServiceNode],
        datacenter: &str,
    ) {
        let mut handled = HashSet::new();
        for entry in found {
            let service = &entry.service;
            if !handled.insert((&entry.node.node, &service.address, service.port)) {
                continue;
            }
            let (answers, extras) = self.records_of(entry, datacenter).await;
            reply.answers.extend(answers);
            reply.additionals.extend(extras);
            reply.additionals.extend(records::meta_records(
                &records::node_name(&entry.node.node, datacenter),
                &entry.node,
            ));
        }
    }

    async fn add_address_records(
        &self,
        reply: &mut Reply,
        found: &[CheckServiceNode],
        datacenter: &str,
    ) {
        let mut handled: Vec<Record> = Vec::new();
        let mut alias = Vec::new();
        for entry in found {
            let (answers, _) = self.records_of(entry, datacenter).await;
            let Some(first) = answers.first() else {
                continue;
            };
            if handled.contains(first) {
                continue;
            }
            handled.push(first.clone());
            if !matches!(first.data, RData::CNAME(_)) {
                reply.answers.extend(answers);
            } else if alias.is_empty() {
                alias = answers;
            }
        }
        if reply.answers.is_empty() {
            reply.answers = alias;
        }
    }

    /// Answers and extras of one instance.
    async fn records_of(
        &self,
        entry: &CheckServiceNode,
        datacenter: &str,
    ) -> (Vec<Record>, Vec<Record>) {
        let (node, service) = (&entry.node, &entry.service);
        let lan = |family: &str| {
            service
                .tagged_addresses
                .get(family)
                .map(|known: &ServiceAddress| known.address.clone())
        };
        let of_family = match self.kind() {
            RecordType::A => lan("lan_ipv4"),
            RecordType::AAAA => lan("lan_ipv6"),
            _ => None,
        };
        let address = of_family
            .filter(|known| !known.is_empty())
            .unwrap_or_else(|| service.address.clone());
        let node_address = node.address.parse::<IpAddr>();
        match (address.as_str(), address.parse::<IpAddr>(), node_address) {
            ("", _, Ok(at)) => {
                self.pointing_at(entry, records::node_name(&node.node, datacenter), at)
            }
            ("", _, Err(_)) if node.address.is_empty() => (Vec::new(), Vec::new()),
            ("", _, Err(_)) => self.aliasing(entry, &node.address).await,
            (_, Ok(at), _) => self.pointing_at(entry, records::address_name(at, datacenter), at),
            (text, Err(_), Ok(at)) if records::name(text) == self.query.name => {
                self.pointing_at(entry, records::node_name(&node.node, datacenter), at)
            }
            (text, Err(_), _) => self.aliasing(entry, text).await,
        }
    }

    fn pointing_at(
        &self,
        entry: &CheckServiceNode,
        target: Name,
        at: IpAddr,
    ) -> (Vec<Record>, Vec<Record>) {
        let own = self.query.name.clone();
        if self.kind() != RecordType::SRV {
            return (
                records::address_record(self.kind(), own, at)
                    .into_iter()
                    .collect(),
                Vec::new(),
            );
        }
        let extra = records::address_record(RecordType::SRV, target.clone(), at);
        let answer = records::srv_record(own, records::weight(entry), entry.service.port, target);
        (vec![answer], extra.into_iter().collect())
    }

    async fn aliasing(&self, entry: &CheckServiceNode, host: &str) -> (Vec<Record>, Vec<Record>) {
        let target = records::name(host);
        let mut more = self.resolve_alias(target.clone()).await;
        more.retain(|record| matches!(record.data, RData::CNAME(_) | RData::A(_) | RData::AAAA(_)));
        if self.edns_size.is_none() {
            more.truncate(MAX_ALIAS_RECORDS);
        }
        let own = self.query.name.clone();
        if self.kind() == RecordType::SRV {
            return (
                vec![records::srv_record(
                    own,
                    records::weight(entry),
                    entry.service.port,
                    target,
                )],
                more,
            );
        }
        more.insert(0, records::cname_record(own, target));
        (more, Vec::new())
    }

    /// Records behind a name under `consul.`; others need a recursor, which the sandbox has not.
    fn resolve_alias(
        &self,
        target: Name,
    ) -> Pin<Box<dyn Future<Output = Vec<Record>> + Send + '_>> {
        Box::pin(async move {
            if self.depth == 0 || !records::is_ours(&target) {
                return Vec::new();
            }
            let query = Query::query(target, RecordType::ANY);
            let inner = Asked {
                query: &query,
                network: Network::Udp,
                edns_size: None,
                depth: self.depth - 1,
                ..*self
            };
            inner.dispatch().await.answers
        })
    }
}
