//! Which stanzas a job file may have, and what each is called in Nomad's JSON.

/// How an argument's value is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Int,
    Truth,
    /// `"90s"` to nanoseconds.
    Nanos,
    Texts,
    /// A map; its values become texts.
    TextMap,
    /// Kept as it is written.
    Free,
}

/// What a block becomes.
#[derive(Clone, Copy, Debug)]
pub enum Nest {
    /// An object.
    One(&'static Shape),
    /// An object in a list, its label under the given key (`""`: no label).
    Many(&'static Shape, &'static str),
    /// An object in a map, under its label.
    ByLabel(&'static Shape),
    /// A map of texts.
    TextMap,
    /// Whatever is written.
    Free,
}

/// Its name, the key in Nomad's JSON, and how it is read.
pub type Argument = (&'static str, &'static str, Kind);
/// Its name, the key in Nomad's JSON, and what it becomes.
pub type Block = (&'static str, &'static str, Nest);

/// What a stanza may have; what several share is written once.
#[derive(Debug)]
pub struct Shape {
    pub arguments: &'static [&'static [Argument]],
    pub blocks: &'static [&'static [Block]],
}

impl Shape {
    pub fn argument(&self, name: &str) -> Option<&'static Argument> {
        self.arguments
            .iter()
            .copied()
            .flatten()
            .find(|a| a.0 == name)
    }
    pub fn block(&self, name: &str) -> Option<&'static Block> {
        self.blocks.iter().copied().flatten().find(|b| b.0 == name)
    }
}

use Kind::{Free, Int, Nanos, Text, Texts, Truth};
use Nest::{ByLabel, Many, One};

const META: Block = ("meta", "Meta", Nest::TextMap);
const META_ARGUMENT: Argument = ("meta", "Meta", Kind::TextMap);
const CONSTRAINTS: Block = ("constraint", "Constraints", Many(&CONSTRAINT, ""));
const AFFINITIES: Block = ("affinity", "Affinities", Many(&AFFINITY, ""));
const SPREADS: Block = ("spread", "Spreads", Many(&SPREAD, ""));
const SERVICES: Block = ("service", "Services", Many(&SERVICE, ""));

/// What constraints and affinities compare.
const TERM: &[Argument] = &[
    ("attribute", "LTarget", Text),
    ("operator", "Operand", Text),
    ("value", "RTarget", Text),
    ("version", "version", Text),
    ("semver", "semver", Text),
    ("regexp", "regexp", Text),
    ("set_contains", "set_contains", Text),
    ("set_contains_all", "set_contains_all", Text),
    ("set_contains_any", "set_contains_any", Text),
];
/// How updates and migrations tell that an allocation is healthy.
const HEALTH: &[Argument] = &[
    ("max_parallel", "MaxParallel", Int),
    ("health_check", "HealthCheck", Text),
    ("min_healthy_time", "MinHealthyTime", Nanos),
    ("healthy_deadline", "HealthyDeadline", Nanos),
];
/// What jobs, groups and tasks say of where they want to run.
const WHERE: &[Block] = &[META, CONSTRAINTS, AFFINITIES];

pub static JOB: Shape = Shape {
    arguments: &[&[
        ("id", "ID", Text),
        ("name", "Name", Text),
        ("datacenters", "Datacenters", Texts),
        ("type", "Type", Text),
        ("priority", "Priority", Int),
        ("region", "Region", Text),
        ("namespace", "Namespace", Text),
        ("all_at_once", "AllAtOnce", Truth),
        META_ARGUMENT,
    ]],
    blocks: &[
        WHERE,
        &[
            SPREADS,
            ("group", "TaskGroups", Many(&GROUP, "Name")),
            ("update", "Update", One(&UPDATE)),
            ("migrate", "Migrate", One(&MIGRATE)),
            ("reschedule", "Reschedule", One(&RESCHEDULE)),
        ],
    ],
};

static GROUP: Shape = Shape {
    arguments: &[&[
        ("count", "Count", Int),
        ("shutdown_delay", "ShutdownDelay", Nanos),
        (
            "stop_after_client_disconnect",
            "StopAfterClientDisconnect",
            Nanos,
        ),
        META_ARGUMENT,
    ]],
    blocks: &[
        WHERE,
        &[
            SPREADS,
            SERVICES,
            ("network", "Networks", Many(&NETWORK, "")),
            ("task", "Tasks", Many(&TASK, "Name")),
            ("restart", "RestartPolicy", One(&RESTART)),
            ("reschedule", "ReschedulePolicy", One(&RESCHEDULE)),
            ("ephemeral_disk", "EphemeralDisk", One(&DISK)),
            ("update", "Update", One(&UPDATE)),
            ("migrate", "Migrate", One(&MIGRATE)),
            ("volume", "Volumes", ByLabel(&VOLUME)),
            ("scaling", "Scaling", One(&SCALING)),
        ],
    ],
};

static TASK: Shape = Shape {
    arguments: &[&[
        ("driver", "Driver", Text),
        ("user", "User", Text),
        ("kill_timeout", "KillTimeout", Nanos),
        ("kill_signal", "KillSignal", Text),
        ("leader", "Leader", Truth),
        ("kind", "Kind", Text),
        ("shutdown_delay", "ShutdownDelay", Nanos),
        ("env", "Env", Kind::TextMap),
        ("config", "Config", Free),
        META_ARGUMENT,
    ]],
    blocks: &[
        WHERE,
        &[
            SERVICES,
            ("config", "Config", Nest::Free),
            ("env", "Env", Nest::TextMap),
            ("resources", "Resources", One(&RESOURCES)),
            ("restart", "RestartPolicy", One(&RESTART)),
            ("template", "Templates", Many(&TEMPLATE, "")),
            ("volume_mount", "VolumeMounts", Many(&MOUNT, "")),
            ("logs", "LogConfig", One(&LOGS)),
            ("artifact", "Artifacts", Many(&ARTIFACT, "")),
            ("lifecycle", "Lifecycle", One(&LIFECYCLE)),
        ],
    ],
};

static CONSTRAINT: Shape = Shape {
    arguments: &[
        TERM,
        &[
            ("distinct_hosts", "distinct_hosts", Truth),
            ("distinct_property", "distinct_property", Text),
        ],
    ],
    blocks: &[],
};

static AFFINITY: Shape = Shape {
    arguments: &[TERM, &[("weight", "Weight", Int)]],
    blocks: &[],
};

static SPREAD: Shape = Shape {
    arguments: &[&[("attribute", "Attribute", Text), ("weight", "Weight", Int)]],
    blocks: &[&[("target", "SpreadTarget", Many(&SPREAD_TARGET, "Value"))]],
};
static SPREAD_TARGET: Shape = Shape {
    arguments: &[&[("percent", "Percent", Int), ("value", "Value", Text)]],
    blocks: &[],
};

static NETWORK: Shape = Shape {
    arguments: &[&[("mode", "Mode", Text), ("mbits", "MBits", Int)]],
    blocks: &[&[
        ("port", "Ports", Many(&PORT, "Label")),
        ("dns", "DNS", One(&DNS)),
    ]],
};
static PORT: Shape = Shape {
    arguments: &[&[
        ("static", "Value", Int),
        ("to", "To", Int),
        ("host_network", "HostNetwork", Text),
    ]],
    blocks: &[],
};
static DNS: Shape = Shape {
    arguments: &[&[
        ("servers", "Servers", Texts),
        ("searches", "Searches", Texts),
        ("options", "Options", Texts),
    ]],
    blocks: &[],
};

static SERVICE: Shape = Shape {
    arguments: &[&[
        ("name", "Name", Text),
        ("port", "PortLabel", Text),
        ("tags", "Tags", Texts),
        ("canary_tags", "CanaryTags", Texts),
        ("enable_tag_override", "EnableTagOverride", Truth),
        ("address_mode", "AddressMode", Text),
        ("task", "TaskName", Text),
        META_ARGUMENT,
    ]],
    blocks: &[&[
        META,
        ("canary_meta", "CanaryMeta", Nest::TextMap),
        ("check", "Checks", Many(&CHECK, "")),
        ("connect", "Connect", One(&CONNECT)),
        ("check_restart", "CheckRestart", One(&CHECK_RESTART)),
    ]],
};
static CHECK: Shape = Shape {
    arguments: &[&[
        ("name", "Name", Text),
        ("type", "Type", Text),
        ("path", "Path", Text),
        ("port", "PortLabel", Text),
        ("method", "Method", Text),
        ("protocol", "Protocol", Text),
        ("command", "Command", Text),
        ("args", "Args", Texts),
        ("interval", "Interval", Nanos),
        ("timeout", "Timeout", Nanos),
        ("initial_status", "InitialStatus", Text),
        ("tls_skip_verify", "TLSSkipVerify", Truth),
        ("address_mode", "AddressMode", Text),
        ("task", "TaskName", Text),
        ("expose", "Expose", Truth),
        ("grpc_service", "GRPCService", Text),
        ("grpc_use_tls", "GRPCUseTLS", Truth),
        ("success_before_passing", "SuccessBeforePassing", Int),
        ("failures_before_critical", "FailuresBeforeCritical", Int),
    ]],
    blocks: &[&[
        ("header", "Header", Nest::Free),
        ("check_restart", "CheckRestart", One(&CHECK_RESTART)),
    ]],
};
static CHECK_RESTART: Shape = Shape {
    arguments: &[&[
        ("limit", "Limit", Int),
        ("grace", "Grace", Nanos),
        ("ignore_warnings", "IgnoreWarnings", Truth),
    ]],
    blocks: &[],
};
static CONNECT: Shape = Shape {
    arguments: &[&[("native", "Native", Truth)]],
    blocks: &[&[
        ("sidecar_service", "SidecarService", One(&SIDECAR)),
        ("sidecar_task", "SidecarTask", Nest::Free),
    ]],
};
static SIDECAR: Shape = Shape {
    arguments: &[&[("port", "Port", Text), ("tags", "Tags", Texts)]],
    blocks: &[&[("proxy", "Proxy", One(&PROXY))]],
};
static PROXY: Shape = Shape {
    arguments: &[&[
        ("local_service_address", "LocalServiceAddress", Text),
        ("local_service_port", "LocalServicePort", Int),
    ]],
    blocks: &[&[
        ("upstreams", "Upstreams", Many(&UPSTREAM, "")),
        ("config", "Config", Nest::Free),
    ]],
};
static UPSTREAM: Shape = Shape {
    arguments: &[&[
        ("destination_name", "DestinationName", Text),
        ("local_bind_port", "LocalBindPort", Int),
        ("datacenter", "Datacenter", Text),
    ]],
    blocks: &[],
};

static UPDATE: Shape = Shape {
    arguments: &[
        HEALTH,
        &[
            ("stagger", "Stagger", Nanos),
            ("progress_deadline", "ProgressDeadline", Nanos),
            ("auto_revert", "AutoRevert", Truth),
            ("auto_promote", "AutoPromote", Truth),
            ("canary", "Canary", Int),
        ],
    ],
    blocks: &[],
};
static MIGRATE: Shape = Shape {
    arguments: &[HEALTH],
    blocks: &[],
};
static RESTART: Shape = Shape {
    arguments: &[&[
        ("attempts", "Attempts", Int),
        ("interval", "Interval", Nanos),
        ("delay", "Delay", Nanos),
        ("mode", "Mode", Text),
    ]],
    blocks: &[],
};
static RESCHEDULE: Shape = Shape {
    arguments: &[&[
        ("attempts", "Attempts", Int),
        ("interval", "Interval", Nanos),
        ("delay", "Delay", Nanos),
        ("delay_function", "DelayFunction", Text),
        ("max_delay", "MaxDelay", Nanos),
        ("unlimited", "Unlimited", Truth),
    ]],
    blocks: &[],
};
static DISK: Shape = Shape {
    arguments: &[&[
        ("size", "SizeMB", Int),
        ("sticky", "Sticky", Truth),
        ("migrate", "Migrate", Truth),
    ]],
    blocks: &[],
};
static VOLUME: Shape = Shape {
    arguments: &[&[
        ("type", "Type", Text),
        ("source", "Source", Text),
        ("read_only", "ReadOnly", Truth),
    ]],
    blocks: &[],
};
static MOUNT: Shape = Shape {
    arguments: &[&[
        ("volume", "Volume", Text),
        ("destination", "Destination", Text),
        ("read_only", "ReadOnly", Truth),
        ("propagation_mode", "PropagationMode", Text),
    ]],
    blocks: &[],
};
static SCALING: Shape = Shape {
    arguments: &[&[
        ("min", "Min", Int),
        ("max", "Max", Int),
        ("enabled", "Enabled", Truth),
    ]],
    blocks: &[&[("policy", "Policy", Nest::Free)]],
};
static RESOURCES: Shape = Shape {
    arguments: &[&[
        ("cpu", "CPU", Int),
        ("memory", "MemoryMB", Int),
        ("disk", "DiskMB", Int),
        ("iops", "IOPS", Int),
    ]],
    blocks: &[&[("network", "Networks", Many(&NETWORK, ""))]],
};
static TEMPLATE: Shape = Shape {
    arguments: &[&[
        ("data", "EmbeddedTmpl", Text),
        ("source", "SourcePath", Text),
        ("destination", "DestPath", Text),
        ("change_mode", "ChangeMode", Text),
        ("change_signal", "ChangeSignal", Text),
        ("splay", "Splay", Nanos),
        ("perms", "Perms", Text),
        ("left_delimiter", "LeftDelim", Text),
        ("right_delimiter", "RightDelim", Text),
        ("env", "Envvars", Truth),
        ("vault_grace", "VaultGrace", Nanos),
    ]],
    blocks: &[],
};
static LOGS: Shape = Shape {
    arguments: &[&[
        ("max_files", "MaxFiles", Int),
        ("max_file_size", "MaxFileSizeMB", Int),
    ]],
    blocks: &[],
};
static ARTIFACT: Shape = Shape {
    arguments: &[&[
        ("source", "GetterSource", Text),
        ("destination", "RelativeDest", Text),
        ("mode", "GetterMode", Text),
    ]],
    blocks: &[&[
        ("options", "GetterOptions", Nest::TextMap),
        ("headers", "GetterHeaders", Nest::TextMap),
    ]],
};
static LIFECYCLE: Shape = Shape {
    arguments: &[&[("hook", "Hook", Text), ("sidecar", "Sidecar", Truth)]],
    blocks: &[],
};
