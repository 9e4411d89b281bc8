//! What a new bootstrap token comes with for boot servers that exist already: menus, and links to the files.

use crate::media::media_of;
use crate::support::{Fixture, logged, start_with};
use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

const KERNEL_LEN: usize = 4_096;

/// A server with media that machines are told is at 10.20.0.5.
async fn site(http: bool) -> Fixture {
    start_with(|directory, options| {
        options.media_dir = Some(media_of(directory, KERNEL_LEN));
        options.advertise = vec!["https://10.20.0.5:8092".parse().unwrap()];
        options.http_listen = http.then(|| (Ipv4Addr::LOCALHOST, 0).into());
    })
    .await
}

async fn create(site: &Fixture, kernel: &str, initrd: &str) -> (StatusCode, Value) {
    let body = json!({"Lifetime": 600, "Kernel": kernel, "Initrd": initrd});
    let answer = site.call(site.admin("POST", "/api/v3/bootstrap/tokens", &body.to_string())).await;
    (answer.status, answer.json())
}

/// The line of a menu that begins with this word, without it.
fn line<'a>(made: &'a Value, menu: &str, word: &str) -> &'a str {
    let text = made["Menus"][menu].as_str().unwrap_or_else(|| panic!("no {menu} in {made}"));
    let found = text.lines().find_map(|line| line.trim_start().strip_prefix(word));
    found.unwrap_or_else(|| panic!("no {word} in {text}")).trim_start()
}

#[tokio::test]
async fn files_are_linked_where_firmware_gets_them_with_what_to_hold_them_against() {
    let site = site(true).await;
    let (status, made) = create(&site, "", "").await;
    assert_eq!(status, StatusCode::CREATED);
    let port = site.server.boot_address().unwrap().port();
    let base = format!("http://10.20.0.5:{port}/muster");
    let file = &made["Files"][0];
    assert_eq!(file["Url"], format!("{base}/vmlinuz"));
    assert_eq!((&file["Name"], &file["Size"]), (&json!("vmlinuz"), &json!(KERNEL_LEN)));
    let info = site.call(site.admin("GET", "/api/v3/info", "")).await.json();
    let listed = info["media"].as_array().unwrap().iter().find(|file| file["name"] == "vmlinuz").unwrap();
    assert_eq!(file["Sha256"], listed["sha256"]);
    // The link and the script that loads from here name the same file.
    assert!(line(&made, "IpxeFromServer", "kernel").starts_with(&format!("{base}/vmlinuz initrd=")));
    assert!(line(&made, "IpxeFromServer", "initrd").ends_with(&format!("{base}/initrd")));
    assert!(made["Menus"]["IpxeFromServer"].as_str().unwrap().contains(made["KernelArgs"].as_str().unwrap()));
}

#[tokio::test]
async fn without_plain_http_files_are_linked_by_https_and_no_script_loads_from_here() {
    let site = site(false).await;
    let (_, made) = create(&site, "", "").await;
    assert_eq!(made["Files"][0]["Url"], "https://10.20.0.5:8092/media/vmlinuz");
    assert_eq!(made["Menus"].get("IpxeFromServer"), None);
    let link = site.call(Fixture::request("GET", "/media/vmlinuz", "")).await;
    assert_eq!((link.status, link.body.len()), (StatusCode::OK, KERNEL_LEN));
}

#[tokio::test]
async fn menus_name_the_files_where_they_lie_on_the_boot_server() {
    let site = site(true).await;
    let (_, usual) = create(&site, "", "").await;
    assert_eq!(line(&usual, "Pxelinux", "KERNEL"), "muster/vmlinuz");
    assert!(line(&usual, "Grub", "linux").starts_with("/muster/vmlinuz "));
    let (_, own) = create(&site, "http://boot.example/k/vmlinuz", "images/initrd.img").await;
    assert_eq!(line(&own, "Pxelinux", "KERNEL"), "http://boot.example/k/vmlinuz");
    assert_eq!(line(&own, "Pxelinux", "INITRD"), "images/initrd.img");
    assert!(line(&own, "Grub", "linux").starts_with("(http,boot.example)/k/vmlinuz "));
    assert_eq!(line(&own, "Grub", "initrd"), "/images/initrd.img");
    assert!(line(&own, "Ipxe", "kernel").starts_with("http://boot.example/k/vmlinuz "));
}

#[tokio::test]
async fn a_place_that_no_loader_could_read_is_refused_and_no_token_made() {
    let site = site(true).await;
    for (kernel, told) in [
        ("my kernel", "kernel path cannot carry ' '"),
        ("k\nAPPEND init=/bin/sh", "kernel path cannot carry '\\n'"),
        ("https://boot.example/vmlinuz", "GRUB loads by http:// and tftp:// only"),
        (&"k".repeat(256), "kernel path has 256 bytes, at most 255 fit"),
    ] {
        let (status, refused) = create(&site, kernel, "").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused["Messages"][0].as_str().unwrap().contains(told), "{refused}");
    }
    let tokens = site.call(site.admin("GET", "/api/v3/bootstrap/tokens", "")).await.json();
    assert_eq!(tokens, json!([]));
}

#[tokio::test]
async fn the_script_of_the_command_is_kept_by_nobody_and_its_bearer_logs_nobody_in() {
    let site = site(false).await;
    let (_, made) = create(&site, "", "").await;
    let token = made["Token"].as_str().unwrap();
    let head = made["Command"].as_str().unwrap().lines().next().unwrap().to_owned();
    assert!(head.ends_with("https://10.20.0.5:8092/install.sh <<'T' | sudo sh") && !head.contains("eyJ"));
    for (bearer, told) in [
        // The media here have no agent among them.
        (format!("Bearer {token}"), "the server has no agent to hand out"),
        ("Bearer mst_x".to_owned(), "damaged or not one of this server"),
        ("Basic eDp5".to_owned(), "there is no bootstrap token"),
    ] {
        let mut request = Fixture::request("GET", "/install.sh", "");
        request.headers_mut().insert(header::AUTHORIZATION, bearer.parse().unwrap());
        let answer = site.call(request).await;
        assert_eq!((answer.status, answer.header(header::CACHE_CONTROL)), (StatusCode::OK, "no-store"));
        let script = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(script.starts_with("#!/bin/sh\n") && script.contains(told), "{told}: {script}");
    }
    assert!(!logged().contains(token), "the token is in the log");
}
