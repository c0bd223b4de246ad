//! `?near=`: order by the estimated round trip from a node.

use serde_json::Value;

/// Sorts by the distance of each item's node from `near`; what has no coordinate comes last, equals keep their order.
pub(super) fn sort<T>(
    items: &mut [T],
    near: &str,
    coordinates: &[(String, Value)],
    node: impl Fn(&T) -> &str,
) {
    let of = |name: &str| {
        coordinates
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, at)| at)
    };
    let Some(from) = of(near) else {
        return;
    };
    let far = |item: &T| of(node(item)).map_or(f64::INFINITY, |to| distance(from, to));
    items.sort_by(|a, b| far(a).total_cmp(&far(b)));
}

/// Seconds between two coordinates, as Serf reckons them.
fn distance(a: &Value, b: &Value) -> f64 {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let (one, two) = (a["Vec"].as_array(), b["Vec"].as_array());
    let pairs = one.into_iter().flatten().zip(two.into_iter().flatten());
    let squares: f64 = pairs.map(|(x, y)| (number(x) - number(y)).powi(2)).sum();
    let plain = squares.sqrt() + number(&a["Height"]) + number(&b["Height"]);
    let adjusted = plain + number(&a["Adjustment"]) + number(&b["Adjustment"]);
    if adjusted > 0.0 { adjusted } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_coordinate_comes_last() {
        let at = |name: &str, x: f64| {
            (
                name.to_owned(),
                serde_json::json!({"Vec": [x], "Height": 1e-5}),
            )
        };
        let coordinates = [at("here", 0.0), at("near", 1.0), at("far", 3.0)];
        let mut names = ["lost", "far", "near", "here"];
        sort(&mut names, "here", &coordinates, |name| name);
        assert_eq!(names, ["here", "near", "far", "lost"]);
    }
}
