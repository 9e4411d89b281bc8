use super::*;
use proptest::prelude::*;

const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn descriptor(media_type: &str, more: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{A}","size":10{more}}}"#)
}

fn manifest(layers: &[String]) -> String {
    let config = descriptor(OCI_CONFIG, "");
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","))
}

fn index(platforms: &[&str]) -> String {
    let manifests: Vec<String> = platforms
        .iter()
        .map(|platform| {
            let mut parts = platform.split('/');
            let mut part = || parts.next().unwrap_or_default();
            let (os, architecture, variant) = (part(), part(), part());
            let more = format!(
                r#","platform":{{"os":"{os}","architecture":"{architecture}","variant":"{variant}"}}"#
            );
            descriptor(OCI_MANIFEST, &more)
        })
        .collect();
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, manifests.join(","))
}

fn refused(content_type: Option<&str>, body: &str) -> String {
    Document::parse(content_type, body.as_bytes()).expect_err("it is refused").to_string()
}

fn an_index(platforms: &[&str]) -> Index {
    match Document::parse(Some(OCI_INDEX), index(platforms).as_bytes()) {
        Ok(Document::Index(index)) => index,
        other => panic!("{other:?}"),
    }
}

fn a_manifest(body: &str) -> Manifest {
    match Document::parse(None, body.as_bytes()) {
        Ok(Document::Manifest(manifest)) => *manifest,
        other => panic!("{other:?}"),
    }
}

#[test]
fn references_are_what_docker_takes_them_for() {
    let tag = format!("registry.example:5000/linux/debian:12@{A}");
    for (text, registry, repository, target, shown) in [
        ("debian", "registry-1.docker.io", "library/debian", "latest", "docker.io/library/debian:latest"),
        ("debian:12", "registry-1.docker.io", "library/debian", "12", "docker.io/library/debian:12"),
        ("me/app", "registry-1.docker.io", "me/app", "latest", "docker.io/me/app:latest"),
        (
            "index.docker.io/debian",
            "registry-1.docker.io",
            "library/debian",
            "latest",
            "docker.io/library/debian:latest",
        ),
        ("localhost/app", "localhost", "app", "latest", "localhost/app:latest"),
        ("127.0.0.1:5000/a/b:T.1", "127.0.0.1:5000", "a/b", "T.1", "127.0.0.1:5000/a/b:T.1"),
        ("[::1]:5000/a", "[::1]:5000", "a", "latest", "[::1]:5000/a:latest"),
        ("GHCR.io/a/b__c-d.e", "ghcr.io", "a/b__c-d.e", "latest", "ghcr.io/a/b__c-d.e:latest"),
        (&tag, "registry.example:5000", "linux/debian", A, &tag),
        (&format!("ghcr.io/x@{A}"), "ghcr.io", "x", A, &format!("ghcr.io/x@{A}")),
    ] {
        let reference: Reference = text.parse().expect(text);
        let seen = (reference.registry(), reference.repository(), reference.target());
        assert_eq!(seen, (registry, repository, target.to_owned()), "{text}");
        assert_eq!(reference.to_string(), shown);
        assert_eq!(shown.parse(), Ok(reference));
    }
    let reference: Reference = "debian:12".parse().unwrap();
    assert_eq!(reference.with_digest(A.parse().unwrap()).target(), A);
}

#[test]
fn what_names_no_image_is_refused() {
    let long = "a".repeat(300);
    for text in [
        "",
        "https://ghcr.io/a",
        "docker://a",
        "ghcr.io/",
        "ghcr.io//a",
        "ghcr.io/A",
        "ghcr.io/a:",
        "ghcr.io/a:-x",
        "ghcr.io/a/../b",
        "ghcr.io/a b",
        "ghcr.io/a@sha256:00",
        "ghcr.io/a@",
        "ghcr.io:0/a",
        "ghcr.io:99999/a",
        "gh_cr.io:1/a",
        "-x.io/a",
        "ghcr.io/a?b",
        "ghcr.io/a#b",
        "ghcr.io/a%2e",
        "u:p@ghcr.io/a",
        "ghcr.io/a--/b",
        "ghcr.io/a..b",
        "ghcr.io/a.",
        "ghcr.io/_a",
        "[::1/a",
        "a:b/c",
        &long,
        "ghcr.io/a:b:c",
        "x\n.io/a",
    ] {
        assert!(text.parse::<Reference>().is_err(), "{text}");
    }
}

#[test]
fn manifests_are_read_lowest_layer_first() {
    let layers: Vec<String> =
        ["application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_LAYER].map(|t| descriptor(t, "")).into();
    let manifest = a_manifest(&manifest(&layers));
    assert_eq!(manifest.layers[1].media_type, OCI_LAYER);
    assert_eq!(manifest.size(), 20);
}

#[test]
fn what_is_no_image_of_a_system_is_refused_by_name() {
    let layer = descriptor(OCI_LAYER, "");
    let good = manifest(std::slice::from_ref(&layer));
    let schema1 =
        r#"{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[],"history":[]}"#;
    assert!(refused(None, schema1).contains("Docker's schema 1"));
    let jws = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    assert!(refused(Some(jws), &good).contains("Docker's schema 1"));
    assert!(refused(Some(OCI_INDEX), &good).contains("looks like a manifest"));
    assert!(refused(Some("text/html"), &good).contains("`text/html` is neither"));
    assert!(refused(None, "[]").contains("is not understood"));
    assert!(refused(None, r#"{"schemaVersion":2}"#).contains("neither"));
    assert!(refused(None, r#"{"schemaVersion":3,"layers":[]}"#).contains("schema version 3"));
    assert!(refused(None, &manifest(&[])).contains("no layers"));
    let both = good.replacen('{', r#"{"manifests":[],"#, 1);
    assert!(refused(None, &both).contains("both a manifest and an index"));
    let chart = good.replace(OCI_CONFIG, "application/vnd.cncf.helm.config.v1+json");
    assert!(refused(None, &chart).contains("another kind of artifact"));
    let twice = good.replacen('{', r#"{"schemaVersion":2,"#, 1);
    assert!(refused(None, &twice).contains("is not understood"));
    for kind in [
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "application/x",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    ] {
        assert!(refused(None, &manifest(&[descriptor(kind, "")])).contains("can be unpacked"), "{kind}");
    }
    let elsewhere = descriptor(OCI_LAYER, r#","urls":["http://127.0.0.1/"]"#);
    assert!(refused(None, &manifest(&[elsewhere])).contains("can be unpacked"));
    let negative = layer.replace("10", "-1");
    assert!(refused(None, &manifest(&[negative])).contains("is not understood"));
}

#[test]
fn ten_thousand_layers_are_refused() {
    let many = vec![descriptor(OCI_LAYER, ""); 10_000];
    assert_eq!(refused(None, &manifest(&many)), "the image has 10000 layers; at most 512 are taken");
    let large = " ".repeat(MAX_MANIFEST + 1);
    assert_eq!(refused(None, &large), "the image's manifest has 4194305 bytes; at most 4194304 are read");
}

#[test]
fn the_platform_that_fits_best_is_chosen() {
    let multi = an_index(&[
        "unknown/unknown",
        "windows/amd64",
        "linux/arm/v6",
        "linux/arm/v7",
        "linux/arm64/v8",
        "linux/amd64/v3",
        "linux/amd64",
    ]);
    assert_eq!(multi.manifests.len(), 6, "attestations are none");
    let chosen = |architecture: &str| {
        multi.choose(&Platform::linux(architecture)).map(|d| d.platform.as_ref().unwrap().to_string())
    };
    assert_eq!(chosen("x86_64").unwrap(), "linux/amd64");
    assert_eq!(chosen("amd64/v3").unwrap(), "linux/amd64/v3");
    assert_eq!(chosen("amd64/v4").unwrap(), "linux/amd64");
    assert_eq!(chosen("aarch64").unwrap(), "linux/arm64/v8");
    assert_eq!(chosen("armhf").unwrap(), "linux/arm/v7");
    let error = chosen("riscv64").unwrap_err().to_string();
    assert!(error.starts_with("the image has nothing for linux/riscv64; it has windows/amd64, "), "{error}");
}

#[test]
fn attestations_are_never_chosen() {
    let annotated = r#","annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"os":"linux","architecture":"amd64"}"#;
    let body = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST, annotated));
    let Ok(Document::Index(index)) = Document::parse(None, body.as_bytes()) else { panic!("it is an index") };
    assert!(index.choose(&Platform::linux("amd64")).is_err());
}

#[test]
fn a_configuration_belongs_to_its_manifest() {
    let manifest = a_manifest(&manifest(&[descriptor(OCI_LAYER, "")]));
    let config = |ids: &str| {
        format!(
            r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":[{ids}]}},
                "config":{{"Labels":{{"a":"b"}}}}}}"#
        )
    };
    let read = Config::parse(config(&format!(r#""{A}""#)).as_bytes(), &manifest).unwrap();
    assert_eq!((read.label("a"), read.label("c")), (Some("b"), None));
    assert_eq!(read.diff_ids().len(), 1);
    assert!(read.check(&Platform::linux("x86_64")).is_ok());
    let error = read.check(&Platform::linux("arm64")).unwrap_err().to_string();
    assert_eq!(error, "the image has nothing for linux/arm64; it has linux/amd64");
    let error = Config::parse(config("").as_bytes(), &manifest).unwrap_err().to_string();
    assert_eq!(error, "the image's configuration names 0 layers and its manifest 1");
}

proptest! {
    #[test]
    fn references_read_back(text in r"([a-z0-9.]{1,8}(:[0-9]{1,4})?/)?[a-z0-9._/-]{1,12}(:[A-Za-z0-9._-]{1,6})?") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,80}") {
        prop_assert!(Document::parse(None, &bytes).is_err());
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert!(!reference.registry().contains(['/', '@', '?', '#', ' ']));
            prop_assert!(!reference.repository().contains(['@', '?', '#', ' ', '%', ':']));
        }
    }
}
