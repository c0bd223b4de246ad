//! A portion's `load` block: what its shadows are driven with.

use super::{Error, Section};
use crate::model::*;

/// `load { from = "access.log"  arrivals = "own"  methods = ["GET"]  confidence = 0.9  resolution = 0.2  each = "2s"  lasts = "12s" }`,
/// with `request "/path" { method = "GET"  weight = 3 }` blocks instead of a log; none without the block.
pub(super) fn load(p: &Section) -> Result<Option<(PortionId, LoadPolicy)>, Error> {
    let Some(l) = p.block("load")? else {
        return Ok(None);
    };
    let default = LoadPolicy::default();
    let from = l.string("from")?.map(|path| l.beside(&path));
    let mix = l
        .blocks("request")
        .iter()
        .map(part)
        .collect::<Result<Vec<_>, _>>()?;
    let load = LoadPolicy {
        fields: fields(&l)?,
        arrivals: arrivals(&l)?,
        methods: methods(&l)?.unwrap_or(default.methods),
        confidence: l
            .number("confidence", 0.5..=0.999)?
            .unwrap_or(default.confidence),
        resolution: l
            .number("resolution", 0.01..=1.0)?
            .unwrap_or(default.resolution),
        each: l.time("each")?.unwrap_or(default.each),
        lasts: l.time("lasts")?.unwrap_or(default.lasts),
        from,
        mix,
    };
    if load.from.is_some() && !load.mix.is_empty() {
        return Err(l.bad(
            "from",
            "from (a log) and request blocks exclude each other".into(),
        ));
    }
    if load.from.is_none() && load.arrivals == Arrivals::Own {
        let message = "arrivals \"own\" needs a log: from = \"access.log\"";
        return Err(l.bad("arrivals", message.into()));
    }
    let unsafe_one = load
        .mix
        .iter()
        .find(|part| !load.methods.contains(&part.method));
    if let Some(part) = unsafe_one {
        let message = format!(
            "{} {} is not among the methods a shadow may see: {}; name it in methods if it may",
            part.method,
            part.path,
            load.methods.join(", ")
        );
        return Err(l.wrong(message));
    }
    l.finish()?;
    Ok(Some((PortionId::new(p.label()?), load)))
}

/// `request "/search?q=x" { method = "GET"  weight = 3 }`.
fn part(r: &Section) -> Result<MixPart, Error> {
    let part = MixPart {
        path: r.label()?.to_string(),
        method: r
            .string("method")?
            .unwrap_or_else(|| "GET".into())
            .to_uppercase(),
        weight: r.number("weight", 0.0..=1e6)?.unwrap_or(1.0),
    };
    r.finish()?;
    if part.path.starts_with('/') {
        Ok(part)
    } else {
        Err(r.wrong(format!("request \"{}\" must begin with /", part.path)))
    }
}

fn arrivals(l: &Section) -> Result<Arrivals, Error> {
    match l.string("arrivals")?.as_deref() {
        None | Some("poisson") => Ok(Arrivals::Poisson),
        Some("constant") => Ok(Arrivals::Constant),
        Some("own") => Ok(Arrivals::Own),
        Some(other) => {
            let message = format!(
                "arrivals must be \"poisson\", \"constant\" or (of a log) \"own\", not \"{other}\""
            );
            Err(l.bad("arrivals", message))
        }
    }
}

fn methods(l: &Section) -> Result<Option<Vec<String>>, Error> {
    let named = l.strings("methods")?;
    Ok(named.map(|all| all.iter().map(|m| m.to_uppercase()).collect()))
}

/// `fields { time = "when"  path = "request.target" }`.
fn fields(l: &Section) -> Result<Vec<(String, String)>, Error> {
    let Some(f) = l.block("fields")? else {
        return Ok(Vec::new());
    };
    let mut fields = Vec::new();
    for ours in ["time", "method", "path", "request"] {
        if let Some(theirs) = f.string(ours)? {
            fields.push((ours.to_string(), theirs));
        }
    }
    f.finish()?;
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::super::parse_policy;
    use super::*;

    fn read(load: &str) -> Result<Policy, String> {
        let text = format!(
            "workload \"w\" {{\n  risk_tolerance = 0.5\n  sites = [\"a\"]\n  slo {{\n    quantile = 0.99\n    latency = \"1s\"\n    success = 0.9\n  }}\n  \
             budget {{\n    shadow_core_hours = 1\n    standby_core_hours = 1\n    max_shadows = 1\n    max_standbys = 1\n  }}\n  \
             portion \"web\" {{\n    job = \"j\"\n    load {{\n{load}\n    }}\n  }}\n}}\n"
        );
        parse_policy("policies/w.hcl", &text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_load_is_read_with_its_log_beside_the_policy() {
        let policy = read(
            "from = \"logs/access.log\"\narrivals = \"own\"\nmethods = [\"get\", \"POST\"]\nconfidence = 0.95\nresolution = 0.1\n\
             each = \"20s\"\nlasts = \"2m\"\nfields {\n  time = \"when\"\n}",
        )
        .unwrap();
        let load = &policy.loads[&PortionId::new("web")];
        assert_eq!(load.from.as_deref(), Some("policies/logs/access.log"));
        assert_eq!((load.arrivals, load.each), (Arrivals::Own, Span::secs(20)));
        assert_eq!(load.methods, ["GET", "POST"]);
        assert_eq!(load.fields, [("time".to_string(), "when".to_string())]);
        assert_eq!((load.confidence, load.resolution), (0.95, 0.1));
    }

    #[test]
    fn a_mix_is_read_and_only_safe_methods_unless_the_policy_says_otherwise() {
        let mix = "request \"/a\" {\n  weight = 3\n}\nrequest \"/b\" {\n  method = \"post\"\n}";
        let refused = read(mix).unwrap_err();
        assert!(
            refused.contains("POST /b is not among the methods"),
            "{refused}"
        );
        let policy = read(&format!("methods = [\"GET\", \"POST\"]\n{mix}")).unwrap();
        let load = &policy.loads[&PortionId::new("web")];
        assert_eq!(
            (load.mix[0].weight, load.mix[1].method.as_str()),
            (3.0, "POST")
        );
        assert_eq!(load.arrivals, Arrivals::Poisson);
    }

    #[test]
    fn what_does_not_go_together_and_what_is_unknown_is_said() {
        for (text, expected) in [
            ("arrivals = \"own\"", "needs a log"),
            ("arrivals = \"bursts\"", "must be \"poisson\""),
            ("from = \"x\"\nrequest \"/a\" {\n}", "exclude each other"),
            ("request \"a\" {\n}", "must begin with /"),
            ("confidense = 0.9", "did you mean confidence?"),
            ("confidence = 1.5", "a number from 0.5 to 0.999"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
