//! What the environment's names mean.

use crate::clients::connect::Access;
use crate::clients::http::{AccessError, Address, Token};
use secrecy::ExposeSecret;
use std::path::PathBuf;

fn access(pairs: &[(&str, &str)]) -> Result<Access, AccessError> {
    Access::from_pairs(|name| {
        let found = pairs.iter().find(|(k, _)| *k == name);
        found.map(|(_, v)| v.to_string())
    })
}

#[test]
fn without_any_name_both_are_where_their_tools_look() {
    let a = access(&[]).unwrap();
    assert_eq!(a.nomad.address.to_string(), "http://127.0.0.1:4646");
    assert_eq!(a.consul.address.to_string(), "http://127.0.0.1:8500");
    assert!(matches!(a.nomad.token, Token::None));
}

#[test]
fn consul_addresses_are_taken_in_every_form_its_tool_takes() {
    let cases = [
        ("10.0.0.1:8501", "false", "http://10.0.0.1:8501"),
        ("10.0.0.1", "false", "http://10.0.0.1:8500"),
        ("consul.example:443", "true", "https://consul.example"),
        ("consul.example", "true", "https://consul.example:8500"),
        ("http://10.0.0.1:8500", "1", "https://10.0.0.1:8500"),
        ("https://c.example:8501", "", "https://c.example:8501"),
        ("http://c.example/prefix", "", "http://c.example/prefix"),
        ("[::1]:8500", "", "http://[::1]:8500"),
        ("unix:///run/consul.sock", "", "unix:///run/consul.sock"),
    ];
    for (text, ssl, expected) in cases {
        let a = access(&[("CONSUL_HTTP_ADDR", text), ("CONSUL_HTTP_SSL", ssl)]).unwrap();
        assert_eq!(a.consul.address.to_string(), expected, "{text} ssl={ssl}");
    }
    let socket = access(&[("CONSUL_HTTP_ADDR", "unix:///run/consul.sock")]).unwrap();
    assert_eq!(
        socket.consul.address,
        Address::Unix(PathBuf::from("/run/consul.sock"))
    );
}

#[test]
fn a_wrong_address_names_its_variable_but_never_repeats_a_password() {
    for text in ["http://user:hunter2@h:1", "ftp://h", "http://", "unix://"] {
        let error = access(&[("NOMAD_ADDR", text)]).unwrap_err().to_string();
        assert!(error.contains("NOMAD_ADDR"), "{error}");
        assert!(error.contains("http://host:port"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn tls_without_verification_is_refused_and_says_what_to_do() {
    let error = access(&[("NOMAD_SKIP_VERIFY", "true")]).unwrap_err();
    assert!(error.to_string().contains("TLS is always verified"));
    assert!(error.to_string().contains("NOMAD_CACERT"));
    assert!(access(&[("NOMAD_SKIP_VERIFY", "false")]).is_ok());
    let error = access(&[("CONSUL_HTTP_SSL_VERIFY", "false")]).unwrap_err();
    assert!(error.to_string().contains("CONSUL_CACERT"));
}

#[test]
fn half_a_client_certificate_is_an_error_that_names_the_other_half() {
    let error = access(&[("CONSUL_CLIENT_CERT", "c.pem")]).unwrap_err();
    assert!(error.to_string().contains("CONSUL_CLIENT_KEY"));
    let error = access(&[("NOMAD_CLIENT_KEY", "k.pem")]).unwrap_err();
    assert!(error.to_string().contains("NOMAD_CLIENT_CERT"));
}

#[test]
fn names_that_are_not_supported_are_refused_instead_of_ignored() {
    for name in ["NOMAD_CAPATH", "CONSUL_HTTP_AUTH"] {
        let error = access(&[(name, "x")]).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn everything_that_is_named_arrives() {
    let a = access(&[
        ("NOMAD_TOKEN", " n-token \n"),
        ("NOMAD_NAMESPACE", "shop"),
        ("NOMAD_REGION", "eu"),
        ("NOMAD_CACERT", "ca.pem"),
        ("NOMAD_CLIENT_CERT", "c.pem"),
        ("NOMAD_CLIENT_KEY", "k.pem"),
        ("NOMAD_TLS_SERVER_NAME", "server.global.nomad"),
        ("CONSUL_HTTP_TOKEN", "ignored"),
        ("CONSUL_HTTP_TOKEN_FILE", "/run/token"),
        ("CONSUL_NAMESPACE", "team"),
    ])
    .unwrap();
    let Token::Given(token) = &a.nomad.token else {
        panic!("the token is given");
    };
    assert_eq!(token.expose_secret(), "n-token");
    assert_eq!(a.nomad.namespace.as_deref(), Some("shop"));
    assert_eq!(a.nomad.region.as_deref(), Some("eu"));
    assert_eq!(a.nomad.tls.ca, Some("ca.pem".into()));
    assert_eq!(a.nomad.tls.identity, Some(("c.pem".into(), "k.pem".into())));
    assert_eq!(
        a.nomad.tls.server_name.as_deref(),
        Some("server.global.nomad")
    );
    assert!(matches!(&a.consul.token, Token::File(p) if p.as_os_str() == "/run/token"));
    assert_eq!(a.consul.namespace.as_deref(), Some("team"));
}
