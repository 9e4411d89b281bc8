//! Private keys stay on their machines: what the server keeps, logs, answers and tells has none.

use std::fs;
use std::path::{Path, PathBuf};

use crate::member::Member;
use crate::site::{MESH, Site};

/// Where machines that run our image have their key.
pub(crate) const KEY: &str = "/run/muster/mesh/key";
/// Bytes of one.
const LENGTH: usize = 32;
/// Fewest bytes of a data directory that has anything in it.
const SOMETHING: usize = 64 * 1_024;

/// A private key, and how it may be written.
pub(crate) struct Key {
    owner: String,
    forms: Vec<Vec<u8>>,
}

impl Key {
    /// Reads a machine's key, by its second serial line and no other way.
    pub(crate) fn of(member: &mut Member) -> Self {
        assert_eq!(member.does(&format!("stat -c %a {KEY}")).trim(), "600");
        let hex = member.does(&format!("xxd -p -c 64 {KEY} | tr -d '\\n'")).trim().to_owned();
        assert_eq!(hex.len(), 2 * LENGTH, "a private key has {LENGTH} bytes");
        let base64 = member.does(&format!("base64 {KEY} | tr -d '\\n'")).trim().to_owned();
        // Without its last characters, which differ between kinds of base64.
        let stem = base64.trim_end_matches('=');
        let url = stem.replace('+', "-").replace('/', "_");
        let raw = (0..LENGTH).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        let texts = [stem.to_owned(), url, hex.to_uppercase(), hex];
        let forms = texts.map(String::into_bytes).into_iter().chain([raw]).collect();
        Self { owner: member.name.clone(), forms }
    }

    fn is_not_in(&self, what: &str, bytes: &[u8]) {
        for form in &self.forms {
            let found = bytes.windows(form.len()).any(|window| window == form);
            assert!(!found, "the private key of {} is in {what}", self.owner);
        }
    }
}

/// Every file of a folder, however deep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

impl Site {
    /// None of these keys is anywhere where the server says or keeps something.
    pub(crate) fn keeps_no_key(&self, keys: &[Key], members: &[&Member]) {
        let mut said = vec![("the log".to_owned(), self.server.logs().unwrap().into_bytes())];
        let events = self.events();
        assert!(members.iter().all(|member| events.contains(&member.uuid)), "no event told of a machine");
        said.push(("the events".to_owned(), events.into_bytes()));
        let lists =
            ["machines", "meshes", "vips", "jobs", "profiles", "params"].map(|list| format!("/{list}"));
        let of_machines = members.iter().flat_map(|member| {
            ["", "/peers", "/params"].map(|rest| format!("/machines/{}{rest}", member.uuid))
        });
        for path in lists.into_iter().chain(of_machines).chain([format!("/meshes/{MESH}/peers")]) {
            let answer = self.operator.get(&format!("/api/v3{path}")).unwrap();
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            said.push((path, answer.body));
        }
        for job in self.get("/jobs").as_array().unwrap() {
            let path = format!("/api/v3/jobs/{}/log", job["Uuid"].as_str().unwrap());
            said.push((path.clone(), self.operator.get(&path).unwrap().body));
        }
        let before = said.len();
        let kept = files(self.server.data_dir()).into_iter().filter_map(|path| {
            // A file of the database may go while it is looked at.
            fs::read(&path).ok().map(|bytes| (path.display().to_string(), bytes))
        });
        said.extend(kept);
        let looked_at: usize = said.iter().skip(before).map(|(_, bytes)| bytes.len()).sum();
        assert!(looked_at > SOMETHING, "the database was not looked at");
        for (what, bytes) in &said {
            keys.iter().for_each(|key| key.is_not_in(what, bytes));
        }
    }
}
