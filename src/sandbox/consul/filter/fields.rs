//! The fields that filters may name, by kind of answer.

use super::grammar::Operator;

/// A field's name and kind.
pub type Field = (&'static str, Kind);

/// What a field holds, which says what may be asked of it.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    Int,
    Bool,
    Texts,
    /// Free keys, texts as values.
    TextMap,
    /// Free keys, records as values.
    RecordMap(&'static [Field]),
    Record(&'static [Field]),
    Records(&'static [Field]),
}

impl Kind {
    pub(super) fn takes(self, operator: Operator) -> bool {
        use Operator::{Equal, In, IsEmpty, IsNotEmpty, Matches, NotEqual, NotIn, NotMatches};
        match self {
            Kind::Text => matches!(
                operator,
                Equal | NotEqual | In | NotIn | Matches | NotMatches
            ),
            Kind::Int | Kind::Bool => matches!(operator, Equal | NotEqual),
            Kind::Texts | Kind::TextMap | Kind::RecordMap(_) => {
                matches!(operator, In | NotIn | IsEmpty | IsNotEmpty)
            }
            Kind::Records(_) => matches!(operator, IsEmpty | IsNotEmpty),
            Kind::Record(_) => false,
        }
    }
}

/// The kind of the field that a selector leads to, and which of its parts is a map's free key.
///
/// # Errors
/// Consul's sentence, with the selector as far as it was read.
pub(super) fn kind_of(path: &[String], fields: &[Field]) -> Result<(Kind, Option<usize>), String> {
    let mut free = None;
    let mut kind = Kind::Record(&[]);
    let mut known = fields;
    for (at, part) in path.iter().enumerate() {
        if matches!(kind, Kind::TextMap | Kind::RecordMap(_)) {
            free = Some(at);
        }
        let next = match kind {
            Kind::TextMap => Some(Kind::Text),
            Kind::RecordMap(inner) => Some(Kind::Record(inner)),
            _ => known
                .iter()
                .find(|(name, _)| name == part)
                .map(|(_, kind)| *kind),
        };
        kind = next.ok_or_else(|| format!("Selector {:?} is not valid", path[..=at].join(".")))?;
        known = match kind {
            Kind::Record(inner) | Kind::Records(inner) => inner,
            _ => &[],
        };
    }
    Ok((kind, free))
}

const ADDRESS: &[Field] = &[("Address", Kind::Text), ("Port", Kind::Int)];
const WEIGHTS: &[Field] = &[("Passing", Kind::Int), ("Warning", Kind::Int)];
const CONNECT: &[Field] = &[("Native", Kind::Bool)];
const GATEWAY: &[Field] = &[("Mode", Kind::Text)];
const PROXY: &[Field] = &[
    ("DestinationServiceName", Kind::Text),
    ("DestinationServiceID", Kind::Text),
    ("LocalServiceAddress", Kind::Text),
    ("LocalServicePort", Kind::Int),
    ("MeshGateway", Kind::Record(GATEWAY)),
];

/// A node of the catalog.
pub const NODE: &[Field] = &[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("TaggedAddresses", Kind::TextMap),
    ("Meta", Kind::TextMap),
];

/// A service of an agent or a node.
pub const SERVICE: &[Field] = &[
    ("Kind", Kind::Text),
    ("ID", Kind::Text),
    ("Service", Kind::Text),
    ("Tags", Kind::Texts),
    ("Address", Kind::Text),
    ("TaggedAddresses", Kind::RecordMap(ADDRESS)),
    ("Meta", Kind::TextMap),
    ("Port", Kind::Int),
    ("Weights", Kind::Record(WEIGHTS)),
    ("EnableTagOverride", Kind::Bool),
    ("Proxy", Kind::Record(PROXY)),
    ("Connect", Kind::Record(CONNECT)),
];

/// A health check.
pub const CHECK: &[Field] = &[
    ("Node", Kind::Text),
    ("CheckID", Kind::Text),
    ("Name", Kind::Text),
    ("Status", Kind::Text),
    ("Notes", Kind::Text),
    ("Output", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::Texts),
    ("Type", Kind::Text),
];

/// An instance with node and checks, as the health endpoint shows it.
pub const HEALTH: &[Field] = &[
    ("Node", Kind::Record(NODE)),
    ("Service", Kind::Record(SERVICE)),
    ("Checks", Kind::Records(CHECK)),
];

/// An instance as the catalog shows it.
pub const INSTANCE: &[Field] = &[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("TaggedAddresses", Kind::TextMap),
    ("NodeMeta", Kind::TextMap),
    ("ServiceKind", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::Texts),
    ("ServiceAddress", Kind::Text),
    ("ServiceTaggedAddresses", Kind::RecordMap(ADDRESS)),
    ("ServiceWeights", Kind::Record(WEIGHTS)),
    ("ServiceMeta", Kind::TextMap),
    ("ServicePort", Kind::Int),
    ("ServiceEnableTagOverride", Kind::Bool),
    ("ServiceProxy", Kind::Record(PROXY)),
    ("ServiceConnect", Kind::Record(CONNECT)),
];
