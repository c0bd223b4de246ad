use super::*;
use crate::load::shop::NODE_SPEED_FILE;
use crate::sandbox::block::Block;
use crate::sandbox::links::PortState;
use std::net::TcpListener;
use std::path::Path;
use tokio::task::{JoinHandle, spawn_blocking};

const ALLOC: &str = "5b3a6c1e-0000-4000-8000-000000000001";

pub(crate) fn task(command: &str, args: &[&str]) -> TaskStart {
    TaskStart {
        alloc_id: ALLOC.into(),
        alloc_name: "shop.web[0]".into(),
        alloc_index: 0,
        job_id: "shop".into(),
        job_name: "shop".into(),
        group: "web".into(),
        task: "web".into(),
        node: "edge-a-1".into(),
        driver: "raw_exec".into(),
        command: command.into(),
        args: args.iter().map(|a| (*a).to_string()).collect(),
        env: BTreeMap::new(),
        ports: BTreeMap::new(),
        cpu_mhz: 500,
        memory_mb: 64,
        kill_timeout: Duration::from_secs(60),
    }
}

/// The test binary plays foreshadow's part: as a test it has nothing to do, as `task-exec` it becomes the task.
#[test]
fn becomes_a_task_when_asked_to() {
    let mut args = std::env::args_os().skip_while(|a| a != TASK_EXEC);
    if args.next().is_some() {
        panic!("{}", task_exec(args));
    }
}

/// And that of a pretend service: it says how fast its node is.
#[test]
fn says_the_speed_of_its_node_when_asked_to() {
    if std::env::args().any(|a| a == "say-speed") {
        let file = std::env::var(NODE_SPEED_FILE).unwrap();
        let said = std::env::var("NOMAD_TASK_DIR").unwrap();
        std::fs::copy(file, Path::new(&said).join("speed")).unwrap();
    }
}

/// The test binary plays a task's part too: it answers everybody with its allocation's name.
#[test]
fn serves_its_port_when_asked_to() {
    if !std::env::args().any(|a| a == "serve-name") {
        return;
    }
    let var = |name: &str| std::env::var(name).unwrap();
    let listener = TcpListener::bind(var("NOMAD_ADDR_http")).unwrap();
    for stream in listener.incoming() {
        let answer = var("NOMAD_ALLOC_NAME");
        std::io::Write::write_all(&mut stream.unwrap(), answer.as_bytes()).unwrap();
    }
}

fn launcher() -> Launcher {
    let entry = "sandbox::runtime::tests::becomes_a_task_when_asked_to";
    let leading = [entry, "--exact", "--nocapture", TASK_EXEC];
    Launcher {
        program: std::env::current_exe().unwrap(),
        leading: leading.map(Into::into).to_vec(),
    }
}

struct Yard {
    runtime: ProcessRuntime,
    events: mpsc::UnboundedReceiver<TaskEvent>,
    folder: tempfile::TempDir,
    _held: TcpListener,
}

impl Yard {
    fn new() -> Yard {
        let (block, held) = Block::first_free().unwrap();
        let estate = Arc::new(Estate::builtin(block));
        let links = Arc::new(Links::new(&estate));
        let folder = tempfile::tempdir().unwrap();
        let config = RuntimeConfig {
            launcher: launcher(),
            folder: folder.path().join("allocs"),
            path: "/usr/bin:/bin".into(),
        };
        let runtime = ProcessRuntime::new(config, estate, links).unwrap();
        let events = runtime.events();
        Yard {
            runtime,
            events,
            folder,
            _held: held,
        }
    }

    async fn next(&mut self) -> TaskEvent {
        self.events.recv().await.unwrap()
    }

    async fn exit(&mut self) -> (i32, i32) {
        loop {
            match self.next().await {
                TaskEvent::Started { .. } => {}
                TaskEvent::Exited { code, signal, .. } => return (code, signal),
                failed => panic!("{failed:?}"),
            }
        }
    }

    /// A named pipe that is read until its last writer has ended.
    fn pipe(&self, name: &str) -> (String, Pipe) {
        let path = self.folder.path().join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        (path.display().to_string(), Pipe::open(&path))
    }
}

/// Tells of a process by the pipe that it holds open.
struct Pipe {
    first_line: JoinHandle<(String, std::io::BufReader<std::fs::File>)>,
}

impl Pipe {
    fn open(path: &Path) -> Pipe {
        let path = path.to_path_buf();
        let first_line = spawn_blocking(move || {
            let mut reader = std::io::BufReader::new(std::fs::File::open(path).unwrap());
            let mut line = String::new();
            std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
            (line, reader)
        });
        Pipe { first_line }
    }

    /// Its first line, and what ends when nobody holds the pipe any more.
    async fn up(self) -> (String, JoinHandle<()>) {
        let (line, mut reader) = self.first_line.await.unwrap();
        let end = spawn_blocking(move || {
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        });
        (line, end)
    }
}

#[tokio::test]
async fn a_task_gets_nomads_environment_and_nothing_else() {
    let mut yard = Yard::new();
    let script = "env > ${NOMAD_TASK_DIR}/env; pwd > ${NOMAD_ALLOC_DIR}/data/pwd";
    let mut task = task("sh", &["-c", script]);
    task.env
        .insert("GREETING".into(), "hello ${NOMAD_GROUP_NAME}".into());
    yard.runtime.start(task).await;
    assert_eq!(yard.exit().await, (0, 0));
    let root = yard.folder.path().join("allocs").join(ALLOC);
    let env = std::fs::read_to_string(root.join("web/local/env")).unwrap();
    assert!(env.lines().any(|l| l == "GREETING=hello web"), "{env}");
    assert!(env.lines().any(|l| l == "NOMAD_CPU_LIMIT=500"), "{env}");
    let theirs = [
        "NOMAD_",
        "GREETING=",
        "PATH=",
        "PWD=",
        "_=",
        "SHLVL=",
        "OLDPWD=",
    ];
    let foreign = env
        .lines()
        .find(|l| !theirs.iter().any(|t| l.starts_with(t)));
    assert_eq!(foreign, None);
    let pwd = std::fs::read_to_string(root.join("alloc/data/pwd")).unwrap();
    assert!(pwd.trim().ends_with("/web"), "{pwd}");
    yard.runtime.shutdown().await;
    assert!(!root.exists());
}

#[tokio::test]
async fn our_own_services_are_as_slow_as_their_node_whatever_the_programs_file_is_called() {
    let mut yard = Yard::new();
    let class = yard
        .runtime
        .shared
        .estate
        .node("edge-a-1")
        .unwrap()
        .class
        .clone();
    yard.runtime.set_class_speed(&class, 25).unwrap();
    let entry = "sandbox::runtime::tests::says_the_speed_of_its_node_when_asked_to";
    let us = task("foreshadow", &[entry, "--exact", "say-speed"]);
    yard.runtime.start(us).await;
    assert_eq!(yard.exit().await, (0, 0));
    let root = yard.folder.path().join("allocs").join(ALLOC);
    let said = std::fs::read_to_string(root.join("web/local/speed")).unwrap();
    assert_eq!(said, "0.25\n");
    yard.runtime.shutdown().await;
}

#[tokio::test]
async fn an_exit_is_told_with_its_code_or_its_signal() {
    let mut yard = Yard::new();
    yard.runtime.start(task("sh", &["-c", "exit 7"])).await;
    assert_eq!(yard.exit().await, (7, 0));
    yard.runtime.start(task("sh", &["-c", "kill -9 $$"])).await;
    assert_eq!(yard.exit().await, (137, 9));
    assert_eq!(yard.runtime.usage(ALLOC), None);
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let mut yard = Yard::new();
    let mut image = task("sleep", &["1"]);
    image.driver = "docker".into();
    for (task, said) in [
        (task("no-such-program", &[]), "no-such-program"),
        (image, "docker"),
    ] {
        yard.runtime.start(task).await;
        let TaskEvent::FailedToStart { error, .. } = yard.next().await else {
            panic!("it was started");
        };
        assert!(
            error.contains(said) || error.contains("no-such-program"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_stopped_task_ends_by_its_own_will_and_a_stubborn_one_is_killed() {
    let mut yard = Yard::new();
    yard.runtime.start(task("sleep", &["1000"])).await;
    yard.runtime.stop(ALLOC).await; // perhaps before it runs
    assert_eq!(yard.exit().await, (143, 15));

    let (path, pipe) = yard.pipe("stubborn");
    let script = format!("trap '' TERM; echo up > {path}; while :; do sleep 1000; done");
    let mut stubborn = task("sh", &["-c", &script]);
    stubborn.kill_timeout = Duration::from_millis(20);
    yard.runtime.start(stubborn).await;
    assert_eq!(pipe.up().await.0, "up\n");
    yard.runtime.stop(ALLOC).await;
    assert_eq!(yard.exit().await, (137, 9));
}

#[tokio::test]
async fn what_a_task_has_started_ends_with_it() {
    let mut yard = Yard::new();
    let (path, pipe) = yard.pipe("child");
    let script = format!("exec 3> {path}; echo up >&3; (trap '' TERM; sleep 1000) & wait");
    yard.runtime.start(task("sh", &["-c", &script])).await;
    let (_, gone) = pipe.up().await;
    yard.runtime.stop(ALLOC).await;
    assert_eq!(yard.exit().await, (143, 15));
    gone.await.unwrap();
}

#[tokio::test]
async fn a_dead_node_kills_its_tasks_tells_nobody_and_starts_nothing_until_it_is_revived() {
    let mut yard = Yard::new();
    let (path, pipe) = yard.pipe("held");
    let script = format!("exec 3> {path}; echo up >&3; sleep 1000");
    yard.runtime.start(task("sh", &["-c", &script])).await;
    assert!(matches!(yard.next().await, TaskEvent::Started { .. }));
    let (_, gone) = pipe.up().await;
    yard.runtime.kill_node("edge-a-1").unwrap();
    gone.await.unwrap();
    yard.runtime.start(task("sh", &["-c", "exit 1"])).await;
    yard.runtime.revive_node("edge-a-1").unwrap();
    yard.runtime.start(task("sh", &["-c", "exit 2"])).await;
    assert!(matches!(yard.next().await, TaskEvent::Started { .. }));
    assert_eq!(yard.exit().await, (2, 0));
}

#[tokio::test]
async fn the_world_reaches_a_task_on_its_nodes_outer_address_until_it_ends() {
    let mut yard = Yard::new();
    let ourselves = std::env::current_exe().unwrap().display().to_string();
    let entry = "sandbox::runtime::tests::serves_its_port_when_asked_to";
    let mut task = task(&ourselves, &[entry, "--exact", "--nocapture", "serve-name"]);
    task.ports.insert("http".into(), 20_001);
    yard.runtime.start(task).await;
    assert!(matches!(yard.next().await, TaskEvent::Started { .. }));
    let port = |state| {
        let allocations = yard.runtime.shared.allocations();
        let nic = allocations[ALLOC].port("http").unwrap();
        (nic.address(), nic.reached(state))
    };
    let (address, closed) = port(PortState::Closed);
    port(PortState::Listening).1.await;
    assert!(address.to_string().ends_with(".10.1:20001"), "{address}");
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer)
        .await
        .unwrap();
    assert_eq!(answer, "shop.web[0]");
    yard.runtime.stop(ALLOC).await;
    assert_eq!(yard.exit().await, (143, 15));
    closed.await;
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_running_task_has_memory_and_a_process() {
    let mut yard = Yard::new();
    let (path, pipe) = yard.pipe("held");
    let script = format!("exec 3> {path}; echo up >&3; sleep 1000");
    yard.runtime.start(task("sh", &["-c", &script])).await;
    let TaskEvent::Started { pid, .. } = yard.next().await else {
        panic!("it was not started");
    };
    pipe.up().await; // the kernel counts the first pages of a process late
    assert_eq!(yard.runtime.pid(ALLOC, "web"), Some(pid));
    assert!(yard.runtime.usage(ALLOC).unwrap()["web"].rss_bytes > 0);
    yard.runtime.shutdown().await;
    assert_eq!(yard.runtime.pid(ALLOC, "web"), None);
}

#[tokio::test]
async fn a_task_dies_with_the_thread_that_stands_for_the_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = Pipe::open(&path);
    let script = format!("exec 3> {}; echo up >&3; exec sleep 1000", path.display());
    let command = launcher().command("sh".as_ref(), &["-c".into(), script]);
    let spawner = Spawner::new().unwrap();
    let mut child = spawner.spawn(command).await.unwrap();
    let (_, gone) = pipe.up().await;
    drop(spawner);
    gone.await.unwrap();
    let status = child.wait().await;
    assert_eq!(process::outcome(status), (137, 9));
}

#[test]
fn a_task_of_a_sandbox_that_is_gone_does_not_begin() {
    let nobody = ["1000000", "--", "true"].map(std::ffi::OsString::from);
    let said = task_exec(nobody).to_string();
    assert!(said.contains("gone"), "{said}");
    let said = task_exec(["x".into()]).to_string();
    assert!(said.contains("usage"), "{said}");
}
