//! Job files (HCL) to Nomad's JSON.

mod arithmetic;
mod error;
mod shape;
mod value;

pub use error::ParseError;
pub(super) use value::go_duration;

use super::canonical::canonical_request;
use hcl_edit::Span;
use hcl_edit::structure::{Attribute, Block, Body, Structure};
use serde_json::{Map, Value, json};
use shape::{Kind, Nest, Shape};
use std::ops::Range;
use value::Reader;

/// Parse a job file into the JSON that `POST /v1/jobs/parse` answers, all defaults filled in.
///
/// `variable` blocks with defaults and `locals` are understood; `${…}` that names neither is left for run time.
/// Errors give line and columns of the first fault.
pub fn parse_job(hcl: &str) -> Result<Value, ParseError> {
    let body = hcl_edit::parser::parse_body(hcl).map_err(|e| ParseError::syntax(hcl, &e))?;
    let reader = Reader::new(hcl, &body)?;
    let mut jobs = body
        .iter()
        .filter_map(Structure::as_block)
        .filter(|b| b.ident.as_str() == "job");
    let Some(block) = jobs.next() else {
        return Err(ParseError::at(
            hcl,
            0..1,
            "Missing job block",
            "A job file has one block: job \"NAME\" { … }.",
        ));
    };
    if let Some(second) = jobs.next() {
        return Err(reader.fault(
            second.ident.span(),
            "Duplicate job block",
            "Only one \"job\" block is allowed.",
        ));
    }
    for structure in body.iter() {
        match structure {
            Structure::Attribute(a) => return Err(reader.unexpected_argument(a)),
            Structure::Block(b) if !["job", "variable", "locals"].contains(&b.ident.as_str()) => {
                return Err(reader.unexpected_block(b));
            }
            Structure::Block(_) => {}
        }
    }
    let [label] = block.labels.as_slice() else {
        return Err(reader.fault(
            block.ident.span(),
            "Missing name for job",
            "All job blocks must have 1 labels (name).",
        ));
    };
    let mut job = reader.object(&block.body, &shape::JOB)?;
    for key in ["ID", "Name"] {
        job.entry(key).or_insert_with(|| label.as_str().into());
    }
    let mut job = Value::Object(job);
    canonical_request(&mut job);
    Ok(job)
}

impl Reader<'_> {
    fn object(&self, body: &Body, shape: &Shape) -> Result<Map<String, Value>, ParseError> {
        let mut out = Map::new();
        for structure in body.iter() {
            match structure {
                Structure::Attribute(a) => self.argument(a, shape, &mut out)?,
                Structure::Block(b) => self.block(b, shape, &mut out)?,
            }
        }
        Ok(out)
    }

    fn argument(
        &self,
        a: &Attribute,
        shape: &Shape,
        out: &mut Map<String, Value>,
    ) -> Result<(), ParseError> {
        let Some((_, key, kind)) = shape.argument(a.key.as_str()) else {
            return Err(self.unexpected_argument(a));
        };
        out.insert((*key).into(), self.typed(&a.value, *kind)?);
        Ok(())
    }

    fn block(
        &self,
        b: &Block,
        shape: &Shape,
        out: &mut Map<String, Value>,
    ) -> Result<(), ParseError> {
        let Some((name, key, nest)) = shape.block(b.ident.as_str()) else {
            return Err(self.unexpected_block(b));
        };
        let key = (*key).to_string();
        match nest {
            Nest::One(inner) => {
                if out.contains_key(&key) {
                    return Err(self.fault(
                        b.ident.span(),
                        format!("Duplicate {name} block"),
                        format!("Only one {name:?} block is allowed here."),
                    ));
                }
                out.insert(key, self.object(&b.body, inner)?.into());
            }
            Nest::Many(inner, label_key) => {
                let mut object = self.object(&b.body, inner)?;
                if !label_key.is_empty() {
                    object.insert((*label_key).into(), self.label(b)?.into());
                }
                finish(name, &mut object);
                push(out, key, object.into());
            }
            Nest::ByLabel(inner) => {
                let mut object = self.object(&b.body, inner)?;
                let label = self.label(b)?;
                object.insert("Name".into(), label.clone().into());
                out.entry(key).or_insert_with(|| json!({}))[label] = object.into();
            }
            Nest::TextMap => {
                let mut map = Map::new();
                for a in b.body.iter().filter_map(Structure::as_attribute) {
                    map.insert(a.key.as_str().into(), self.typed(&a.value, Kind::Text)?);
                }
                out.insert(key, map.into());
            }
            Nest::Free => drop(out.insert(key, self.free(&b.body)?)),
        }
        Ok(())
    }

    /// A driver's config: arguments as they are, blocks as lists of maps.
    fn free(&self, body: &Body) -> Result<Value, ParseError> {
        let mut out = Map::new();
        for structure in body.iter() {
            match structure {
                Structure::Attribute(a) => {
                    drop(out.insert(a.key.as_str().into(), self.typed(&a.value, Kind::Free)?))
                }
                Structure::Block(b) => {
                    let mut inner = self.free(&b.body)?;
                    for label in b.labels.iter().rev() {
                        inner = json!({ label.as_str(): inner });
                    }
                    push(&mut out, b.ident.as_str().to_string(), inner);
                }
            }
        }
        Ok(out.into())
    }

    fn label(&self, b: &Block) -> Result<String, ParseError> {
        match b.labels.as_slice() {
            [label] => Ok(label.as_str().to_string()),
            _ => Err(self.fault(
                b.ident.span(),
                format!("Missing name for {}", b.ident.as_str()),
                format!("All {} blocks must have 1 labels (name).", b.ident.as_str()),
            )),
        }
    }

    fn unexpected_argument(&self, a: &Attribute) -> ParseError {
        self.fault(
            a.key.span(),
            "Unsupported argument",
            format!(
                "An argument named {:?} is not expected here.",
                a.key.as_str()
            ),
        )
    }

    fn unexpected_block(&self, b: &Block) -> ParseError {
        self.fault(
            b.ident.span(),
            "Unsupported block type",
            format!(
                "Blocks of type {:?} are not expected here.",
                b.ident.as_str()
            ),
        )
    }

    fn fault(
        &self,
        span: Option<Range<usize>>,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) -> ParseError {
        ParseError::at(self.source, span.unwrap_or(0..0), summary, detail)
    }
}

fn push(out: &mut Map<String, Value>, key: String, item: Value) {
    match out.entry(key).or_insert_with(|| json!([])) {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

/// What a stanza's shorthand stands for.
fn finish(block: &str, object: &mut Map<String, Value>) {
    match block {
        "network" => {
            let Some(Value::Array(ports)) = object.remove("Ports") else {
                return;
            };
            for port in ports {
                let list = if port.get("Value").is_some() {
                    "ReservedPorts"
                } else {
                    "DynamicPorts"
                };
                push(object, list.into(), port);
            }
        }
        "constraint" | "affinity" => {
            for operand in [
                "version",
                "semver",
                "regexp",
                "set_contains",
                "set_contains_all",
                "set_contains_any",
            ] {
                if let Some(value) = object.remove(operand) {
                    object.insert("Operand".into(), operand.into());
                    object.insert("RTarget".into(), value);
                }
            }
            if object.remove("distinct_hosts") == Some(true.into()) {
                object.insert("Operand".into(), "distinct_hosts".into());
            }
            if let Some(property) = object.remove("distinct_property") {
                object.insert("Operand".into(), "distinct_property".into());
                object.insert("LTarget".into(), property);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
