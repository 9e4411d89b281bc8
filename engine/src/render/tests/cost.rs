//! What rendering costs, and what it cannot be made to cost.

use super::*;

#[test]
fn bombs_end_and_are_told() {
    let mut site = Site::new();
    for bomb in [
        "{{range $i := until 1000000000}}{{$i}}{{end}}",
        "{{define \"me\"}}{{template \"me\" .}}{{end}}{{template \"me\" .}}",
        "{{$x := \"aaaaaaaa\"}}{{range $i := until 100000}}{{$x = print $x $x}}{{end}}",
        "{{repeat 1000000000 \"a\"}}",
        "{{define \"a\"}}{{template \"b\" .}}{{template \"b\" .}}{{end}}{{define \"b\"}}{{template \"c\" .}}{{template \"c\" .}}{{end}}{{define \"c\"}}{{range $i := until 5000}}{{range $j := until 5000}}x{{end}}{{end}}{{end}}{{template \"a\" .}}",
    ] {
        let error = site.scene().text(bomb).expect_err(bomb);
        assert!(error.is_limit(), "{bomb}: {error}");
        assert!(error.to_string().len() < 1_000, "{error}");
    }
    // A machine with many of them waits for one.
    let bombs =
        (0..50).map(|n| file(&n.to_string(), &n.to_string(), "{{range $i := until 1000000000}}{{end}}"));
    let bombs = bombs.collect();
    site.bootenv(|env| env.templates = bombs);
    assert_eq!(site.scene().errors().len(), 1);
}

#[test]
fn errors_are_few_and_short() {
    let mut site = Site::new();
    let files =
        (0..100).map(|n| file(&format!("{n}{}", "x".repeat(2_000)), &n.to_string(), "{{.Param \"none\"}}"));
    let files = files.collect();
    site.bootenv(|env| env.templates = files);
    let errors = site.scene().errors();
    assert_eq!(errors.len(), 32);
    assert!(errors.iter().all(|error| error.chars().count() <= 501));
}

#[test]
fn templates_are_parsed_once_and_again_when_they_change() {
    let mut site = Site::new();
    site.template("t", "first");
    let library = |content: &Content| Arc::clone(super::super::library::Library::of(content));
    let first = library(&site.content);
    // Another snapshot with the same templates goes on with what was parsed.
    let mut next = site.content.clone();
    next.profiles.put(Profile { name: "p".into(), ..Profile::default() });
    assert!(Arc::ptr_eq(&first, &library(&next)));
    let mut changed = next.clone();
    changed.templates.put(Template { id: "t".into(), contents: "second".into(), ..Template::default() });
    assert!(!Arc::ptr_eq(&first, &library(&changed)));
    site.content = changed;
    assert_eq!(site.scene().template("t").unwrap(), "second");
    // An object of the same name that is another one is parsed again.
    site.bootenv(|env| env.templates = vec![file("t", "x", "old")]);
    assert!(site.scene().file_at("x").is_some());
    site.bootenv(|env| env.templates = vec![file("t", "y", "new")]);
    assert!(site.scene().file_at("x").is_none() && site.scene().file_at("y").is_some());
}
