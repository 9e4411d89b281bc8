//! What opens a door to this server is in files and images for machines, and in no log.

use crate::media::{REGION, media_of};
use crate::support::{Fixture, logged, start_with};
use protocol::cmdline::KernelArgs;
use protocol::config::AgentConfig;
use serde_json::json;

#[tokio::test]
async fn tokens_of_strangers_are_in_no_log() {
    let fixture = start_with(|directory, options| {
        options.media_dir = Some(media_of(directory, 8));
        options.advertise = vec!["https://10.0.0.1:8092".parse().unwrap()];
    })
    .await;
    let prefs = json!({"unknownBootEnv": "discovery"}).to_string();
    let mut request = fixture.admin("POST", "/api/v3/prefs", &prefs);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    assert!(fixture.call(request).await.status.is_success());
    let door = Fixture { router: fixture.server.boot_router(), ..fixture };
    let mut tokens = Vec::new();
    for path in ["/default.ipxe", "/grub/grub.cfg", "/pxelinux.cfg/default"] {
        let answer = door.call(Fixture::request("GET", path, "")).await;
        let text = String::from_utf8(answer.body).unwrap();
        let token = text.lines().find_map(|line| KernelArgs::parse(line).token);
        tokens.push(token.unwrap_or_else(|| panic!("{path}: {text}")).reveal().to_owned());
    }
    let image = door.call(Fixture::request("GET", "/muster/52-54-00-00-00-09/muster.iso", "")).await;
    let config = initrd::segment::config_json(&image.body[REGION]).unwrap();
    tokens.extend(AgentConfig::parse(config).unwrap().token);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 4);
    let log = logged();
    assert!(log.contains("muster/52-54-00-00-00-09/muster.iso"), "it is logged who got what");
    for token in tokens {
        assert!(!log.contains(&token));
    }
}
