//! `policies/*.hcl`: what people want of a workload.

use super::hcl::{Document, Section};
use super::upstream;
use super::{Error, read_text};
use crate::model::*;
use std::path::Path;

mod load;

pub fn read_policy(path: &Path) -> Result<Policy, Error> {
    let text = read_text(path)?;
    parse_policy(&path.display().to_string(), &text)
}

/// One `workload "name" { … }` block.
pub fn parse_policy(file: &str, text: &str) -> Result<Policy, Error> {
    let document = Document::parse(file, text)?;
    let root = document.root();
    let workload = root
        .block("workload")?
        .ok_or_else(|| root.wrong("a policy is one block: workload \"name\" { … }".into()))?;
    root.finish()?;
    let policy = self::workload(&workload)?;
    Ok(policy)
}

fn workload(w: &Section) -> Result<Policy, Error> {
    let slo = slo(w, None)?.ok_or_else(|| {
        w.missing(
            "slo",
            "slo { quantile = 0.99  latency = \"250ms\"  success = 0.999 }",
        )
    })?;
    let job = w.string("job")?;
    let season = w.time("season")?.unwrap_or(Span::secs(86_400));
    let portions = w
        .blocks("portion")
        .iter()
        .map(|p| portion(p, job.as_deref(), slo))
        .collect::<Result<Vec<_>, _>>()?;
    if portions.is_empty() {
        return Err(w.missing(
            "portion",
            "at least one block: portion \"web\" { groups = [\"web\"] … }",
        ));
    }
    let policy = Policy {
        workload: w.label()?.to_string(),
        portions: portions.into(),
        risk_tolerance: w.number("risk_tolerance", 0.0..=1.0)?.ok_or_else(|| {
            w.missing(
                "risk_tolerance",
                "0 prepares for everything, 1 for nothing but the likely",
            )
        })?,
        budget: budget(w)?,
        judging: judging(w)?,
        sites: w
            .strings("sites")?
            .ok_or_else(|| w.missing("sites", "where shadows and standbys may run"))?
            .iter()
            .map(|s| Site::new(s.as_str()))
            .collect(),
        autonomous: w.boolean("autonomous")?.unwrap_or(false),
        links: w
            .blocks("link")
            .iter()
            .map(link)
            .collect::<Result<_, _>>()?,
        ramp: ramp(w)?,
        quiet: w
            .blocks("quiet")
            .iter()
            .map(quiet)
            .collect::<Result<_, _>>()?,
        freezes: w
            .blocks("freeze")
            .iter()
            .map(freeze)
            .collect::<Result<_, _>>()?,
        loads: w
            .blocks("portion")
            .iter()
            .filter_map(|p| load::load(p).transpose())
            .collect::<Result<_, _>>()?,
        events: w
            .blocks("event")
            .iter()
            .map(event)
            .collect::<Result<_, _>>()?,
        maintenance: w
            .blocks("maintenance")
            .iter()
            .map(maintenance)
            .collect::<Result<_, _>>()?,
        deny: w
            .strings("deny")?
            .unwrap_or_default()
            .into_iter()
            .map(ServiceName::new)
            .collect(),
        step: w.time("step")?.unwrap_or(Span::secs(60)),
        season,
        horizon: w.time("horizon")?.unwrap_or(Span::secs(3_600)),
        peak_rps: Rps(w.number("peak_rps", 0.0..=1e9)?.unwrap_or(0.0)),
    };
    w.finish()?;
    known(w, &policy)?;
    Ok(policy)
}

/// Names that refer to each other must exist.
fn known(w: &Section, policy: &Policy) -> Result<(), Error> {
    if policy.step.0 <= 0 || policy.horizon < policy.step {
        return Err(w.bad(
            "horizon",
            format!(
                "horizon must hold at least one step of {} ms",
                policy.step.0
            ),
        ));
    }
    for (block, event) in w.blocks("event").iter().zip(&policy.events) {
        let unknown = event.portions.iter().find(|p| policy.portion(p).is_none());
        if let Some(other) = unknown {
            let message = format!("portions names {other}, which is no portion of this workload");
            return Err(block.bad("portions", message));
        }
    }
    for (block, portion) in w.blocks("portion").iter().zip(&policy.portions) {
        if policy
            .portions
            .iter()
            .filter(|p| p.id == portion.id)
            .count()
            > 1
        {
            return Err(block.wrong(format!("portion {} is named twice", portion.id)));
        }
        for other in &portion.depends_on {
            if policy.portion(other).is_none() {
                return Err(block.bad(
                    "depends_on",
                    format!("depends_on names {other}, which is no portion of this workload"),
                ));
            }
        }
    }
    Ok(())
}

fn slo(section: &Section, outer: Option<Slo>) -> Result<Option<Slo>, Error> {
    let Some(s) = section.block("slo")? else {
        return Ok(outer);
    };
    let latency = s.time("latency")?.map(|t| Millis(t.0 as f64));
    let slo = Slo {
        quantile: s
            .number("quantile", 0.5..=0.999)?
            .or(outer.map(|o| o.quantile))
            .unwrap_or(0.99),
        latency: latency
            .or(outer.map(|o| o.latency))
            .ok_or_else(|| s.missing("latency", "the limit, such as \"250ms\""))?,
        success: s
            .number("success", 0.0..=1.0)?
            .or(outer.map(|o| o.success))
            .unwrap_or(0.999),
    };
    s.finish()?;
    Ok(Some(slo))
}

fn budget(w: &Section) -> Result<Budget, Error> {
    let b = w
        .block("budget")?
        .ok_or_else(|| w.missing("budget", "budget { shadow_core_hours = 2 … }"))?;
    let budget = Budget {
        shadow: CoreHours(b.number("shadow_core_hours", 0.0..=1e6)?.unwrap_or(1.0)),
        standby: CoreHours(b.number("standby_core_hours", 0.0..=1e6)?.unwrap_or(24.0)),
        max_shadows: b.number("max_shadows", 0.0..=1000.0)?.unwrap_or(1.0) as usize,
        max_standbys: b.number("max_standbys", 0.0..=10_000.0)?.unwrap_or(4.0) as usize,
    };
    b.finish()?;
    Ok(budget)
}

/// `judge { twin = true  margin = "4ms"  requests = 1000  longest = "8s" }`.
fn judging(w: &Section) -> Result<Judging, Error> {
    let default = Judging::default();
    let Some(j) = w.block("judge")? else {
        return Ok(default);
    };
    let judging = Judging {
        twin: j.boolean("twin")?.unwrap_or(default.twin),
        margin: j.time("margin")?.map(|t| Millis(t.0 as f64)),
        requests: j
            .number("requests", 30.0..=1e6)?
            .map_or(default.requests, |n| n as u64),
        longest: j.time("longest")?.unwrap_or(default.longest),
    };
    j.finish()?;
    Ok(judging)
}

fn ramp(w: &Section) -> Result<Ramp, Error> {
    let default = Ramp {
        steps: [1, 5, 25, 50, 100].map(Share::percent).to_vec(),
        soak: Span::secs(30),
        settle: Span::secs(300),
        warm: Span::secs(300),
        min_samples: 30,
    };
    let Some(r) = w.block("ramp")? else {
        return Ok(default);
    };
    let steps = match r.numbers("steps", 0.01..=100.0)? {
        None => default.steps,
        Some(steps) => {
            let rising = steps.windows(2).all(|w| w[0] < w[1]);
            if !rising || steps.last() != Some(&100.0) {
                return Err(r.bad("steps", "steps must rise and end with 100 (percent)".into()));
            }
            steps
                .iter()
                .map(|p| Share((p * 100.0).round() as u32))
                .collect()
        }
    };
    let ramp = Ramp {
        steps,
        soak: r.time("soak")?.unwrap_or(default.soak),
        settle: r.time("settle")?.unwrap_or(default.settle),
        warm: r.time("keep_warm")?.unwrap_or(default.warm),
        min_samples: r.number("min_samples", 1.0..=1e9)?.unwrap_or(30.0) as u64,
    };
    r.finish()?;
    Ok(ramp)
}

/// `link { between = ["edge-a", "provider-a"]  mbit = 200 }`.
fn link(l: &Section) -> Result<LinkLimit, Error> {
    let shape = "two different sites, such as [\"edge-a\", \"provider-a\"]";
    let sites = l
        .strings("between")?
        .ok_or_else(|| l.missing("between", shape))?;
    let between = match sites.as_slice() {
        [a, b] if a != b => (Site::new(a.as_str()), Site::new(b.as_str())),
        _ => return Err(l.bad("between", format!("between must name {shape}"))),
    };
    let limit = LinkLimit {
        between,
        capacity: Mbps(
            l.number("mbit", 0.0..=1e9)?
                .ok_or_else(|| l.missing("mbit", "what standbys may use, in Mbit/s"))?,
        ),
    };
    l.finish()?;
    Ok(limit)
}

/// `event "sale" { from = "2026-11-27T08:00:00Z"  to = "2026-11-28T00:00:00Z"  factor = 2.5 }`.
fn event(e: &Section) -> Result<DemandEvent, Error> {
    let event = DemandEvent {
        name: e.label()?.to_string(),
        window: window(e)?,
        factor: e
            .number("factor", 0.0..=1000.0)?
            .ok_or_else(|| e.missing("factor", "how many times the usual demand, such as 2.5"))?,
        portions: e
            .strings("portions")?
            .unwrap_or_default()
            .into_iter()
            .map(PortionId::new)
            .collect(),
    };
    e.finish()?;
    Ok(event)
}

/// `maintenance "rack 3" { from = …  to = …  nodes = ["edge-a-1"] }`.
fn maintenance(m: &Section) -> Result<Maintenance, Error> {
    let maintenance = Maintenance {
        name: m.label()?.to_string(),
        window: window(m)?,
        nodes: m.strings("nodes")?.unwrap_or_default(),
        sites: m
            .strings("sites")?
            .unwrap_or_default()
            .into_iter()
            .map(Site::new)
            .collect(),
    };
    m.finish()?;
    if maintenance.nodes.is_empty() && maintenance.sites.is_empty() {
        return Err(m.missing(
            "nodes",
            "names of nodes that go, or sites, such as sites = [\"edge-b\"]",
        ));
    }
    Ok(maintenance)
}

/// `freeze "black friday" { from = …  to = … }`.
fn freeze(f: &Section) -> Result<Freeze, Error> {
    let freeze = Freeze {
        name: f.label()?.to_string(),
        window: window(f)?,
    };
    f.finish()?;
    Ok(freeze)
}

/// `from` and `to` as times with a date.
fn window(s: &Section) -> Result<Window, Error> {
    let shape = "a time with date and zone such as \"2026-11-27T08:00:00Z\"";
    let time = |key: &'static str| -> Result<Moment, Error> {
        let text = s.string(key)?.ok_or_else(|| s.missing(key, shape))?;
        text.parse::<jiff::Timestamp>()
            .map(|t| Moment(t.as_millisecond()))
            .map_err(|_| s.bad(key, format!("{key} must be {shape}, not \"{text}\"")))
    };
    let window = Window {
        from: time("from")?,
        to: time("to")?,
    };
    if window.to <= window.from {
        return Err(s.bad("to", "to must lie after from".into()));
    }
    Ok(window)
}

/// `quiet { from = "22:00" to = "06:00" }`, in UTC.
fn quiet(q: &Section) -> Result<Quiet, Error> {
    let minute = |key: &'static str| -> Result<u16, Error> {
        let text = q
            .string(key)?
            .ok_or_else(|| q.missing(key, "a time of day in UTC such as \"22:00\""))?;
        text.split_once(':')
            .and_then(|(h, m)| Some((h.parse::<u16>().ok()?, m.parse::<u16>().ok()?)))
            .filter(|(h, m)| *h < 24 && *m < 60)
            .map(|(h, m)| h * 60 + m)
            .ok_or_else(|| {
                q.bad(
                    key,
                    format!("{key} must be a time of day such as \"22:00\", not \"{text}\""),
                )
            })
    };
    let quiet = Quiet {
        from_minute: minute("from")?,
        to_minute: minute("to")?,
    };
    q.finish()?;
    Ok(quiet)
}

fn portion(p: &Section, job: Option<&str>, outer: Slo) -> Result<PortionPolicy, Error> {
    let label = p.label()?.to_string();
    let stays = p.strings("data_stays_at")?;
    let upstreams = match p.string("upstreams")?.as_deref() {
        None | Some("stub") => Upstreams::Stub,
        Some("production-readonly") => Upstreams::ProductionReadonly,
        Some("shadow") => Upstreams::Shadow,
        Some(other) => {
            return Err(p.bad(
                "upstreams",
                format!("upstreams must be \"stub\", \"production-readonly\" or \"shadow\", not \"{other}\""),
            ));
        }
    };
    // Read apart, by name of the portion.
    p.blocks("load");
    let portion = PortionPolicy {
        job: p
            .string("job")?
            .or(job.map(str::to_string))
            .map(JobId::new)
            .ok_or_else(|| p.missing("job", "here or in the workload"))?,
        groups: p
            .strings("groups")?
            .unwrap_or_else(|| vec![label.clone()])
            .into_iter()
            .map(Group::new)
            .collect(),
        front: p.string("front")?.map(ServiceName::new),
        owner: owner(p)?,
        port: p.string("port")?.unwrap_or_else(|| "http".into()),
        path: p.string("path")?.unwrap_or_else(|| "/".into()),
        health: p
            .string("health")?
            .map_or_else(|| "/health".into(), Into::into),
        depends_on: p
            .strings("depends_on")?
            .unwrap_or_default()
            .into_iter()
            .map(PortionId::new)
            .collect(),
        slo: slo(p, Some(outer))?.unwrap_or(outer),
        data: stays.map_or(Data::Free, |s| {
            Data::Stays(s.into_iter().map(Site::new).collect())
        }),
        upstreams,
        stand_ins: p
            .blocks("upstream")
            .iter()
            .map(upstream::read)
            .collect::<Result<_, _>>()?,
        metrics: metrics(p)?,
        shadow: p.boolean("shadow")?.unwrap_or(true),
        standby: p.boolean("standby")?.unwrap_or(true),
        probe: p.boolean("probe")?.unwrap_or(true),
        id: PortionId::new(label),
    };
    if portion.groups.is_empty() {
        return Err(p.bad("groups", "groups must name at least one task group".into()));
    }
    p.finish()?;
    Ok(portion)
}

/// `owner = "front"`: how the weights of `front` are written.
fn owner(p: &Section) -> Result<OwnerChoice, Error> {
    let names: Vec<&'static str> = Owner::ALL
        .map(Owner::name)
        .into_iter()
        .chain(["auto"])
        .collect();
    let given = p.one_of("owner", &names)?;
    let this = given.and_then(|name| Owner::ALL.into_iter().find(|o| o.name() == name));
    Ok(match (given, this) {
        (None, _) => OwnerChoice::default(),
        (_, Some(owner)) => OwnerChoice::This(owner),
        _ => OwnerChoice::Auto,
    })
}

fn metrics(p: &Section) -> Result<Metrics, Error> {
    let text =
        |section: Option<&Section>, key: &'static str, default: &str| -> Result<String, Error> {
            Ok(match section {
                Some(s) => s.string(key)?.unwrap_or_else(|| default.into()),
                None => default.into(),
            })
        };
    let block = p.block("metrics")?;
    let m = block.as_ref();
    let metrics = Metrics {
        clients: m
            .map(|s| s.strings("clients"))
            .transpose()?
            .flatten()
            .unwrap_or_default(),
        path: text(m, "path", "/metrics")?,
        requests: text(m, "requests", "http_requests_total")?,
        duration: text(m, "duration", "http_request_duration_seconds")?,
        failed: text(m, "failed", "")?,
        only: m
            .map(|s| s.strings("only"))
            .transpose()?
            .flatten()
            .unwrap_or_default(),
    };
    if let Some(m) = m {
        m.finish()?;
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests;
