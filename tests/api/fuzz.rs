//! Requests made from the document, then spoilt: none is answered with 500, none stops the API, and each answer is one that the
//! document knows.

use super::*;
use axum::http::{HeaderName, HeaderValue, Method};
use foreshadow::tui::sample;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));
static VIEW: LazyLock<View> = LazyLock::new(sample::shop);

/// A request in its parts; the path is as the document has it.
#[derive(Clone, Debug)]
struct Thrown {
    method: String,
    path: String,
    /// What stands in the path.
    place: String,
    query: Vec<(String, String)>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Percent-encoded, some of it left as it is.
fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b',' | b'_' => {
            (b as char).to_string()
        }
        _ => format!("%{b:02x}"),
    };
    text.bytes().map(byte).collect()
}

impl Thrown {
    /// `None` when no client could send it.
    fn request(&self) -> Option<Request<Body>> {
        let mut uri = self.path.replace("{id}", &self.place);
        for (k, (name, value)) in self.query.iter().enumerate() {
            let mark = if k == 0 { '?' } else { '&' };
            uri.push_str(&format!("{mark}{}={}", encoded(name), encoded(value)));
        }
        let method = Method::from_bytes(self.method.as_bytes()).ok()?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &self.fields {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            request = request.header(name, HeaderValue::from_bytes(value).ok()?);
        }
        request.body(Body::from(self.body.clone())).ok()
    }
}

fn commands() -> BoxedStrategy<Value> {
    let command = serde_json::json!({"$ref": "#/components/schemas/Command"});
    instances::of(&DOCUMENT, &command, 3)
}

/// JSON with a part of it put wrong, or nested deeper than anybody would.
fn spoilt() -> BoxedStrategy<Vec<u8>> {
    let wrong = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        instances::text().prop_map(Value::from),
        Just(serde_json::json!([[]])),
        Just(serde_json::json!({"command": "abort"})),
    ];
    let member =
        (commands(), any::<prop::sample::Index>(), wrong).prop_map(|(mut value, at, wrong)| {
            if let Some(object) = value.as_object_mut().filter(|o| !o.is_empty()) {
                let names: Vec<String> = object.keys().cloned().collect();
                object.insert(names[at.index(names.len())].clone(), wrong);
            }
            value.to_string().into_bytes()
        });
    let cut = (commands(), any::<prop::sample::Index>()).prop_map(|(value, at)| {
        let mut text = value.to_string().into_bytes();
        text.truncate(at.index(text.len()));
        text
    });
    let deep = (1usize..600).prop_map(|n| {
        let open = r#"{"command":"preview","of":"#.repeat(n);
        format!("{open}{{\"command\":\"abort\"}}{}", "}".repeat(n)).into_bytes()
    });
    prop_oneof![
        member,
        cut,
        deep,
        prop::collection::vec(any::<u8>(), 0..20_000)
    ]
    .boxed()
}

fn thrown() -> BoxedStrategy<Thrown> {
    let paths: Vec<String> = operations(&DOCUMENT)
        .iter()
        .map(|(p, _, _)| p.to_string())
        .collect();
    let path = prop_oneof![
        9 => select(paths),
        1 => instances::text().prop_map(|t| format!("/{}", encoded(&t))),
    ];
    let method = select(vec![
        "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW",
    ]);
    let method =
        prop_oneof![3 => Just("GET"), 3 => Just("POST"), 2 => method].prop_map(str::to_string);
    let place = prop_oneof![
        instances::text().prop_map(|t| encoded(&t)),
        select(vec!["web", "%ff%fe", "%", "%00", "a%2fb"]).prop_map(str::to_string),
    ];
    let name = select(vec!["kind", "portion", "before", "limit", "other"]).prop_map(str::to_string);
    let number = any::<i128>().prop_map(|n| n.to_string());
    let query = prop::collection::vec((name, prop_oneof![instances::text(), number]), 0..4);
    let field = select(vec![
        "last-event-id",
        "accept-encoding",
        "content-type",
        "range",
        "if-none-match",
        "expect",
    ]);
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        instances::text().prop_map(String::into_bytes),
    ];
    let token = prop_oneof![4 => Just(format!("Bearer {ACT}")), 1 => instances::text()];
    let fields = (
        prop::collection::vec((field.prop_map(str::to_string), value), 0..3),
        prop::option::of(token),
    )
        .prop_map(|(mut fields, token)| {
            fields.extend(token.map(|t| ("authorization".to_string(), t.into_bytes())));
            fields
        });
    let body = prop_oneof![
        commands().prop_map(|c| c.to_string().into_bytes()),
        spoilt()
    ];
    (method, path, place, query, fields, body)
        .prop_map(|(method, path, place, query, fields, body)| Thrown {
            method,
            path,
            place,
            query,
            fields,
            body,
        })
        .boxed()
}

/// What is wrong with the answer, if something is.
fn wrong(thrown: &Thrown, answer: (u16, &str, &[u8])) -> Option<String> {
    let (status, kind, body) = answer;
    if status == 500 {
        return Some(String::from_utf8_lossy(body).into());
    }
    let verb = thrown.method.to_ascii_lowercase();
    let described = DOCUMENT["paths"][&thrown.path].get(verb);
    match described {
        Some(operation) => differs(&DOCUMENT, operation, (status, kind, body)),
        // HEAD is answered as GET is, without a body.
        None if thrown.method == "HEAD" => None,
        None => {
            (!matches!(status, 400 | 404 | 405)).then(|| format!("{status} of nothing described"))
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 768, ..Config::default() })]

    #[test]
    fn nothing_that_is_thrown_at_it_makes_it_stumble(thrown in thrown()) {
        let Some(request) = thrown.request() else { return Ok(()) };
        let served = served(VIEW.clone());
        let (status, kind, body) = RUNTIME.block_on(ask(&served.router, request));
        let wrong = wrong(&thrown, (status, &kind, &body));
        prop_assert!(wrong.is_none(), "{} {}: {}", thrown.method, thrown.path, wrong.unwrap_or_default());
    }

    #[test]
    fn what_the_document_allows_as_a_command_is_taken(command in commands()) {
        let mut served = served(VIEW.clone());
        let request = Request::post("/v1/command").header("authorization", format!("Bearer {ACT}"));
        let request = request.body(Body::from(command.to_string())).expect("a request");
        let (status, _, body) = RUNTIME.block_on(ask(&served.router, request));
        prop_assert_eq!(status, 202, "{}: {}", command, String::from_utf8_lossy(&body));
        let taken = served.asked.try_recv().expect("it was taken");
        prop_assert_eq!(serde_json::to_value(taken).expect("JSON"), command);
    }
}
