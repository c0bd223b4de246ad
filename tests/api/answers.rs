//! What the API answers, held against what its document says.

use super::*;
use foreshadow::tui::sample;

/// A path with a portion that is there.
fn filled(path: &str, view: &View) -> String {
    let portion = view.portions.first().map_or("none", |p| p.id.as_str());
    path.replace("{id}", portion)
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let document = document();
    for view in [
        View::default(),
        sample::shop(),
        sample::blind(),
        sample::crowd(40),
    ] {
        let served = served(view.clone());
        for (path, verb, operation) in operations(&document) {
            if verb != "get" {
                continue;
            }
            let (status, kind, body) = ask(&served.router, get(&filled(path, &view))).await;
            let why = differs(&document, operation, (status, &kind, &body));
            assert_eq!(why, None, "{path}");
            let there = !view.portions.is_empty() || !path.contains('{');
            let ready = path != "/ready";
            assert_eq!(
                status == 200,
                there && (ready || view.cycle > 0),
                "{path}: {status}"
            );
        }
    }
}

#[tokio::test]
async fn the_document_is_what_is_served_and_names_every_path_that_others_are_told_of() {
    let served = served(View::default());
    let (_, _, body) = ask(&served.router, get("/v1/openapi.json")).await;
    let read: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(read, document());
    let (status, _, told) = ask(&served.router, get("/nothing")).await;
    let told = String::from_utf8(told).expect("text");
    let told = told.trim().trim_start_matches("no such path; there are ");
    let mut told: Vec<String> = told.split(", ").map(str::to_string).collect();
    let all = operations(&read);
    let mut described: Vec<String> = all
        .iter()
        .map(|(path, verb, _)| format!("{} {path}", verb.to_uppercase()))
        .collect();
    told.sort();
    described.sort();
    assert_eq!((status, told), (404, described));
    for asked in [
        "/v1/view",
        "/v1/events",
        "/v1/stream",
        "/v1/plan",
        "/v1/portions",
        "/v1/portions/{id}",
        "/v1/profiles",
        "/v1/journal",
        "/v1/command",
        "/v1/openapi.json",
        "/live",
        "/ready",
        "/metrics",
    ] {
        assert!(read["paths"].get(asked).is_some(), "{asked} is missing");
    }
}

#[test]
fn a_document_that_says_otherwise_is_noticed() {
    let document = document();
    let view = serde_json::json!({"$ref": "#/components/schemas/View"});
    let mut value = serde_json::to_value(sample::shop()).expect("JSON");
    assert_eq!(unfit(&document, &view, &value), None);
    value["portions"][0]["health"] = "splendid".into();
    let why = unfit(&document, &view, &value).expect("no such health");
    assert!(why.contains("/portions/0/health"), "{why}");
    value.as_object_mut().expect("an object").remove("portions");
    let why = unfit(&document, &view, &value).expect("no portions");
    assert!(why.contains("portions"), "{why}");
}

#[tokio::test]
async fn another_method_is_answered_with_those_that_there_are() {
    let served = served(View::default());
    let request = Request::delete("/v1/command")
        .body(Body::empty())
        .expect("a request");
    let answer = served
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("it answers");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()[header::ALLOW], "POST");
}

#[tokio::test]
async fn pages_of_the_journal_lead_from_the_newest_entry_to_the_oldest() {
    let served = served(View::default());
    let (mut path, mut seen) = ("/v1/journal?limit=7".to_string(), Vec::new());
    loop {
        let (status, _, body) = ask(&served.router, get(&path)).await;
        assert_eq!(status, 200);
        let page: Value = serde_json::from_slice(&body).expect("JSON");
        let entries = page["entries"].as_array().expect("entries");
        assert!(entries.len() <= 7);
        seen.extend(entries.iter().map(|e| e["id"].as_i64().expect("a number")));
        let Some(next) = page["next"].as_i64() else {
            break;
        };
        path = format!("/v1/journal?limit=7&before={next}");
    }
    assert_eq!(seen, (1..31).rev().collect::<Vec<i64>>());
    for wrong in ["limit=0", "limit=501", "limit=-1", "limit=x", "before=1.5"] {
        let path = format!("/v1/journal?{wrong}");
        assert_eq!(ask(&served.router, get(&path)).await.0, 400, "{wrong}");
    }
}

/// So many events of the stream, each as its lines.
async fn events(served: &Served, path: &str, last: Option<&str>, many: usize) -> Vec<String> {
    use futures::StreamExt;
    let mut request = get(path);
    if let Some(last) = last {
        let last = last.parse().expect("a header");
        request.headers_mut().insert("last-event-id", last);
    }
    let answer = served
        .router
        .clone()
        .oneshot(request)
        .await
        .expect("it answers");
    assert_eq!(answer.status(), 200, "{path}");
    let mut body = answer.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < many {
        let chunk = body.next().await.expect("more to come").expect("bytes");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    text.split_terminator("\n\n").map(str::to_string).collect()
}

#[tokio::test]
async fn decisions_come_as_events_from_where_the_reader_was_and_of_the_kind_it_wants() {
    let document = document();
    let view = sample::shop();
    let lines = view.log.clone();
    let served = served(view);
    let all = events(&served, "/v1/events", None, lines.len()).await;
    assert_eq!(all.len(), lines.len());
    let event = &document["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
        ["x-event-data"];
    for (told, line) in all.iter().zip(&lines) {
        let data = told.lines().find_map(|l| l.strip_prefix("data: "));
        let data: Value = serde_json::from_str(data.expect("data")).expect("JSON");
        assert_eq!(unfit(&document, event, &data), None);
        assert!(
            told.starts_with(&format!(
                "id: {}\nevent: {}\n",
                line.seq,
                data["kind"].as_str().expect("a kind")
            )),
            "{told}"
        );
        assert_eq!(data["text"], line.text);
    }
    let rest = lines.len() - 3;
    let last = lines[2].seq.to_string();
    let later = events(&served, "/v1/events", Some(&last), rest).await;
    assert_eq!(later, all[3..]);
    let kind = lines[0].kind;
    let name = serde_json::to_value(kind).expect("a name");
    let path = format!("/v1/events?kind={}", name.as_str().expect("text"));
    let same = lines.iter().filter(|l| l.kind == kind).count();
    assert!(same < lines.len(), "the sample has several kinds");
    let some = events(&served, &path, None, same).await;
    assert!(
        some.iter()
            .all(|e| e.contains(&format!("event: {}", name.as_str().unwrap_or_default())))
    );
    assert_eq!(some.len(), same);
    assert_eq!(
        ask(&served.router, get("/v1/events?kind=nothing")).await.0,
        400
    );
}
