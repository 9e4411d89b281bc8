//! Package repositories.

use super::*;

fn site() -> Site {
    let mut site = Site::new();
    site.machine.fields.os = "centos-7".into();
    site.machine.fields.params.insert(
        "package-repositories".into(),
        json!([
            {"tag": "base", "os": ["centos-7"], "arch": "x86_64", "url": "http://m/centos/7/os", "installSource": true},
            {"tag": "updates", "os": ["centos-7"], "arch": "any", "url": "http://m/centos", "distribution": "7",
             "components": ["updates", "extras"], "securitySource": true},
            {"tag": "other", "os": ["debian-12"], "arch": "amd64", "url": "http://m/debian", "distribution": "bookworm",
             "components": ["main", "contrib"], "repoType": "apt"},
            {"tag": "arm", "os": ["centos-7"], "arch": "arm64", "url": "http://m/arm"},
        ]),
    );
    site
}

#[test]
fn repositories_fit_the_machines_system_and_architecture() {
    let site = site();
    site.says("{{range .MachineRepos}}{{.Tag}} {{end}}", "base updates ");
    site.says("{{range .InstallRepos}}{{.Tag}} {{end}}", "base updates ");
    site.says("{{range .Repos \"other\" \"arm\"}}{{.Tag}} {{end}}", "other arm ");
    site.says("{{.Env.InstallUrl}}", "http://m/centos/7/os");
    site.says(
        "{{range .Repos \"other\"}}{{.JoinedComponents}} {{index .OS 0}} {{.URL}}{{end}}",
        "main contrib debian-12 http://m/debian",
    );
    site.says(
        "{{range .Repos \"updates\"}}{{.UrlFor \"extras\"}} {{.R.Machine.ShortName}}{{end}}",
        "http://m/centos/7/extras/$basearch db-07",
    );
}

#[test]
fn repositories_write_what_installers_and_package_managers_read() {
    let mut site = site();
    site.says(
        "{{range .InstallRepos}}{{.Install}}{{end}}",
        "install\nurl --url http://m/centos/7/os\n\
         repo --name=\"base\" --baseurl=http://m/centos/7/os --cost=100\n\
         repo --name=\"updates-updates\" --baseurl=http://m/centos/7/updates/$basearch --cost=200\n\
         repo --name=\"updates-extras\" --baseurl=http://m/centos/7/extras/$basearch --cost=200\n",
    );
    site.says(
        "{{range .Repos \"base\"}}{{.Lines}}{{end}}",
        "[base]\nname=centos-7 - base\nbaseurl=http://m/centos/7/os\ngpgcheck=0\n",
    );
    site.says("{{range .Repos \"other\"}}{{.Lines}}{{end}}", "deb http://m/debian bookworm main contrib\n");
    site.says(
        "{{range .Repos \"other\"}}{{.Install}}{{end}}",
        "d-i apt-setup/security_host string m\nd-i apt-setup/security_path string /debian\n",
    );
    site.machine.fields.params.insert("proxy-servers".into(), json!(["http://proxy:3128"]));
    let install = site.scene().text("{{range .Repos \"base\"}}{{.Install}}{{end}}").unwrap();
    assert!(install.contains("--proxy=\"http://proxy:3128\""), "{install}");
}

#[test]
fn boot_tree_is_the_first_source_when_it_is_complete() {
    let mut site = site();
    site.machine.fields.os = "march-1.2".into();
    site.says("{{.Env.InstallUrl}}", "http://10.0.0.1:8091/march-1.2/install");
    site.content.missing_files.insert("march-1.2/install/vmlinuz0".into());
    site.fails("{{.Env.InstallUrl}}", "no repository to install from");
    site.machine.fields.params.insert("package-repositories".into(), json!("nonsense"));
    site.fails("{{range .MachineRepos}}{{end}}", "is no list of repositories");
}
