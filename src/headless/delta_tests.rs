use super::*;
use crate::engine::view::{LogKind, LogLine, Page, View};
use crate::model::Moment;
use proptest::prelude::*;
use serde_json::json;
use std::sync::Arc;

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0i64..5).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[abci]", inner.clone(), 0..4)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            // What has a name slides.
            proptest::collection::vec(((0i64..6), inner), 0..6).prop_map(|all| {
                all.into_iter()
                    .map(|(id, x)| json!({"id": id, "x": x}))
                    .collect()
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_patch_makes_the_new_document_of_the_old_one_over_the_wire_too(
        old in document(), new in document(),
    ) {
        match diff(&old, &new) {
            None => prop_assert_eq!(old, new),
            Some(patch) => {
                let sent = serde_json::to_string(&patch).unwrap();
                let mut value = old;
                apply(&mut value, &serde_json::from_str(&sent).unwrap()).unwrap();
                prop_assert_eq!(value, new);
            }
        }
    }
}

#[test]
fn a_series_that_slides_sends_its_new_point_alone() {
    let series = |from: i64| -> Value {
        (from..from + 50)
            .map(|t| json!({"at": t, "v": t * 2}))
            .collect()
    };
    let patch = diff(&series(0), &series(1)).unwrap();
    let wanted = Patch::Array(1, BTreeMap::new(), vec![json!({"at": 50, "v": 100})]);
    assert_eq!(patch, wanted);
}

#[test]
fn a_patch_for_another_document_is_refused() {
    let patch = diff(
        &json!({"a": {"b": 1, "c": 1}}),
        &json!({"a": {"b": 2, "c": 1}}),
    )
    .unwrap();
    let mut other = json!({"x": 1});
    let refused = apply(&mut other, &patch).unwrap_err();
    assert!(refused.to_string().contains("a new snapshot is needed"));
}

#[test]
fn numbers_keep_four_digits_and_whole_ones_all() {
    let mut value =
        json!({"a": 123.456_789, "b": 0.000_123_456, "c": 1_780_000_000_123i64, "d": -98_765.4});
    round(&mut value);
    assert_eq!(
        value,
        json!({"a": 123.5, "b": 0.000_123_5, "c": 1_780_000_000_123i64, "d": -98_770.0})
    );
}

#[test]
fn a_thin_view_is_a_view_that_ends_as_the_whole_one() {
    let line = |seq: u64| LogLine {
        at: Moment(seq as i64),
        seq,
        kind: LogKind::Notice,
        cause: None,
        portion: None,
        text: format!("line {seq}"),
    };
    let page = |cycle: u64| {
        Arc::new(Page {
            cycle,
            ..Page::default()
        })
    };
    let view = View {
        log: (1..=400).map(line).collect(),
        pages: (1..=300).map(page).collect(),
        ..View::default()
    };
    let thin: View = serde_json::from_value(thin(&view, 10).unwrap()).unwrap();
    assert_eq!((thin.log.len(), thin.pages.len()), (LINES, PAGES));
    assert_eq!(thin.log.last(), view.log.last());
    assert_eq!(thin.pages.last(), view.pages.last());
}
