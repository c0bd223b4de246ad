//! The fields that each kind of entry has, and how lenient Consul is when it reads them.

use serde_json::{Map, Value, json};

use super::super::go;

/// A field's name, its second spelling, and its form.
type Field = (&'static str, &'static str, Form);

#[derive(Clone, Copy)]
enum Form {
    Text,
    Float,
    Whole,
    Flag,
    /// A duration, shown as Go writes it.
    Span,
    Texts,
    TextMap,
    Free,
    Record(&'static [Field]),
    Records(&'static [Field]),
    RecordMap(&'static [Field]),
}

const GATEWAY: &[Field] = &[("Mode", "", Form::Text)];
const PATH: &[Field] = &[
    ("ListenerPort", "listener_port", Form::Whole),
    ("Path", "", Form::Text),
    ("LocalPathPort", "local_path_port", Form::Whole),
    ("Protocol", "", Form::Text),
];
const EXPOSE: &[Field] = &[
    ("Checks", "", Form::Flag),
    ("Paths", "", Form::Records(PATH)),
];
const COMMON: &[Field] = &[
    ("Kind", "", Form::Text),
    ("Name", "", Form::Text),
    ("Namespace", "", Form::Text),
    ("Meta", "", Form::TextMap),
    ("CreateIndex", "", Form::Whole),
    ("ModifyIndex", "", Form::Whole),
];
const PROXY: &[Field] = &[
    ("Config", "", Form::Free),
    ("MeshGateway", "mesh_gateway", Form::Record(GATEWAY)),
    ("Expose", "", Form::Record(EXPOSE)),
];
const DEFAULTS: &[Field] = &[
    ("Protocol", "", Form::Text),
    ("MeshGateway", "mesh_gateway", Form::Record(GATEWAY)),
    ("Expose", "", Form::Record(EXPOSE)),
    ("ExternalSNI", "external_sni", Form::Text),
];
const SUBSET: &[Field] = &[
    ("Filter", "", Form::Text),
    ("OnlyPassing", "only_passing", Form::Flag),
];
const REDIRECT: &[Field] = &[
    ("Service", "", Form::Text),
    ("ServiceSubset", "service_subset", Form::Text),
    ("Namespace", "", Form::Text),
    ("Datacenter", "", Form::Text),
];
const FAILOVER: &[Field] = &[
    ("Service", "", Form::Text),
    ("ServiceSubset", "service_subset", Form::Text),
    ("Namespace", "", Form::Text),
    ("Datacenters", "", Form::Texts),
];
const RESOLVER: &[Field] = &[
    ("DefaultSubset", "default_subset", Form::Text),
    ("Subsets", "", Form::RecordMap(SUBSET)),
    ("Redirect", "", Form::Record(REDIRECT)),
    ("Failover", "", Form::RecordMap(FAILOVER)),
    ("ConnectTimeout", "connect_timeout", Form::Span),
];
const SPLIT: &[Field] = &[
    ("Weight", "", Form::Float),
    ("Service", "", Form::Text),
    ("ServiceSubset", "service_subset", Form::Text),
    ("Namespace", "", Form::Text),
];
const SPLITTER: &[Field] = &[("Splits", "", Form::Records(SPLIT))];
const PARAMETER: &[Field] = &[
    ("Name", "", Form::Text),
    ("Present", "", Form::Flag),
    ("Exact", "", Form::Text),
    ("Prefix", "", Form::Text),
    ("Suffix", "", Form::Text),
    ("Regex", "", Form::Text),
    ("Invert", "", Form::Flag),
];
const HTTP: &[Field] = &[
    ("PathExact", "path_exact", Form::Text),
    ("PathPrefix", "path_prefix", Form::Text),
    ("PathRegex", "path_regex", Form::Text),
    ("Header", "", Form::Records(PARAMETER)),
    ("QueryParam", "query_param", Form::Records(PARAMETER)),
    ("Methods", "", Form::Texts),
];
const MATCH: &[Field] = &[("HTTP", "", Form::Record(HTTP))];
const DESTINATION: &[Field] = &[
    ("Service", "", Form::Text),
    ("ServiceSubset", "service_subset", Form::Text),
    ("Namespace", "", Form::Text),
    ("PrefixRewrite", "prefix_rewrite", Form::Text),
    ("RequestTimeout", "request_timeout", Form::Span),
    ("NumRetries", "num_retries", Form::Whole),
    (
        "RetryOnConnectFailure",
        "retry_on_connect_failure",
        Form::Flag,
    ),
    ("RetryOnStatusCodes", "retry_on_status_codes", Form::Free),
];
const ROUTE: &[Field] = &[
    ("Match", "", Form::Record(MATCH)),
    ("Destination", "", Form::Record(DESTINATION)),
];
const ROUTER: &[Field] = &[("Routes", "", Form::Records(ROUTE))];

/// What is wrong with an entry.
#[derive(Default)]
struct Faults {
    unknown: Vec<String>,
    mistyped: Vec<String>,
}

/// Reads an entry of a known kind; what is empty is left out, as Consul leaves it out.
pub(super) fn read(kind: &str, raw: Value) -> Result<Value, String> {
    let own = match kind {
        "proxy-defaults" => PROXY,
        "service-defaults" => DEFAULTS,
        "service-resolver" => RESOLVER,
        "service-splitter" => SPLITTER,
        _ => ROUTER,
    };
    let fields: Vec<Field> = COMMON.iter().chain(own).copied().collect();
    let mut faults = Faults::default();
    let mut entry = record(raw, &fields, "", &mut faults);
    if !faults.mistyped.is_empty() {
        let lines: Vec<String> = faults
            .mistyped
            .iter()
            .map(|fault| format!("* {fault}"))
            .collect();
        return Err(format!(
            "{} error(s) decoding:\n\n{}",
            lines.len(),
            lines.join("\n")
        ));
    }
    if !faults.unknown.is_empty() {
        let lines: Vec<String> = faults
            .unknown
            .iter()
            .map(|key| format!("\t* invalid config key {key:?}\n"))
            .collect();
        let what = if lines.len() == 1 {
            "1 error".into()
        } else {
            format!("{} errors", lines.len())
        };
        return Err(format!("{what} occurred:\n{}\n", lines.concat()));
    }
    let always: &[(&str, Value)] = match kind {
        "proxy-defaults" => &[
            ("Config", Value::Null),
            ("MeshGateway", json!({})),
            ("Expose", json!({})),
        ],
        "service-defaults" => &[
            ("Protocol", json!("")),
            ("MeshGateway", json!({})),
            ("Expose", json!({})),
        ],
        "service-splitter" => &[("Splits", Value::Null)],
        "service-router" => &[("Routes", Value::Null)],
        _ => &[],
    };
    for (name, value) in always.iter().chain(&[("Name", json!(""))]) {
        if entry.get(*name).is_none() {
            entry[*name] = value.clone();
        }
    }
    Ok(entry)
}

fn record(raw: Value, fields: &[Field], path: &str, faults: &mut Faults) -> Value {
    let Value::Object(map) = raw else {
        mistyped(path, "a map", &raw, faults);
        return json!({});
    };
    let mut out = Map::new();
    for (key, value) in map {
        let known = fields.iter().find(|(name, other, _)| {
            name.eq_ignore_ascii_case(&key)
                || (!other.is_empty() && other.eq_ignore_ascii_case(&key))
        });
        let Some((name, _, form)) = known else {
            faults.unknown.push(format!(
                "{path}{}{key}",
                if path.is_empty() { "" } else { "." }
            ));
            continue;
        };
        let at = match path {
            "" => (*name).to_owned(),
            path => format!("{path}.{name}"),
        };
        let value = formed(value, *form, &at, faults);
        let kept = matches!(form, Form::Record(_)) && value.is_object() || *name == "Weight";
        if kept || !is_zero(&value) {
            out.insert((*name).to_owned(), value);
        }
    }
    out.remove("CreateIndex");
    out.remove("ModifyIndex");
    Value::Object(out)
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

fn mistyped(path: &str, wanted: &str, got: &Value, faults: &mut Faults) {
    let got = match got {
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        _ => "map",
    };
    faults
        .mistyped
        .push(format!("'{path}' expected {wanted}, got '{got}'"));
}

fn formed(value: Value, form: Form, path: &str, faults: &mut Faults) -> Value {
    match (form, value) {
        (_, Value::Null) => Value::Null,
        (Form::Free, value) => value,
        (Form::Text, Value::Number(number)) => json!(number.to_string()),
        (Form::Text, Value::Bool(flag)) => json!(if flag { "1" } else { "0" }),
        (Form::Text, value @ Value::String(_)) => value,
        (Form::Flag, value @ Value::Bool(_)) => value,
        (Form::Float | Form::Whole, value @ Value::Number(_)) => value,
        (Form::Float, Value::String(text)) => match text.parse::<f64>() {
            Ok(number) => json!(number),
            Err(_) => {
                faults.mistyped.push(format!(
                    "cannot parse '{path}' as float: strconv.ParseFloat: parsing {text:?}: invalid syntax"
                ));
                Value::Null
            }
        },
        (Form::Span, Value::Number(nanos)) => {
            json!(go::format_duration(nanos.as_f64().unwrap_or(0.0) as i64))
        }
        (Form::Span, Value::String(text)) => match go::parse_duration(&text) {
            Ok(0) => Value::Null,
            Ok(nanos) => json!(go::format_duration(nanos)),
            Err(why) => {
                faults
                    .mistyped
                    .push(format!("error decoding '{path}': {why}"));
                Value::Null
            }
        },
        (Form::Texts, value @ Value::Array(_)) => value,
        (Form::TextMap, value @ Value::Object(_)) => value,
        (Form::Record(fields), value) => record(value, fields, path, faults),
        (Form::Records(fields), Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| record(item, fields, &format!("{path}[{at}]"), faults))
            .collect(),
        (Form::RecordMap(fields), Value::Object(items)) => items
            .into_iter()
            .map(|(key, item)| {
                let inner = record(item, fields, &format!("{path}[{key}]"), faults);
                (key, inner)
            })
            .collect::<Map<_, _>>()
            .into(),
        (form, value) => {
            let wanted = match form {
                Form::Text => "type 'string'",
                Form::Flag => "type 'bool'",
                Form::TextMap | Form::RecordMap(_) => "a map",
                Form::Texts | Form::Records(_) => "a list",
                _ => "type 'int'",
            };
            mistyped(path, wanted, &value, faults);
            Value::Null
        }
    }
}
