//! Windows between scrapes.

use crate::clients::http::{Peer, System};
use crate::clients::prometheus::*;
use crate::model::Moment;
use proptest::prelude::*;
use wiremock::matchers::{path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn wanted() -> Wanted {
    let web = || LabelMatch::Is("service".into(), "web".into());
    Wanted {
        requests: Selector::named("http_requests_total").with(web()),
        errors: Selector::named("http_requests_total")
            .with(web())
            .with(LabelMatch::Begins("code".into(), "5".into())),
        latency: Selector::named("http_request_duration_seconds").with(web()),
    }
}

fn text(good: u64, bad: u64, buckets: [u64; 3]) -> String {
    let [fast, slow, all] = buckets;
    format!(
        "# HELP http_requests_total All.\n# TYPE http_requests_total counter\n\
http_requests_total{{service=\"web\",code=\"200\"}} {good}\n\
http_requests_total{{service=\"web\",code=\"503\"}} {bad}\n\
http_requests_total{{service=\"cart\",code=\"500\"}} 999\n\
# TYPE http_request_duration_seconds histogram\n\
http_request_duration_seconds_bucket{{service=\"web\",le=\"0.1\"}} {fast}\n\
http_request_duration_seconds_bucket{{service=\"web\",le=\"0.2\"}} {slow}\n\
http_request_duration_seconds_bucket{{service=\"web\",le=\"+Inf\"}} {all}\n\
http_request_duration_seconds_sum{{service=\"web\"}} 1\n\
http_request_duration_seconds_count{{service=\"web\"}} {all}\n"
    )
}

fn scrape(text: &str, at: i64) -> Result<Scrape, MetricsError> {
    Scrape::parse(text, &wanted(), Moment(at), "http://m/metrics")
}

#[test]
fn two_scrapes_give_rate_success_and_quantiles_of_what_happened_between() {
    let before = scrape(&text(100, 0, [50, 90, 100]), 1_000).unwrap();
    let after = scrape(&text(190, 10, [130, 190, 200]), 6_000).unwrap();
    assert_eq!((after.requests(), after.errors()), (200.0, 10.0));
    let window = Window::between(&before, &after).unwrap();
    assert_eq!(window.rate().0, 20.0);
    assert_eq!(window.success(), Some(0.9));
    // 80 of 100 within 100 ms, 20 more within 200 ms.
    assert_eq!(window.quantile(0.4).unwrap().0, 50.0);
    assert!((window.quantile(0.9).unwrap().0 - 150.0).abs() < 1e-9);
    assert_eq!(window.quantile(1.0).unwrap().0, 200.0);
}

#[test]
fn a_counter_that_fell_began_anew() {
    let before = scrape(&text(1000, 50, [900, 1000, 1050]), 0).unwrap();
    let after = scrape(&text(8, 2, [5, 9, 10]), 1_000).unwrap();
    let window = Window::between(&before, &after).unwrap();
    assert_eq!((window.requests, window.errors), (10.0, 2.0));
    assert_eq!(window.samples(), 10.0);
}

#[test]
fn beyond_the_last_finite_bound_the_bound_is_the_answer() {
    let before = scrape(&text(0, 0, [0, 0, 0]), 0).unwrap();
    let after = scrape(&text(10, 0, [1, 2, 10]), 1_000).unwrap();
    let window = Window::between(&before, &after).unwrap();
    assert_eq!(window.quantile(0.99).unwrap().0, 200.0);
}

#[test]
fn a_window_without_requests_has_neither_success_nor_latency() {
    let before = scrape(&text(5, 0, [5, 5, 5]), 0).unwrap();
    let after = scrape(&text(5, 0, [5, 5, 5]), 1_000).unwrap();
    let window = Window::between(&before, &after).unwrap();
    assert_eq!(window.success(), None);
    assert_eq!(window.quantile(0.5), None);
    assert_eq!(window.rate().0, 0.0);
}

#[test]
fn two_scrapes_at_one_moment_make_no_window() {
    let one = scrape(&text(5, 0, [5, 5, 5]), 7).unwrap();
    assert!(matches!(
        Window::between(&one, &one),
        Err(MetricsError::NoTime)
    ));
}

#[test]
fn what_is_no_count_is_refused_and_named() {
    for bad in ["NaN", "-1", "+Inf"] {
        let broken =
            text(5, 0, [5, 5, 5]).replace("code=\"200\"} 5", &format!("code=\"200\"}} {bad}"));
        let error = scrape(&broken, 0).unwrap_err();
        assert!(
            matches!(error, MetricsError::NotACount { .. }),
            "{bad}: {error}"
        );
        assert!(error.to_string().contains("http_requests_total"), "{error}");
    }
}

#[test]
fn a_metric_that_is_not_there_is_an_error_and_never_zero() {
    let error = scrape("up 1\n", 0).unwrap_err();
    assert!(matches!(error, MetricsError::Missing { .. }));
    assert!(error.to_string().contains("http_requests_total"), "{error}");
    let without = text(5, 0, [5, 5, 5]).replace("http_request_duration_seconds", "other_seconds");
    let error = scrape(&without, 0).unwrap_err().to_string();
    assert!(error.contains("histogram"), "{error}");
    // Error series appear with the first error: their absence beside the others is none yet.
    let young = text(5, 7, [5, 5, 5]).replace("code=\"503\"", "code=\"201\"");
    assert_eq!(scrape(&young, 0).unwrap().errors(), 0.0);
}

#[tokio::test]
async fn an_endpoint_is_read_at_its_whole_url() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/metrics"))
        .and(query_param("format", "prometheus"))
        .respond_with(ResponseTemplate::new(200).set_body_string(text(3, 1, [2, 3, 4])))
        .mount(&server)
        .await;
    let url = format!("{}/v1/metrics?format=prometheus", server.uri());
    let peer = Peer::plain(System::Metrics, &url).unwrap();
    let metrics = Metrics::new(&peer, wanted()).unwrap();
    let scraped = metrics.scrape(Moment(42)).await.unwrap();
    assert_eq!((scraped.at, scraped.requests()), (Moment(42), 4.0));
}

proptest! {
    #[test]
    fn quantiles_never_cross_and_stay_within_the_bounds(
        a in 0u64..1000, b in 0u64..1000, c in 0u64..1000, q in 0.0f64..1.0, r in 0.0f64..1.0,
    ) {
        let before = scrape(&text(0, 0, [0, 0, 0]), 0).unwrap();
        let after = scrape(&text(a + b + c, 0, [a, a + b, a + b + c]), 1_000).unwrap();
        let window = Window::between(&before, &after).unwrap();
        let (low, high) = (q.min(r), q.max(r));
        match (window.quantile(low), window.quantile(high)) {
            (Some(l), Some(h)) => prop_assert!(l.0 <= h.0 && l.0 >= 0.0 && h.0 <= 200.0),
            (None, None) => prop_assert_eq!(a + b + c, 0),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
