//! Images out of registries that misbehave.

use super::scripted::{LAYER, Mood, TestRegistry, Wants, noise, script};
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use imaging::digest::Algorithm;
use tempfile::TempDir;

/// Images in a folder of their own; no name has an address.
fn images(folder: &TempDir) -> Images {
    let lookup: Lookup = Arc::new(|_| Box::pin(async { Ok(Vec::new()) }));
    Images::open(folder.path().to_owned(), None, lookup).unwrap()
}

fn told(error: &dyn std::error::Error) -> String {
    crate::report::chain(error)
}

fn amd64() -> Platform {
    Platform::linux("amd64")
}

async fn read(mut growing: Growing) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(chunk) = growing.next().await? {
        all.extend_from_slice(&chunk);
    }
    Ok(all)
}

async fn whole(blob: Option<Blob>) -> io::Result<Vec<u8>> {
    match blob.unwrap() {
        Blob::Whole(mut file, size) => {
            let mut all = Vec::new();
            io::Read::read_to_end(&mut file, &mut all)?;
            assert_eq!(all.len() as u64, size);
            Ok(all)
        }
        Blob::Growing(growing, _) => read(growing).await,
    }
}

#[tokio::test]
async fn tag_becomes_the_digest_of_the_manifest_for_the_machine() {
    let layer = noise(1_000);
    for wants in [Wants::Nobody, Wants::Basic, Wants::Bearer] {
        let (registry, folder) =
            (TestRegistry::start(script(wants, &layer)).await, tempfile::tempdir().unwrap());
        let images = images(&folder);
        let image = images.resolve(&registry.place(":1"), &amd64()).await.unwrap();
        let (_, manifest) = registry.script.manifests.get("plain").unwrap();
        assert_eq!(image.digest, Digest::of(manifest));
        let [found] = image.layers.as_slice() else { panic!("{image:?}") };
        assert_eq!((found.digest.as_str(), found.size), (Digest::of(&layer).to_string().as_str(), 1_000));
        assert_eq!(found.media_type, LAYER);
        assert_eq!(images.resolve(&registry.place(":plain"), &amd64()).await.unwrap(), image);
        let by_digest = format!("@{}", image.digest);
        assert_eq!(images.resolve(&registry.place(&by_digest), &amd64()).await.unwrap(), image);
        // The registry was asked who is there once, and the password went to nobody else.
        let asked = registry.asked();
        let unknown = asked.iter().filter(|(path, scheme)| path != "/token" && scheme.is_empty()).count();
        let shown: Vec<&str> = asked.iter().map(|(_, scheme)| scheme.as_str()).collect();
        match wants {
            Wants::Nobody => assert!(shown.iter().all(|scheme| scheme.is_empty())),
            Wants::Basic => assert!(unknown == 1 && shown.iter().skip(1).all(|scheme| *scheme == "Basic")),
            Wants::Bearer => {
                assert_eq!(shown.get(..3), Some(["", "Basic", "Bearer"].as_slice()));
                assert_eq!(shown.iter().filter(|scheme| **scheme == "Basic").count(), 1);
            }
        }
    }
}

#[tokio::test]
async fn refusals_name_registry_image_and_remedy_and_never_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    for wants in [Wants::Basic, Wants::Bearer] {
        let registry = TestRegistry::start(script(wants, b"layer")).await;
        let at = registry.address;
        let mut all = Vec::new();
        for (login, remedy) in [
            (None, "name a registry credential in the image"),
            (
                Some(("reader", "wrong-password")),
                "to reader: check user, password and what the user may read",
            ),
        ] {
            let error = images.resolve(&registry.place_of(":1", login), &amd64()).await.unwrap_err();
            let told = told(&error);
            assert!(told.contains(&at.to_string()) && told.contains("site/os:1"), "{told}");
            assert!(told.ends_with(remedy), "{told}");
            all.push(format!("{told} {error:?}"));
        }
        let place = registry.place(":none");
        let error = images.resolve(&place, &amd64()).await.unwrap_err();
        assert_eq!(told(&error), format!("{at} has no {at}/site/os:none: check repository and tag"));
        all.push(format!("{error:?} {place:?} {images:?}"));
        let all = all.join("\n");
        for secret in ["hunter2", "wrong-password", "secret-token", &STANDARD.encode("reader:hunter2")] {
            assert!(!all.contains(secret), "{secret} is in {all}");
        }
    }
}

#[tokio::test]
async fn images_that_cannot_be_trusted_or_installed_are_refused() {
    let (registry, folder) =
        (TestRegistry::start(script(Wants::Nobody, b"layer")).await, tempfile::tempdir().unwrap());
    let images = images(&folder);
    let other = format!("@{}", Digest::of(b"other"));
    for (target, platform, part) in [
        (":old", amd64(), "schema 1"),
        (":huge", amd64(), "sends more than 4194304 bytes"),
        (other.as_str(), amd64(), "gives something else for the manifest"),
        (":1", Platform::linux("arm64"), "nothing for linux/arm64"),
        (":plain", Platform::linux("arm64"), "nothing for linux/arm64"),
    ] {
        let error = images.resolve(&registry.place(target), &platform).await.unwrap_err();
        assert!(told(&error).contains(part), "{target}: {}", told(&error));
        assert!(!error.may_pass());
    }
}

#[tokio::test]
async fn credential_of_another_registry_is_not_shown() {
    let registry = TestRegistry::start(script(Wants::Basic, b"layer")).await;
    let login =
        Login { registry: "elsewhere.example:5000".into(), username: "a".into(), password: "hunter2".into() };
    let reference = format!("{}/site/os:1", registry.address).parse().unwrap();
    let error = Place::new(reference, Some(login), registry.trust(), true).unwrap_err();
    assert!(
        told(&error).starts_with("the credential is for elsewhere.example:5000, and the image"),
        "{error}"
    );
    assert!(registry.asked().is_empty());
}

#[tokio::test]
async fn nobody_sends_the_server_to_what_only_it_reaches() {
    let layer = noise(1_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    // Directly, since nobody excepted it.
    let reference = format!("{}/site/os:1", registry.address).parse().unwrap();
    let place = Place::new(reference, None, Trust::default(), true).unwrap();
    let error = images.resolve(&place, &amd64()).await.unwrap_err();
    assert!(told(&error).contains("127.0.0.1, this server itself"), "{}", told(&error));
    assert!(registry.asked().is_empty());
    // By a redirect.
    let (place, digest) = (registry.place(":1"), Digest::of(&layer));
    for (to, why) in [
        ("http://169.254.169.254/latest/meta-data/", "metadata services"),
        ("http://[::ffff:169.254.169.254]/", "metadata services"),
        ("http://127.0.0.1:1/", "this server itself"),
        ("file:///etc/shadow", "images come by https: or http:"),
        ("http://name.example/", "name.example has no address"),
    ] {
        registry.is_in(Mood::RedirectsTo(to.to_owned()));
        let blob = images.pulled(&digest, 1_000, &place, &HashSet::new()).await.unwrap();
        let error = whole(blob).await.unwrap_err();
        assert!(error.to_string().contains("cannot be fetched"), "{error}");
        let pulled = images.registries.blob(&place, &digest, 0).await.unwrap_err();
        assert!(told(&pulled).contains(why), "{to}: {}", told(&pulled));
    }
    registry.is_in(Mood::RedirectsTo(format!("http://{}/v2/site/os/blobs/{digest}", registry.address)));
    let error = images.registries.blob(&place, &digest, 0).await.unwrap_err();
    assert!(told(&error).ends_with("redirects more than 3 times"), "{}", told(&error));
}

#[tokio::test]
async fn password_does_not_follow_a_redirect_to_another_host() {
    let layer = noise(1_000);
    let registry = TestRegistry::start(script(Wants::Basic, &layer)).await;
    let elsewhere = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    let digest = Digest::of(&layer);
    registry.is_in(Mood::RedirectsTo(format!("http://{}/v2/site/os/blobs/{digest}", elsewhere.address)));
    let hosts = format!("{} {}", registry.address, elsewhere.address).parse().unwrap();
    let login = Login {
        registry: registry.address.to_string(),
        username: "reader".into(),
        password: "hunter2".into(),
    };
    let reference = format!("{}/site/os:1", registry.address).parse().unwrap();
    let trust = Trust { hosts: Arc::new(hosts), ca: "".into() };
    let place = Place::new(reference, Some(login), trust, true).unwrap();
    let blob = images.pulled(&digest, 1_000, &place, &HashSet::new()).await.unwrap();
    assert_eq!(whole(blob).await.unwrap(), layer);
    assert_eq!(elsewhere.asked(), [(format!("/v2/site/os/blobs/{digest}"), String::new())]);
}

#[tokio::test]
async fn many_readers_share_one_download_and_have_it_from_the_cache_afterwards() {
    let layer = noise(300_000);
    let registry = TestRegistry::start(script(Wants::Bearer, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    let (place, digest, keep) = (registry.place(":1"), Digest::of(&layer), HashSet::new());
    let first = images.pulled(&digest, 300_000, &place, &keep).await.unwrap();
    let Some(Blob::Growing(mut tail, 300_000)) =
        images.pulled(&digest, 300_000, &place, &keep).await.unwrap()
    else {
        panic!("it is not there yet")
    };
    // A range that has not come yet is waited for.
    (tail.at, tail.left) = (299_000, 1_000);
    let (first, tail) = tokio::join!(whole(first), read(tail));
    assert_eq!(first.unwrap(), layer);
    assert_eq!(tail.unwrap(), layer[299_000..]);
    if let Some(pull) = images.pulls.running(&digest) {
        assert!(pull.end().await.is_ok());
    }
    assert_eq!(*registry.script.sent.lock().unwrap(), 300_000);
    registry.is_in(Mood::RedirectsTo("http://nowhere.example/".to_owned()));
    let kept = images.held(&digest, true).await.unwrap();
    assert!(matches!(kept, Some(Blob::Whole(_, 300_000))));
    assert_eq!(whole(kept).await.unwrap(), layer);
}

#[tokio::test]
async fn download_that_breaks_goes_on_where_it_stopped() {
    let layer = noise(300_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    registry.is_in(Mood::BreaksAfter(250_000));
    let images = images(&folder);
    let (place, digest) = (registry.place(":1"), Digest::of(&layer));
    let blob = images.pulled(&digest, 300_000, &place, &HashSet::new()).await.unwrap();
    assert_eq!(whole(blob).await.unwrap(), layer);
    assert!(*registry.script.sent.lock().unwrap() <= 300_000);
}

#[tokio::test]
async fn restart_goes_on_with_what_the_last_run_left() {
    let layer = noise(300_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(&layer);
    let partial = folder.path().join("partial");
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join(cache::partial_name(&digest)), &layer[..200_000]).unwrap();
    let blob =
        images(&folder).pulled(&digest, 300_000, &registry.place(":1"), &HashSet::new()).await.unwrap();
    assert_eq!(whole(blob).await.unwrap(), layer);
    assert_eq!(*registry.script.sent.lock().unwrap(), 100_000);
}

#[tokio::test]
async fn what_a_crash_damaged_is_fetched_anew() {
    let layer = noise(100_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let digest = Digest::of(&layer);
    let (partial, mut damaged) = (folder.path().join("partial"), layer[..60_000].to_vec());
    damaged[7] ^= 4;
    std::fs::create_dir_all(&partial).unwrap();
    std::fs::write(partial.join(cache::partial_name(&digest)), damaged).unwrap();
    let images = images(&folder);
    drop(images.pulled(&digest, 100_000, &registry.place(":1"), &HashSet::new()).await.unwrap());
    let end = images.pulls.running(&digest).unwrap().end().await;
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(whole(images.held(&digest, true).await.unwrap()).await.unwrap(), layer);
    assert_eq!(*registry.script.sent.lock().unwrap(), 40_000 + 100_000);
}

#[tokio::test]
async fn each_flipped_bit_on_the_way_is_found_and_nothing_is_kept() {
    let layer = noise(2_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    let (place, digest) = (registry.place(":1"), Digest::of(&layer));
    for flip in 0..1_000 {
        let bit = flip * 15_999 / 999;
        registry.is_in(Mood::Flips(bit));
        drop(images.pulled(&digest, 2_000, &place, &HashSet::new()).await.unwrap());
        let end = match images.pulls.running(&digest) {
            Some(pull) => pull.end().await,
            None => panic!("the download began just now"),
        };
        assert!(matches!(end.as_ref(), Err(DownloadError::Mismatch { .. })), "bit {bit}: {end:?}");
        assert!(images.held(&digest, false).await.unwrap().is_none(), "bit {bit}");
    }
    registry.is_in(Mood::Fine);
    let blob = images.pulled(&digest, 2_000, &place, &HashSet::new()).await.unwrap();
    assert_eq!(whole(blob).await.unwrap(), layer);
}

#[tokio::test]
async fn blob_of_another_length_is_not_kept() {
    let layer = noise(2_000);
    let registry = TestRegistry::start(script(Wants::Nobody, &layer)).await;
    let folder = tempfile::tempdir().unwrap();
    let images = images(&folder);
    let digest = Digest::of(&layer);
    drop(images.pulled(&digest, 1_999, &registry.place(":1"), &HashSet::new()).await.unwrap());
    let end = images.pulls.running(&digest).unwrap().end().await;
    assert!(matches!(end.as_ref(), Err(DownloadError::TooLong { limit: 1_999 })), "{end:?}");
    assert!(images.held(&digest, false).await.unwrap().is_none());
    assert_eq!(digest.algorithm(), Algorithm::Sha256);
}
