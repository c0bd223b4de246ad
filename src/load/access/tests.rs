use super::*;
use proptest::prelude::*;

fn log(text: &str) -> AccessLog {
    AccessLog::parse(text, "access.log", &[]).unwrap()
}

fn only(text: &str) -> (i64, String, String) {
    let log = log(text);
    assert_eq!((log.requests.len(), log.bad), (1, 0), "{:?}", log.first_bad);
    let r = log.requests[0].clone();
    (r.at.0, r.method, r.path)
}

#[test]
fn a_line_of_the_common_and_one_of_the_combined_log_format_are_read() {
    // The example of Apache's manual.
    let common =
        r#"127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326"#;
    let expected = (971_211_336_000, "GET".into(), "/apache_pb.gif".into());
    assert_eq!(only(common), expected);
    let combined = format!(
        r#"{common} "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)""#
    );
    assert_eq!(only(&combined), expected);
    // nginx without a user, a query, a name with blanks, an absolute target, a size of nothing.
    for line in [
        r#"::1 - - [10/Oct/2000:20:55:36 +0000] "GET /apache_pb.gif HTTP/1.0" 304 -"#,
        r#"h - Frank N. Stein [10/Oct/2000:20:55:36 +0000] "GET http://shop.example/apache_pb.gif HTTP/1.1" 200 1 "-" "-" 0.003"#,
        r#"h - - [10/Oct/2000:20:55:36 +0000] "get /apache_pb.gif" 200 1"#,
    ] {
        assert_eq!(only(line), expected, "{line}");
    }
}

#[test]
fn json_lines_are_read_under_the_names_of_common_servers_and_of_the_operator() {
    let expected = (971_211_336_500, "PUT".into(), "/a?b=c".into());
    for line in [
        r#"{"time":"2000-10-10T13:55:36.5-07:00","method":"PUT","path":"/a?b=c","status":200}"#,
        r#"{"ts":971211336.5,"request":{"method":"PUT","uri":"/a?b=c"}}"#,
        r#"{"@timestamp":"2000-10-10T20:55:36.5Z","http.request.method":"put","url":"https://x.example/a?b=c#d"}"#,
        r#"{"StartUTC":"2000-10-10T20:55:36.5Z","RequestMethod":"PUT","RequestPath":"/a?b=c"}"#,
        r#"{"msec":971211336500,"request":"PUT /a?b=c HTTP/2.0"}"#,
    ] {
        assert_eq!(only(line), expected, "{line}");
    }
    let fields = [
        ("time", "when"),
        ("path", "what.target"),
        ("method", "verb"),
    ]
    .map(|(a, b)| (a.to_string(), b.to_string()));
    let line = r#"{"when":"971211336500","verb":"PUT","path":"/wrong","what":{"target":"/a?b=c"}}"#;
    let log = AccessLog::parse(line, "l", &fields).unwrap();
    assert_eq!(log.requests[0].path, "/a?b=c");
}

#[test]
fn a_har_is_read_with_its_bodies_on_one_line_or_many() {
    let har = r#"{"log": {"version": "1.2", "entries": [
        {"startedDateTime": "2000-10-10T20:55:37Z", "request": {"method": "POST", "url": "https://x.example/orders",
         "postData": {"mimeType": "application/json", "text": "{\"n\":1}"}}, "response": {}},
        {"startedDateTime": "2000-10-10T20:55:36Z", "request": {"method": "GET", "url": "https://x.example"}},
        {"startedDateTime": "soon", "request": {"method": "GET", "url": "https://x.example"}}]}}"#;
    for text in [har.to_string(), har.replace('\n', "")] {
        let log = log(&text);
        assert_eq!(log.form, Form::Har);
        assert_eq!(log.requests[0].path, "/", "in order of time");
        let body = log.requests[1].body.as_ref().unwrap();
        assert_eq!(body, &("{\"n\":1}".into(), "application/json".into()));
        assert_eq!((log.bad, log.first_bad[0].line), (1, 3));
    }
}

#[test]
fn bad_lines_are_counted_and_the_first_ones_named_with_number_and_reason() {
    let good = r#"h - - [10/Oct/2000:20:55:36 +0000] "GET / HTTP/1.1" 200 1"#;
    let bad = [
        "rubbish",
        r#"h - - [10/Okt/2000:20:55:36 +0000] "GET / HTTP/1.1" 200 1"#,
        r#"h - - [10/Oct/2000:20:55:36 +0000] "\x16\x03\x01" 400 0"#,
        r#"h - - [10/Oct/2000:20:55:36 +0000] "GET two words HTTP/1.1" 400 0"#,
        r#"h - - [10/Oct/2000:20:55:36 +0000] "OPTIONS * HTTP/1.1" 200 0"#,
        "more rubbish",
    ];
    let log = log(&format!("{good}\n\n{}\n{good}\n", bad.join("\n")));
    assert_eq!((log.requests.len(), log.bad), (2, 6));
    let lines: Vec<usize> = log.first_bad.iter().map(|b| b.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7]);
    assert!(log.first_bad[0].why.contains("host ident user"));
    assert!(log.first_bad[1].why.contains("is no time"));
    assert!(log.first_bad[2].why.contains("request line"));
    assert!(log.first_bad[4].why.contains("no path"));
    assert!(
        log.sentence()
            .starts_with("2 requests, 6 left out (line 3:")
    );
}

#[test]
fn a_file_without_a_request_and_one_that_is_none_say_what_is_expected() {
    let said = |text: &str| {
        AccessLog::parse(text, "a.log", &[])
            .unwrap_err()
            .to_string()
    };
    assert!(said("").contains("it is empty"));
    let rubbish = said("x\ny\n");
    assert!(
        rubbish.starts_with("a.log: no request could be read of 2 lines; line 1:"),
        "{rubbish}"
    );
    assert!(said("{\n \"log\": 3\n}").starts_with("a.log:2:"));
    let named = said(r#"{"when":1,"path":"/"}"#);
    assert!(
        named.contains("no field with the time (looked for time, timestamp"),
        "{named}"
    );
    let missing = AccessLog::read(Path::new("/nowhere/a.log"), &[]).unwrap_err();
    assert!(missing.to_string().contains("/nowhere/a.log"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*|([ -~]*\n){0,5}|\\{[ -~\"]*\\}(\n\\{[ -~\"]*\\})*") {
        let _ = AccessLog::parse(&text, "x", &[]);
    }

    #[test]
    fn a_damaged_log_keeps_every_line_accounted_for(
        cut in prop::collection::vec((0usize..90, any::<char>()), 1..30)
    ) {
        let good = r#"10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.1" 200 23 "-" "agent""#;
        let damaged: Vec<String> = cut.iter().filter(|(_, c)| !c.is_control()).map(|(at, c)| {
            let mut line: Vec<char> = good.chars().collect();
            let at = (*at).min(line.len());
            line.insert(at, *c);
            line.into_iter().collect::<String>()
        }).collect();
        let text = format!("{good}\n{}\n", damaged.join("\n"));
        let lines = text.lines().filter(|l| !l.trim().is_empty()).count();
        let log = AccessLog::parse(&text, "x", &[]).unwrap();
        prop_assert_eq!(log.requests.len() + log.bad, lines);
        prop_assert!(log.requests.iter().all(|r| r.path.starts_with('/')));
    }

    #[test]
    fn what_is_written_as_json_is_read_again(
        path in "/[a-z0-9/._~-]{0,20}(\\?[a-z0-9=&]{0,10})?", ms in 100_000_000_001i64..4_000_000_000_000
    ) {
        let line = serde_json::json!({"time": ms, "method": "GET", "uri": path}).to_string();
        let log = AccessLog::parse(&line, "x", &[]).unwrap();
        prop_assert_eq!(&log.requests[0].path, &path);
        prop_assert_eq!(log.requests[0].at, Moment(ms));
    }
}
