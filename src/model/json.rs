//! JSON that is kept: read as `serde_json::Value` is, written and ordered alike, and a sixth of its size where documents resemble
//! each other. To change one, turn it into a `Value` and back.

use super::pool::Pool;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

type Text = Box<str>;
type Names = Box<[Text]>;

/// Two words. Texts that are the same are one, in whichever document they are. As there is no NaN in it, what is shared is known
/// to be equal without a look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Arc<Text>),
    List(Box<Box<[Json]>>),
    Object(Box<Fields>),
}

/// The fields of an object, by name. Objects with the same fields share their names.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields {
    /// Sorted.
    names: Arc<Names>,
    values: Box<[Json]>,
}

static TEXTS: Pool<Text> = Pool::new();
static NAMES: Pool<Names> = Pool::new();
static NULL: Json = Json::Null;

impl Fields {
    fn of(fields: impl IntoIterator<Item = (Text, Json)>) -> Fields {
        let (names, values): (Vec<Text>, Vec<Json>) = fields.into_iter().unzip();
        Fields {
            names: NAMES.share(Names::from(names)),
            values: values.into(),
        }
    }
    pub fn get(&self, name: &str) -> Option<&Json> {
        let at = self.names.binary_search_by(|n| (**n).cmp(name)).ok()?;
        self.values.get(at)
    }
    /// In the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.names.iter().map(|n| &**n).zip(&self.values)
    }
    pub fn values(&self) -> impl Iterator<Item = &Json> {
        self.values.iter()
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Json {
    fn text(text: &str) -> Json {
        Json::Text(TEXTS.share(Text::from(text)))
    }
    fn list(items: Vec<Json>) -> Json {
        Json::List(Box::new(items.into()))
    }
    /// The field of an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.get(name)
    }
    /// The field at the end of a path of fields.
    pub fn at(&self, path: &[&str]) -> Option<&Json> {
        path.iter().try_fold(self, |v, name| v.get(name))
    }
    pub fn is_null(&self) -> bool {
        matches!(self, Json::Null)
    }
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(b) => Some(*b),
            _ => None,
        }
    }
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Json::Number(n) => n.as_u64(),
            _ => None,
        }
    }
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(n) => n.as_f64(),
            _ => None,
        }
    }
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::Text(s) => Some(s),
            _ => None,
        }
    }
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }
    pub fn as_object(&self) -> Option<&Fields> {
        match self {
            Json::Object(fields) => Some(fields),
            _ => None,
        }
    }
}

/// `null` where there is no such field.
impl Index<&str> for Json {
    type Output = Json;
    fn index(&self, name: &str) -> &Json {
        self.get(name).unwrap_or(&NULL)
    }
}

/// `null` where there is no such item.
impl Index<usize> for Json {
    type Output = Json;
    fn index(&self, at: usize) -> &Json {
        self.as_array().and_then(|a| a.get(at)).unwrap_or(&NULL)
    }
}

impl From<Value> for Json {
    fn from(v: Value) -> Json {
        match v {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(b),
            Value::Number(n) => Json::Number(n),
            Value::String(s) => Json::text(&s),
            Value::Array(items) => Json::list(items.into_iter().map(Json::from).collect()),
            Value::Object(fields) => {
                // However the map is ordered.
                let fields: BTreeMap<Text, Json> = fields
                    .into_iter()
                    .map(|(name, v)| (name.into(), v.into()))
                    .collect();
                Json::Object(Box::new(Fields::of(fields)))
            }
        }
    }
}

impl From<&Json> for Value {
    fn from(v: &Json) -> Value {
        match v {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => Value::Number(n.clone()),
            Json::Text(s) => Value::String(s.to_string()),
            Json::List(items) => items.iter().map(Value::from).collect(),
            Json::Object(fields) => fields.iter().map(|(n, v)| (n, Value::from(v))).collect(),
        }
    }
}

/// As text, without blanks.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => to.serialize_unit(),
            Json::Bool(b) => to.serialize_bool(*b),
            Json::Number(n) => n.serialize(to),
            Json::Text(s) => to.serialize_str(s),
            Json::List(items) => to.collect_seq(items.iter()),
            Json::Object(fields) => {
                let mut map = to.serialize_map(Some(fields.values.len()))?;
                for (name, v) in fields.iter() {
                    map.serialize_entry(name, v)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Json, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any valid JSON value")
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_bool<E>(self, b: bool) -> Result<Json, E> {
        Ok(Json::Bool(b))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
        Ok(Json::Number(n.into()))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Json, E> {
        Ok(Json::Number(n.into()))
    }
    fn visit_f64<E>(self, n: f64) -> Result<Json, E> {
        Ok(Number::from_f64(n).map_or(Json::Null, Json::Number))
    }
    fn visit_str<E>(self, s: &str) -> Result<Json, E> {
        Ok(Json::text(s))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Json::list(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        // Of a field that is there twice, the last.
        let mut fields = BTreeMap::<Text, Json>::new();
        while let Some((name, v)) = map.next_entry()? {
            fields.insert(name, v);
        }
        Ok(Json::Object(Box::new(Fields::of(fields))))
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
