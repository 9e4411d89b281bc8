//! The dashboard's built files, embedded. Built by npm before the server; a server built
//! without them works and says so on its front page.

use rust_embed::Embed;
use std::borrow::Cow;

#[derive(Embed)]
#[folder = "../dashboard/dist"]
#[allow_missing = true]
struct Assets;

/// Vite puts the digest of their contents into the names of these files.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";

/// One file of the dashboard.
pub(crate) struct Asset {
    /// Its contents.
    pub(crate) bytes: Cow<'static, [u8]>,
    /// Media type.
    pub(crate) mime: &'static str,
    /// Whether its contents can never change under this name.
    pub(crate) immutable: bool,
}

/// The file at this path below the root; the page itself for every address inside it.
pub(crate) fn find(path: &str) -> Option<Asset> {
    let path = path.trim_start_matches('/');
    let (name, file) = match Assets::get(path) {
        Some(file) => (path, file),
        // The page's own addresses may end like a file, since they name objects: /templates/motd.tmpl.
        // What lies at the top or in the folder of hashed files and is missing is a missing file.
        None if path.starts_with(HASHED) || (path.contains('.') && !path.contains('/')) => return None,
        None => (INDEX, Assets::get(INDEX)?),
    };
    Some(Asset { bytes: file.data, mime: mime(name), immutable: name.starts_with(HASHED) })
}

fn mime(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "map" | "webmanifest") => "application/json",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
