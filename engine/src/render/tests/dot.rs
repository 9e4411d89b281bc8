//! `.Machine`, `.Param`, `.Env` and the others, one by one.

use super::*;
use crate::provision::params::ROLE_LABEL;

#[test]
fn machine_has_its_fields_and_what_follows_from_them() {
    let site = Site::new();
    for (text, rendered) in [
        ("{{.Machine.Name}} {{.Machine.ShortName}}", "db-07.example.org db-07"),
        ("{{.Machine.UUID}} {{.Machine.Uuid}}", &format!("{ID} {ID}")),
        ("{{.Machine.Path}}", &format!("machines/{ID}")),
        ("{{.Machine.Url}}", &format!("http://10.0.0.1:8091/machines/{ID}")),
        ("{{.Machine.Address}} {{.Machine.HexAddress}}", "10.0.0.5 0A000005"),
        ("{{.Machine.MacAddr}}", "52:54:00:ab:cd:ef"),
        ("{{.Machine.MacAddr \"pxelinux\"}}", "01-52-54-00-ab-cd-ef"),
        (
            "{{.Machine.MacAddr \"ipxe\"}} {{.Machine.MacAddr \"grub\"}}",
            "52:54:00:ab:cd:ef 52:54:00:ab:cd:ef",
        ),
        ("{{.Machine.MacAddr \"rpi4\"}}", "52-54-00-ab-cd-ef"),
        ("{{.Machine.Arch}} {{.Machine.BootEnv}} {{.Machine.Stage}}", "amd64 march-install prepare"),
        ("{{range .Machine.Profiles}}{{.}}{{end}}", "rack"),
        ("{{.Machine.CurrentTask}} {{eq .Machine.CurrentTask 0}}", "0 true"),
        ("{{.Machine.Runnable}} {{.Machine.Pool}} {{.Machine.PoolStatus}}", "true default Free"),
        ("{{index .Machine.Meta \"feature-flags\"}}", "change-stage-v2"),
        ("{{.Machine.HasProfile \"rack\"}} {{.Machine.HasProfile \"x\"}}", "true false"),
    ] {
        site.says(text, rendered);
    }
    site.fails("{{.Machine.Nope}}", "Nope");
    site.fails("{{.Machine.MacAddr \"token-ring\"}}", "format \"token-ring\" is not known");
}

#[test]
fn machine_has_the_roles_that_rest_shows() {
    let mut site = Site::new();
    let mut web = Profile { name: "web".into(), ..Profile::default() };
    web.envelope.meta.insert(ROLE_LABEL.into(), "true".into());
    site.content.profiles.put(web);
    site.machine.fields.profiles.push("web".into());
    site.machine.placement.roles = vec!["db".into()];
    site.says("{{join \" \" .Machine.Roles}}", "db web");
}

#[test]
fn machine_as_a_whole_keeps_its_secret() {
    let mut site = Site::new();
    site.machine.fields.secret = "hush-hush".into();
    let whole = site.scene().text("{{.Machine}} {{toJson .Machine}}").unwrap();
    assert!(whole.contains("db-07.example.org") && !whole.contains("hush-hush"));
    site.says("{{.Machine.Secret}}", "hush-hush");
}

#[test]
fn params_are_looked_up_by_precedence() {
    let mut site = Site::new();
    for (text, rendered) in [
        ("{{.Param \"slot\"}}", "4"),
        ("{{.Param \"from-stage\"}} {{.Param \"everywhere\"}} {{.Param \"lazy\"}}", "s true by schema"),
        ("{{index (.Param \"deep\") \"key\"}}", "of-stage"),
        ("{{range $i, $fruit := .Param \"fruits\"}}{{$i}}{{$fruit}}{{end}}", "0pear"),
        ("{{.ParamExists \"slot\"}} {{.ParamExists \"lazy\"}} {{.ParamExists \"none\"}}", "true true false"),
    ] {
        site.says(text, rendered);
    }
    site.machine.fields.params.insert("slot".into(), json!(5));
    site.says("{{.Param \"slot\"}}", "5");
    // Null is a value.
    site.machine.fields.params.insert("slot".into(), Json::Null);
    site.says("{{.ParamExists \"slot\"}}", "true");
}

#[test]
fn unset_param_is_an_error_that_names_template_line_and_param() {
    let site = Site::new();
    let error = site.scene().text("one\ntwo {{.Param \"no/such\"}}").unwrap_err().to_string();
    for part in ["template \"text\", line 2", ".Param", "\"no/such\"", "machine db-07.example.org"] {
        assert!(error.contains(part), "{error}");
    }
    site.fails("{{.ParamAsJSON \"no/such\"}}", "no/such");
    site.fails("{{.ParamExpand \"no/such\"}}", "no/such");
    site.fails("{{.ParamCompose \"no/such\"}}", "no/such");
    site.fails("{{.Param}}", "takes 1 arguments and was given 0");
    site.fails("{{.Param 3}}", "wants text and was given int");
}

#[test]
fn params_take_other_forms() {
    let mut site = Site::new();
    site.machine
        .fields
        .params
        .insert("tree".into(), json!({"a": [1, 1.5, "<&>"], "b": "{{.Machine.ShortName}}"}));
    site.says(
        "{{.ParamAsJSON \"tree\"}}",
        "{\"a\":[1,1.5,\"\\u003c\\u0026\\u003e\"],\"b\":\"{{.Machine.ShortName}}\"}\n",
    );
    site.says("{{.ParamAsYAML \"tree\"}}", "a:\n- 1\n- 1.5\n- <&>\nb: '{{.Machine.ShortName}}'\n");
    site.says("{{.ParamExpand \"text\"}} {{.ParamExpand \"slot\"}}", "db-07.example.org! 4");
    site.says("{{index (.ObjectExpand (.Param \"tree\")) \"b\"}}", "db-07");
    site.says("{{.StringExpand \"{{.Machine.ShortName}}\"}}", "db-07");
    site.says("{{.ParamCompose \"fruits\"}} {{.ComposeParam \"fruits\"}}", "[pear fig] [pear fig]");
    site.says("{{index (.ParamComposeExpand \"tree\") \"b\"}}", "db-07");
}

#[test]
fn expansion_that_never_ends_is_an_error() {
    let mut site = Site::new();
    site.machine.fields.params.insert("me".into(), json!("{{.ParamExpand \"me\"}}"));
    site.fails("{{.ParamExpand \"me\"}}", "deep");
    site.machine.fields.params.insert("us".into(), json!({"x": "{{.ParamComposeExpand \"us\"}}"}));
    assert!(site.scene().text("{{.ParamComposeExpand \"us\"}}").is_err());
    site.bootenv(|env| env.boot_params = "{{.BootParams}}".into());
    site.fails("{{.BootParams}}", "deep");
}

#[test]
fn server_is_named_by_the_address_that_was_reached() {
    let site = Site::new();
    for (text, rendered) in [
        ("{{.ProvisionerAddress}}", "10.0.0.1"),
        ("{{.ProvisionerURL}}", "http://10.0.0.1:8091"),
        ("{{.SecureProvisionerURL}}", "https://10.0.0.1:8092/boot"),
        ("{{.ApiURL}}", "https://10.0.0.1:8092"),
        ("{{.ProvisionerHostURL}}", "http://muster.example:8091"),
        ("{{.SecureProvisionerHostURL}}", "https://muster.example:8092/boot"),
        ("{{.ApiHostURL}}", "https://muster.example:8092"),
        ("{{.Info.Version}} {{.Info.ApiPort}}", "v4.9.1 8092"),
    ] {
        site.says(text, rendered);
    }
    site.fails("{{.NoSuchThing}}", "NoSuchThing");
}

#[test]
fn only_a_template_that_asks_gets_a_token() {
    let mut site = Site::new();
    site.says("{{if .ParamExists \"none\"}}{{.GenerateToken}}{{end}}no", "no");
    assert!(site.outside.0.lock().unwrap().is_empty());
    site.says("{{.GenerateToken}} {{.GenerateInfiniteToken}}", "token-1 token-2");
    site.says("{{.GenerateProfileToken \"rack\" 7200}}", "token-3");
    site.says("{{.GenerateProfileToken \"rack\" 0}}", "token-4");
    let profile = |seconds| TokenWanted::Profile {
        name: "rack".into(),
        lifetime: std::time::Duration::from_secs(seconds),
    };
    assert_eq!(
        *site.outside.0.lock().unwrap(),
        [TokenWanted::Known, TokenWanted::Infinite, profile(7_200), profile(2_000_000_000)]
    );
    site.fails("{{.GenerateProfileToken \"other\" 60}}", "does not have profile \"other\"");
    site.machine.fields.profiles.clear();
    site.fails("{{.GenerateProfileToken \"rack\" 60}}", "does not have profile \"rack\"");
}

#[test]
fn unknown_machine_has_no_fields_and_one_sort_of_token() {
    let site = Site::new();
    let scene = site.unknown();
    assert_eq!(scene.text("{{if .Machine}}known{{else}}unknown{{end}}").unwrap(), "unknown");
    assert_eq!(scene.text("{{.GenerateToken}}").unwrap(), "token");
    assert!(scene.text("{{.GenerateInfiniteToken}}").unwrap_err().to_string().contains("not known"));
    assert_eq!(scene.text("{{.Param \"everywhere\"}} {{.Env.Name}}").unwrap(), "true ignore");
    let error = scene.text("{{.Param \"slot\"}}").unwrap_err().to_string();
    assert!(error.contains("a machine that is not known"), "{error}");
    assert!(scene.text("{{.Machine.Name}}").is_err());
}

#[test]
fn bootenv_tells_of_its_files_and_its_system() {
    let site = Site::new();
    for (text, rendered) in [
        (
            "{{.Env.Name}} {{.Env.Kernel}} {{range .Env.Initrds}}{{.}},{{end}}",
            "march-install vmlinuz0 stage1.img,stage2.img,",
        ),
        ("{{.Env.PathFor \"tftp\" \"/vmlinuz0\"}}", "march-1.2/install/vmlinuz0"),
        ("{{.Env.PathFor \"http\" .Env.Kernel}}", "http://10.0.0.1:8091/march-1.2/install/vmlinuz0"),
        ("{{.Env.PathForArch \"tftp\" \"k\" \"arm64\"}}", "march-1.2/arm64/install/k"),
        ("{{.Env.JoinInitrds \"tftp\"}}", "march-1.2/install/stage1.img,march-1.2/install/stage2.img"),
        ("{{.Env.JoinInitrdsFor \"tftp\" \"arm64\"}}", ""),
        ("{{.Env.KernelFor \"amd64\"}}:{{.Env.KernelFor \"arm64\"}}", "vmlinuz0:"),
        ("{{len (.Env.InitrdsFor \"amd64\")}}", "2"),
        ("{{.Env.OS.Name}} {{.Env.OS.Codename}}", "march-1.2 spring"),
        ("{{.Env.OS.FamilyName}} {{.Env.OS.FamilyType}} {{.Env.OS.FamilyVersion}}", "march march 1.2"),
        ("{{.Env.OS.VersionEq \"1\"}} {{.Env.OS.VersionEq \"2\"}}", "true false"),
        ("{{.BootParams}}", "quiet name=db-07.example.org"),
        ("{{.BootParamsFor \"amd64\"}}|{{.Env.BootParamsFor \"arm64\"}}", "quiet name=db-07.example.org|"),
        ("{{.Env.OnlyUnknown}}", "false"),
    ] {
        site.says(text, rendered);
    }
    site.fails("{{.Env.PathFor \"gopher\" \"x\"}}", "protocol \"gopher\" is not known");
    site.fails("{{.Env.OS.Nope}}", "Nope");
}

#[test]
fn kernel_command_line_is_one_line_that_a_kernel_can_read() {
    let mut site = Site::new();
    site.machine.fields.params.insert("evil".into(), json!("quiet\nkernel http://evil/"));
    site.bootenv(|env| env.boot_params = "{{.Param \"evil\"}}".into());
    site.fails("{{.BootParams}}", "write it as one line");
    site.bootenv(|env| env.boot_params = "a=1\n".into());
    site.says("{{.BootParams}}", "a=1");
    site.bootenv(|env| env.boot_params = format!("x={}", "y".repeat(2_048)));
    site.fails("{{.BootParams}}", "at most 2047 are allowed");
}

#[test]
fn objects_at_work_are_seen() {
    let mut site = Site::new();
    site.says("{{.Stage.Name}} {{.Stage.RunnerWait}} {{len .Stage.Tasks}}", "prepare false 0");
    site.says("{{if .Task}}task{{end}}{{if .CurrentJob}}job{{end}}", "");
    site.machine.fields.current_job = "0c8f3c1e-7f0b-4f0e-9d7f-0f6f7e5b8a11".into();
    site.says("{{.CurrentJob.Task}} {{.CurrentJob.Uuid}}", "stored 0c8f3c1e-7f0b-4f0e-9d7f-0f6f7e5b8a11");
}

#[test]
fn templates_call_each_other_by_name() {
    let mut site = Site::new();
    site.template("greet", "hello {{.Machine.ShortName}}");
    site.says("{{template \"greet\" .}}", "hello db-07");
    site.says("{{.CallTemplate \"greet\" .}}", "hello db-07");
    site.says(
        "{{$render := .}}{{range .Param \"fruits\"}}{{$render.CallTemplate \"greet\" $render}}{{end}}",
        "hello db-07",
    );
    assert_eq!(site.scene().template("greet").unwrap(), "hello db-07");
    site.fails("{{.CallTemplate \"nobody\" .}}", "nobody");
    assert!(site.scene().template("nobody").unwrap_err().to_string().contains("nobody"));
}

#[test]
fn small_questions_have_answers() {
    let site = Site::new();
    site.says(
        "{{.ParseURL \"host\" \"http://a.example:80/x\"}} {{.ParseUrl \"path\" \"http://a/x\"}}",
        "a.example:80 /x",
    );
    site.says("{{.NetmaskToCIDR \"255.255.254.0\"}}", "23");
    site.fails("{{.NetmaskToCIDR \"255.0.255.0\"}}", "is no netmask");
}
