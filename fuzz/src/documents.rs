//! What is stored and sent as documents: embedded config, inventory, module index, manifest.

use crate::text::{is_tame, lossy};
use initrd::segment::{config_archive, config_json};
use iso::manifest::{ISO_FILE, Manifest};
use iso::patch::{Patch, PatchedImage};
use iso::region::CONFIG_REGION_LEN;
use protocol::cmdline::KernelArgs;
use protocol::config::{AgentConfig, ConfigError, MAX_CA, MAX_SERVERS, Settings};
use protocol::inventory::{Inventory, MAX_INVENTORY, MAX_OBSERVED, is_useful_serial, is_useful_uuid};
use protocol::module_index::{MAX_ALIAS_LEN, ModuleIndex};
use std::collections::BTreeSet;
use std::io::{Cursor, Read};

/// Largest image that [`manifest`] patches, in bytes.
const MAX_IMAGE: u64 = 256 * 1_024;
/// Most modules of which [`module_index`] asks for the order, and most that may have edges.
const MAX_ORDERED: usize = 64;

/// The embedded config: what is accepted is bounded, survives being written and being put into
/// its region, and joins any command line without a word that a terminal would obey.
pub fn config(data: &[u8]) -> bool {
    let config = match AgentConfig::parse(data) {
        Ok(config) => config,
        Err(error) => {
            is_tame(&error.to_string());
            return false;
        }
    };
    assert!(config.server.len() <= MAX_SERVERS && config.ca_hash.len() <= MAX_SERVERS);
    assert!(config.ca.len() <= MAX_CA);
    let settings = Settings::combine(&KernelArgs::default(), Some(&config));
    settings.problems.iter().for_each(|problem| is_tame(problem));
    assert!(settings.token.is_none() || settings.token_error.is_none());
    if let Some(token) = config.token.as_deref().filter(|token| token.len() > 20) {
        assert!(!format!("{config:?}").contains(token), "the token is in Debug");
    }
    if let Some(nonce) = &settings.nonce {
        assert_eq!(config.nonce, Some(nonce.reveal()), "one spelling");
        assert_eq!(format!("{nonce:?}"), "BootNonce([redacted])");
    }
    let json = match config.render() {
        Ok(json) => json,
        // Certificates are wrapped anew, which may take more lines than they came in.
        Err(ConfigError::TooLong(_) | ConfigError::Ca(..)) => return true,
        Err(error) => panic!("a config that was read cannot be written: {error}"),
    };
    assert_eq!(AgentConfig::parse(&json).expect("what was written is read"), config);
    if let Ok(region) = config_archive(&json, CONFIG_REGION_LEN) {
        assert_eq!(region.len(), CONFIG_REGION_LEN);
        assert_eq!(config_json(&region).expect("the config is in its region"), json);
    }
    true
}

/// An inventory: cleaning is idempotent, leaves printable text alone, and what is made to fit fits.
pub fn inventory(data: &[u8]) -> bool {
    let Ok(told) = serde_json::from_slice::<Inventory>(data) else { return false };
    let mut clean = told.clone();
    clean.clean();
    is_clean(&clean);
    for limit in [MAX_INVENTORY, MAX_OBSERVED] {
        let fitted = told.clone().fit(limit);
        let json = serde_json::to_vec(&fitted).expect("an inventory is JSON");
        assert!(json.len() <= limit, "{} bytes of {limit}", json.len());
        assert_eq!(fitted.clone().fit(limit), fitted);
        assert_eq!(fitted.macs().collect::<Vec<_>>(), clean.macs().collect::<Vec<_>>());
    }
    true
}

/// What the server stores and the dashboard shows: printable ASCII, and cleaned once is clean.
pub(crate) fn is_clean(inventory: &Inventory) {
    let json = serde_json::to_vec(inventory).expect("an inventory is JSON");
    let wild = json.iter().find(|byte| !(b' '..=b'~').contains(*byte));
    assert_eq!(wild, None, "{}", lossy(&json));
    let mut again = inventory.clone();
    again.clean();
    assert_eq!(&again, inventory);
    assert!(!is_useful_serial(&inventory.serial) || !inventory.serial.is_empty());
    assert!(!is_useful_uuid(&inventory.system_uuid) || inventory.system_uuid.len() == 36);
}

/// The module index of an initrd; what stands behind a NUL is a device's modalias. What is read is
/// written and read back the same; an order loads each module once, and after what it needs.
pub fn module_index(data: &[u8]) -> bool {
    let text = lossy(data);
    let (text, modalias) = text.split_once('\0').unwrap_or((&text, "pci:v00008086d00001592"));
    let index = match ModuleIndex::parse(text) {
        Ok(index) => index,
        Err(error) => {
            is_tame(&error.to_string());
            return false;
        }
    };
    assert_eq!(ModuleIndex::parse(&index.render()).as_ref(), Ok(&index));
    let found = index.matching(modalias);
    assert!(found.is_sorted() && found.iter().all(|name| index.module(name).is_some()));
    assert!(modalias.len() <= MAX_ALIAS_LEN || found.len() <= 1);
    for name in found.into_iter().take(MAX_ORDERED) {
        is_ordered(&index, name);
    }
    true
}

fn is_ordered(index: &ModuleIndex, name: &str) {
    let steps = index.load_order(name);
    let names: BTreeSet<&str> = steps.iter().map(|step| step.module.name.as_str()).collect();
    assert_eq!(names.len(), steps.len(), "a module is loaded twice for {name}");
    assert!(names.contains(name), "{name} is not loaded for itself");
    assert!(steps.len() <= index.module_count());
    if steps.len() > MAX_ORDERED || index.module_count() > MAX_ORDERED {
        return;
    }
    let place = |name: &str| steps.iter().position(|step| step.module.name == name);
    for step in &steps {
        for needed in &step.module.depends {
            let needed = place(needed).expect("what a module needs is loaded as well");
            // In a circle nobody can come first.
            let in_a_circle = reaches(index, &steps[needed].module.name, &step.module.name);
            assert!(in_a_circle || place(&step.module.name) > Some(needed), "{name}");
        }
    }
}

/// Whether loading `from` asks for `to`, in whatever way.
fn reaches(index: &ModuleIndex, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut stack = vec![from];
    while let Some(name) = stack.pop() {
        if name == to {
            return true;
        }
        if let Some(module) = index.module(name).filter(|_| seen.insert(name)) {
            let edges = module.depends.iter().chain(&module.pre).chain(&module.post);
            stack.extend(edges.map(String::as_str));
        }
    }
    false
}

/// The manifest of boot media: what is accepted is written and read back the same, and patches of
/// its regions change the image there and nowhere else.
pub fn manifest(data: &[u8]) -> bool {
    let manifest = match Manifest::parse(data) {
        Ok(manifest) => manifest,
        Err(error) => {
            is_tame(&error.to_string());
            return false;
        }
    };
    let json = manifest.to_json().expect("a manifest that was read can be written");
    assert_eq!(Manifest::parse(&json).expect("what was written is read"), manifest);
    let length = manifest.files.get(ISO_FILE).map_or(0, |iso| iso.size);
    assert!(manifest.regions.iter().all(|region| region.end().is_some_and(|end| end <= length)));
    let Ok(size) = usize::try_from(length.min(MAX_IMAGE + 1)) else { return true };
    if length > MAX_IMAGE {
        return true;
    }
    let mut expected = vec![0x55; size];
    let mut patches = Vec::new();
    for region in &manifest.regions {
        let bytes = usize::try_from(region.offset).ok().zip(region.end().and_then(|end| end.try_into().ok()));
        let (from, to) = bytes.expect("a region of a small image");
        expected[from..to].fill(0xaa);
        patches.push(Patch::new(region, vec![0xaa; to - from]).expect("contents of the region's length"));
    }
    let base = Cursor::new(vec![0x55; size]);
    let mut patched = PatchedImage::new(base, patches).expect("regions that do not overlap");
    let mut bytes = Vec::new();
    patched.read_to_end(&mut bytes).expect("memory can be read");
    assert!(bytes == expected, "a patch reaches outside its region");
    true
}
