use super::*;
use serde_json::json;

fn read(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_value_is_two_words() {
    assert_eq!(size_of::<Json>(), 16);
}

#[test]
fn numbers_come_out_as_they_went_in() {
    for text in [
        "0",
        "-1",
        "9007199254740993",
        "18446744073709551615",
        "-9223372036854775808",
        "0.1",
        "1.0",
        "-0.0",
        "5e-324",
        "1.7976931348623157e+308",
        "123456789.12345679",
    ] {
        let kept = read(text);
        assert_eq!(kept.to_string(), text);
        assert_eq!(Value::from(&kept).to_string(), text);
        assert_eq!(Json::from(Value::from(&kept)), kept);
    }
    assert_ne!(read("1"), read("1.0"));
}

#[test]
fn documents_come_out_ordered_whatever_their_order() {
    let text = r#"{"b":[null,true,{"é":"ü","":{}}],"a":[],"b2":-3}"#;
    let kept = read(text);
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(kept.to_string(), value.to_string());
    assert_eq!(
        kept,
        read(r#"{"b2":-3,"a":[],"b":[null,true,{"":{},"é":"ü"}]}"#)
    );
    assert_eq!(kept, Json::from(value.clone()));
    assert_eq!(Value::from(&kept), value);
    assert_eq!(json!({ "Job": kept }), json!({ "Job": value }));
    assert_ne!(kept, read(r#"{"b":[],"a":[],"b2":-3}"#));
    let twice = r#"{"a":1,"a":2}"#;
    assert_eq!(read(twice).to_string(), r#"{"a":2}"#);
}

#[test]
fn what_is_not_there_is_null() {
    let kept = read(r#"{"a":{"b":[7,{"c":"d"}]}}"#);
    assert_eq!(kept["a"]["b"][0].as_u64(), Some(7));
    assert_eq!(kept["a"]["b"][1]["c"].as_str(), Some("d"));
    assert_eq!(kept.at(&["a", "b"]), Some(&kept["a"]["b"]));
    assert_eq!(kept.at(&["a", "x", "y"]), None);
    for absent in [
        &kept["x"],
        &kept[0],
        &kept["a"]["b"][2],
        &kept["a"]["b"]["c"],
    ] {
        assert!(absent.is_null());
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(serde_json::from_str::<Json>(&nested(127)).is_ok());
        let refused = serde_json::from_str::<Json>(&nested(100_000)).unwrap_err();
        assert!(refused.to_string().contains("recursion limit"), "{refused}");
    }
}

#[test]
fn documents_that_resemble_each_other_share_names_and_texts() {
    let (a, b) = (
        read(r#"{"Name":"a","Driver":"docker"}"#),
        read(r#"{"Driver":"docker","Name":"b"}"#),
    );
    let (Json::Object(one), Json::Object(other)) = (&a, &b) else {
        panic!("{a} and {b} are objects");
    };
    assert!(Arc::ptr_eq(&one.names, &other.names));
    let (Json::Text(one), Json::Text(other)) = (&a["Driver"], &b["Driver"]) else {
        panic!("{a} and {b} have a driver");
    };
    assert!(Arc::ptr_eq(one, other));
}
