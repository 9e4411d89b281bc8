//! Tasks' files and scripts.

use super::super::{info_errors, syntax_errors};
use super::*;
use protocol::model::Task;

fn task(templates: Vec<TemplateInfo>) -> Arc<Task> {
    Arc::new(Task { name: "burnin".into(), templates, ..Task::default() })
}

fn for_os(name: &str, os: &str) -> TemplateInfo {
    TemplateInfo { meta: [("OS".to_owned(), os.to_owned())].into(), ..file(name, "", name) }
}

fn names(site: &Site, task: &Arc<Task>, os: Option<&str>) -> Vec<String> {
    let actions = site.scene().actions(task, &Job::default(), os).unwrap();
    actions.into_iter().map(|action| action.name).collect()
}

/// G21.
#[test]
fn actions_are_for_the_operating_system_that_asks() {
    let site = Site::new();
    let task = task(vec![for_os("1", "linux, darwin"), for_os("2", "darwin"), for_os("3", "linux")]);
    assert_eq!(names(&site, &task, Some("linux")), ["1", "3"]);
    assert_eq!(names(&site, &task, Some("darwin")), ["1", "2"]);
    assert!(names(&site, &task, Some("windows")).is_empty());
    assert_eq!(names(&site, &task, None), ["1", "2", "3"]);
    assert_eq!(names(&site, &task, Some("")), ["1", "2", "3"]);
}

#[test]
fn label_for_any_or_none_is_for_all() {
    let site = Site::new();
    let task = task(vec![for_os("any", "any"), for_os("empty", " , "), file("none", "", "x")]);
    assert_eq!(names(&site, &task, Some("esxi")), ["any", "empty", "none"]);
}

#[test]
fn actions_are_rendered_now_with_task_and_job() {
    let mut site = Site::new();
    let mut script = file("script", "", "{{.Task.Name}} {{.CurrentJob.State}} {{template \"file\" .}}");
    script.meta.insert("Interpreter".into(), "python3".into());
    let task = task(vec![file("file", "/etc/{{.Machine.ShortName}}", "{{.Param \"slot\"}}"), script]);
    let actions = site.scene().actions(&task, &Job::default(), None).unwrap();
    assert_eq!((&*actions[0].path, &*actions[0].content), ("/etc/db-07", "4"));
    assert_eq!((&*actions[1].path, &*actions[1].content), ("", "burnin created 4"));
    assert_eq!(actions[1].meta["Interpreter"], "python3");
    site.profile("rack", json!({"slot": 9}));
    assert_eq!(site.scene().actions(&task, &Job::default(), None).unwrap()[0].content, "9");
    assert!(site.scene().actions(&self::task(Vec::new()), &Job::default(), None).unwrap().is_empty());
}

#[test]
fn task_that_cannot_be_rendered_says_why() {
    let site = Site::new();
    let mut required = (*task(vec![file("s", "", "x")])).clone();
    required.required_params = vec!["a".into(), "b".into()];
    let errors = site.scene().actions(&Arc::new(required), &Job::default(), None).unwrap_err();
    assert_eq!(
        errors,
        [
            "task burnin requires param \"a\", which is not set",
            "task burnin requires param \"b\", which is not set"
        ]
    );
    for (info, reason) in [
        (file("s", "", "{{.Param \"none\"}}"), "task burnin: template \"s\", line 1"),
        (file("s", "a\nb", "x"), "control characters"),
        (TemplateInfo { link: "x".into(), ..file("s", "p", "") }, "contents and no link"),
        (TemplateInfo { id: "absent".into(), ..file("s", "p", "") }, "absent"),
        (file("s", "", "{{if}}"), "template \"s\""),
    ] {
        let errors = site.scene().actions(&task(vec![info]), &Job::default(), None).unwrap_err();
        assert!(errors[0].contains(reason), "{errors:?}");
    }
}

#[test]
fn files_of_a_task_are_not_without_end() {
    let site = Site::new();
    let large = format!("{{{{repeat 7 \"{}\"}}}}", "x".repeat(1_000_000));
    let task = task((0..6).map(|n| file(&n.to_string(), "f", &large)).collect());
    let errors = site.scene().actions(&task, &Job::default(), None).unwrap_err();
    assert!(errors[0].contains("bytes together"), "{errors:?}");
}

#[test]
fn text_that_is_no_template_is_told_before_it_is_kept() {
    assert!(syntax_errors("t", "{{.Param \"x\"}}", "", "").is_empty());
    assert_eq!(syntax_errors("t", "{{if}}", "", "").len(), 1);
    assert!(syntax_errors("t", "{{if}}", "[[", "]]").is_empty());
    let errors = info_errors(&[file("a", "{{", "x"), file("b", "p", "{{end}}"), file("c", "p", "fine")]);
    assert_eq!(errors.len(), 2);
    assert!(errors[0].contains("a (Path)") && errors[1].contains("\"b\""), "{errors:?}");
}
