//! `muster info`: what a server is, and what there is to download from it.

use crate::print;
use crate::rest::{Call, decode};
use anyhow::Result;
use protocol::rest::{Info, MediaFile};

/// Shows it.
pub(crate) async fn run(call: Call) -> Result<()> {
    let answer = call.client()?.get("/api/v3/info").await?;
    call.show(&answer, || Ok(draw(&decode(&answer)?)))
}

fn draw(info: &Info) -> String {
    let server = &info.server;
    let calls = match info.advertise.as_slice() {
        [] => "the address they were booted from".to_owned(),
        addresses => addresses.join(", "),
    };
    let files = match server.file_port {
        0 => "not served".to_owned(),
        port => format!("port {port}, by HTTP"),
    };
    let mut facts = vec![
        ("Muster", info.muster_version.clone()),
        ("Name", server.server_hostname.clone()),
        ("Id", info.id.clone()),
        ("Agent protocol", info.protocol.to_string()),
        ("Runs on", format!("{}, {}", server.os, server.arch)),
        ("Machines call", calls),
        ("Boot files", files),
        ("CA hashes", info.ca_hash.join(",")),
    ];
    facts.extend((!server.errors.is_empty()).then(|| ("Errors", server.errors.join("; "))));
    let row = |file: &MediaFile| vec![file.name.clone(), print::bytes(file.size), file.sha256.clone()];
    let media = info.media.iter().map(row).collect();
    let none = "no boot media yet: `muster media build` on the server";
    format!("{}\n\n{}", print::fields(&facts), print::table(&["MEDIA", "SIZE", "SHA-256"], media, none))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::model::ServerInfo;

    #[test]
    fn server_tells_what_it_is_and_what_is_wrong() {
        let mut info = Info {
            id: "srv".to_owned(),
            muster_version: "1.2.3".to_owned(),
            protocol: 1,
            advertise: Vec::new(),
            ca_hash: vec!["sha256:a".to_owned(), "sha256:b".to_owned()],
            media: Vec::new(),
            server: ServerInfo::default(),
        };
        let told = draw(&info);
        for line in
            ["Muster          1.2.3", "Boot files      not served", "sha256:a,sha256:b", "no boot media yet"]
        {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
        assert!(!told.contains("Errors"), "{told}");
        info.server.errors = vec!["the disk is full".to_owned()];
        info.media = vec![MediaFile { name: "muster.iso".to_owned(), size: 2_048, sha256: "ab".to_owned() }];
        let told = draw(&info);
        assert!(
            told.contains("Errors          the disk is full") && told.contains("muster.iso  2.0 KiB  ab"),
            "{told}"
        );
    }
}
