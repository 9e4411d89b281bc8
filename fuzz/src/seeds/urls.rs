//! URLs of images, as they are let through.

use super::{Seed, seed};

pub(super) fn all() -> Vec<Seed> {
    vec![
        seed("url_guard", "image", "https://images.example.org:8443/debian-12.raw.xz?version=3"),
        seed(
            "url_guard",
            "excepted",
            "http://127.0.0.1:5000/v2/\n127.0.0.1:5000 registry.local [::1]:80 10.0.0.0/8",
        ),
        seed("url_guard", "mapped", "http://[::ffff:7f00:1]/\n127.0.0.1"),
        seed("url_guard", "number", "https://2130706433/\n127.0.0.0/8"),
    ]
}
