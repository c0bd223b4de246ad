//! What the real command line is asked, and parts of what it has to say; `$ ARGUMENTS = EXIT CODE` begins each.

pub const PLAN_AND_RUN: &str = r#"
$ status = 0
No running jobs
$ job validate shop.nomad = 0
Job validation successful
$ job validate wrong.nomad = 1
Task serve validation failed
minimum MemoryMB value is 10; got 1
$ job validate odd.nomad = 1
Blocks of type "grup" are not expected here
$ job plan shop.nomad = 1
+ Job: "shop" + Task Group: "web" (3 create) + Task: "serve" (forces create)
All tasks successfully allocated
Job Modify Index: 0
$ job run -check-index 0 shop.nomad = 0
Evaluation within deployment
created: node
finished with status "complete"
$ job run -check-index 0 shop.nomad = 1
Enforcing job modify index 0: job already exists
$ status = 0
shop service 50 running
$ job status shop = 0
web 0 0 3 0 0 0
web true 3 3 3 0
$ status sh = 0
ID = shop
$ status nope = 1
Unable to resolve ID: "nope"
$ job inspect shop = 0
"JobModifyIndex"
"RELEASE": "1"
$ job plan shop.nomad = 0
Job: "shop" Task Group: "web" (3 ignore) Task: "serve"
"#;

/// Once the deployment of what was run has ended: before that Nomad does not scale.
pub const SCALE_AND_PURGE: &str = r#"
$ job scale shop web 4 = 0
finished with status "complete"
$ job scale shop web 9 = 1
group count was greater than scaling policy maximum: 9 > 6
$ job scaling-events shop = 0
web 4 3
$ scaling policy list = 0
true horizontal Namespace:default,Job:shop,Group:web
$ job plan big.nomad = 1
WARNING: Failed to place all allocations
Dimension "cpu" exhausted on 4 nodes
$ job run big.nomad = 2
Evaluation "
waiting for additional capacity to place remainder
$ job status big = 0
Placement Failure
web 3 0 0 0 0 0
web true 3 0 0 0 N/A
$ job history -p shop = 0
Version = 1
Version = 0
$ job stop -purge big = 0
finished with status "complete"
$ job stop shop = 0
finished with status "complete"
$ job status = 0
shop service 50 dead (stopped)
$ system gc = 0
$ job status = 0
No running jobs
$ job status shop = 1
No job(s) with prefix or id "shop" found
"#;

pub const RUN: &str = r#"
$ job run shop.nomad = 0
finished with status "complete"
"#;

pub const ROLL_OUT: &str = r#"
$ deployment promote {first} = 1
can't promote terminal deployment
$ job plan next.nomad = 1
Task Group: "web" (1 canary, 3 ignore) +/- Task: "serve" (forces create/destroy update) +/- Env[RELEASE]: "1" => "2"
$ job run -detach next.nomad = 0
Job registration successful
"#;

pub const WAITS_FOR_PROMOTION: &str = r#"
$ deployment status {second} = 0
Deployment is running but requires manual promotion
web true false 3 1 1 1 0
$ deployment promote {second} = 0
finished with status "complete"
"#;

pub const TAKEN_OVER: &str = r#"
$ deployment status {second} = 0
Deployment completed successfully
web true true 3 1 3 3 0
$ job history shop = 0
Version = 1 Stable = true
Version = 0 Stable = true
$ job revert shop 1 = 1
can't revert to current version
$ job run -detach shop.nomad = 0
Job registration successful
"#;

pub const PAUSED_AND_FAILED: &str = r#"
$ deployment pause {third} = 0
paused
$ deployment list = 0
shop 2 paused Deployment is paused
$ deployment fail -detach {third} = 0
failed. Auto-reverted to job version 1.
$ deployment list = 0
shop 2 failed Deployment marked as failed - rolling back to job version 1
"#;

pub const LOOK_AND_DRAIN: &str = r#"
$ node status = 0
edge edge-a <none> false eligible ready
provider prov-b <none> false eligible ready
$ node status {node} = 0
Allocated Resources
500/4000 MHz 64 MiB/4.0 GiB
Host Resource Utilization
run running
$ node status -verbose {node} = 0
Drivers
raw_exec true true Healthy
Attributes
nomad.version = 1.0.18
$ alloc status {alloc} = 0
Node Name = {home}
Client Status = running
Task "serve" is "running"
30/500 MHz 50 MiB/64 MiB
Started Task started by client
$ alloc status -verbose {alloc} = 0
Placement Metrics
binpack job-anti-affinity node-affinity node-reschedule-penalty final score
$ eval status {eval} = 0
Status = complete
TriggeredBy = job-register
Placement Failures = false
$ alloc restart {alloc} = 0
$ alloc status {alloc} = 0
Task restarting in 0s
Total Restarts = 1
$ node eligibility -disable {node} = 0
scheduling eligibility set: ineligible for scheduling
$ node eligibility -enable {node} = 0
scheduling eligibility set: eligible for scheduling
$ node drain -enable -yes -deadline 1h {node} = 0
Drain complete for node
All allocations on node
stopped
$ node status -short {node} = 0
Drain = false
Eligibility = ineligible
$ node drain -disable -yes {node} = 0
drain strategy unset
$ alloc stop {alloc} = 0
finished with status "complete"
$ server members = 0
nomad-server.global
alive true 2 1.0.18 dc1 global
$ agent-info = 0
known_regions = 1
state = Leader
$ operator raft list-peers = 0
nomad-server.global
leader true
$ namespace list = 0
default Default shared namespace
$ namespace apply -description trial dev = 0
Successfully applied namespace "dev"!
$ job run -namespace dev -detach shop.nomad = 0
Job registration successful
$ job status -namespace dev = 0
shop service 50
$ namespace delete dev = 1
has non-terminal jobs in regions: [global]
$ job stop -namespace dev -purge shop = 0
finished with status "complete"
$ namespace delete dev = 0
Successfully deleted namespace "dev"!
$ job status = 0
shop service 50 running
"#;

pub const WITHOUT_TOKEN: &str = r#"
$ node status = 1
Unexpected response code: 403 (Permission denied)
"#;

pub const MANAGE: &str = r#"
$ acl bootstrap = 1
ACL bootstrap already done
$ acl policy apply -description looks reader rules.hcl = 0
Successfully wrote "reader" ACL policy!
$ acl policy apply wrong shop.nomad = 1
policy 0 invalid: 1 error occurred
$ acl policy list = 0
reader looks
$ acl policy info reader = 0
Name = reader
policy = "read"
$ acl token create -name nobody = 1
client token missing policies
"#;

pub const VIEW: &str = r#"
$ acl token self = 0
Name = viewer
Type = client
Policies = [reader]
$ node status = 0
edge-a <none> false eligible ready
$ job run -detach shop.nomad = 1
Permission denied
$ acl token list = 1
Permission denied
"#;

pub const OVERSEE: &str = r#"
$ job run -detach shop.nomad = 0
Job registration successful
$ acl token info {accessor} = 0
Name = viewer
$ acl token list = 0
viewer client false
Bootstrap Token management true
$ acl token delete {accessor} = 0
successfully deleted
$ acl token delete {accessor} = 1
Cannot delete nonexistent tokens
$ acl policy delete reader = 0
Successfully deleted reader policy!
"#;

pub const AFTERWARDS: &str = r#"
$ node status = 1
Unexpected response code: 403 (ACL token not found)
"#;
