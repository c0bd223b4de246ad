//! Who comes in: by the socket its owner, over HTTPS those with a token, and no one over anything else.

use super::*;
use crate::headless::door::seated;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// A CA, and where a certificate of it and its key are.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new certificate for this machine, in the same files.
    fn issue(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_string()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, private) = (self.file("api.pem"), self.file("api-key.pem"));
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        (cert, private)
    }

    fn keys(&self, token: Option<&str>) -> Keys {
        let (cert, key) = self.issue();
        Keys {
            certificates: Some(Certificates::read(&cert, &key).unwrap()),
            read_token: token.map(|t| t.to_string().into()),
        }
    }
}

struct Open {
    at: String,
    asked: mpsc::Receiver<Command>,
    cancel: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _views: watch::Sender<Arc<View>>,
}

/// Serves with the act token `sesame`.
async fn open(place: &Place, keys: &Keys) -> Open {
    let (views, receive) = watch::channel(Arc::new(view(1..=2)));
    let (api, asked) = api(receive, Some("sesame"), 0);
    let door = Door::open(place, keys).await.unwrap();
    let (at, cancel) = (door.place().to_string(), CancellationToken::new());
    let serving = tokio::spawn(serve(door, api, cancel.clone()));
    Open {
        at,
        asked,
        cancel,
        serving,
        _views: views,
    }
}

fn https() -> Place {
    Place::Https("127.0.0.1:0".parse().unwrap())
}

/// The end of an error's chain of causes, and all before it.
fn chain(e: &dyn std::error::Error) -> String {
    let cause = e.source().map(chain);
    format!("{e}: {}", cause.unwrap_or_default())
}

#[tokio::test]
async fn over_the_socket_its_owner_reads_and_commands_and_it_goes_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let mut served = open(&Place::Unix(path.clone()), &Keys::default()).await;
    let remote = Remote::new(&served.at, acting("sesame")).unwrap();
    assert_eq!(remote.view().await.unwrap(), view(1..=2));
    let refused = Remote::new(&served.at, Trust::default()).unwrap();
    let refused = refused.command(&Command::Abort).await.unwrap_err();
    assert!(refused.to_string().contains("act token"), "{refused}");
    remote.command(&Command::Abort).await.unwrap();
    assert_eq!(served.asked.try_recv(), Ok(Command::Abort));
    served.cancel.cancel();
    served.serving.await.unwrap();
    assert!(!path.exists());
    let gone = remote.view().await.unwrap_err();
    assert!(gone.to_string().contains(&served.at), "{gone}");
}

#[tokio::test]
async fn a_face_follows_over_the_socket_until_the_api_ends() {
    let folder = tempfile::tempdir().unwrap();
    let served = open(&Place::Unix(folder.path().join("a")), &Keys::default()).await;
    let cancel = CancellationToken::new();
    let remote = Remote::new(&served.at, Trust::default()).unwrap();
    let (mut views, _commands) = remote.follow(Arc::default(), None, cancel.clone());
    views.wait_for(|v| v.cycle == 7).await.unwrap();
    served.cancel.cancel();
    // Its stream does not hold it up.
    served.serving.await.unwrap();
    cancel.cancel();
}

/// Asks over a connection that is kept, and takes the answer.
async fn alive(client: &mut UnixStream) {
    let ask = b"GET /live HTTP/1.1\r\nHost: here\r\n\r\n";
    client.write_all(ask).await.unwrap();
    let (mut answer, mut some) = (Vec::new(), [0; 512]);
    while !answer.ends_with(b"live\n") {
        let n = client.read(&mut some).await.unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&some[..n]);
    }
}

#[tokio::test]
async fn who_finds_no_seat_waits_until_another_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api.sock");
    let (_views, receive) = watch::channel(Arc::new(view(1..=2)));
    let (api, _asked) = api(receive, None, 0);
    let place = Place::Unix(path.clone());
    let door = Door::open(&place, &Keys::default()).await.unwrap();
    let cancel = CancellationToken::new();
    tokio::spawn(seated(door, api, Arc::new(Semaphore::new(1)), cancel));
    let mut first = UnixStream::connect(&path).await.unwrap();
    alive(&mut first).await;
    let mut second = UnixStream::connect(&path).await.unwrap();
    second
        .write_all(b"GET /live HTTP/1.1\r\nHost: here\r\n\r\n")
        .await
        .unwrap();
    // The other one is answered all the while.
    alive(&mut first).await;
    alive(&mut first).await;
    let nothing = second.try_read(&mut [0; 64]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    assert!(second.read(&mut [0; 64]).await.unwrap() > 0);
}

#[tokio::test]
async fn over_https_the_read_token_or_the_act_token_reads_and_nothing_else_does() {
    let authority = Authority::new();
    let served = open(&https(), &authority.keys(Some("look"))).await;
    let ca = Some(authority.file("ca.pem"));
    let trust = |read: Option<&str>, act: Option<&str>| Trust {
        act_token: act.map(|t| t.to_string().into()),
        read_token: read.map(|t| t.to_string().into()),
        ca: ca.clone(),
    };
    for (read, act) in [(Some("look"), None), (None, Some("sesame"))] {
        let remote = Remote::new(&served.at, trust(read, act)).unwrap();
        assert_eq!(remote.view().await.unwrap(), view(1..=2));
    }
    for (read, act) in [(None, None), (Some("loo"), None), (Some(""), None)] {
        let remote = Remote::new(&served.at, trust(read, act)).unwrap();
        let refused = remote.view().await.unwrap_err().to_string();
        assert!(
            refused.contains("401") && refused.contains("token"),
            "{refused}"
        );
    }
    let looks = Remote::new(&served.at, trust(Some("look"), Some("look"))).unwrap();
    let refused = looks.command(&Command::Abort).await.unwrap_err();
    assert!(refused.to_string().contains("401") || refused.to_string().contains("403"));
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_trusted_and_a_new_one_is_shown_when_read_again()
{
    let authority = Authority::new();
    let keys = authority.keys(None);
    let served = open(&https(), &keys).await;
    let remote = |ca: &Path| {
        let ca = Some(ca.to_path_buf());
        Remote::new(
            &served.at,
            Trust {
                ca,
                ..Trust::default()
            },
        )
        .unwrap()
    };
    let other = Authority::new();
    let error = remote(&other.file("ca.pem")).view().await.unwrap_err();
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
    remote(&authority.file("ca.pem")).view().await.unwrap();
    // From now on the files are the other authority's.
    let (cert, key) = other.issue();
    std::fs::copy(&cert, authority.file("api.pem")).unwrap();
    let shown = keys.certificates.unwrap();
    assert!(shown.again().is_err(), "the key is still the old one's");
    remote(&authority.file("ca.pem")).view().await.unwrap();
    std::fs::copy(&key, authority.file("api-key.pem")).unwrap();
    shown.again().unwrap();
    remote(&other.file("ca.pem")).view().await.unwrap();
    assert!(remote(&authority.file("ca.pem")).view().await.is_err());
}

#[tokio::test]
async fn it_does_not_open_to_others_without_certificate_and_token() {
    let beyond = Place::Https("0.0.0.0:0".parse().unwrap());
    let without = Door::open(&beyond, &Keys::default()).await.err().unwrap();
    assert!(without.to_string().contains("api_cert"), "{without}");
    let authority = Authority::new();
    for token in [None, Some("")] {
        let without = Door::open(&beyond, &authority.keys(token))
            .await
            .err()
            .unwrap();
        assert!(
            without.to_string().contains("FORESHADOW_READ_TOKEN_FILE"),
            "{without}"
        );
    }
    assert!(
        Door::open(&beyond, &authority.keys(Some("look")))
            .await
            .is_ok()
    );
}

#[test]
fn files_that_are_no_certificate_and_key_are_named() {
    let authority = Authority::new();
    let (cert, key) = authority.issue();
    let error = |cert: &Path, key: &Path| Certificates::read(cert, key).err().unwrap().to_string();
    assert!(error(&authority.file("none"), &key).contains("none"));
    assert!(error(&key, &key).contains("api-key.pem"));
    assert!(error(&cert, &cert).contains("api.pem"));
    assert!(error(&authority.file("ca.pem"), &key).contains("ca.pem"));
}
