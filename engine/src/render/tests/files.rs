//! Which files a machine has, and what keeps it from having them.

use super::super::{Body, file_path};
use super::*;
use std::collections::BTreeMap;

fn files(scene: &Scene) -> BTreeMap<String, String> {
    let text = |body| match body {
        Body::Text(text) => text,
        Body::Link(link) => format!("-> {link}"),
    };
    scene.files().into_iter().map(|file| file.unwrap()).map(|file| (file.path, text(file.body))).collect()
}

#[test]
fn local_boots_the_disk_by_every_loader_and_address() {
    let mut site = Site::new();
    site.machine.fields.boot_env = "local".into();
    let found = files(&site.scene());
    let paths: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "10.0.0.5.ipxe",
            "52:54:00:00:00:02.ipxe",
            "52:54:00:ab:cd:ef.ipxe",
            "grub/10.0.0.5.cfg",
            "grub/52:54:00:00:00:02.cfg",
            "grub/52:54:00:ab:cd:ef.cfg",
            "pxelinux.cfg/01-52-54-00-00-00-02",
            "pxelinux.cfg/01-52-54-00-ab-cd-ef",
            "pxelinux.cfg/0A000005",
        ]
    );
    assert!(found["pxelinux.cfg/0A000005"].contains("localboot 0"));
    assert!(found["10.0.0.5.ipxe"].starts_with("#!ipxe\n"));
    assert!(site.scene().errors().is_empty());
}

#[test]
fn machine_without_addresses_has_no_file_that_needs_one() {
    let mut site = Site::new();
    site.machine.fields.boot_env = "local".into();
    site.machine.fields.address.clear();
    assert!(files(&site.scene()).keys().all(|path| path.contains("52")));
    site.machine.fields.hardware_addrs.clear();
    assert!(files(&site.scene()).is_empty());
    assert!(site.scene().errors().is_empty());
}

#[test]
fn strangers_are_shown_the_way_to_known_files_first() {
    let site = Site::new();
    let found = files(&site.unknown());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["default.ipxe", "grub/grub.cfg", "pxelinux.cfg/default"]);
    assert!(found["default.ipxe"].contains("http://10.0.0.1:8091/${netX/mac}.ipxe"));
    assert!(found["grub/grub.cfg"].contains("/grub/$net_default_mac.cfg"));
    let mut site = Site::new();
    site.content.prefs.insert("unknownBootEnv".into(), "march-install".into());
    site.bootenv(|env| env.templates = vec![file("t", "default.ipxe", "{{.Env.Name}}")]);
    assert_eq!(files(&site.unknown())["default.ipxe"], "march-install");
}

/// G16.
#[test]
fn stage_template_is_served_with_a_param_of_the_stages_profile() {
    let mut site = Site::new();
    site.stage(|stage| {
        stage.templates = vec![file("t", "{{.Machine.Path}}/file", "{{index (.Param \"deep\") \"key\"}}")];
    });
    let path = format!("machines/{ID}/file");
    let found = site.scene().file_at(&path).unwrap().unwrap();
    assert_eq!(found.body, Body::Text("of-stage".into()));
    assert!(site.scene().file_at("machines/other/file").is_none());
}

#[test]
fn stage_wins_over_bootenv_and_later_over_earlier() {
    let mut site = Site::new();
    site.bootenv(|env| env.templates = vec![file("a", "x", "first"), file("b", "/x", "second")]);
    let body = |site: &Site| site.scene().file_at("x").unwrap().unwrap().body;
    assert_eq!(body(&site), Body::Text("second".into()));
    site.stage(|stage| stage.templates = vec![file("c", "//x", "stage")]);
    assert_eq!(body(&site), Body::Text("stage".into()));
}

#[test]
fn siblings_are_called_by_name_and_templates_by_id() {
    let mut site = Site::new();
    site.template("common", "common {{.Machine.ShortName}}");
    site.bootenv(|env| {
        let by_id = TemplateInfo { id: "common".into(), contents: String::new(), ..file("i", "by-id", "") };
        env.templates = vec![
            file("part", "part", "part"),
            file("whole", "whole", "{{template \"part\" .}} {{template \"common\" .}}"),
            by_id,
        ];
    });
    let found = files(&site.scene());
    assert_eq!((&*found["whole"], &*found["by-id"]), ("part common db-07", "common db-07"));
}

#[test]
fn link_leads_to_a_file_or_a_url_and_nowhere_else() {
    let mut site = Site::new();
    let link = |site: &mut Site, link: &str| {
        let info = TemplateInfo { link: link.into(), contents: String::new(), ..file("l", "linked", "") };
        site.bootenv(|env| env.templates = vec![info]);
        site.scene().file_at("linked").unwrap().map(|file| file.body)
    };
    let to = |target: &str| Body::Link(target.into());
    assert_eq!(
        link(&mut site, "/{{.Env.PathFor \"tftp\" \"a.img\"}}").unwrap(),
        to("march-1.2/install/a.img")
    );
    assert_eq!(link(&mut site, "https://mirror.example/a.img").unwrap(), to("https://mirror.example/a.img"));
    for hostile in ["../../etc/passwd", "https://a/\nx", "a b", "{{index .Machine.Params \"none\"}}"] {
        assert!(link(&mut site, hostile).is_err(), "{hostile}");
    }
}

#[test]
fn absent_key_is_an_error_in_a_path_and_no_value_in_a_text() {
    let mut site = Site::new();
    site.machine.fields.params.insert("map".into(), json!({"a": 1}));
    site.bootenv(|env| env.templates = vec![file("t", "x", "{{(.Param \"map\").b}}")]);
    assert_eq!(files(&site.scene())["x"], "<no value>");
    site.bootenv(|env| env.templates = vec![file("t", "{{(.Param \"map\").b}}", "x")]);
    assert_eq!(site.scene().errors().len(), 1);
}

#[test]
fn own_delimiters_replace_the_double_braces() {
    let mut site = Site::new();
    let mut info = file("t", "[[.Machine.ShortName]]/x", "{{literally}} [[.Machine.ShortName]]");
    (info.start_delimiter, info.end_delimiter) = ("[[".into(), "]]".into());
    site.bootenv(|env| env.templates = vec![info]);
    assert_eq!(files(&site.scene())["db-07/x"], "{{literally}} db-07");
}

#[test]
fn what_cannot_be_rendered_is_told_with_template_line_and_param_and_vanishes_when_mended() {
    let mut site = Site::new();
    site.bootenv(|env| {
        env.required_params = vec!["needed".into()];
        env.templates =
            vec![file("menu", "menu", "one\n{{.Param \"wanted\"}}"), file("fine", "fine", "fine")];
    });
    site.stage(|stage| {
        stage.required_params = vec!["staged".into()];
        stage.templates = vec![file("broken", "a/../b", "x")];
    });
    let errors = site.scene().errors();
    let expected = [
        "bootenv march-install requires param \"needed\", which is not set",
        "stage prepare requires param \"staged\", which is not set",
        "bootenv march-install: template \"menu\", line 2",
        "stage prepare: template \"broken (Path)\": the path leads upwards",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for (error, beginning) in errors.iter().zip(expected) {
        assert!(error.starts_with(beginning), "{error}");
    }
    assert!(errors[2].contains("\"wanted\""), "{}", errors[2]);
    // The others are served all the same.
    assert!(site.scene().file_at("fine").unwrap().is_ok());
    assert!(site.scene().file_at("menu").unwrap().is_err());
    site.profile("global", json!({"needed": 1, "staged": 2, "wanted": 3}));
    site.stage(|stage| stage.templates.clear());
    assert!(site.scene().errors().is_empty());
}

/// G20.
#[test]
fn architecture_that_the_bootenv_lacks_is_an_error_of_the_machine() {
    let mut site = Site::new();
    site.machine.fields.arch = "arm64".into();
    assert_eq!(site.scene().errors(), ["bootenv march-install does not support architecture arm64"]);
    site.bootenv(|env| {
        let arm = protocol::model::ArchInfo { kernel: "vmlinuz-arm".into(), ..Default::default() };
        env.os.supported_architectures.insert("aarch64".into(), arm);
    });
    assert!(site.scene().errors().is_empty());
    site.says("{{.Env.PathFor \"tftp\" .Env.Kernel}}", "march-1.2/arm64/install/vmlinuz-arm");
}

#[test]
fn kexec_file_names_kernel_initrd_and_command_line() {
    let mut site = Site::new();
    let path = format!("machines/{ID}/kexec");
    let tree = "http://10.0.0.1:8091/march-1.2/install";
    assert_eq!(
        site.scene().kexec_file(&path).unwrap().unwrap(),
        format!("kernel {tree}/vmlinuz0\ninitrd {tree}/stage1.img\nparams quiet name=db-07.example.org\n")
    );
    assert!(site.scene().kexec_file("machines/x/kexec").is_none());
    site.machine.fields.boot_env = "local".into();
    assert!(site.scene().kexec_file(&path).is_none());
}

#[test]
fn texts_stay_out_of_debug() {
    let site = Site::new();
    let shown = format!("{:?} {:?}", Body::Text("token-1".into()), site.scene().content.parsed);
    assert!(!shown.contains("token-1"), "{shown}");
    assert_eq!(file_path("/a//b").unwrap(), "a/b");
}
