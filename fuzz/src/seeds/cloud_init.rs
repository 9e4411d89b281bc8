//! Seeds of cloud-init configuration.

use super::{Seed, seed};

/// All of them.
pub(super) fn all() -> Vec<Seed> {
    let base = "#cloud-config\ntimezone: UTC\npackages: [curl, \"0644\", yes]\nusers:\n- default\n- name: eve\n  groups: [a]\n\
                write_files:\n- path: /etc/motd\n  permissions: 0644\n  content: |\n    hello\n      world\n";
    let web = "packages:\n- nginx\nusers:\n- {name: eve, shell: /bin/bash}\nwrite_files:\n- path: /etc/motd\n  content: \"x\\n\"\n\
               runcmd:\n- [sh, -c, 'true']\nmuster_merge: {packages: replace}\n";
    let aliases = "a: &a {x: [1, 2.5, -7, 0x1f, 1e+3, ~, 2020-01-01]}\nb: [*a, *a]\nc: &c\n  - *a\nd: *c\n";
    vec![
        seed("cloud_init", "one", base),
        seed("cloud_init", "two", format!("{base}\0{web}")),
        seed("cloud_init", "aliases", aliases),
        seed(
            "cloud_init",
            "styles",
            "a: >-\n  folded\n  text\n\n  more\nb: |+\n  kept\n\n? c\n: 'it''s'\nd: \"\\u00e9\\x01\"\ne: !!str 5\n",
        ),
        seed("cloud_init", "deep", format!("a: {}1{}\n", "[".repeat(60), "]".repeat(60))),
    ]
}
